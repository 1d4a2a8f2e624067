//! How true a split is, through a real sidecar over sockets. The full 100,000 requests a weight run in release builds; the routing code
//! itself runs them in every build (`sidecar/route/outbound.rs`).

mod common;

use common::harness::{App, Client, Mesh};
use common::{input, split};
use mesh::MeshInput;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

/// Requests at each weight.
const REQUESTS: u64 = if cfg!(debug_assertions) { 6_000 } else { 100_000 };
const CONNECTIONS: u64 = 8;
/// Requests that one write carries: answers come in order, so none of them is waited for alone.
const AT_ONCE: u64 = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_weight_is_kept_over_sockets_and_zero_is_none() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let objects = input(1, &[("v1", v1.address), ("v2", v2.address)]);
    let mesh = Arc::new(Mesh::start(MeshInput { virtual_services: vec![split(50, 50)], ..objects.clone() }).await);
    for (number, percent) in [0_u32, 1, 5, 10, 25, 50, 75, 99, 100].into_iter().enumerate() {
        mesh.publish(MeshInput {
            virtual_services: vec![split(percent, 100 - percent)],
            revision: 2 + number as u64,
            ..objects.clone()
        })
        .await;
        // Acknowledged: from here on every request counts.
        let before = (v1.count(), v2.count());
        let mut clients = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let mesh = mesh.clone();
            clients.spawn(async move {
                let mut client = mesh.connect().await;
                let batch =
                    "GET http://flaskapp:7777/ HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n".repeat(AT_ONCE as usize);
                let mut hits = 0;
                for _ in 0..REQUESTS / CONNECTIONS / AT_ONCE {
                    client.stream.write_all(batch.as_bytes()).await.unwrap();
                    for _ in 0..AT_ONCE {
                        let answer = Client::answer(&mut client, false).await.unwrap();
                        assert_eq!(answer.status, 200);
                        hits += u64::from(answer.text() == "v1");
                    }
                }
                hits
            });
        }
        let hits: u64 = clients.join_all().await.into_iter().sum();
        let (n, p) = ((REQUESTS / CONNECTIONS / AT_ONCE * AT_ONCE * CONNECTIONS) as f64, f64::from(percent) / 100.0);
        assert!((hits as f64 - n * p).abs() <= 4.5 * (n * p * (1.0 - p)).sqrt(), "{percent} %: {hits} of {n}");
        // What the apps saw is what the client was told.
        assert_eq!((v1.count() - before.0, v2.count() - before.1), (hits, n as u64 - hits), "{percent} %");
    }
    Arc::into_inner(mesh).unwrap().end().await;
}
