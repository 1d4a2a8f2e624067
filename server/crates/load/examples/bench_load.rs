//! The load engine as a process of its own, for measuring: one run, and three snapshots of it as a line of JSON; on the
//! terminal's side (standard error) the whole run's latencies.
//!
//!     bench_load PROXY closed CONNECTIONS SECONDS
//!     bench_load PROXY open RATE SECONDS
use load::{Engine, EngineConfig, LoadSpec, Snapshot};
use std::error::Error;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [proxy, kind, number, seconds] = words.as_slice() else {
        return Err("bench_load PROXY closed CONNECTIONS SECONDS | PROXY open RATE SECONDS".into());
    };
    let load = match *kind {
        "closed" => LoadSpec { closed_loop: Some(number.parse()?), ..LoadSpec::rate(1) },
        "open" => LoadSpec::rate(number.parse()?),
        other => return Err(format!("`{other}` is neither open nor closed").into()),
    };
    // As other generators do it: 32 connections, kept.
    let config = EngineConfig {
        proxy: Some((*proxy).to_owned()),
        connection_life: None,
        warm_connections: 32,
        ..EngineConfig::default()
    };
    let seconds = Duration::from_secs_f64(seconds.parse()?);
    let snapshots =
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(config, load, seconds))?;
    if let Some(w) = &snapshots[2].whole {
        eprintln!(
            "p50 {:.3} ms, p90 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, max {:.3} ms",
            w.p50_ms, w.p90_ms, w.p99_ms, w.p999_ms, w.max_ms
        );
    }
    println!("{}", serde_json::to_string(&snapshots)?);
    Ok(())
}

/// Runs for so long. Two snapshots under load, a second after it began and when it was to end, and the one after the last answer.
async fn run(config: EngineConfig, load: LoadSpec, seconds: Duration) -> Result<[Snapshot; 3], Box<dyn Error>> {
    let engine = Engine::start(config)?;
    let began = Instant::now();
    engine.set_load(&load).await?;
    let first = newest_at(&engine, began + seconds.min(Duration::from_secs(1))).await?;
    let last = newest_at(&engine, began + seconds).await?;
    engine.stop().await;
    let end = engine.status().borrow().snapshot.clone();
    Ok([first, last, end])
}

/// The first snapshot taken after a moment.
async fn newest_at(engine: &Engine, at: Instant) -> Result<Snapshot, Box<dyn Error>> {
    sleep_until(at).await;
    let mut status = engine.status();
    status.mark_unchanged();
    status.changed().await?;
    let newest = status.borrow().snapshot.clone();
    Ok(newest)
}
