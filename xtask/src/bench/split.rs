//! How true the split is, from end to end: the panel's own client, its sidecar and the app's pods.
use super::panel::{Panel, StateDir};
use super::results::Results;
use crate::sh::{Result, error};
use serde_json::json;
use std::path::Path;

/// Weights of v1, percent.
const WEIGHTS: [u32; 9] = [0, 1, 5, 10, 25, 50, 75, 99, 100];
/// Requests at each.
const REQUESTS: u32 = 100_000;
/// What two cores carry through two sidecars and an app, with room to spare.
const RATE: u32 = 8_000;

/// `split_worst_sigma`: |x − np| at its worst, in standard deviations. `split_zero_leaks`: requests to a version at 0 %.
pub fn measure(program: &Path, results: &mut Results) -> Result<()> {
    println!("==> split ({} × {REQUESTS} requests)", WEIGHTS.len());
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.demo()?;
    let (mut worst, mut leaks, mut failed) = (0.0_f64, 0.0, 0.0);
    for v1 in WEIGHTS {
        let moved = panel.post("weights", &json!({"v1": v1, "v2": 100 - v1}))?;
        if moved["acknowledged"] != json!(true) {
            return Err(error(format!("{v1}/{} was not acknowledged: {moved}", 100 - v1)));
        }
        let (mut began, mut ended) = (None, None);
        panel.frames(|frame| {
            began = frame["run"].as_u64();
            true
        })?;
        panel.post("load", &json!({"rate": RATE, "requests": REQUESTS}))?;
        panel.frames(|frame| {
            let count = |version: &str| frame["counts"][version].as_f64().unwrap_or(0.0);
            let errors = frame["errors"].as_f64().unwrap_or(0.0);
            let over = frame["run"].as_u64() != began && count("v1") + count("v2") + errors >= f64::from(REQUESTS);
            ended = over.then(|| (count("v1"), count("v2"), errors));
            over
        })?;
        let (hits, others, errors) = ended.ok_or_else(|| error("the run did not end"))?;
        failed += errors;
        let (n, p) = (hits + others, f64::from(v1) / 100.0);
        match v1 {
            0 => leaks += hits,
            100 => leaks += others,
            _ => worst = worst.max((hits - n * p).abs() / (n * p * (1.0 - p)).sqrt()),
        }
    }
    results.at_most("split_worst_sigma", worst, "σ", 4.5);
    results.at_most("split_zero_leaks", leaks, "", 0.0);
    results.at_most("split_failed_requests", failed, "", 0.0);
    Ok(())
}
