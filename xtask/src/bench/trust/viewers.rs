//! A thousand viewers, and viewers that stop reading.
use super::sockets::{kernel_kib, stalled, viewers};
use crate::bench::memory::pss_mb;
use crate::bench::panel::{Panel, StateDir};
use crate::bench::results::{Results, quantile};
use crate::sh::{Result, error};
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const VIEWERS: usize = 1_000;
const STALLED: usize = 200;
const CHANGES_PER_S: u32 = 20;
const CHANGED_FOR: Duration = Duration::from_secs(20);
/// A stalled viewer is dropped within this.
const DROPPED_WITHIN: Duration = Duration::from_secs(15);

/// `ack_1000_viewers_p99_ms`, `lag_1000_viewers_p99_ms`, `stalled_viewer_kib`.
pub fn measure(program: &Path, results: &mut Results) -> Result<()> {
    println!("==> trust: viewers");
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.demo()?;
    panel.post("load", &json!({"rate": 200}))?;
    panel.frames(|frame| frame["achieved_rate"].as_f64().unwrap_or(0.0) > 190.0)?;
    thousand(&panel, results)?;
    stall(&panel, results)
}

/// Lag: from the moment a change is asked for until a viewer's stream shows it. Each of 101 splits is used once in five seconds, so a split
/// that a viewer sees belongs to its newest change.
fn thousand(panel: &Panel, results: &mut Results) -> Result<()> {
    let mut all = viewers(panel.address(), "", VIEWERS)?;
    let over = AtomicBool::new(false);
    let asked: Mutex<HashMap<u32, Instant>> = Mutex::default();
    let (mut acks, mut lags, mut late) = (Vec::new(), Vec::new(), 0.0);
    std::thread::scope(|scope| -> Result<()> {
        let reading = scope.spawn(|| -> Result<Vec<f64>> {
            let mut lags = Vec::new();
            while !over.load(Ordering::Relaxed) {
                all.read_until(Instant::now() + Duration::from_millis(200), |viewer, bytes| {
                    for v2 in viewer.desired(bytes) {
                        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                        lags.extend(asked.get(&v2).map(|at| at.elapsed().as_secs_f64() * 1000.0));
                    }
                })?;
            }
            Ok(lags)
        });
        let began = Instant::now();
        for change in 0..CHANGES_PER_S * CHANGED_FOR.as_secs() as u32 {
            std::thread::sleep(
                (began + Duration::from_secs(1) * change / CHANGES_PER_S).saturating_duration_since(Instant::now()),
            );
            let v2 = change % 101;
            let at = Instant::now();
            asked.lock().unwrap_or_else(PoisonError::into_inner).insert(v2, at);
            let answer = panel.post("weights", &json!({"v1": 100 - v2, "v2": v2}))?;
            acks.push(at.elapsed().as_secs_f64() * 1000.0);
            late += f64::from(u8::from(answer["acknowledged"] != json!(true)));
        }
        results.note("changes_1000_viewers_per_s", acks.len() as f64 / began.elapsed().as_secs_f64(), "/s");
        over.store(true, Ordering::Relaxed);
        lags = reading.join().map_err(|_| error("the viewers ended early"))??;
        Ok(())
    })?;
    results.at_most("ack_1000_viewers_p99_ms", quantile(&mut acks, 0.99), "ms", 50.0);
    results.at_most("lag_1000_viewers_p99_ms", quantile(&mut lags, 0.99), "ms", 500.0);
    results.note("lag_1000_viewers_p50_ms", quantile(&mut lags, 0.5), "ms");
    results.note("lag_1000_viewers_samples", lags.len() as f64, "");
    results.note("unacknowledged_1000_viewers", late, "");
    results.at_most("viewers_dropped_of_1000", all.closed() as f64, "", 0.0);
    Ok(())
}

/// Viewers that never read, while somebody drags. Their memory is that of the panel's process and of its ends of the connections.
fn stall(panel: &Panel, results: &mut Results) -> Result<()> {
    // What the thousand have left behind is given back.
    std::thread::sleep(Duration::from_secs(5));
    let port = panel.address().port();
    let (process, kernel) = (pss_mb(panel.pid())?, kernel_kib(port)?);
    let mut all = stalled(panel.address(), STALLED)?;
    let (began, mut most, mut change) = (Instant::now(), 0.0_f64, 0_u32);
    let dropped = loop {
        let v2 = change % 101;
        change += 1;
        panel.post("weights", &json!({"v1": 100 - v2, "v2": v2}))?;
        let now = (pss_mb(panel.pid())? - process) * 1024.0 + kernel_kib(port)? - kernel;
        most = most.max(now / STALLED as f64);
        if all.count_closed()? == STALLED {
            break began.elapsed();
        }
        if began.elapsed() > 8 * DROPPED_WITHIN {
            break Duration::MAX;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    results.at_most("stalled_viewer_kib", most, "KiB", 150.0);
    results.at_most("stalled_viewer_dropped_s", dropped.as_secs_f64(), "s", DROPPED_WITHIN.as_secs_f64());
    Ok(())
}
