//! How long a person waits after starting the program again.
use super::panel::{Panel, StateDir};
use super::results::{Results, quantile};
use crate::sh::Result;
use serde_json::json;
use std::path::Path;

/// Starts are slower or faster by chance; the median of so many is quoted.
const ROUNDS: usize = 5;

/// `exec_to_split_s`: exec → first live split, the demo deployed before, load asked for as soon as the panel is ready.
pub fn measure(program: &Path, results: &mut Results) -> Result<()> {
    println!("==> start");
    let state = StateDir::new()?;
    drop(Panel::start(program, &state).and_then(|panel| panel.demo().map(|()| panel))?);
    let (mut ready, mut split) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let panel = Panel::start(program, &state)?;
        panel.until("load is accepted", |p| p.post("load", &json!({"rate": 200})).map(|_| true))?;
        ready.push(panel.started.elapsed().as_secs_f64());
        panel.frames(|frame| ["v1", "v2"].iter().all(|v| frame["counts"][v].as_u64().unwrap_or(0) > 0))?;
        split.push(panel.started.elapsed().as_secs_f64());
    }
    results.note("exec_to_load_accepted_s", quantile(&mut ready, 0.5), "s");
    results.at_most("exec_to_split_s", quantile(&mut split, 0.5), "s", 3.0);
    Ok(())
}
