//! `soak_mib_h`: how the panel's memory grows while the weights move once a second.
use crate::bench::memory::pss_mb;
use crate::bench::panel::{Panel, StateDir};
use crate::bench::results::Results;
use crate::sh::{Result, error};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Left out of the slope: caches fill, the last minute's history, the first rounds of every timer.
const WARM_UP: Duration = Duration::from_secs(300);

/// From a cold start; the slope is the least-squares line through one sample a second.
pub fn measure(program: &Path, time: Duration, results: &mut Results) -> Result<()> {
    println!("==> trust: soak ({} min)", time.as_secs() / 60);
    if time < 2 * WARM_UP {
        return Err(error(format!("a soak takes at least {} minutes", 2 * WARM_UP.as_secs() / 60)));
    }
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.demo()?;
    panel.post("load", &json!({"rate": 200}))?;
    let (began, mut samples, mut seconds) = (Instant::now(), Vec::new(), 0_u64);
    while began.elapsed() < time {
        let v2 = seconds % 101;
        panel.post("weights", &json!({"v1": 100 - v2, "v2": v2}))?;
        if began.elapsed() > WARM_UP {
            samples.push((began.elapsed().as_secs_f64() / 3_600.0, pss_mb(panel.pid())?));
        }
        seconds += 1;
        std::thread::sleep((began + Duration::from_secs(seconds)).saturating_duration_since(Instant::now()));
    }
    results.at_most("soak_mib_h", slope(&samples), "MiB/h", 4.0);
    results.note("soak_first_mb", samples.first().map_or(f64::NAN, |s| s.1), "MiB");
    results.note("soak_last_mb", samples.last().map_or(f64::NAN, |s| s.1), "MiB");
    Ok(())
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let (above, below) = points.iter().fold((0.0, 0.0), |(a, b), p| (a + (p.0 - x) * (p.1 - y), b + (p.0 - x).powi(2)));
    above / below
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_slope_of_a_line_is_its_own() {
        let line: Vec<_> = (0..50).map(|i| (f64::from(i) / 60.0, 40.0 + 3.0 * f64::from(i) / 60.0)).collect();
        assert!((super::slope(&line) - 3.0).abs() < 1e-9);
    }
}
