//! HTTP/2 with prior knowledge, from the client or to a Service's port that speaks it. The way of few requests, done by hyper.
//!
//! A stream for an upstream of HTTP/1.1 becomes a request to this sidecar's own listener: retries, mirrors, metrics and all else are done
//! in one place. Only where the upstream speaks HTTP/2 too, that is between two sidecars or to an app of gRPC, a stream stays one.

use super::balance::choose;
use super::exchange::Downstream;
use super::flag::Flag;
use super::h2_forward::{forward, send};
use super::h2_heads::strip_hop_headers;
use super::h2_record::{AnyBody, BoxError, Client, Record};
use super::outbound::{Decision, Target, decide, inward};
use super::pool::Place;
use super::proxy::{IDLE_TIMEOUT, ORDINARY, Side};
use super::routing::LiveCluster;
use super::seen::{Ends, Line};
use super::shared::Shared;
use super::upstream::CONNECT_TIMEOUT;
use crate::table::Headers;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

/// Most connections of HTTP/2. Where each holds a block of headers of 60 KiB and a window of 128 KiB, that is 48 MiB.
const MOST_CONNECTIONS: u32 = 256;
/// Most streams of all of them.
const MOST_STREAMS: u32 = 2048;

/// Whether a head is the beginning of HTTP/2's preface.
pub(crate) fn is_preface(head: &[u8]) -> bool {
    head == b"PRI * HTTP/2.0\r\n\r\n"
}

/// Serves a connection that began with the preface.
pub(crate) async fn serve(shared: Arc<Shared>, side: Arc<Side>, down: Downstream, ends: Ends) {
    // Each may make this sidecar keep a block of headers and a window of data.
    let Some(_place) = Place::take(&shared.http2, Some(MOST_CONNECTIONS)) else { return };
    let client = Client::new(ends, false, down.conn.clone());
    let io = TokioIo::new(from_the_start(down));
    let closing = shared.closing.clone();
    let service_shared = shared.clone();
    let (head_time, write_time) = (shared.config.head_time, shared.config.write_time);
    let streams_client = client.clone();
    let service = hyper::service::service_fn(move |request| {
        let (shared, side, client) = (service_shared.clone(), side.clone(), streams_client.clone());
        async move { Ok::<_, std::convert::Infallible>(handle(shared, &side, request, &client).await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(Tracked(shared));
    builder.max_concurrent_streams(256).max_header_list_size(super::http1::MAX_HEAD as u32);
    // hyper's own are 1 MiB for a window and 400 KiB for what waits to be sent on a stream.
    builder
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(128 * 1024)
        .max_send_buf_size(64 * 1024);
    // A client that is gone without a word, or never reads, does not answer pings.
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    let mut look = tokio::time::interval(head_time.min(write_time) / 2);
    let began = Instant::now();
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let mut asked = false;
    loop {
        tokio::select! {
            _ = &mut connection => break,
            _ = look.tick() => {
                // As with HTTP/1.1, the first request has its time, and so has a rest without any.
                let waited = if client.has_asked() { client.rests().is_some_and(|rest| rest > IDLE_TIMEOUT) } else { began.elapsed() >= head_time };
                if waited || client.is_stalled(write_time, IDLE_TIMEOUT) {
                    break;
                }
            }
            () = closing.cancelled(), if !asked => {
                asked = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
    // Before its streams hear of it.
    client.over.store(true, Ordering::Relaxed);
}

/// Serves one request of HTTP/1.1 whose upstream speaks HTTP/2; its head is still in the buffer.
pub(crate) async fn serve_http1(shared: Arc<Shared>, side: Arc<Side>, down: Downstream, ends: Ends) {
    let client = Client::new(ends, true, down.conn.clone());
    let (watched, body_time, write_time) = (client.clone(), shared.config.body_time, shared.config.write_time);
    let io = TokioIo::new(from_the_start(down));
    let service = hyper::service::service_fn(move |request| {
        let (shared, side, client) = (shared.clone(), side.clone(), client.clone());
        async move {
            let mut response = handle(shared, &side, request, &client).await;
            *response.version_mut() = http::Version::HTTP_11;
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .keep_alive(false)
            .max_buf_size(super::http1::MAX_HEAD + 8192)
            .serve_connection(io, service)
    );
    let mut look = tokio::time::interval(body_time.min(write_time) / 2);
    loop {
        tokio::select! {
            // An error is the client's, or was answered.
            _ = &mut connection => return,
            _ = look.tick() => if watched.is_stalled(write_time, body_time) {
                return;
            }
        }
    }
}

/// The connection with what was read of it already.
fn from_the_start(down: Downstream) -> impl AsyncRead + AsyncWrite + Unpin {
    let first = Cursor::new(Bytes::copy_from_slice(down.buffer.bytes()));
    let (reads, writes) = tokio::io::split(down.stream);
    tokio::io::join(first.chain(reads), writes)
}

/// Runs hyper's own tasks where the sidecar can wait for them.
#[derive(Clone)]
struct Tracked(Arc<Shared>);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.tasks.spawn(task);
    }
}

/// A stream's request.
async fn handle(
    shared: Arc<Shared>,
    side: &Side,
    request: Request<Incoming>,
    client: &Arc<Client>,
) -> Response<AnyBody> {
    let mut record = Record::new(&shared, client);
    record.place = Place::take(&shared.streams, Some(MOST_STREAMS));
    let head: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    record.charge = if head > ORDINARY { shared.budget.take(head) } else { Some(shared.budget.charge()) };
    if record.place.is_none() || record.charge.is_none() {
        return record.fail(503, Flag::UO, "too many requests at once\n");
    }
    record.to_head = request.method() == http::Method::HEAD;
    let connect = request.method() == http::Method::CONNECT;
    let authority = request.uri().authority().map(|a| a.as_str().to_string());
    let authority =
        authority.or_else(|| request.headers().get(header::HOST)?.to_str().ok().map(String::from)).unwrap_or_default();
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_string();
    if matches!(side, Side::Outbound) {
        shared.learn_authority(&authority).await;
    }
    let line = |decision: Option<&Decision>| {
        let target = Target { authority: &authority, path: if connect { "" } else { &path } };
        Box::new(Line::of(
            request.method().as_str(),
            &target,
            client.protocol(request.version()),
            request.headers(),
            decision,
            client.ends,
        ))
    };
    if matches!(side, Side::Outbound) && !client.http1 && !connect && !shared.speaks_http2(&authority) {
        record.line = shared.log.is_some().then(|| line(None));
        return as_http1(record, request, &authority, &path).await;
    }
    let decision = match side {
        Side::Outbound if connect => decide(&shared, "CONNECT", &authority, None, request.headers()),
        Side::Outbound => decide(&shared, request.method().as_str(), &path, Some(&authority), request.headers()),
        Side::Inbound { app } => {
            record.peer =
                shared.caller(request.headers().value("x-envoy-peer-metadata").unwrap_or_default().as_bytes());
            inward(app.clone(), request.method().as_str(), &path, Some(&authority), record.peer)
        }
    };
    record.line = shared.log.is_some().then(|| line(Some(&decision)));
    let outbound = matches!(side, Side::Outbound);
    let plan = match decision {
        Decision::Forward(plan) => plan,
        Decision::Reply(reply) => {
            if let Some(delay) = reply.delay {
                tokio::time::sleep(delay).await;
            }
            return record.reply(reply);
        }
        Decision::Tunnel(cluster) => return tunnel(record, request, &cluster).await,
    };
    forward(record, request, &authority, &path, plan, outbound).await
}

/// CONNECT: the stream's bytes to an endpoint and back.
async fn tunnel(mut record: Record, request: Request<Incoming>, cluster: &LiveCluster) -> Response<AnyBody> {
    let shared = record.shared.clone();
    record.peer = cluster.nobody;
    let mut avoid = Vec::new();
    for _ in 0..3 {
        let Some(endpoint) = choose(cluster, shared.draw(), None, &avoid) else {
            return record.fail(503, Flag::UH, "no healthy upstream");
        };
        record.peer = endpoint.peer;
        let timeout = cluster.policy.connect_timeout_ms.map_or(CONNECT_TIMEOUT, Duration::from_millis);
        let Ok(connection) = endpoint.upstream.acquire(true, timeout, Some(Instant::now() + timeout)).await else {
            avoid.push(endpoint.upstream.address());
            continue;
        };
        let (mut up, held) = endpoint.upstream.hold(connection);
        (record.held, record.status) = (Some(held), 200);
        shared.tasks.spawn(async move {
            // Counted at the tunnel's end; an error is one side's end, too.
            let _record = record;
            if let Ok(stream) = hyper::upgrade::on(request).await {
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(stream), &mut up).await;
            }
        });
        return Response::new(Full::default().map_err(|never| match never {}).boxed_unsync());
    }
    record.fail(
        503,
        Flag::UF,
        "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
    )
}

/// Asks this sidecar's own listener in HTTP/1.1, which counts the request, too.
async fn as_http1(
    mut record: Record,
    mut request: Request<Incoming>,
    authority: &str,
    path: &str,
) -> Response<AnyBody> {
    let shared = record.shared.clone();
    let own = SocketAddr::new(shared.config.pod_ip, shared.config.ports.outbound);
    let (Ok(uri), Ok(host)) = (path.parse::<Uri>(), HeaderValue::from_str(authority)) else {
        return record.fail(400, Flag::DPE, "malformed authority or path\n");
    };
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_11;
    strip_hop_headers(request.headers_mut());
    request.headers_mut().insert(header::HOST, host);
    // HTTP/2 may spread them over several headers (RFC 9113, 8.2.3).
    if request.headers().get_all(header::COOKIE).iter().count() > 1
        && let Some(all) = request.headers().value("cookie").and_then(|c| HeaderValue::from_str(&c).ok())
    {
        request.headers_mut().insert(header::COOKIE, all);
    }
    let Ok(stream) = TcpStream::connect(own).await else {
        return record.fail(503, Flag::UF, "the sidecar is going\n");
    };
    if let Ok(by) = stream.local_addr() {
        record.hand_over(by);
    }
    match send(&shared, stream, request, false).await {
        Ok(mut response) => {
            strip_hop_headers(response.headers_mut());
            response.map(|body| body.map_err(BoxError::from).boxed_unsync())
        }
        Err(_) => {
            let why = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
            record.fail(503, Flag::UC, why)
        }
    }
}
