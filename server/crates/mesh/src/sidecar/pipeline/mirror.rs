//! Copies of requests (`HTTPRoute.mirror`): sent beside the request, their answers thrown away, as Envoy does.

use super::stream_link::Link;
use super::stream_record::whole;
use crate::sidecar::budget::Charge;
use crate::sidecar::shared::Shared;
use crate::sidecar::upstream::balance::choose;
use crate::sidecar::upstream::endpoint::{CONNECT_TIMEOUT, InFlight, Terms};
use crate::sidecar::upstream::pool::Place;
use crate::sidecar::upstream::routing::LiveCluster;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri, header, request};
use http_body_util::BodyExt;
use http1::{Framing, HeadEnd, dechunked, head_end, parse_request};
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

/// A request as it is sent to its own upstream.
pub(crate) enum Original<'a> {
    /// Head and body of HTTP/1.1, as bytes.
    Lines(&'a [u8]),
    /// In hyper's types.
    Message(&'a request::Parts, &'a [u8]),
}

/// A copy before it is sent.
enum Copy {
    Lines(Vec<u8>),
    /// To an upstream of HTTP/2, or of HTTP/1.1.
    Message(Box<Request<Bytes>>, bool),
}

/// Sends copies to these clusters. Called when all of the request is there; what is larger than [`LARGEST`] is not copied.
pub(crate) fn send(shared: &Arc<Shared>, clusters: &[Arc<LiveCluster>], original: Original<'_>) {
    let bytes = match &original {
        Original::Lines(lines) => lines.len(),
        Original::Message(head, body) => {
            body.len() + head.headers.iter().map(|(n, v)| n.as_str().len() + v.len()).sum::<usize>()
        }
    };
    let from = shared.config.pod_ip.to_string();
    for cluster in clusters {
        let room = || Place::take(&shared.copies, Some(MOST)).zip(shared.budget.take(bytes));
        match room().and_then(|room| Some((room, copy(&original, cluster.http2, &from)?))) {
            Some((room, copy)) => shared.tasks.spawn(one(shared.clone(), cluster.clone(), copy, room)),
            None => drop(shared.not_copied.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

async fn one(shared: Arc<Shared>, cluster: Arc<LiveCluster>, copy: Copy, _room: (Place, Charge)) {
    let sent = async {
        let upstream = &choose(&cluster, shared.draw(), None, &[])?.upstream;
        let in_flight = InFlight::begin(upstream);
        let terms = Terms {
            fresh: matches!(copy, Copy::Lines(_)),
            connect: CONNECT_TIMEOUT,
            deadline: Some(Instant::now() + LIFE),
        };
        match copy {
            Copy::Lines(request) => {
                let mut connection = upstream.acquire(terms).await.ok()?;
                connection.stream.write_all(&request).await.ok()?;
                // It asked for the connection to be closed: what comes is read so that nothing is reset.
                let mut sink = [0; 4096];
                while connection.stream.read(&mut sink).await.ok()? > 0 {}
            }
            Copy::Message(request, http2) => {
                let link = Link::open(in_flight, http2, &shared.tasks, terms).await.ok()?;
                let (answer, held) = link.send(&shared.tasks, request.map(whole)).await.ok()?;
                let mut body = answer.into_body();
                while let Some(frame) = body.frame().await {
                    frame.ok()?;
                }
                held.finish();
            }
        }
        Some(())
    };
    tokio::select! {
        _ = tokio::time::timeout(LIFE, sent) => {}
        () = shared.tasks.closing.cancelled() => {}
    }
}

/// The request as it was, but for the Host's `-shadow` and who sends the copy. `None` where it cannot be put into what the upstream speaks.
fn copy(original: &Original<'_>, http2: bool, from: &str) -> Option<Copy> {
    match original {
        Original::Lines(lines) if !http2 => Some(Copy::Lines(shadow(lines, from))),
        Original::Lines(lines) => {
            let (head, body) = message(lines)?;
            Some(Copy::Message(Box::new(shadow_message(&head, Bytes::from(body), http2, from)?), http2))
        }
        Original::Message(head, body) => {
            Some(Copy::Message(Box::new(shadow_message(head, Bytes::copy_from_slice(body), http2, from)?), http2))
        }
    }
}

/// The authority of a copy.
fn shadow_host(host: &str) -> String {
    let named = host.rfind(':').filter(|at| host[at + 1..].bytes().all(|c| c.is_ascii_digit()));
    let (name, port) = host.split_at(named.unwrap_or(host.len()));
    format!("{name}-shadow{port}")
}

fn shadow(request: &[u8], from: &str) -> Vec<u8> {
    let lines = memchr::memmem::find(request, b"\r\n").map_or(0, |at| at + 2);
    // The Host stands first, because the sidecar wrote this head itself.
    let host_end = memchr::memmem::find(&request[lines..], b"\r\n").map_or(request.len(), |at| at + lines);
    let host = shadow_host(&String::from_utf8_lossy(&request[lines..host_end]));
    let sent_by = format!("\r\nconnection: close\r\nx-envoy-internal: true\r\nx-forwarded-for: {from}");
    [&request[..lines], host.as_bytes(), sent_by.as_bytes(), &request[host_end..]].concat()
}

/// The same of a message, for an upstream of either version.
fn shadow_message(head: &request::Parts, body: Bytes, http2: bool, from: &str) -> Option<Request<Bytes>> {
    let authority = head.uri.authority().map(|a| a.as_str().as_bytes());
    let authority = authority.or_else(|| Some(head.headers.get(header::HOST)?.as_bytes()))?;
    let host = shadow_host(std::str::from_utf8(authority).ok()?);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = head.headers.clone();
    let headers = request.headers_mut();
    headers.remove(header::HOST);
    // hyper says what its own framing of the body is.
    headers.remove(header::TRANSFER_ENCODING);
    headers.insert(HeaderName::from_static("x-envoy-internal"), HeaderValue::from_static("true"));
    headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_str(from).ok()?);
    if http2 {
        *request.uri_mut() = format!("http://{host}{path}").parse::<Uri>().ok()?;
        *request.version_mut() = http::Version::HTTP_2;
    } else {
        headers.insert(header::HOST, HeaderValue::from_str(&host).ok()?);
        *request.uri_mut() = path.parse::<Uri>().ok()?;
    }
    Some(request)
}

/// Bytes of HTTP/1.1, as this sidecar wrote them, as a message.
fn message(lines: &[u8]) -> Option<(request::Parts, Vec<u8>)> {
    let HeadEnd::At(end) = head_end(lines, 0) else { return None };
    let (request, framing) = parse_request(&lines[..end], |request| {
        let mut message = Request::builder().method(request.method).uri(request.target);
        for header in request.headers {
            message = message.header(header.name, header.value);
        }
        Some((message.body(()).ok()?, request.framing.clone()))
    })
    .ok()??;
    let body = if let Framing::Chunked(_) = framing { dechunked(&lines[end..])? } else { lines[end..].to_vec() };
    Some((request.into_parts().0, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_says_that_it_is_one() {
        for (host, other) in [
            ("flaskapp:7777", "flaskapp-shadow:7777"),
            ("flaskapp", "flaskapp-shadow"),
            ("[::1]:80", "[::1]-shadow:80"),
        ] {
            let copy = shadow(format!("GET / HTTP/1.1\r\nhost: {host}\r\na: b\r\n\r\nbody").as_bytes(), "127.0.0.9");
            assert_eq!(
                String::from_utf8(copy).unwrap(),
                format!(
                    "GET / HTTP/1.1\r\nhost: {other}\r\nconnection: close\r\nx-envoy-internal: true\r\nx-forwarded-for: 127.0.0.9\r\na: b\r\n\r\nbody"
                )
            );
        }
    }

    #[test]
    fn a_copy_of_bytes_can_go_to_a_port_of_http2() {
        let lines: &[u8] = b"POST /a?b HTTP/1.1\r\nhost: app:80\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
        let Some(Copy::Message(request, true)) = copy(&Original::Lines(lines), true, "127.0.0.9") else { panic!() };
        assert_eq!(
            (request.uri().to_string().as_str(), &request.body()[..]),
            ("http://app-shadow:80/a?b", &b"abcde"[..])
        );
        let mut headers: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        headers.sort_unstable();
        assert_eq!(headers, ["x", "x-envoy-internal", "x-forwarded-for"]);
    }
}
