//! How fast a moved slider moves requests.
use super::panel::{Panel, StateDir};
use super::results::{Results, quantile};
use crate::sh::{Context, Result};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// `weight_change_p99_ms`: flips 100/0 ↔ 0/100 under 1,000 requests a second; from the request to change until the
/// first request on the new weights was answered. The three times are the panel's own, as it shows them.
pub fn measure(program: &Path, flips: usize, results: &mut Results) -> Result<()> {
    println!("==> weights ({flips} changes)");
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.demo()?;
    panel.post("load", &json!({"rate": 1000}))?;
    panel.frames(|frame| frame["achieved_rate"].as_f64().unwrap_or(0.0) > 950.0)?;
    let (mut accepted, mut acknowledged, mut first, mut answered) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut unacknowledged = 0.0;
    for flip in 0..flips {
        let v2 = if flip % 2 == 0 { 100 } else { 0 };
        let asked = Instant::now();
        let shifted = panel.post("weights", &json!({"v1": 100 - v2, "v2": v2}))?;
        answered.push(asked.elapsed().as_secs_f64() * 1000.0);
        if shifted["acknowledged"] != json!(true) {
            unacknowledged += 1.0;
        }
        let mut entry = Value::Null;
        panel.until("the first request on the new weights", |p| {
            entry = newest_change(&p.status()?);
            Ok(entry["split"]["v2"] == json!(v2) && entry["times"]["first_request"].is_number())
        })?;
        for (name, into) in
            [("accepted", &mut accepted), ("acknowledged", &mut acknowledged), ("first_request", &mut first)]
        {
            into.push(entry["times"][name].as_f64().unwrap_or(f64::NAN));
        }
    }
    let failed = failed_requests(&panel)?;
    results.at_most("weight_change_p99_ms", quantile(&mut first, 0.99), "ms", 15.0);
    results.note("weight_change_p50_ms", quantile(&mut first, 0.5), "ms");
    results.note("weight_accepted_p99_ms", quantile(&mut accepted, 0.99), "ms");
    results.note("weight_acknowledged_p99_ms", quantile(&mut acknowledged, 0.99), "ms");
    results.note("weight_answered_p99_ms", quantile(&mut answered, 0.99), "ms");
    results.at_most("weight_changes_unacknowledged", unacknowledged, "", 0.0);
    results.at_most("weight_change_failed_requests", failed, "", 0.0);
    results.note("fsync_p99_ms", fsync_p99(&state)?, "ms");
    twenty_per_second(&panel, results)
}

/// Changes of a hand that keeps moving the slider.
const CHANGES_PER_S: u32 = 20;
const CHANGES_FOR: Duration = Duration::from_secs(15);

/// `changes_20_per_s_failed`: requests that fail while weights change twenty times a second, each change at its own time, whatever became
/// of the one before.
fn twenty_per_second(panel: &Panel, results: &mut Results) -> Result<()> {
    let before = failed_requests(panel)?;
    let (began, changes) = (Instant::now(), CHANGES_PER_S * CHANGES_FOR.as_secs() as u32);
    let mut unacknowledged = 0.0;
    for change in 0..changes {
        std::thread::sleep(
            (began + Duration::from_secs(1) * change / CHANGES_PER_S).saturating_duration_since(Instant::now()),
        );
        // All of the range, 0 and 100 among them.
        let v2 = change * 10 % 110;
        let shifted = panel.post("weights", &json!({"v1": 100 - v2, "v2": v2}))?;
        unacknowledged += f64::from(u8::from(shifted["acknowledged"] != json!(true)));
    }
    results.note("changes_per_s", f64::from(changes) / began.elapsed().as_secs_f64(), "/s");
    results.note("changes_20_per_s_unacknowledged", unacknowledged, "");
    results.at_most("changes_20_per_s_failed", failed_requests(panel)? - before, "", 0.0);
    Ok(())
}

/// Requests of the load that have failed so far; two frames on, so that none of those under way is missing.
fn failed_requests(panel: &Panel) -> Result<f64> {
    let (mut failed, mut frames) = (f64::NAN, 0);
    panel.frames(|frame| {
        failed = frame["errors"].as_f64().unwrap_or(f64::NAN);
        frames += 1;
        frames > 2
    })?;
    Ok(failed)
}

fn newest_change(status: &Value) -> Value {
    let log = status["log"].as_array().cloned().unwrap_or_default();
    log.into_iter().find(|entry| entry["split"].is_object()).unwrap_or(Value::Null)
}

/// The disk's own share: a 4 KiB write and its fsync, in the same folder.
fn fsync_p99(state: &StateDir) -> Result<f64> {
    let file = state.path().join("fsync");
    let mut out = std::fs::File::create(file).context("make a file to measure fsync")?;
    let mut times = Vec::new();
    for _ in 0..500 {
        let start = Instant::now();
        out.write_all(&[0; 4096]).and_then(|()| out.sync_data()).context("measure fsync")?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(quantile(&mut times, 0.99))
}
