//! Bytes both ways: CONNECT, and what follows `101 Switching Protocols`.

use crate::sidecar::downstream::connection::Downstream;
use crate::sidecar::pipeline::telemetry::Telemetry;
use crate::sidecar::shared::Shared;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::stats::metrics::Peer;
use crate::sidecar::upstream::balance::choose;
use crate::sidecar::upstream::endpoint::{CONNECT_TIMEOUT, Connection, InFlight, Terms};
use crate::sidecar::upstream::routing::LiveCluster;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// Connects to an endpoint of a Service and joins both sides. As with any TCP, VirtualServices' HTTP routes do not count.
pub(crate) async fn connect(shared: &Shared, down: &mut Downstream, cluster: &LiveCluster, telemetry: &mut Telemetry) {
    telemetry.tcp = cluster.tcp;
    match open(shared, cluster, telemetry).await {
        Ok((mut connection, _in_flight)) => {
            if down.stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
                join(down, &mut connection).await;
            }
        }
        Err(why) => refuse(down, why).await,
    }
}

/// Joins a connection that speaks no HTTP, and what was read of it, to its cluster. One that reaches nobody is closed: there is no other
/// way to say so.
pub(crate) async fn pass(shared: &Shared, down: &mut Downstream, cluster: &LiveCluster) {
    if let Ok((_, mut connection, _in_flight)) = reached(shared, cluster).await {
        join(down, &mut connection).await;
    }
}

/// A connection for a tunnel, or what the client is told.
pub(crate) async fn open(
    shared: &Shared,
    cluster: &LiveCluster,
    telemetry: &mut Telemetry,
) -> Result<(Connection, InFlight), &'static str> {
    match reached(shared, cluster).await {
        Ok((peer, connection, in_flight)) => {
            telemetry.peer = peer;
            telemetry.answer(200, Flag::None);
            Ok((connection, in_flight))
        }
        Err((peer, flag, why)) => {
            telemetry.peer = peer;
            telemetry.answer(503, flag);
            Err(why)
        }
    }
}

/// A connection to one of the cluster's endpoints and whose it is, or why there is none. Three endpoints are tried.
async fn reached(
    shared: &Shared,
    cluster: &LiveCluster,
) -> Result<(Peer, Connection, InFlight), (Peer, Flag, &'static str)> {
    let (mut avoid, mut peer) = (Vec::new(), cluster.nobody);
    for _ in 0..3 {
        let Some(endpoint) = choose(cluster, shared.draw(), None, &avoid) else {
            return Err((peer, Flag::UH, "no healthy upstream"));
        };
        peer = endpoint.peer;
        let timeout = cluster.policy.connect_timeout_ms.map_or(CONNECT_TIMEOUT, Duration::from_millis);
        if let Ok(connection) = endpoint.upstream.acquire(Terms::fresh(timeout, Instant::now() + timeout)).await {
            return Ok((peer, connection, InFlight::begin(&endpoint.upstream)));
        }
        avoid.push(endpoint.upstream.address());
    }
    let why = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
    Err((peer, Flag::UF, why))
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
