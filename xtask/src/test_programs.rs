//! Programs that tests start, and the `cargo test` that finds them.
use crate::sh::{cargo, target_dir};
use crate::tools;
use std::path::PathBuf;
use std::process::Command;

/// Programs that tests start.
pub struct Programs {
    pub chromium: tools::Chromium,
    pub kubectl: PathBuf,
    pub envoy: PathBuf,
    pub axe: PathBuf,
    pub fonts: PathBuf,
}

impl Programs {
    /// A `cargo test` that finds them.
    pub fn cargo_test(&self) -> Command {
        let mut command = cargo();
        command.args(["test", "--locked"]);
        command.env("DEMO_PANEL_PKG", target_dir().join("pkg"));
        command.env("KUBECTL", &self.kubectl).env("AXE", &self.axe).env("ENVOY", &self.envoy);
        command
            .env("CHROMIUM", &self.chromium.browser)
            .env("CHROMEDRIVER", &self.chromium.driver)
            .env("FONTS", &self.fonts);
        command
    }
}
