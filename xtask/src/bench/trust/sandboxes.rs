//! Many namespaces, each with its demo, by the panel's own verbs.
use crate::bench::memory::{family, pss_mb};
use crate::bench::panel::{Panel, StateDir};
use crate::bench::results::{Results, quantile};
use crate::sh::{Result, error};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

const MANY: usize = 100;
const AT_ONCE: usize = 30;
/// Weight changes, one namespace after the other.
const CHANGES: usize = 300;
/// How often a namespace is asked whether it is ready.
const POLL: Duration = Duration::from_millis(400);

/// 30 at once on a panel of its own, then 100: time, memory, weights, and what is left after their teardown.
pub fn measure(program: &Path, results: &mut Results) -> Result<()> {
    println!("==> trust: sandboxes");
    {
        let state = StateDir::new()?;
        let panel = Panel::start(program, &state)?;
        results.at_most("sandboxes_30_ready_s", ready(&panel, AT_ONCE)?, "s", 15.0);
    }
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.until("the panel is ready", |p| p.status().map(|_| true))?;
    let before = memory_mb(&panel)?;
    results.at_most("sandboxes_100_ready_s", ready(&panel, MANY)?, "s", 60.0);
    for n in 0..MANY {
        panel.post_in(&name(n), "weights", &json!({"v1": 50, "v2": 50}))?;
    }
    results.at_most("sandbox_mb", (memory_mb(&panel)? - before) / MANY as f64, "MiB", 16.0);
    let (mut times, mut unacknowledged) = (Vec::new(), 0.0);
    for change in 0..CHANGES {
        let v2 = change * 7 % 101;
        let began = Instant::now();
        let answer = panel.post_in(&name(change % MANY), "weights", &json!({"v1": 100 - v2, "v2": v2}))?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        unacknowledged += f64::from(u8::from(answer["acknowledged"] != json!(true)));
    }
    results.at_most("weight_ack_100_sandboxes_p99_ms", quantile(&mut times, 0.99), "ms", 150.0);
    results.at_most("weight_ack_100_sandboxes_missed", unacknowledged, "", 0.0);
    let began = Instant::now();
    of_each(MANY, |n| {
        panel.post_in(&name(n), "teardown", &json!({}))?;
        until(&panel, n, "Clean")
    })?;
    results.note("sandboxes_100_gone_s", began.elapsed().as_secs_f64(), "s");
    panel.until("no process is left", |p| Ok(family(p.pid())?.len() == 1))
}

fn name(n: usize) -> String {
    format!("sandbox-{n}")
}

/// Seconds until all are deployed and injected.
fn ready(panel: &Panel, count: usize) -> Result<f64> {
    let began = Instant::now();
    of_each(count, |n| {
        panel.post_in(&name(n), "deploy", &json!({}))?;
        until(panel, n, "Deployed")?;
        panel.post_in(&name(n), "inject", &json!({"inject": true}))?;
        until(panel, n, "Injected")
    })?;
    Ok(began.elapsed().as_secs_f64())
}

fn until(panel: &Panel, n: usize, condition: &str) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(300);
    while !panel.is_in(&name(n), condition)? {
        if Instant::now() > end {
            return Err(error(format!("{} is not {condition} after 300 s: {}", name(n), panel.status_in(&name(n))?)));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Does it for all at once, a thread each.
fn of_each(count: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || work(n))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| error("a client ended early"))?)
    })
}

fn memory_mb(panel: &Panel) -> Result<f64> {
    // A process may end between the listing and the reading.
    Ok(family(panel.pid())?.into_iter().filter_map(|pid| pss_mb(pid).ok()).sum())
}
