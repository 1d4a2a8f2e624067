//! HTTP/2 with prior knowledge from a client, and requests of HTTP/1.1 whose upstream speaks HTTP/2: served by hyper, sent on by
//! [`crate::sidecar::pipeline::stream_exchange`].

use super::tunnel;
use crate::sidecar::downstream::connection::{Downstream, IDLE_TIMEOUT, ORDINARY, Side};
use crate::sidecar::pipeline::log_line::{Ends, Line};
use crate::sidecar::pipeline::stream_client::Client;
use crate::sidecar::pipeline::stream_exchange::send_on;
use crate::sidecar::pipeline::stream_record::{Record, whole};
use crate::sidecar::route::decision::Decision;
use crate::sidecar::route::outbound::{decide, inward};
use crate::sidecar::route::target::Target;
use crate::sidecar::shared::Shared;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::upstream::multiplex::AnyBody;
use crate::sidecar::upstream::pool::Place;
use crate::sidecar::upstream::routing::LiveCluster;
use crate::table::Headers;
use bytes::Bytes;
use http::{Request, Response, header};
use http1::MAX_HEAD;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// Most connections of HTTP/2. Where each holds a block of headers of 60 KiB and a window of 128 KiB, that is 48 MiB.
const MOST_CONNECTIONS: u32 = 256;
/// Most streams of all of them.
const MOST_STREAMS: u32 = 2048;

/// Serves a connection that began with the preface.
pub(crate) async fn serve(shared: Arc<Shared>, side: Arc<Side>, down: Downstream, ends: Ends) {
    // Each may make this sidecar keep a block of headers and a window of data.
    let Some(_place) = Place::take(&shared.http2, Some(MOST_CONNECTIONS)) else { return };
    let client = Client::new(ends, false, down.conn.clone());
    let io = TokioIo::new(from_the_start(down));
    let closing = shared.tasks.closing.clone();
    let (head_time, write_time) = (shared.config.head_time, shared.config.write_time);
    let (service_shared, streams_client) = (shared.clone(), client.clone());
    let service = hyper::service::service_fn(move |request| {
        let (shared, side, client) = (service_shared.clone(), side.clone(), streams_client.clone());
        async move { Ok::<_, Infallible>(handle(shared, &side, request, &client, None).await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(shared.tasks.clone());
    builder.max_concurrent_streams(256).max_header_list_size(MAX_HEAD as u32);
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
    client.ends_now();
}

/// Serves one request of HTTP/1.1 whose upstream speaks HTTP/2; its head is still in the buffer, and it is decided about: to decide again
/// would be to draw again, which would double the share of faults.
pub(crate) async fn serve_http1(
    shared: Arc<Shared>,
    side: Arc<Side>,
    down: Downstream,
    ends: Ends,
    decision: Decision,
) {
    let client = Client::new(ends, true, down.conn.clone());
    let (watched, body_time, write_time) = (client.clone(), shared.config.body_time, shared.config.write_time);
    let io = TokioIo::new(from_the_start(down));
    let decision = Mutex::new(Some(decision));
    let service = hyper::service::service_fn(move |request| {
        let (shared, side, client) = (shared.clone(), side.clone(), client.clone());
        let decision = decision.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            let mut response = handle(shared, &side, request, &client, decision).await;
            *response.version_mut() = http::Version::HTTP_11;
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .keep_alive(false)
            .max_buf_size(MAX_HEAD + 8192)
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

/// A stream's request, or one of HTTP/1.1 that is decided about.
async fn handle(
    shared: Arc<Shared>,
    side: &Side,
    request: Request<Incoming>,
    client: &Arc<Client>,
    decided: Option<Decision>,
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
    let authority = authority(&request).unwrap_or_default().to_owned();
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_string();
    let mut decision = decided.unwrap_or_else(|| route(&shared, side, &request, &authority, &path, &mut record));
    let unknown = decision.take_unknown();
    if !unknown.is_empty() && shared.learn(&unknown).await {
        decision = route(&shared, side, &request, &authority, &path, &mut record);
    }
    record.telemetry.line = shared.log.is_some().then(|| {
        let target = Target { authority: &authority, destination: &authority, path: if connect { "" } else { &path } };
        let (method, protocol) = (request.method().as_str(), protocol(request.version()));
        Box::new(Line::of(method, &target, protocol, request.headers(), &decision, client.ends))
    });
    match decision {
        Decision::Forward(mut plan) => {
            if plan.tcp {
                plan.endpoint = client.endpoint(&plan.cluster, shared.draw());
            }
            send_on(&shared, record, request, &authority, &path, plan).await
        }
        Decision::Reply(reply) => {
            if let Some(delay) = reply.delay {
                tokio::time::sleep(delay).await;
            }
            record.reply(&reply)
        }
        Decision::Tunnel(cluster) => carry(&shared, record, request, &cluster).await,
    }
}

/// Whose a request is: in HTTP/2 `:authority`, where it has one, and in HTTP/1.1 Host. As Envoy, which leaves the other one out.
fn authority(request: &Request<Incoming>) -> Option<&str> {
    let target = request.uri().authority().map(|authority| authority.as_str());
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
    match request.version() {
        http::Version::HTTP_2 => target.or(host),
        _ if request.method() == http::Method::CONNECT => target.or(host),
        _ => host.or(target),
    }
}

/// Routes and picks.
fn route(
    shared: &Shared,
    side: &Side,
    request: &Request<Incoming>,
    authority: &str,
    path: &str,
    record: &mut Record,
) -> Decision {
    let (method, headers) = (request.method().as_str(), request.headers());
    let scheme = request.uri().scheme_str().filter(|_| request.version() == http::Version::HTTP_2);
    match side {
        Side::Outbound if method == "CONNECT" => decide(shared, method, authority, None, scheme, headers),
        Side::Outbound => decide(shared, method, path, Some(authority), scheme, headers),
        Side::Inbound { app, .. } => {
            let peer = shared.caller(headers.value("x-envoy-peer-metadata").unwrap_or_default().as_bytes());
            record.telemetry.peer = peer;
            inward(app.clone(), method, path, Some(authority), peer)
        }
    }
}

fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_2 => "HTTP/2",
        http::Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// CONNECT: the stream's bytes to an endpoint and back.
async fn carry(
    shared: &Arc<Shared>,
    mut record: Record,
    request: Request<Incoming>,
    cluster: &LiveCluster,
) -> Response<AnyBody> {
    record.telemetry.tcp = cluster.tcp;
    match tunnel::open(shared, cluster, &mut record.telemetry).await {
        Ok((mut connection, in_flight)) => {
            shared.tasks.spawn(async move {
                // Counted at the tunnel's end; an error is one side's end, too.
                let _until_then = (record, in_flight);
                if let Ok(stream) = hyper::upgrade::on(request).await {
                    let mut stream = TokioIo::new(stream);
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut connection.stream).await;
                }
            });
            Response::new(whole(Bytes::new()))
        }
        Err(why) => {
            let (status, flag) = (record.telemetry.status, record.telemetry.flag);
            record.fail(status, flag, why)
        }
    }
}
