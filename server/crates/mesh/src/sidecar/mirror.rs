//! Copies of requests (`HTTPRoute.mirror`): sent beside the request, their answers thrown away, as Envoy does.

use super::balance::choose;
use super::budget::Charge;
use super::outbound::Plan;
use super::pool::Place;
use super::routing::LiveCluster;
use super::shared::Shared;
use super::upstream::CONNECT_TIMEOUT;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest time for a copy; also bounds how many there are.
const LIFE: Duration = Duration::from_secs(15);
/// Most copies under way; beyond it requests are not mirrored rather than kept in memory.
const MOST: u32 = 256;

/// Largest request that is copied, as Envoy's buffer.
pub(crate) const LARGEST: usize = 1 << 20;

/// Sends copies of `head` (with its body) where the plan asks for them. Called when all of the request is there; what is larger than
/// [`LARGEST`] is not copied.
pub(crate) fn send(shared: &Arc<Shared>, plan: &Plan, head: &[u8]) {
    for cluster in &plan.mirrors {
        // A copy is bytes of HTTP/1.1. That such a port gets none is said on the VirtualService.
        let place = Place::take(&shared.copies, Some(MOST)).filter(|_| !cluster.http2);
        match place.zip(shared.budget.take(head.len())) {
            Some(place) => drop(shared.tasks.spawn(one(
                shared.clone(),
                cluster.clone(),
                shadow(head, &shared.config.pod_ip.to_string()),
                place,
            ))),
            None => drop(shared.not_copied.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

async fn one(shared: Arc<Shared>, cluster: Arc<LiveCluster>, request: Vec<u8>, _place: (Place, Charge)) {
    let copy = async {
        let upstream = &choose(&cluster, shared.draw(), None, &[])?.upstream;
        let _in_flight = upstream.begin();
        let mut connection = upstream.acquire(true, CONNECT_TIMEOUT, Some(Instant::now() + LIFE)).await.ok()?;
        connection.stream.write_all(&request).await.ok()?;
        // It asked for the connection to be closed: what comes is read so that nothing is reset.
        let mut sink = [0; 4096];
        while connection.stream.read(&mut sink).await.ok()? > 0 {}
        Some(())
    };
    tokio::select! {
        _ = tokio::time::timeout(LIFE, copy) => {}
        () = shared.closing.cancelled() => {}
    }
}

/// The head as it was, but for the Host's `-shadow`, who sends the copy, and the end of the connection.
fn shadow(request: &[u8], from: &str) -> Vec<u8> {
    let lines = memchr::memmem::find(request, b"\r\n").unwrap_or(0);
    // The Host stands first, because the sidecar wrote this head itself.
    let host_end = memchr::memmem::find(&request[lines + 2..], b"\r\n").map_or(request.len(), |at| at + lines + 2);
    let host = &request[lines..host_end];
    let name_end = host
        .iter()
        .rposition(|c| *c == b':')
        .filter(|at| host[at + 1..].iter().all(u8::is_ascii_digit))
        .unwrap_or(host.len());
    let sent_by = format!("\r\nconnection: close\r\nx-envoy-internal: true\r\nx-forwarded-for: {from}");
    [&request[..lines + name_end], b"-shadow", &host[name_end..], sent_by.as_bytes(), &request[host_end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::shadow;

    #[test]
    fn a_copy_says_that_it_is_one() {
        for (host, other) in [("flaskapp:7777", "flaskapp-shadow:7777"), ("flaskapp", "flaskapp-shadow")] {
            let copy = shadow(format!("GET / HTTP/1.1\r\nhost: {host}\r\na: b\r\n\r\nbody").as_bytes(), "127.0.0.9");
            assert_eq!(
                String::from_utf8(copy).unwrap(),
                format!(
                    "GET / HTTP/1.1\r\nhost: {other}\r\nconnection: close\r\nx-envoy-internal: true\r\nx-forwarded-for: 127.0.0.9\r\na: b\r\n\r\nbody"
                )
            );
        }
    }
}
