//! `cargo xtask bench --cluster real`: the panel on a real Kubernetes with Istio.
//!
//! On the cluster that `DEMO_PANEL_TEST_KUBECONFIG` names, which must have the image, else on one that is booted for it and ended
//! afterwards.
use super::in_cluster;
use super::kubectl::{Forward, Kubectl};
use super::memory::pss_mb;
use super::panel::Panel;
use super::results::{Results, quantile};
use crate::sh::{Context, Result, error};
use crate::steps::Steps;
use crate::{image, real_cluster};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The cluster that is booted for the bench.
const NAME: &str = "bench";
/// How long the panel is left alone while its calls are counted.
const REST: Duration = Duration::from_secs(120);
/// Panels on one API server.
const PANELS: usize = 20;

/// Weight changes as Envoy has them, calls at rest, memory, and twenty panels at once.
pub fn measure(program: &Path, flips: usize, results: &mut Results) -> Result<()> {
    println!("==> real ({flips} changes)");
    let given = std::env::var_os("DEMO_PANEL_TEST_KUBECONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
    let booted = given.is_none();
    let kubeconfig = match given {
        Some(file) => file,
        None => {
            let mut steps = Steps::new(real_cluster::UP_STEPS);
            let parts = real_cluster::Parts::ready(&mut steps)?;
            let kubeconfig = real_cluster::up(&mut steps, NAME, &parts)?;
            let archive = image::release_archive()?;
            results.at_most("image_mb", image::size_of(&archive)? as f64 / 1e6, "MB", image::MOST_BYTES as f64 / 1e6);
            real_cluster::load(NAME, &archive)?;
            kubeconfig
        }
    };
    let done = on(program, &kubeconfig, flips, results);
    // However it went.
    let ended = if booted { real_cluster::down(NAME).map(drop) } else { Ok(()) };
    done.and(ended)
}

fn on(program: &Path, kubeconfig: &Path, flips: usize, results: &mut Results) -> Result<()> {
    let kubectl = Kubectl::new(kubeconfig)?;
    let panel = Panel::on_cluster(program, kubeconfig)?;
    panel.demo()?;
    weights(&panel, &kubectl, flips, results)?;
    panel.post("load", &json!({"rate": 0}))?;
    rest(&panel, results)?;
    results.note("real_panel_beside_cluster_mb", pss_mb(panel.pid())?, "MiB");
    many(program, kubeconfig, &kubectl, results)?;
    panel.post("teardown", &json!({}))?;
    panel.until("nothing is left", |p| p.is("Clean"))?;
    // Its Lease goes with it.
    drop(panel);
    in_cluster::measure(&kubectl, results)
}

/// Flips 100/0 ↔ 0/100. When the client's proxy has a route is read from its own `last_updated`, not from the panel.
fn weights(panel: &Panel, kubectl: &Kubectl, flips: usize, results: &mut Results) -> Result<()> {
    panel.post("load", &json!({"rate": 200}))?;
    panel.frames(|frame| frame["achieved_rate"].as_f64().unwrap_or(0.0) > 190.0)?;
    let proxy = kubectl.forward("deploy/simple-flask-app-client", 15_000)?;
    let (mut has, mut accepted, mut adds, mut late) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
    for flip in 0..flips {
        let v2 = if flip % 2 == 0 { 100 } else { 0 };
        let asked = now_ms();
        let shifted = panel.post("weights", &json!({"v1": 100 - v2, "v2": v2}))?;
        let answered = now_ms();
        accepted.push(shifted["times"]["accepted"].as_f64().unwrap_or(f64::NAN));
        if shifted["acknowledged"] != json!(true) {
            late += 1.0;
        }
        panel.until("the proxy has the weights", |p| p.is("RouteAcknowledged"))?;
        let updated = updated_ms(&proxy)?;
        has.push(updated - asked);
        // From the proxy having it until the panel has said so. Envoy counts whole milliseconds.
        adds.push((answered - updated).max(0.0));
    }
    let mut failed = 0.0;
    panel.frames(|frame| {
        failed = frame["errors"].as_f64().unwrap_or(f64::NAN);
        true
    })?;
    results.at_most("real_proxy_has_it_p99_ms", quantile(&mut has, 0.99), "ms", 500.0);
    results.note("real_proxy_has_it_p50_ms", quantile(&mut has, 0.5), "ms");
    results.note("real_accepted_p99_ms", quantile(&mut accepted, 0.99), "ms");
    results.at_most("real_panel_adds_p99_ms", quantile(&mut adds, 0.99), "ms", 50.0);
    results.note("real_panel_adds_p50_ms", quantile(&mut adds, 0.5), "ms");
    results.note("real_not_acknowledged_in_1_s", late, "");
    results.at_most("real_failed_requests", failed, "", 0.0);
    Ok(())
}

/// What the panel asks of the API while nobody does anything.
fn rest(panel: &Panel, results: &mut Results) -> Result<()> {
    let before = panel.calls()?;
    std::thread::sleep(REST);
    let after = panel.calls()?;
    let minutes = REST.as_secs_f64() / 60.0;
    let made = |verb: &str| {
        let of = |calls: &[super::panel::Calls]| {
            calls.iter().filter(|c| c.verb == verb || verb.is_empty()).map(|c| c.count).sum::<f64>()
        };
        of(&after) - of(&before)
    };
    let mut kinds: Vec<&str> = after.iter().filter(|c| c.verb == "watch").map(|c| c.resource.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.is_empty() {
        return Err(error("the panel watches nothing"));
    }
    results.note("real_watched_kinds", kinds.len() as f64, "");
    results.note("real_calls_per_min_watch", made("watch") / minutes, "/min");
    results.at_most("real_calls_per_min_per_kind", made("") / minutes / kinds.len() as f64, "/min", 2.0);
    Ok(())
}

/// Twenty panels, one change by kubectl: when the last one shows it, and whether the API asked anybody to slow down.
fn many(program: &Path, kubeconfig: &Path, kubectl: &Kubectl, results: &mut Results) -> Result<()> {
    let panels = (0..PANELS).map(|_| Panel::on_cluster(program, kubeconfig)).collect::<Result<Vec<_>>>()?;
    for panel in &panels {
        panel.until("it shows the demo", |p| p.is("Deployed"))?;
    }
    let mut slowest: f64 = 0.0;
    for (v1, v2) in [(70, 30), (40, 60), (90, 10), (25, 75), (50, 50)] {
        let destination =
            |name: &str, weight: u32| json!({"destination": {"host": "flaskapp", "subset": name}, "weight": weight});
        let patch = json!({"spec": {"http": [{"route": [destination("v1", v1), destination("v2", v2)]}]}});
        kubectl.run(&["patch", "virtualservice", "flaskapp-vs", "--type", "merge", "-p", &patch.to_string()])?;
        let edited = Instant::now();
        for panel in &panels {
            panel.until("it shows the change", |p| Ok(p.status()?["desired"]["v2"] == json!(v2)))?;
        }
        slowest = slowest.max(edited.elapsed().as_secs_f64());
    }
    let mut refused = 0.0;
    for panel in &panels {
        refused += panel.calls()?.iter().filter(|c| c.code == "429").map(|c| c.count).sum::<f64>();
    }
    results.at_most("real_20_panels_show_an_edit_s", slowest, "s", 2.0);
    results.at_most("real_20_panels_429", refused, "", 0.0);
    Ok(())
}

/// When a proxy took the route of the demo's port, in milliseconds since midnight UTC; `at` leads to its admin port.
fn updated_ms(at: &Forward) -> Result<f64> {
    let dump = at.get("/config_dump?resource=dynamic_route_configs").context("read the proxy's routes")?;
    let ours = dump["configs"].as_array().into_iter().flatten().find(|c| c.to_string().contains("|flaskapp."));
    let stamp =
        ours.and_then(|c| c["last_updated"].as_str()).ok_or_else(|| error("the proxy has no route of the demo"))?;
    // "2026-11-23T03:20:11.123Z"
    let time = stamp.split_once('T').map_or("", |(_, time)| time.trim_end_matches('Z'));
    let parts: Vec<f64> = time.split(':').filter_map(|part| part.parse().ok()).collect();
    match parts[..] {
        [hours, minutes, seconds] => Ok(((hours * 60.0 + minutes) * 60.0 + seconds) * 1000.0),
        _ => Err(error(format!("not a time: {stamp}"))),
    }
}

/// Milliseconds since midnight UTC.
fn now_ms() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_millis() % 86_400_000) as f64
}
