//! HTTP/2 with prior knowledge into a sidecar.

mod common;

use common::harness::{App, Mesh};
use common::{input, split};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh::MeshInput;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

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
