//! `cargo xtask bench`: figures, printed as a table and written to `target/bench/results.json`.
use crate::sh::{Result, error};

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Bench {}

impl Bench {
    /// Measures.
    pub fn run(self) -> Result<()> {
        Err(error("no figure is measured yet"))
    }
}
