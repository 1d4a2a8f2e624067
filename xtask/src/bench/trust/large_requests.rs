//! Requests of at most 1 MiB, one of each kind of work that grows with its body.
use crate::sh::{Context, Result, error};
use serde_json::{Map, Value, json};

pub const JSON: &str = "application/json";
pub const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
/// Largest body that the API takes.
const LIMIT: usize = 1 << 20;

pub struct Request {
    pub what: &'static str,
    /// It is about an object that no request before it is about.
    pub begins: bool,
    pub method: &'static str,
    pub path: String,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

/// What it is about, method, path, content type and body.
type Row = (&'static str, &'static str, String, &'static str, Value);

/// All of them; requests to one object follow each other.
pub fn requests() -> Result<Vec<Request>> {
    let mut requests = Vec::new();
    for (what, method, path, content_type, body) in [regexes(), deployments(), config_maps(), long_lists()].concat() {
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

fn istio(kind: &str) -> String {
    format!("/apis/networking.istio.io/v1/namespaces/default/{kind}")
}

fn regexes() -> Vec<Row> {
    let service = |n: usize, pattern: &str| {
        let matches: Vec<Value> =
            (0..n).map(|i| json!({"headers": {"x-t": {"regex": format!("{pattern}{i}")}}})).collect();
        json!({"metadata": {"name": format!("r{n}")}, "spec": {"hosts": ["web"], "http": [{"match": matches, "route": [{"destination": {"host": "web"}}]}]}})
    };
    vec![
        ("20 regexes with Unicode classes", "POST", istio("virtualservices"), JSON, service(20, r"\w{1,200}x")),
        ("400 regexes", "POST", istio("virtualservices"), JSON, service(400, r"[\w.-]{1,64}@[\w.-]{1,200}")),
        ("10,000 regexes", "POST", istio("virtualservices"), JSON, service(10_000, r"[a-z]+\w{1,9}")),
    ]
}

fn deployments() -> Vec<Row> {
    let path = "/apis/apps/v1/namespaces/default/deployments".to_owned();
    vec![
        ("create a Deployment with 10,000 env", "POST", path.clone(), JSON, deployment("env", "env", 10_000)),
        ("strategic merge of 10,000 env", "PATCH", format!("{path}/env"), STRATEGIC, deployment("env", "env", 10_000)),
        (
            "create a Deployment with 15,000 tolerations",
            "POST",
            path.clone(),
            JSON,
            deployment("tol", "tolerations", 15_000),
        ),
        (
            "strategic merge of 15,000 tolerations",
            "PATCH",
            format!("{path}/tol"),
            STRATEGIC,
            deployment("tol", "tolerations", 15_000),
        ),
        (
            "server-side apply of 10,000 env",
            "PATCH",
            format!("{path}/ssa?fieldManager=a"),
            APPLY,
            deployment("ssa", "env", 10_000),
        ),
        (
            "the same by another manager",
            "PATCH",
            format!("{path}/ssa?fieldManager=b&force=true"),
            APPLY,
            deployment("ssa", "env", 10_000),
        ),
    ]
}

/// A Deployment with `n` items in `field` of its pods: `env` or `tolerations`.
fn deployment(name: &str, field: &str, n: usize) -> Value {
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
}

fn config_maps() -> Vec<Row> {
    let path = "/api/v1/namespaces/default/configmaps".to_owned();
    let data = |name: &str, n: usize| {
        let data: Map<String, Value> = (0..n).map(|i| (format!("k{i}"), "x".into())).collect();
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
    };
    let inserts: Vec<Value> = (0..15_000)
        .map(|i| json!({"op": "add", "path": "/metadata/finalizers/0", "value": format!("x.io/{i}")}))
        .collect();
    let copies: Vec<Value> =
        (0..40).map(|i| json!({"op": "copy", "from": "/data", "path": format!("/data/c{i}")})).collect();
    let finalizers: Vec<String> = (0..30_000).map(|i| format!("x.io/f{i}")).collect();
    let labels: Map<String, Value> = (0..30_000).map(|i| (format!("l{i}"), "x".into())).collect();
    let owners: Vec<Value> = (0..8_000)
        .map(|i| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": format!("o{i}"), "uid": format!("{i}")}))
        .collect();
    vec![
        ("create a ConfigMap with 50,000 keys", "POST", path.clone(), JSON, data("keys", 50_000)),
        (
            "merge patch of 50,000 keys",
            "PATCH",
            format!("{path}/keys"),
            MERGE,
            json!({"data": data("keys", 50_000)["data"]}),
        ),
        (
            "server-side apply of 50,000 keys",
            "PATCH",
            format!("{path}/applied?fieldManager=a"),
            APPLY,
            data("applied", 50_000),
        ),
        (
            "the same by another manager",
            "PATCH",
            format!("{path}/applied?fieldManager=b&force=true"),
            APPLY,
            data("applied", 50_000),
        ),
        (
            "create a ConfigMap to patch",
            "POST",
            path.clone(),
            JSON,
            json!({"metadata": {"name": "patched", "finalizers": ["x.io/a"]}, "data": {"a": "x".repeat(400_000)}}),
        ),
        (
            "JSON patch with 15,000 insertions at 0",
            "PATCH",
            format!("{path}/patched"),
            JSON_PATCH,
            Value::Array(inserts),
        ),
        ("JSON patch that doubles 40 times", "PATCH", format!("{path}/patched"), JSON_PATCH, Value::Array(copies)),
        (
            "30,000 finalizers",
            "POST",
            path.clone(),
            JSON,
            json!({"metadata": {"name": "fin", "finalizers": finalizers}}),
        ),
        ("30,000 labels", "POST", path.clone(), JSON, json!({"metadata": {"name": "lab", "labels": labels}})),
        ("8,000 owners", "POST", path.clone(), JSON, json!({"metadata": {"name": "own", "ownerReferences": owners}})),
        (
            "a ConfigMap of 900 KB",
            "POST",
            path,
            JSON,
            json!({"metadata": {"name": "big"}, "data": {"a": "x".repeat(900_000)}}),
        ),
    ]
}

fn long_lists() -> Vec<Row> {
    let mut deep = json!("x");
    for _ in 0..60 {
        deep = json!({"a": deep});
    }
    let subsets: Vec<Value> =
        (0..15_000).map(|i| json!({"name": format!("s{i}"), "labels": {"v": i.to_string()}})).collect();
    let hosts: Vec<String> = (0..40_000).map(|i| format!("h{i}.example.com")).collect();
    let ports: Vec<Value> = (1..15_000).map(|i| json!({"name": format!("p{i}"), "port": i})).collect();
    let endpoints: Vec<Value> =
        (0..20_000).map(|i| json!({"addresses": [format!("10.0.{}.{}", i / 250, i % 250)]})).collect();
    vec![
        (
            "a document nested 60 deep",
            "POST",
            istio("destinationrules"),
            JSON,
            json!({"metadata": {"name": "deep"}, "spec": {"host": "web", "x": deep}}),
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
    ]
}
