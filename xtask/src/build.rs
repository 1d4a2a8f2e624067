//! Building the server.
use crate::sh::{Result, cargo, run, target_dir};
use std::path::PathBuf;

/// Builds the program with the browser's half in it and returns its path.
pub fn server(release: bool) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--locked", "-p", "demo-panel", "--bin", "demo-panel"]);
    if release {
        command.arg("--release");
    }
    command.env("DEMO_PANEL_PKG", target_dir().join("pkg"));
    run(&mut command)?;
    Ok(target_dir().join(if release { "release" } else { "debug" }).join("demo-panel"))
}
