//! HTTP/2 with prior knowledge from the client. The way of few requests: hyper does both sides, each stream has a connection of its own upstream.

use super::balance::choose;
use super::exchange::Downstream;
use super::metrics::{Flag, Peer};
use super::outbound::{Decision, Plan, Via, decide, inward};
use super::proxy::Side;
use super::reply::Reply;
use super::outlier::Ended;
use super::shared::Shared;
use super::upstream::NoConnection;
use crate::table::{HeaderOps, Headers};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

type AnyBody = UnsyncBoxBody<Bytes, hyper::Error>;

/// Whether a head is the beginning of HTTP/2's preface.
pub(crate) fn is_preface(head: &[u8]) -> bool {
    head == b"PRI * HTTP/2.0\r\n\r\n"
}

/// Serves a connection that began with the preface.
pub(crate) async fn serve(shared: Arc<Shared>, side: Arc<Side>, down: Downstream, _from: SocketAddr) {
    let io = TokioIo::new(Replay { first: Bytes::copy_from_slice(down.buffer.bytes()), stream: down.stream });
    let closing = shared.closing.clone();
    let service_shared = shared.clone();
    let service = hyper::service::service_fn(move |request| {
        let (shared, side) = (service_shared.clone(), side.clone());
        async move { Ok::<_, std::convert::Infallible>(handle(shared, &side, request).await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(Tracked(shared));
    builder.max_concurrent_streams(256).max_header_list_size(super::http1::MAX_HEAD as u32);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    let mut asked = false;
    loop {
        tokio::select! {
            _ = &mut connection => return,
            () = closing.cancelled(), if !asked => {
                asked = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
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

async fn handle(shared: Arc<Shared>, side: &Side, request: Request<Incoming>) -> Response<AnyBody> {
    let mut record = Record { shared: shared.clone(), started: Instant::now(), peer: shared.black_hole, status: 0, flag: Flag::None };
    let authority = request.uri().authority().map(|a| a.as_str().to_string());
    let authority = authority.or_else(|| request.headers().get(header::HOST)?.to_str().ok().map(String::from)).unwrap_or_default();
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_string();
    let decision = match side {
        Side::Outbound if request.method() == http::Method::CONNECT => {
            Decision::Reply(Reply::text(405, Flag::NR, "CONNECT over HTTP/2 is not served\n", shared.black_hole))
        }
        Side::Outbound => decide(&shared, request.method().as_str(), &path, Some(&authority), request.headers()),
        Side::Inbound { app } => {
            record.peer = shared.caller(request.headers().value("x-envoy-peer-metadata").unwrap_or_default().as_bytes());
            inward(app.clone(), request.method().as_str(), &path, Some(&authority), record.peer)
        }
    };
    let outbound = matches!(side, Side::Outbound);
    let plan = match decision {
        Decision::Forward(plan) => plan,
        Decision::Reply(reply) => return record.reply(reply),
        Decision::Tunnel(cluster) => return record.reply(Reply::text(405, Flag::NR, "", cluster.nobody)),
    };
    if let Some(delay) = plan.delay {
        tokio::time::sleep(delay).await;
    }
    let Some(endpoint) = choose(&plan.cluster, shared.draw(), plan.hash, None) else {
        return record.reply(Reply::text(503, Flag::UH, "no healthy upstream", plan.cluster.nobody));
    };
    if outbound {
        record.peer = endpoint.peer;
    }
    // What comes to the app in HTTP/2 it is sent in HTTP/2; on the way out the Service's port decides.
    let http2 = !outbound || plan.cluster.http2;
    let _in_flight = endpoint.upstream.begin();
    let connection = match endpoint.upstream.acquire(true, Duration::from_secs(10)).await {
        Ok(connection) => connection,
        Err(NoConnection::Overflow) => return record.fail(503, Flag::UO, "upstream connect error or disconnect/reset before headers. reset reason: overflow"),
        Err(NoConnection::Io(_)) => {
            plan.cluster.note(endpoint, Ended::Lost);
            let why = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
            return record.fail(503, Flag::UF, why);
        }
    };
    let request = rewritten(&shared, request, &authority, &path, &plan, outbound, http2);
    let timeout = plan.via.as_ref().and_then(|v| v.route().timeout_ms).map(Duration::from_millis);
    let sent = send(&shared, connection.stream, request, http2);
    let response = match timeout {
        Some(limit) => tokio::time::timeout(limit, sent).await,
        None => Ok(sent.await),
    };
    match response {
        Err(_) => record.fail(504, Flag::UT, "upstream request timeout"),
        Ok(Err(_)) => {
            let why = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
            record.fail(503, Flag::UC, why)
        }
        Ok(Ok(mut response)) => {
            record.status = response.status().as_u16();
            strip_hop_headers(response.headers_mut());
            let operations = [plan.via.as_ref().and_then(Via::destination).map(|d| &d.headers.response), plan.via.as_ref().map(|v| &v.route().headers.response)];
            if let Some(cookie) = plan.set_cookie.and_then(|c| HeaderValue::from_str(&c).ok()) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            apply(response.headers_mut(), &operations);
            response.map(|body| Recorded { body, _record: record }.boxed_unsync())
        }
    }
}

async fn send(shared: &Shared, stream: TcpStream, request: Request<Incoming>, http2: bool) -> Result<Response<Incoming>, hyper::Error> {
    let io = TokioIo::new(stream);
    if http2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await?;
        shared.tasks.spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        shared.tasks.spawn(connection);
        sender.send_request(request).await
    }
}

fn rewritten(shared: &Shared, mut request: Request<Incoming>, authority: &str, path: &str, plan: &Plan, outbound: bool, http2: bool) -> Request<Incoming> {
    let route = plan.via.as_ref().map(Via::route);
    let authority = route.and_then(|r| r.rewrite.authority.as_deref()).unwrap_or(authority);
    let path = plan.target.as_deref().unwrap_or(path);
    let uri = if http2 { format!("http://{authority}{path}") } else { path.to_string() };
    *request.uri_mut() = uri.parse::<Uri>().unwrap_or_default();
    *request.version_mut() = if http2 { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
    let headers = request.headers_mut();
    strip_hop_headers(headers);
    headers.remove("x-envoy-peer-metadata");
    headers.remove(header::HOST);
    if !http2 && let Ok(host) = HeaderValue::from_str(authority) {
        headers.insert(header::HOST, host);
    }
    if !headers.contains_key("x-request-id")
        && let Ok(id) = HeaderValue::from_str(&format!("{:016x}{:016x}", shared.draw(), shared.draw()))
    {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    if outbound && let Ok(metadata) = HeaderValue::from_str(&shared.metadata) {
        headers.insert(HeaderName::from_static("x-envoy-peer-metadata"), metadata);
    }
    apply(headers, &[plan.via.as_ref().and_then(Via::destination).map(|d| &d.headers.request), route.map(|r| &r.headers.request)]);
    request
}

fn strip_hop_headers(headers: &mut HeaderMap) {
    for name in ["connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "transfer-encoding", "upgrade", "x-mesh-not-sent"] {
        headers.remove(name);
    }
}

fn apply(headers: &mut HeaderMap, operations: &[Option<&HeaderOps>; 2]) {
    for ops in operations.iter().flatten() {
        for name in &ops.remove {
            headers.remove(name);
        }
        let pair = |(n, v): &(String, String)| Some((HeaderName::from_bytes(n.as_bytes()).ok()?, HeaderValue::from_str(v).ok()?));
        for (name, value) in ops.set.iter().filter_map(pair) {
            headers.insert(name, value);
        }
        for (name, value) in ops.add.iter().filter_map(pair) {
            headers.append(name, value);
        }
    }
}

/// Counts a stream once it is over.
struct Record {
    shared: Arc<Shared>,
    started: Instant,
    peer: Peer,
    status: u16,
    flag: Flag,
}

impl Record {
    fn fail(self, status: u16, flag: Flag, why: &'static str) -> Response<AnyBody> {
        let peer = self.peer;
        self.reply(Reply::text(status, flag, why, peer))
    }

    fn reply(mut self, reply: Reply) -> Response<AnyBody> {
        (self.status, self.flag, self.peer) = (reply.status, reply.flag, reply.peer);
        let body = Full::new(Bytes::from(reply.body.into_owned())).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(location) = reply.location.and_then(|l| HeaderValue::from_str(&l).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let flag = if self.status == 0 { Flag::DC } else { self.flag };
        self.shared.metrics.record(self.peer, self.status, flag, self.started.elapsed());
    }
}

/// An upstream's body; the stream is counted when it ends.
struct Recorded {
    body: Incoming,
    _record: Record,
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection of which some bytes were read before.
struct Replay {
    first: Bytes,
    stream: TcpStream,
}

impl AsyncRead for Replay {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let n = self.first.len().min(into.remaining());
        into.put_slice(&self.first[..n]);
        self.first.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
