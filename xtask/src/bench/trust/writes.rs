//! `foreign_write_stall_ms`: the longest that one client's write waits while another client sends the most expensive requests of at most 1 MiB.
use super::api::Api;
use super::large_requests::{JSON, MERGE, Request, requests};
use crate::bench::kubectl::Kubectl;
use crate::bench::panel::{Panel, StateDir};
use crate::bench::results::Results;
use crate::sh::{Context, Result, error};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Pause between two writes of the other client.
const PAUSE: Duration = Duration::from_millis(5);

/// The other client patches one ConfigMap, again and again, while each request is sent.
pub fn measure(program: &Path, results: &mut Results) -> Result<()> {
    println!("==> trust: writes");
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.until("the panel is ready", |p| p.status().map(|_| true))?;
    let kubectl = Kubectl::new(&state.path().join("kubeconfig"))?;
    let (attacker, other) = (Api::open(&kubectl)?, Api::open(&kubectl)?);
    must(
        &other,
        "POST",
        "/api/v1/namespaces/default/configmaps",
        JSON,
        &json!({"metadata": {"name": "other"}, "data": {"n": "0"}}),
    )?;
    let (mut worst, mut space) = (0.0_f64, String::new());
    for (n, mut request) in requests()?.into_iter().enumerate() {
        // Each series of requests to one object has a namespace of its own: the quota of bytes refuses none of them.
        if request.begins {
            if n > 0 {
                clear(&kubectl, &space)?;
            }
            space = format!("w{n}");
            must(&attacker, "POST", "/api/v1/namespaces", JSON, &json!({"metadata": {"name": space}}))?;
        }
        request.path = request.path.replace("/namespaces/default/", &format!("/namespaces/{space}/"));
        let (stall, status, took) = beside(&attacker, &other, &request)?;
        println!(
            "    {:<44} {} in {:>7.0} ms, longest other write {stall:>6.1} ms",
            request.what,
            status,
            took.as_secs_f64() * 1000.0
        );
        worst = worst.max(stall);
        // Taken, or refused for what it is: not for want of room, nor because its object is missing.
        if matches!(status, 403 | 404) {
            return Err(error(format!("{}: {status}, which measures something else", request.what)));
        }
    }
    results.at_most("foreign_write_stall_ms", worst, "ms", 250.0);
    Ok(())
}

/// Frees what the objects of a namespace take, so that those of the next one have room. Those with finalizers stay.
fn clear(kubectl: &Kubectl, space: &str) -> Result<()> {
    kubectl.run_on_all(&["delete", "namespace", space, "--wait=false"]).map(drop)
}

fn must(api: &Api, method: &str, path: &str, content_type: &str, body: &Value) -> Result<()> {
    let bytes = serde_json::to_vec(body).context("write a body")?;
    match api.send(method, path, content_type, &bytes)? {
        200 | 201 => Ok(()),
        status => Err(error(format!("{method} {path}: {status}"))),
    }
}

/// Longest other write in milliseconds, and the request's own status and time.
fn beside(attacker: &Api, other: &Api, request: &Request) -> Result<(f64, u16, Duration)> {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| -> Result<f64> {
            let mut longest = 0.0_f64;
            for n in 0.. {
                // One more after the request's end: what it left in a queue counts, too.
                let last = ended.load(Ordering::Relaxed);
                let body = json!({"data": {"n": n.to_string()}});
                let began = Instant::now();
                must(other, "PATCH", "/api/v1/namespaces/default/configmaps/other", MERGE, &body)?;
                longest = longest.max(began.elapsed().as_secs_f64() * 1000.0);
                if last {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
            Ok(longest)
        });
        let began = Instant::now();
        let sent = attacker.send(request.method, &request.path, request.content_type, &request.body);
        let took = began.elapsed();
        ended.store(true, Ordering::Relaxed);
        let longest = writing.join().map_err(|_| error("the other client ended early"))??;
        Ok((longest, sent?, took))
    })
}
