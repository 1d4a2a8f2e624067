//! Which host a request is for where its target and its Host header name different ones: what would be on the wire without a proxy decides.

mod common;

use common::h2::{grpc, http2, http2_app};
use common::harness::{App, Mesh};
use common::{input, service, split};
use http_body_util::{BodyExt, Full};
use mesh::MeshInput;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Requests of a row; so many that both versions answer some of them, if both may.
const TIMES: usize = 40;

fn copy(object: &Value, change: impl FnOnce(&mut Value)) -> Arc<Value> {
    let mut copy = object.clone();
    change(&mut copy);
    Arc::new(copy)
}

/// Services `flaskapp`, all of whose requests go to v2, and `webh`, all to v1, with the same pods; and `other`, which has port 80 alone.
fn two_services(v1: &App, v2: &App) -> MeshInput {
    let mut all = input(1, &[("v1", v1.address), ("v2", v2.address)]);
    all.services.push(copy(&all.services[0], |s| {
        (s["metadata"]["name"], s["spec"]["clusterIP"]) = ("webh".into(), "127.64.0.10".into());
    }));
    all.services.push(copy(&service("istio-app", "other", json!([{"name": "http", "port": 80}])), |s| {
        s["spec"]["clusterIP"] = "127.64.0.11".into();
    }));
    for slice in all.endpoint_slices.clone() {
        all.endpoint_slices.push(copy(&slice, |s| {
            let name = s["metadata"]["name"].as_str().unwrap().replace("flaskapp", "webh");
            s["metadata"]["name"] = name.into();
            s["metadata"]["labels"]["kubernetes.io/service-name"] = "webh".into();
        }));
    }
    all.destination_rules.push(copy(&all.destination_rules[0], |rule| {
        (rule["metadata"]["name"], rule["spec"]["host"]) = ("webh".into(), "webh".into());
    }));
    let to = |name: &str, subset: &str| {
        copy(&split(1, 0), |vs| {
            vs["metadata"]["name"] = name.into();
            vs["spec"] =
                json!({"hosts": [name], "http": [{"route": [{"destination": {"host": name, "subset": subset}}]}]});
        })
    };
    all.virtual_services = vec![to("flaskapp", "v2"), to("webh", "v1")];
    all
}

#[tokio::test]
async fn host_decides_at_the_port_that_the_target_names() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let mesh = Mesh::start(two_services(&v1, &v2)).await;
    let mut client = mesh.connect().await;
    for (target, host, answered) in [
        ("http://flaskapp:7777/", "flaskapp:7777", "v2"),
        ("http://flaskapp:7777/", "flaskapp", "v2"),
        ("http://flaskapp:7777/", "webh:7777", "v1"),
        ("http://flaskapp:7777/", "webh", "v1"),
        ("http://flaskapp:7777/", "WEBH.istio-app.svc.cluster.local", "v1"),
        // The port that was connected to counts, not the one that Host says.
        ("http://flaskapp:7777/", "webh:80", "v1"),
        ("http://webh:7777/", "flaskapp:7777", "v2"),
        ("http://127.64.0.9:7777/", "webh:7777", "v1"),
        // The port of a mesh's listener is all that is looked at of the address.
        ("http://other:7777/", "webh:7777", "v1"),
        ("http://example.com:7777/", "webh:7777", "v1"),
        // Nobody's name at this port: the request goes where it was to go, past all routes.
        ("http://flaskapp:7777/", "nobody", "v1 v2"),
        ("http://flaskapp:7777/", "www.example.com", "v1 v2"),
        ("http://flaskapp:7777/", "other", "v1 v2"),
        ("http://flaskapp:7777/", "localhost", "v1 v2"),
        // Nothing of the mesh in either.
        ("http://example.com:7777/", "www.example.com", "403"),
        ("http://flaskapp:80/", "webh:80", "503"),
    ] {
        let mut seen = BTreeSet::new();
        for _ in 0..TIMES {
            let answer = client.ask(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            seen.insert(if answer.status == 200 { answer.text() } else { answer.status.to_string() });
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>().join(" "), answered, "{target}, Host: {host}");
        if answered.starts_with('v') {
            let head = client.ask(&format!("GET {target}head HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.text();
            assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{target}, Host: {host}: {head}");
        }
    }
    // The calling pod itself is reached without the mesh, whatever Host says.
    let port = v1.address.port();
    let own = client.ask(&format!("GET http://localhost:{port}/ HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n")).await;
    assert_eq!(own.text(), "v1");
    mesh.end().await;
}

/// On the wire of HTTP/2 there is `:authority` in place of Host. Envoy leaves a Host beside it out.
#[tokio::test]
async fn the_authority_of_a_stream_decides() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let mesh = Mesh::start(two_services(&v1, &v2)).await;
    let mut tasks = JoinSet::new();
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    for (authority, host, answered) in [
        ("webh:7777", None, "v1"),
        ("webh:7777", Some("flaskapp:7777"), "v1"),
        ("flaskapp:7777", Some("webh:7777"), "v2"),
    ] {
        for _ in 0..TIMES {
            let request = http::Request::get(format!("http://{authority}/"));
            let request = host.into_iter().fold(request, |request, host| request.header("host", host));
            let response = sender.send_request(request.body(Full::from("")).unwrap()).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, answered, ":authority {authority}, host {host:?}");
        }
    }
    mesh.end().await;
}

#[tokio::test]
async fn host_becomes_the_authority_where_the_app_speaks_http2() {
    let mut tasks = JoinSet::new();
    let app = http2_app(&mut tasks).await;
    let mesh = Mesh::start(grpc(1, app)).await;
    let asked = "POST http://grpc:50051/one HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 2\r\n\r\nyo";
    let answer = mesh.connect().await.ask(asked).await;
    assert!(answer.text().contains("HTTP/2.0 POST http://www.example.com/one"), "{}", answer.text());
    mesh.end().await;
}
