//! What the live stream of one viewer costs the network.
use super::sockets::{Viewer, viewers};
use crate::bench::panel::{Panel, StateDir};
use crate::bench::results::Results;
use crate::sh::{Result, error};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

const MEASURED: Duration = Duration::from_secs(20);
/// Changes of a hand that keeps moving the slider.
const CHANGES_PER_S: u32 = 20;

/// `stream_kb_s` at 200 requests/s, `stream_drag_kb_s` while somebody drags, and the same of a page, which asks for words as well.
pub fn measure(program: &Path, results: &mut Results) -> Result<()> {
    println!("==> trust: stream");
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.demo()?;
    panel.post("load", &json!({"rate": 200}))?;
    panel.frames(|frame| frame["achieved_rate"].as_f64().unwrap_or(0.0) > 190.0)?;
    for (query, suffix) in [("", ""), ("?lang=en", "_page")] {
        let quiet = kb_per_s(&panel, query, |end| std::thread::sleep(end.saturating_duration_since(Instant::now())))?;
        results.at_most(&format!("stream{suffix}_kb_s"), quiet, "kB/s", 10.0);
        let dragged = kb_per_s(&panel, query, |end| {
            let began = Instant::now();
            for change in 0.. {
                std::thread::sleep(
                    (began + Duration::from_secs(1) * change / CHANGES_PER_S).saturating_duration_since(Instant::now()),
                );
                let v2 = change % 101;
                // A change that fails shows as a stream that is too light: the next one tries again.
                if Instant::now() >= end || panel.post("weights", &json!({"v1": 100 - v2, "v2": v2})).is_err() {
                    break;
                }
            }
        })?;
        results.at_most(&format!("stream_drag{suffix}_kb_s"), dragged, "kB/s", 25.0);
    }
    Ok(())
}

/// Bytes of one viewer a second, after what a stream begins with.
fn kb_per_s(panel: &Panel, query: &str, meanwhile: impl FnOnce(Instant)) -> Result<f64> {
    let mut all = viewers(panel.address(), query, 1)?;
    let settle = Instant::now() + Duration::from_secs(2);
    all.read_until(settle, |_: &mut Viewer, _: &[u8]| {})?;
    let (began, end) = (Instant::now(), Instant::now() + MEASURED);
    let bytes = std::thread::scope(|scope| {
        let reading = scope.spawn(move || -> Result<usize> {
            let mut bytes = 0;
            all.read_until(end, |_: &mut Viewer, read: &[u8]| bytes += read.len())?;
            Ok(bytes)
        });
        meanwhile(end);
        reading.join().map_err(|_| error("the viewer ended early"))?
    })?;
    Ok(bytes as f64 / 1_000.0 / began.elapsed().as_secs_f64())
}
