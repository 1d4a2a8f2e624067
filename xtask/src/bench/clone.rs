//! How long a newcomer waits: fresh clone, empty caches of ours, page up.
use super::panel::StateDir;
use super::results::Results;
use crate::sh::{Context, Result, cmd, error, output, workspace};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Instant;

/// `fresh_clone_s`, and each step's share. Cargo's download cache stays: fetching is a few seconds.
pub fn measure(results: &mut Results) -> Result<()> {
    println!("==> clone (12 to 15 min on two cores)");
    let folder = StateDir::new()?;
    let (clone, cache, state) = (folder.path().join("clone"), folder.path().join("cache"), folder.path().join("state"));
    let start = Instant::now();
    output(cmd("git").arg("clone").arg("--quiet").arg(workspace()).arg(&clone))?;
    let mut child = crate::sh::cargo()
        .current_dir(&clone)
        .args(["xtask", "run", "--", "--listen", "127.0.0.1:0", "--state-dir"])
        .arg(&state)
        .env("DEMO_PANEL_CACHE", &cache)
        .env_remove("CARGO_TARGET_DIR")
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo xtask run in the clone")?;
    let out = child.stdout.take().ok_or_else(|| error("the command has no output"))?;
    let up = BufReader::new(out).lines().map_while(std::io::Result::ok).any(|line| line.contains("http://127.0.0.1:"));
    let took = start.elapsed().as_secs_f64();
    let _ = output(cmd("kill").arg(child.id().to_string()));
    child.wait().context("wait for the panel to end")?;
    if !up {
        return Err(error("the panel did not come up in a fresh clone"));
    }
    let steps = std::fs::read(clone.join("target/xtask-steps.json")).context("read the steps' times")?;
    let steps: Vec<Value> = serde_json::from_slice(&steps).context("read the steps' times")?;
    let mut rest = took;
    for step in &steps {
        let seconds = step["seconds"].as_f64().unwrap_or(0.0);
        rest -= seconds;
        let name: String =
            step["step"].as_str().unwrap_or_default().chars().take_while(|c| !":,(".contains(*c)).collect();
        results.note(&format!("fresh_clone_s {}", name.trim()), seconds, "s");
    }
    results.note("fresh_clone_s clone, xtask, start", rest, "s");
    results.at_most("fresh_clone_s", took, "s", 900.0);
    Ok(())
}
