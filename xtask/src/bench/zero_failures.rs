//! Nothing healthy is lost: requests that fail while weights move, pods roll and the app is scaled, all at once, with retries off.
use super::kubectl::{Forward, Kubectl};
use super::panel::{Panel, StateDir};
use super::results::Results;
use crate::sh::{Context, Result, error, output};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Changes of weights, rolling restarts, and scalings from one pod to five and back.
const CHANGES: u32 = 1_000;
const RESTARTS: u32 = 20;
const SCALINGS: u32 = 20;
/// Requests a second of each of two clients: one renews its connections every second, the other keeps them.
const RATE: u32 = 250;
const KEEPING: &str = "client-that-keeps";
/// The agent's port in a client's pod.
const AGENT: u16 = 7_070;

/// `gate_failed_requests`: of both clients together.
pub fn measure(program: &Path, results: &mut Results) -> Result<()> {
    println!("==> gate ({CHANGES} changes, {RESTARTS} restarts, {SCALINGS} scalings)");
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.demo()?;
    let kubectl = Kubectl::new(&state.path().join("kubeconfig"))?;
    // At client and proxy: our engine never repeats a request, and the route says that the proxy shall not.
    let off = r#"[{"op": "add", "path": "/spec/http/0/retries", "value": {"attempts": 0}}]"#;
    kubectl.run(&["patch", "virtualservice", "flaskapp-vs", "--type", "json", "-p", off])?;
    panel.until("the route is kubectl's", |p| Ok(!p.is("RouteOurs")?))?;
    panel.post("adopt", &json!({}))?;
    panel.until("the route is the panel's again", |p| p.is("RouteOurs"))?;

    let keeping = keeping_client(&kubectl)?;
    panel.post("load", &json!({"rate": RATE}))?;
    panel.frames(|frame| frame["achieved_rate"].as_f64().unwrap_or(0.0) > 0.9 * f64::from(RATE))?;
    let began = Instant::now();
    let moved = unsettled(&panel, &kubectl)?;
    let took = began.elapsed().as_secs_f64();

    let kept = keeping.get("/v1/status")?["snapshot"].clone();
    let mut renewed = Value::Null;
    panel.frames(|frame| {
        renewed = frame.clone();
        true
    })?;
    let retries =
        kubectl.run(&["get", "virtualservice", "flaskapp-vs", "-o", "jsonpath={.spec.http[0].retries.attempts}"])?;
    if retries.trim() != "0" {
        return Err(error(format!("somebody turned the retries on: {retries:?}")));
    }
    let answered = |of: &Value| of["counts"].as_object().map_or(0.0, |c| c.values().filter_map(Value::as_f64).sum());
    let failed = |of: &Value| of["errors"].as_f64().unwrap_or(f64::NAN);
    if failed(&kept) > 0.0 {
        println!("    the client that keeps its connections: {}", kept["error_kinds"]);
    }
    results.note("gate_changes", f64::from(moved), "");
    results.note("gate_requests", answered(&kept) + answered(&renewed), "");
    results.note("gate_took_s", took, "s");
    results.at_most("gate_failed_requests", failed(&kept) + failed(&renewed), "", 0.0);
    Ok(())
}

/// Weights move from the first restart to the last scaling, and on until there were enough changes. Gives how many there were.
fn unsettled(panel: &Panel, kubectl: &Kubectl) -> Result<u32> {
    let rolling = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let rolls = scope.spawn(|| {
            let done = rolls(kubectl);
            rolling.store(false, Ordering::Relaxed);
            done
        });
        let mut moved = 0;
        let mut moves = || -> Result<()> {
            while moved < CHANGES || rolling.load(Ordering::Relaxed) {
                let v1 = [0, 10, 50, 90, 100][(moved % 5) as usize];
                panel.post("weights", &json!({"v1": v1, "v2": 100 - v1}))?;
                moved += 1;
                // Spread over the whole of it, not all before the first pod has rolled.
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        };
        let moving = moves();
        rolls.join().unwrap_or_else(|_| Err(error("the rollouts failed unexpectedly")))?;
        moving.map(|()| moved)
    })
}

fn rolls(kubectl: &Kubectl) -> Result<()> {
    let done = |name: &str| kubectl.run(&["rollout", "status", "deployment", name, "--timeout=60s"]).map(drop);
    for round in 0..RESTARTS {
        let name = if round % 2 == 0 { "flaskapp-v1" } else { "flaskapp-v2" };
        // What `rollout restart` does; that refuses a second one within a second, and pods roll faster here.
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": format!("round {round}")}}}}});
        kubectl.run(&["patch", "deployment", name, "-p", &patch.to_string()])?;
        done(name)?;
    }
    for round in 0..SCALINGS {
        let name = if round % 2 == 0 { "flaskapp-v1" } else { "flaskapp-v2" };
        for replicas in ["5", "1"] {
            kubectl.run(&["scale", "deployment", name, &format!("--replicas={replicas}")])?;
            done(name)?;
        }
    }
    Ok(())
}

/// A second client in the mesh, of the same image, whose connections last; it has its load.
fn keeping_client(kubectl: &Kubectl) -> Result<Forward> {
    let labels = json!({"app": KEEPING, "version": "v1"});
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": KEEPING, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": {"app": KEEPING, "version": "v1", "sidecar.istio.io/inject": "true"}},
                "spec": {"containers": [{"name": "sleep", "image": "simple-flask-app", "command": ["client"], "args": ["--renew-s", "0"]}]},
            },
        },
    });
    let file = tempfile(&manifest)?;
    let applied = kubectl.run(&["apply", "-f", &file.to_string_lossy()]);
    std::fs::remove_file(&file).context("remove a manifest")?;
    applied?;
    kubectl.run(&["rollout", "status", "deployment", KEEPING, "--timeout=60s"])?;
    let agent = kubectl.forward(&format!("deploy/{KEEPING}"), AGENT)?;
    agent.put("/v1/load", &json!({"rate": RATE}))?;
    Ok(agent)
}

fn tempfile(manifest: &Value) -> Result<std::path::PathBuf> {
    let made = output(crate::sh::cmd("mktemp").arg("--suffix=.json"))?;
    std::fs::write(&made, manifest.to_string()).context("write a manifest")?;
    Ok(made.into())
}
