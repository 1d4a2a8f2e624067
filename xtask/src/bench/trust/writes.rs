//! `foreign_write_stall_ms`: the longest that one client's write waits while another client sends the most expensive requests of at most 1 MiB.
use super::api::Api;
use crate::bench::kubectl::Kubectl;
use crate::bench::panel::{Panel, StateDir};
use crate::bench::results::Results;
use crate::sh::{Context, Result, error};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
/// Largest body that the API takes.
const LIMIT: usize = 1 << 20;
/// Pause between two writes of the other client.
const PAUSE: Duration = Duration::from_millis(5);

struct Request {
    what: &'static str,
    /// It is about an object that no request before it is about.
    begins: bool,
    method: &'static str,
    path: String,
    content_type: &'static str,
    body: Vec<u8>,
}

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

/// One request of each kind of work that grows with its body.
fn requests() -> Result<Vec<Request>> {
    let istio = |kind: &str| format!("/apis/networking.istio.io/v1/namespaces/default/{kind}");
    let deployments = "/apis/apps/v1/namespaces/default/deployments".to_owned();
    let maps = "/api/v1/namespaces/default/configmaps".to_owned();
    let regexes = |n: usize, pattern: &str| {
        let matches: Vec<Value> =
            (0..n).map(|i| json!({"headers": {"x-t": {"regex": format!("{pattern}{i}")}}})).collect();
        json!({"metadata": {"name": format!("r{n}")}, "spec": {"hosts": ["web"], "http": [{"match": matches, "route": [{"destination": {"host": "web"}}]}]}})
    };
    let deployment = |name: &str, field: &str, n: usize| {
        let items: Vec<Value> = (0..n)
            .map(|i| {
                if field == "tolerations" {
                    json!({"key": format!("k{i}"), "operator": "Exists"})
                } else {
                    json!({"name": format!("E{i}"), "value": "x"})
                }
            })
            .collect();
        let mut spec = json!({"containers": [{"name": "c", "image": "simple-flask-app"}]});
        if field == "env" {
            spec["containers"][0]["env"] = items.into()
        } else {
            spec[field] = items.into()
        }
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}})
    };
    let data = |name: &str, n: usize| {
        let data: serde_json::Map<String, Value> = (0..n).map(|i| (format!("k{i}"), "x".into())).collect();
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
    };
    let mut deep = json!("x");
    for _ in 0..60 {
        deep = json!({"a": deep});
    }
    let inserts: Vec<Value> = (0..15_000)
        .map(|i| json!({"op": "add", "path": "/metadata/finalizers/0", "value": format!("x.io/{i}")}))
        .collect();
    let copies: Vec<Value> =
        (0..40).map(|i| json!({"op": "copy", "from": "/data", "path": format!("/data/c{i}")})).collect();
    let finalizers: Vec<String> = (0..30_000).map(|i| format!("x.io/f{i}")).collect();
    let labels: serde_json::Map<String, Value> = (0..30_000).map(|i| (format!("l{i}"), "x".into())).collect();
    let owners: Vec<Value> = (0..8_000)
        .map(|i| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": format!("o{i}"), "uid": format!("{i}")}))
        .collect();
    let subsets: Vec<Value> =
        (0..15_000).map(|i| json!({"name": format!("s{i}"), "labels": {"v": i.to_string()}})).collect();
    let hosts: Vec<String> = (0..40_000).map(|i| format!("h{i}.example.com")).collect();
    let ports: Vec<Value> = (1..15_000).map(|i| json!({"name": format!("p{i}"), "port": i})).collect();
    let endpoints: Vec<Value> =
        (0..20_000).map(|i| json!({"addresses": [format!("10.0.{}.{}", i / 250, i % 250)]})).collect();
    let list = [
        ("20 regexes with Unicode classes", "POST", istio("virtualservices"), JSON, regexes(20, r"\w{1,200}x")),
        ("400 regexes", "POST", istio("virtualservices"), JSON, regexes(400, r"[\w.-]{1,64}@[\w.-]{1,200}")),
        ("10,000 regexes", "POST", istio("virtualservices"), JSON, regexes(10_000, r"[a-z]+\w{1,9}")),
        ("create a Deployment with 10,000 env", "POST", deployments.clone(), JSON, deployment("env", "env", 10_000)),
        (
            "strategic merge of 10,000 env",
            "PATCH",
            format!("{deployments}/env"),
            STRATEGIC,
            deployment("env", "env", 10_000),
        ),
        (
            "create a Deployment with 15,000 tolerations",
            "POST",
            deployments.clone(),
            JSON,
            deployment("tol", "tolerations", 15_000),
        ),
        (
            "strategic merge of 15,000 tolerations",
            "PATCH",
            format!("{deployments}/tol"),
            STRATEGIC,
            deployment("tol", "tolerations", 15_000),
        ),
        (
            "server-side apply of 10,000 env",
            "PATCH",
            format!("{deployments}/ssa?fieldManager=a"),
            APPLY,
            deployment("ssa", "env", 10_000),
        ),
        (
            "the same by another manager",
            "PATCH",
            format!("{deployments}/ssa?fieldManager=b&force=true"),
            APPLY,
            deployment("ssa", "env", 10_000),
        ),
        ("create a ConfigMap with 50,000 keys", "POST", maps.clone(), JSON, data("keys", 50_000)),
        (
            "merge patch of 50,000 keys",
            "PATCH",
            format!("{maps}/keys"),
            MERGE,
            json!({"data": data("keys", 50_000)["data"]}),
        ),
        (
            "server-side apply of 50,000 keys",
            "PATCH",
            format!("{maps}/applied?fieldManager=a"),
            APPLY,
            data("applied", 50_000),
        ),
        (
            "the same by another manager",
            "PATCH",
            format!("{maps}/applied?fieldManager=b&force=true"),
            APPLY,
            data("applied", 50_000),
        ),
        (
            "create a ConfigMap to patch",
            "POST",
            maps.clone(),
            JSON,
            json!({"metadata": {"name": "patched", "finalizers": ["x.io/a"]}, "data": {"a": "x".repeat(400_000)}}),
        ),
        (
            "JSON patch with 15,000 insertions at 0",
            "PATCH",
            format!("{maps}/patched"),
            JSON_PATCH,
            Value::Array(inserts),
        ),
        ("JSON patch that doubles 40 times", "PATCH", format!("{maps}/patched"), JSON_PATCH, Value::Array(copies)),
        (
            "30,000 finalizers",
            "POST",
            maps.clone(),
            JSON,
            json!({"metadata": {"name": "fin", "finalizers": finalizers}}),
        ),
        ("30,000 labels", "POST", maps.clone(), JSON, json!({"metadata": {"name": "lab", "labels": labels}})),
        ("8,000 owners", "POST", maps.clone(), JSON, json!({"metadata": {"name": "own", "ownerReferences": owners}})),
        (
            "a document nested 60 deep",
            "POST",
            istio("destinationrules"),
            JSON,
            json!({"metadata": {"name": "deep"}, "spec": {"host": "web", "x": deep}}),
        ),
        (
            "a ConfigMap of 900 KB",
            "POST",
            maps,
            JSON,
            json!({"metadata": {"name": "big"}, "data": {"a": "x".repeat(900_000)}}),
        ),
        (
            "15,000 subsets",
            "POST",
            istio("destinationrules"),
            JSON,
            json!({"metadata": {"name": "subsets"}, "spec": {"host": "web", "subsets": subsets}}),
        ),
        (
            "40,000 hosts",
            "POST",
            istio("virtualservices"),
            JSON,
            json!({"metadata": {"name": "hosts"}, "spec": {"hosts": hosts, "http": [{"route": [{"destination": {"host": "web"}}]}]}}),
        ),
        (
            "a Service with 15,000 ports",
            "POST",
            "/api/v1/namespaces/default/services".to_owned(),
            JSON,
            json!({"metadata": {"name": "ports"}, "spec": {"ports": ports}}),
        ),
        (
            "20,000 endpoints",
            "POST",
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices".to_owned(),
            JSON,
            json!({"metadata": {"name": "ends"}, "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 80}]}),
        ),
    ];
    let mut requests = Vec::new();
    for (what, method, path, content_type, body) in list {
        let body = serde_json::to_vec(&body).context("write a body")?;
        if body.len() > LIMIT {
            return Err(error(format!(
                "the body of \"{what}\" has {} bytes: the bench is about at most {LIMIT}",
                body.len()
            )));
        }
        let begins = method == "POST" || what.starts_with("server-side apply");
        requests.push(Request { what, begins, method, path, content_type, body });
    }
    Ok(requests)
}
