//! `cargo xtask tidy`: builds and runs the checks of `xtask/tidy`.
//!
//! They are a program of their own, so that no other command waits for the parser of Rust.
use crate::sh::{Result, cargo, run};

/// Arguments of `cargo xtask tidy`.
#[derive(clap::Args)]
pub struct Tidy {
    /// Print the figures of the code as well
    #[arg(long)]
    figures: bool,
}

impl Tidy {
    /// Prints what breaks a rule.
    pub fn run(self) -> Result<()> {
        tidy(if self.figures { &["--figures"] } else { &[] })
    }
}

/// Checks every source file and every dependency. What breaks a rule is printed.
pub fn check() -> Result<()> {
    tidy(&[])
}

fn tidy(args: &[&str]) -> Result<()> {
    run(cargo().args(["run", "--quiet", "--locked", "--package", "tidy", "--"]).args(args))
}
