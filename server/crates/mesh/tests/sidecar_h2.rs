//! HTTP/2 with prior knowledge into a sidecar.

mod common;

use common::h2::{grpc, http2, http2_app};
use common::harness::{App, LOCAL, Mesh};
use common::{input, route, split};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh::MeshInput;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How often an answer of this kind was counted.
fn counted(metrics: &str, parts: &[&str]) -> u64 {
    let lines = metrics.lines().filter(|l| l.starts_with("istio_requests_total{") && parts.iter().all(|p| l.contains(p)));
    lines.map(|l| l.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn a_port_of_http2_is_spoken_to_in_http2_from_sidecar_to_sidecar_and_to_the_app() {
    let mut tasks = JoinSet::new();
    let app = http2_app(&mut tasks).await;
    let server = Mesh::start_with(MeshInput { revision: 1, ..MeshInput::default() }, |c| {
        c.inbound_ports = vec![app.port()];
        (c.workload, c.app) = ("grpc-v1".into(), "grpc".into());
    })
    .await;
    let mesh = Mesh::start(grpc(1, SocketAddr::new(server.pod_ip, app.port()))).await;

    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    let request = http::Request::post("http://grpc:50051/hello?a=b").header("te", "trailers").body(Full::from("hi")).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    assert!(response.headers().contains_key("x-envoy-upstream-service-time"));
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    let text = String::from_utf8_lossy(&collected.to_bytes()).into_owned();
    for has in ["HTTP/2.0 POST http://grpc:50051/hello?a=b", "\nx-request-id: ", "\nx-b3-traceid: ", "\nx-forwarded-proto: http", "\nbody hi"] {
        assert!(text.contains(has), "{has:?} is missing in {text}");
    }
    assert!(!text.contains("peer-metadata"), "{text}");

    // A client of HTTP/1.1 gets to the same app.
    let answer = mesh.connect().await.ask("POST http://grpc:50051/one HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nyo").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("HTTP/2.0 POST http://grpc:50051/one") && answer.text().contains("body yo"), "{}", answer.text());

    for (name, page) in [("source", mesh.page(mesh.ports.stats, "/stats/prometheus").await), ("destination", server.page(server.ports.stats, "/stats/prometheus").await)] {
        assert_eq!(counted(&page.text(), &[&format!("reporter=\"{name}\""), "response_code=\"200\""]), 2, "{}", page.text());
    }
    drop(sender);
    mesh.end().await;
    server.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_stream_to_an_app_of_http1_has_retries_mirrors_and_faults_like_any_request() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let to = json!([{"destination": {"host": "flaskapp", "subset": "v1"}}]);
    let rule = |prefix: &str, more: serde_json::Value| {
        let mut rule = json!({"match": [{"uri": {"prefix": prefix}}], "route": to});
        more.as_object().unwrap().iter().for_each(|(k, v)| rule[k] = v.clone());
        rule
    };
    let objects = input(1, &[("v1", v1.address), ("v2", v2.address)]);
    let mesh = Mesh::start(MeshInput { virtual_services: vec![route(json!({"hosts": ["flaskapp"], "http": [
        rule("/status", json!({"retries": {"attempts": 2, "retryOn": "gateway-error"}})),
        rule("/copied", json!({"mirror": {"host": "flaskapp", "subset": "v2"}})),
        rule("/abort", json!({"fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}})),
        rule("/slow", json!({"timeout": "0.05s"})),
        rule("/", json!({})),
    ]}))], ..objects }).await;
    let mut tasks = JoinSet::new();
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    for (path, status) in [("/status/503", 503), ("/copied", 200), ("/abort", 418), ("/slow/5000", 504), ("/head", 200)] {
        let request = http::Request::get(format!("http://flaskapp:7777{path}")).header("cookie", "a=b").header("cookie", "c=d").body(Full::default()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["server"], "envoy", "{path}");
        let text = String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes()).into_owned();
        assert!(path != "/head" || text.contains("cookie: a=b; c=d\r\n"), "{text}");
    }
    // Three tries, the copied one, the slow one, the last one; and the copy.
    let deadline = std::time::Instant::now() + common::harness::PATIENCE;
    while v2.count() < 1 && std::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!((v1.count(), v2.count()), (6, 1));
    let metrics = mesh.page(mesh.ports.stats, "/stats/prometheus").await.text();
    assert_eq!(counted(&metrics, &["reporter=\"source\""]), 5, "{metrics}");
    drop(sender);
    tasks.join_all().await;
    mesh.end().await;
}

#[tokio::test]
async fn streams_are_routed_like_requests() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let objects = input(1, &[("v1", v1.address), ("v2", v2.address)]);
    let mesh = Mesh::start(MeshInput { virtual_services: vec![split(0, 100)], ..objects }).await;
    let stream = TcpStream::connect(mesh.outbound()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<bytes::Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    for (url, status, body) in [
        ("http://flaskapp:7777/env/version", 200, "v2"),
        ("http://flaskapp:7777/chunks", 200, "abcde"),
        ("http://example.com/", 403, "example.com is not in the service registry: this proxy reaches Services of the mesh only\n"),
    ] {
        let request = http::Request::get(url).body(Full::default()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{url}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
    }
    let request = http::Request::post("http://flaskapp:7777/body").body(Full::from("hello")).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "5:hello");
    let metrics = mesh.page(mesh.ports.stats, "/stats/prometheus").await.text();
    assert!(metrics.contains("destination_workload=\"flaskapp-v2\""));
    drop(sender);
    tasks.join_all().await;
    mesh.end().await;
}

#[tokio::test]
async fn a_route_to_a_port_of_http2_changes_what_it_may_and_keeps_its_time() {
    let mut tasks = JoinSet::new();
    let app = http2_app(&mut tasks).await;
    let silent = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let spec = |host: &str| json!({"hosts": [host], "http": [{
        "headers": {"request": {"set": {":authority": "set.example", "x-set": "1", "content-length": "9", "transfer-encoding": "chunked"}, "remove": ["content-length"]}},
        "timeout": "0.2s", "route": [{"destination": {"host": host}}]}]});
    let mut objects = grpc(1, app);
    objects.virtual_services = vec![route(spec("grpc"))];
    let mesh = Mesh::start(objects).await;
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    let request = http::Request::post("http://grpc:50051/a").header("x-envoy-max-retries", "9").header("b3", "1").body(Full::from("hi")).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let text = String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes()).into_owned();
    assert!(text.starts_with("HTTP/2.0 POST http://set.example/a\n") && text.contains("\nx-set: 1") && text.contains("\ncontent-length: 2\n") && text.ends_with("body hi"), "{text}");
    assert!(!text.contains("max-retries") && !text.contains("x-b3-") && !text.contains("transfer-encoding"), "{text}");
    let id = text.lines().find_map(|l| l.strip_prefix("x-request-id: ")).unwrap();
    assert!(id.len() == 36 && id.as_bytes()[14] == b'4', "{id}");

    // Through HTTP/1.1 what `Connection` names stays behind.
    let answer = mesh.connect().await.ask("GET http://grpc:50051/one HTTP/1.1\r\nHost: x\r\nConnection: x-hop\r\nx-hop: 1\r\n\r\n").await;
    assert!(answer.status == 200 && !answer.text().contains("x-hop"), "{}", answer.text());

    // Nobody answers here; that counts against the endpoint and frees its place.
    let mut objects = grpc(2, silent.local_addr().unwrap());
    objects.virtual_services = vec![route(spec("grpc"))];
    objects.destination_rules = vec![Arc::new(json!({"metadata": {"name": "grpc", "namespace": "istio-app"}, "spec": {"host": "grpc", "trafficPolicy": {
        "outlierDetection": {"consecutive5xxErrors": 1, "interval": "60s", "maxEjectionPercent": 100}}}}))];
    mesh.publish(objects).await;
    for status in [504, 503] {
        let response = sender.send_request(http::Request::get("http://grpc:50051/").body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status);
    }
    assert!(mesh.page(mesh.ports.admin, "/clusters").await.text().contains("::rq_active::0"));
    drop(sender);
    mesh.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn connect_carries_bytes_over_http2_too() {
    let app = App::start("v1").await;
    let mesh = Mesh::start(input(1, &[("v1", app.address)])).await;
    let mut tasks = JoinSet::new();
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    for (authority, status) in [("example.com:80", 403), ("flaskapp:9", 503)] {
        let response = sender.send_request(http::Request::connect(authority).body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{authority}");
    }
    let response = sender.send_request(http::Request::connect("flaskapp:7777").body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    tunnel.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut text = vec![0; 15];
    tokio::time::timeout(common::harness::PATIENCE, tunnel.read_exact(&mut text)).await.unwrap().unwrap();
    assert_eq!(text, b"HTTP/1.1 200 OK");
    drop((tunnel, sender));
    mesh.end().await;
    tasks.shutdown().await;
}
