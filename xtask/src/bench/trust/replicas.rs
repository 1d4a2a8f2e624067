//! What a Deployment that is scaled to 10,000 takes from the panel.
use crate::bench::kubectl::Kubectl;
use crate::bench::panel::{Panel, StateDir};
use crate::bench::results::Results;
use crate::sh::{Context, Result, error};
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long it is looked at, from the scaling on.
const WATCHED: Duration = Duration::from_secs(60);
const REPLICAS: &str = "--replicas=10000";

/// `replicas_10k_healthz_ms`, `replicas_10k_weights_ms`: the longest answers of that time.
pub fn measure(program: &Path, results: &mut Results) -> Result<()> {
    println!("==> trust: replicas");
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.demo()?;
    let kubectl = Kubectl::new(&state.path().join("kubeconfig"))?;
    kubectl.run_in("default", &["create", "deployment", "many", "--image=simple-flask-app", "--replicas=0"])?;
    let over = AtomicBool::new(false);
    let (healthz, weights) = std::thread::scope(|scope| -> Result<(f64, f64)> {
        let healthz = scope.spawn(|| -> Result<f64> {
            let mut longest = 0.0_f64;
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                panel.get("/healthz")?;
                longest = longest.max(began.elapsed().as_secs_f64() * 1000.0);
                std::thread::sleep(Duration::from_millis(25));
            }
            Ok(longest)
        });
        let scaled = kubectl.run_in("default", &["scale", "deployment/many", REPLICAS]);
        let (began, mut longest, mut v2) = (Instant::now(), 0.0_f64, 0);
        while scaled.is_ok() && began.elapsed() < WATCHED {
            v2 = (v2 + 10) % 110;
            let asked = Instant::now();
            let answer = panel.post("weights", &json!({"v1": 100 - v2, "v2": v2}));
            longest = longest.max(asked.elapsed().as_secs_f64() * 1000.0);
            if answer?["acknowledged"] != json!(true) {
                longest = longest.max(1_000.0);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
        scaled?;
        Ok((healthz.join().map_err(|_| error("the other client ended early"))??, longest))
    })?;
    let pods = kubectl.run_in("default", &["get", "deployment", "many", "-o", "jsonpath={.status.readyReplicas}"])?;
    results.at_most("replicas_10k_healthz_ms", healthz, "ms", 100.0);
    results.at_most("replicas_10k_weights_ms", weights, "ms", 250.0);
    results.note("replicas_10k_ready", pods.trim().parse::<f64>().unwrap_or(0.0), "");
    results.note(
        "replicas_10k_panel_mb",
        crate::bench::memory::pss_mb(panel.pid()).context("read the panel's memory")?,
        "MiB",
    );
    Ok(())
}
