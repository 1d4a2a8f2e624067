//! `cargo xtask test`: what the tests need, then every test.
use crate::browser_half::{self, Profile};
use crate::sh::{Result, cargo, run, target_dir};
use crate::steps::Steps;
use crate::{tidy, tools};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Test {
    /// Given to `cargo test`: `-- -p mesh route`.
    #[arg(last = true)]
    args: Vec<String>,
}

impl Test {
    /// Sets up and runs them all; a step that cannot be done says what to install.
    pub fn run(self) -> Result<()> {
        let mut steps = Steps::new(7);
        steps.step("Rules of the house", tidy::check)?;
        let chromium = steps.step("Chromium and its driver", tools::chromium)?;
        let kubectl = steps.step("kubectl", tools::kubectl)?;
        let envoy = steps.step("Envoy, which the sidecar is compared with", tools::envoy)?;
        let axe = steps.step("axe-core", tools::axe)?;
        steps.step("Browser's half: wasm, JavaScript, CSS (about 5 min the first time)", || {
            browser_half::build(&tools::wasm_compiler()?, Profile::Release)
        })?;
        steps.step("Tests (about 6 min to build the first time)", || {
            let mut command = cargo();
            command.args(["test", "--locked"]);
            if self.args.is_empty() {
                command.args(["--workspace", "--no-fail-fast"]);
            } else {
                command.args(&self.args);
            }
            command.env("DEMO_PANEL_PKG", target_dir().join("pkg"));
            command.env("KUBECTL", kubectl).env("AXE", axe).env("ENVOY", envoy);
            command.env("CHROMIUM", chromium.browser).env("CHROMEDRIVER", chromium.driver);
            run(&mut command)
        })?;
        steps.save()
    }
}
