//! `cargo xtask tidy`: builds and runs the checks of `xtask/tidy`.
//!
//! They are a program of their own, so that no other command waits for the parser of Rust.
use crate::sh::{Result, cargo, run};

/// Arguments of `cargo xtask tidy`.
#[derive(clap::Args)]
pub struct Tidy {}

impl Tidy {
    /// Prints what breaks a rule.
    pub fn run(self) -> Result<()> {
        check()
    }
}

/// Checks every source file. What breaks a rule is printed.
pub fn check() -> Result<()> {
    run(cargo().args(["run", "--quiet", "--locked", "--package", "tidy", "--"]))
}
