//! Bytes both ways: CONNECT, and what follows `101 Switching Protocols`.

use super::balance::choose;
use super::exchange::Downstream;
use super::flag::Flag;
use super::routing::LiveCluster;
use super::seen::Seen;
use super::shared::Shared;
use super::upstream::{CONNECT_TIMEOUT, Connection};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// Connects to an endpoint of a Service and joins both sides. As with any TCP, VirtualServices' HTTP routes do not count.
pub(crate) async fn connect(shared: &Shared, down: &mut Downstream, cluster: &LiveCluster, seen: &mut Seen<'_>) {
    seen.peer = cluster.nobody;
    let mut avoid = Vec::new();
    for _ in 0..3 {
        let Some(endpoint) = choose(cluster, shared.draw(), None, &avoid) else {
            seen.answer(503, Flag::UH);
            return refuse(down, "no healthy upstream").await;
        };
        seen.peer = endpoint.peer;
        let timeout = cluster.policy.connect_timeout_ms.map_or(CONNECT_TIMEOUT, Duration::from_millis);
        if let Ok(mut connection) = endpoint.upstream.acquire(true, timeout, Some(Instant::now() + timeout)).await {
            let _in_flight = endpoint.upstream.begin();
            seen.answer(200, Flag::None);
            if down.stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
                join(down, &mut connection).await;
            }
            return;
        }
        avoid.push(endpoint.upstream.address());
    }
    seen.answer(503, Flag::UF);
    refuse(down, "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure")
        .await;
}

/// Pumps until both sides have ended. Nobody knows where a tunnel could be cut: a sidecar that goes cuts it at the end of its drain.
pub(crate) async fn join(down: &mut Downstream, up: &mut Connection) {
    down.conn.tunnel();
    let pumped = async {
        up.stream.write_all(down.buffer.bytes()).await?;
        down.stream.write_all(up.buffer.bytes()).await?;
        tokio::io::copy_bidirectional_with_sizes(&mut down.stream, &mut up.stream, 8 * 1024, 8 * 1024).await
    };
    // An error is one side's end, too.
    let _ = pumped.await;
}

async fn refuse(down: &mut Downstream, why: &str) {
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{why}",
        why.len()
    );
    let _ = down.stream.write_all(text.as_bytes()).await;
}
