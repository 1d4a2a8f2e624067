//! `cargo xtask test`: what the tests need, then every test; and the server's integration tests again on a real cluster.
use crate::browser_half::{self, Profile};
use crate::real_suite::RealSuite;
use crate::sh::{Result, cargo, error, run};
use crate::steps::Steps;
use crate::test_programs::Programs;
use crate::{tidy, tools};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Test {
    /// One of the two runs alone
    #[arg(long, value_enum, value_name = "CLUSTER")]
    only: Option<Only>,
    /// Given to `cargo test`, which then runs once, on the embedded cluster: `-- -p mesh route`.
    #[arg(last = true)]
    args: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Only {
    /// Everything but the run on a real cluster
    Embedded,
    /// The run on a real cluster
    Real,
}

impl Test {
    /// Arguments would be given to a run that `--only real` leaves out: no test at all would run, and that would be a success.
    fn check(&self) -> Result<()> {
        if self.only == Some(Only::Real) && !self.args.is_empty() {
            return Err(error(
                "--only real takes no arguments for `cargo test`: on a real cluster the suite runs as a whole. Leave out one or the other.",
            ));
        }
        Ok(())
    }

    /// Sets up and runs them all; a step that cannot be done says what to install.
    pub fn run(self) -> Result<()> {
        self.check()?;
        let real =
            if self.args.is_empty() && self.only != Some(Only::Embedded) { Some(RealSuite::choose()) } else { None };
        let embedded = self.only != Some(Only::Real);
        let linted = embedded && self.args.is_empty();
        let own = 8 + usize::from(linted) + usize::from(embedded);
        let mut steps = Steps::new(own + real.as_ref().map_or(0, RealSuite::steps));
        steps.step("Rules of the house", tidy::check)?;
        steps.step("Format", || checked_by("fmt", "rustfmt", &["--all", "--check"]))?;
        let programs = Programs {
            chromium: steps.step("Chromium and its driver", tools::chromium)?,
            kubectl: steps.step("kubectl", tools::kubectl)?,
            envoy: steps.step("Envoy, which the sidecar is compared with", tools::envoy)?,
            axe: steps.step("axe-core", tools::axe)?,
            fonts: steps.step("Fonts of the browser tests", tools::fonts)?,
        };
        steps.step("Browser's half: wasm, JavaScript, CSS (the first time 2 to 3 min on two cores)", || {
            browser_half::build(&tools::wasm_compiler()?, Profile::Release)
        })?;
        if linted {
            steps.step("Lints (the first time 3 to 4 min on two cores)", || {
                checked_by("clippy", "clippy", &["--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])
            })?;
        }
        if embedded {
            steps.step("Tests (the first time 5 to 7 min to build on two cores)", || {
                let mut command = programs.cargo_test();
                if self.args.is_empty() {
                    command.args(["--workspace", "--no-fail-fast"]);
                } else {
                    command.args(&self.args);
                }
                run(&mut command)
            })?;
        }
        if let Some(real) = real {
            real.run(&mut steps, &programs)?;
        }
        steps.save()
    }
}

/// Runs `cargo <command>`. A tool chain without it (Debian's has it in a package of its own) is no failure of what is tested, so that is
/// printed: the workflow on GitHub has both.
fn checked_by(command: &str, component: &str, args: &[&str]) -> Result<()> {
    let installed = cargo().args([command, "--version"]).output().is_ok_and(|output| output.status.success());
    if !installed {
        println!("    not checked: no `cargo {command}` here. Install it: rustup component add {component}");
        return Ok(());
    }
    run(cargo().arg(command).args(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_run_no_test_is_refused() {
        for (only, args, fits) in [
            (None, true, true),
            (Some(Only::Embedded), true, true),
            (Some(Only::Real), false, true),
            (Some(Only::Real), true, false),
        ] {
            let args = if args { vec!["-p".to_owned(), "mesh".to_owned()] } else { Vec::new() };
            assert_eq!(Test { only, args }.check().is_ok(), fits);
        }
    }
}
