//! `cargo xtask bench`: figures, printed as a table and written to `target/bench/results.json`.
//!
//! Each figure has a goal; whether it is met is part of the result, and a figure that is not met fails nothing:
//! a bench reports, tests decide.
mod clone;
mod history;
mod in_cluster;
mod kubectl;
mod memory;
mod panel;
mod peers;
mod real;
mod results;
mod size;
mod split;
mod start;
mod trust;
mod weights;
mod zero_failures;

use crate::browser_half::{self, Profile};
use crate::sh::{Result, error};
use crate::{build, tools};
use results::Results;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Bench {
    /// Only these: `size`, `start`, `memory`, `weights`, `split`, `gate`, `trust`, `proxies`, `generators`, `history`, `clone`; all where none is given.
    only: Vec<String>,
    /// Parts of `trust`, separated by commas: `writes`, `stream`, `viewers`, `sandboxes`, `replicas`, `flood`, `soak`; all where none is given.
    #[arg(long, value_delimiter = ',', value_name = "PART")]
    trust: Vec<String>,
    /// Measure this program; without it one is built. To set two versions beside each other
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Length of the soak of `trust`, 30 for the figure that is quoted; without it the soak is left out.
    #[arg(long, value_name = "MINUTES")]
    soak_minutes: Option<u64>,
    /// Changes of weights to measure.
    #[arg(long, default_value_t = 500)]
    flips: usize,
    /// Where: `real` measures the panel on a real Kubernetes with Istio, and nothing else
    #[arg(long, value_enum, default_value_t = Where::Embedded)]
    cluster: Where,
    /// Rounds of `proxies` and `generators`; their medians are quoted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// `peers` is both `proxies` and `generators`.
const GROUPS: [&str; 12] = [
    "size",
    "start",
    "memory",
    "weights",
    "split",
    "gate",
    "trust",
    "peers",
    "proxies",
    "generators",
    "history",
    "clone",
];
/// Those that measure the panel that people run.
const OF_THE_PANEL: [&str; 7] = ["size", "start", "memory", "weights", "split", "gate", "trust"];

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Where {
    Embedded,
    Real,
}

impl Bench {
    /// Builds what people run, then measures it.
    pub fn run(self) -> Result<()> {
        if let Some(unknown) = self.only.iter().find(|name| !GROUPS.contains(&name.as_str())) {
            return Err(error(format!("no figures are called `{unknown}`; there are: {}", GROUPS.join(", "))));
        }
        if self.cluster == Where::Real {
            browser_half::build(&tools::wasm_compiler()?, Profile::Release)?;
            let mut results = Results::default();
            real::measure(&build::server(true)?, self.flips, &mut results)?;
            results.print();
            return results.save();
        }
        let wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let mut results = Results::default();
        if OF_THE_PANEL.iter().any(|name| wanted(name)) {
            let program = match &self.program {
                Some(given) => given.clone(),
                None => {
                    let built = browser_half::build(&tools::wasm_compiler()?, Profile::Release)?;
                    if wanted("size") {
                        size::measure(&built, &mut results)?;
                    }
                    build::server(true)?
                }
            };
            if wanted("start") {
                start::measure(&program, &mut results)?;
            }
            if wanted("memory") {
                memory::measure(&program, &mut results)?;
            }
            if wanted("weights") {
                weights::measure(&program, self.flips, &mut results)?;
            }
            if wanted("split") {
                split::measure(&program, &mut results)?;
            }
            if wanted("gate") {
                zero_failures::measure(&program, &mut results)?;
            }
            if wanted("trust") {
                let soak = self.soak_minutes.map(|minutes| Duration::from_secs(60 * minutes));
                trust::measure(&program, &self.trust, soak, &mut results)?;
            }
        }
        let (proxies, generators) = (wanted("peers") || wanted("proxies"), wanted("peers") || wanted("generators"));
        if proxies || generators {
            let peers = peers::Peers::find()?;
            if proxies {
                peers.proxies(self.rounds, &mut results)?;
            }
            if generators {
                peers.generators(self.rounds, &mut results)?;
            }
        }
        if wanted("history") {
            history::measure(&mut results)?;
        }
        if wanted("clone") {
            clone::measure(&mut results)?;
        }
        results.print();
        results.save()
    }
}
