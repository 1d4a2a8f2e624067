//! What a port speaks decides whether rules of HTTP apply: on the way out by what its Service says, on the way in also by the bytes.

mod common;

use common::harness::{App, Mesh, own_ip};
use common::{input_of, service, split};
use mesh::{MeshInput, RouteTable};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A route whose every part would be seen if it were applied.
fn everything_to_v1() -> Arc<Value> {
    common::route(json!({"hosts": ["flaskapp"], "http": [{
        "fault": {"abort": {"httpStatus": 418, "percentage": {"value": 50}}},
        "headers": {"request": {"set": {"x-set": "1"}}, "response": {"set": {"x-answer": "1"}}},
        "rewrite": {"uri": "/rewritten"}, "retries": {"attempts": 3, "retryOn": "5xx"},
        "mirror": {"host": "flaskapp", "subset": "v1"},
        "route": [{"destination": {"host": "flaskapp", "subset": "v1"}}]}]}))
}

/// How often each version answers connections of their own, which ask twice.
async fn spread(mesh: &Mesh, times: usize) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for _ in 0..times {
        let mut client = mesh.connect().await;
        let [first, second] = [client.get("http://flaskapp:7777/").await, client.get("http://flaskapp:7777/").await];
        assert_eq!((first.status, first.text()), (200, second.text()), "a connection has one endpoint");
        *all.entry(first.text()).or_default() += 1;
    }
    all
}

#[tokio::test]
async fn rules_of_http_have_no_effect_on_a_port_of_another_protocol() {
    const TIMES: usize = 200;
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let at = [("v1", v1.address), ("v2", v2.address)];
    for (name, app_protocol, applies) in [
        ("tcp-web", None, false),
        ("tcp", None, false),
        ("mysql", None, false),
        ("https", None, false),
        ("http", Some("redis"), false),
        ("http-web", None, true),
        ("", None, true),
        ("web", None, true),
        ("tcp-web", Some("http"), true),
    ] {
        let mut input = input_of(name, 1, &at);
        let mut port = json!({"name": name, "port": 7777});
        if let Some(app_protocol) = app_protocol {
            port["appProtocol"] = app_protocol.into();
        }
        input.services = vec![service("istio-app", "flaskapp", json!([port]))];
        input.virtual_services = vec![split(1, 0)];
        let mesh = Mesh::start(input.clone()).await;
        let seen = spread(&mesh, TIMES).await;
        if applies {
            assert_eq!(seen, BTreeMap::from([("v1".to_owned(), TIMES)]), "{port}");
        } else {
            // 4.5 sigma of 200 fair coins are 32.
            assert!(seen.values().all(|n| n.abs_diff(TIMES / 2) <= 32) && seen.len() == 2, "{port}: {seen:?}");
        }
        let told: Vec<_> = RouteTable::build(&input).1.into_iter().map(|r| (r.kind, r.reason)).collect();
        assert_eq!(told == [("VirtualService", "PortNotHttp")], !applies, "{port}: {told:?}");
        mesh.end().await;
    }
}

#[tokio::test]
async fn bytes_go_on_as_they_came_and_are_no_requests_of_the_mesh() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let mut input = input_of("tcp", 1, &[("v1", v1.address), ("v2", v2.address)]);
    input.virtual_services = vec![everything_to_v1()];
    let mesh = Mesh::start(input).await;
    for _ in 0..20 {
        let mut client = mesh.connect().await;
        let answer = client
            .ask("GET http://flaskapp:7777/head HTTP/1.1\r\nHost: other\r\nX-Kept: 1\r\nx-envoy-internal: true\r\nProxy-Connection: keep-alive\r\n\r\n")
            .await;
        assert_eq!(answer.text(), "GET /head HTTP/1.1\r\nhost: other\r\nX-Kept: 1\r\nx-envoy-internal: true\r\n\r\n");
        for added in ["server", "x-answer", "x-envoy-upstream-service-time", "date"] {
            assert_eq!(answer.header(added), None, "{added}: {}", answer.head);
        }
        // What would be another path to a rule.
        assert_eq!(client.get("http://flaskapp:7777/x/../status/204").await.status, 200);
    }
    let failing = mesh.connect().await.get("http://flaskapp:7777/status/503").await;
    assert_eq!(failing.status, 503);
    assert_eq!(v1.count() + v2.count(), 41, "nothing is tried again, and nothing is mirrored");
    let metrics = mesh.page(mesh.ports.stats, "/stats/prometheus").await.text();
    assert!(!metrics.contains("istio_requests_total{"), "{metrics}");
    mesh.end().await;
}

#[tokio::test]
async fn only_a_service_without_any_port_of_http_is_reported() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let at = [("v1", v1.address), ("v2", v2.address)];
    let http = json!({"name": "http", "port": 80});
    let tcp = json!({"name": "tcp-db", "port": 7777});
    for (ports, routes, said) in [
        (json!([tcp]), vec![split(1, 0)], 1),
        (json!([tcp, http]), vec![split(1, 0)], 0),
        (json!([tcp]), vec![], 0),
        (json!([]), vec![split(1, 0)], 0),
    ] {
        let mut input = MeshInput { virtual_services: routes, ..input_of("tcp-db", 1, &at) };
        input.services = vec![service("istio-app", "flaskapp", ports.clone())];
        let told: Vec<_> = RouteTable::build(&input).1.into_iter().filter(|r| r.reason == "PortNotHttp").collect();
        assert_eq!(told.len(), said, "{ports}: {told:?}");
        if let [told] = told.as_slice() {
            assert!(told.message.contains("port 7777 (tcp-db) does not speak HTTP"), "{}", told.message);
        }
    }
}

/// An app that is no HTTP server: it sends back what it gets, after a word of its own if it speaks first.
async fn echo(ip: std::net::IpAddr, greets: bool, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            open.spawn(async move {
                if greets {
                    stream.write_all(b"hello\n").await.unwrap();
                }
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

/// A Service `echo` whose port `name` leads to this address.
fn echo_at(name: &str, at: SocketAddr) -> MeshInput {
    let slice = json!({"metadata": {"name": "echo-0", "namespace": "istio-app", "labels": {"kubernetes.io/service-name": "echo"}},
        "endpoints": [{"addresses": [at.ip().to_string()]}], "ports": [{"name": name, "port": at.port()}]});
    MeshInput {
        services: vec![service("istio-app", "echo", json!([{"name": name, "port": 9000}]))],
        endpoint_slices: vec![Arc::new(slice)],
        revision: 1,
        ..MeshInput::default()
    }
}

#[tokio::test]
async fn a_port_of_the_app_takes_bytes_that_are_no_http_unless_it_is_one_of_http() {
    let mut tasks = JoinSet::new();
    for (name, greets, answered) in [
        ("tcp", false, Some("PING\r\n\r\n")),
        ("tcp", true, Some("hello\nPING\r\n\r\n")),
        ("", false, Some("PING\r\n\r\n")),
        ("http", false, None),
    ] {
        let (pod, app) = (own_ip(), echo(own_ip(), greets, &mut tasks).await);
        let input = echo_at(name, SocketAddr::new(pod, app.port()));
        let mesh = Mesh::start_with(input, |c| {
            (c.pod_ip, c.app_ip, c.inbound_ports) = (pod, app.ip(), vec![app.port()]);
        })
        .await;
        let mut stream = TcpStream::connect((pod, app.port())).await.unwrap();
        stream.write_all(b"PING\r\n\r\n").await.unwrap();
        let mut seen = vec![0; answered.map_or(17, str::len)];
        stream.read_exact(&mut seen).await.unwrap();
        let seen = String::from_utf8(seen).unwrap();
        assert_eq!(seen, answered.unwrap_or("HTTP/1.1 400 Bad "), "port {name:?}, greets {greets}");
        drop(stream);
        mesh.end().await;
    }
}

#[tokio::test]
async fn http_on_a_port_that_nothing_is_said_of_is_proxied_as_http() {
    let app = App::start_at("v1", SocketAddr::new(own_ip(), 0)).await;
    let pod = own_ip();
    let mesh = Mesh::start_with(MeshInput { revision: 1, ..MeshInput::default() }, |c| {
        (c.pod_ip, c.app_ip, c.inbound_ports) = (pod, app.address.ip(), vec![app.address.port()]);
    })
    .await;
    let mut client = common::harness::Client::connect(SocketAddr::new(pod, app.address.port())).await;
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.text().as_str(), answer.header("server")), ("v1", Some("istio-envoy")));
    mesh.end().await;
}
