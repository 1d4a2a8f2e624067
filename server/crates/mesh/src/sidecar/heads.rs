//! The heads a sidecar writes: what it adds, what it keeps, what it strips.

use super::http1::{Known, Request, Response, known, tokens};
use super::outbound::{Plan, Via};
use super::shared::Shared;
use crate::table::HeaderOps;
use std::io::Write;
use std::time::Duration;

/// Which side of the pod a request crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Inbound,
    Outbound,
}

/// Writes the head that goes upstream.
pub(crate) fn write_request(out: &mut Vec<u8>, shared: &Shared, direction: Direction, request: &Request<'_>, authority: &str, path: &str, plan: &Plan) {
    out.clear();
    let route = plan.via.as_ref().map(Via::route);
    let authority = route.and_then(|r| r.rewrite.authority.as_deref()).unwrap_or(authority);
    let operations: [Option<&HeaderOps>; 2] =
        [plan.via.as_ref().and_then(Via::destination).map(|d| &d.headers.request), route.map(|r| &r.headers.request)];
    let new_host = set_host(&operations).unwrap_or(authority);
    push(out, &[request.method, " ", plan.target.as_deref().unwrap_or(path), if request.version == 0 { " HTTP/1.0\r\nhost: " } else { " HTTP/1.1\r\nhost: " }, new_host, "\r\n"]);
    let (mut has_id, mut has_trace, mut has_proto) = (false, false, false);
    for header in request.headers {
        match known(header.name) {
            // A metadata header from the app would be forged; towards the app it is nobody's business.
            Known::Host | Known::Connection | Known::Hop | Known::Expect | Known::PeerMetadata | Known::NotSent => continue,
            Known::Upgrade if !request.upgrade => continue,
            Known::RequestId => has_id = true,
            Known::TraceId => has_trace = true,
            Known::ForwardedProto => has_proto = true,
            _ => {}
        }
        if (request.connection_names_more && named_by_connection(request, header.name)) || dropped(&operations, header.name) {
            continue;
        }
        push_header(out, header.name, header.value);
    }
    if request.upgrade {
        out.extend_from_slice(b"connection: upgrade\r\n");
    }
    if request.version == 0 {
        // An old client's answer must not come in chunks: ask as it asked.
        out.extend_from_slice(b"connection: close\r\n");
    }
    if !has_id {
        let (a, b) = (shared.draw(), shared.draw());
        let (e, f) = (b >> 48 & 0x3fff | 0x8000, b & 0xffff_ffff_ffff);
        let _ = write!(out, "x-request-id: {:08x}-{:04x}-{:04x}-{e:04x}-{f:012x}\r\n", a >> 32, a >> 16 & 0xffff, a & 0xfff | 0x4000);
    }
    if direction == Direction::Outbound {
        if !has_trace {
            let (a, b) = (shared.draw(), shared.draw());
            let _ = write!(out, "x-b3-traceid: {a:016x}{b:016x}\r\nx-b3-spanid: {b:016x}\r\nx-b3-sampled: 0\r\n");
        }
        if !has_proto {
            out.extend_from_slice(b"x-forwarded-proto: http\r\n");
        }
        push(out, &["x-envoy-peer-metadata: ", &shared.metadata, "\r\n"]);
    }
    add(out, &operations);
    out.extend_from_slice(b"\r\n");
}

/// How a response is written.
pub(crate) struct ResponseStyle<'a> {
    pub(crate) direction: Direction,
    pub(crate) via: Option<&'a Via>,
    /// The connection ends after it.
    pub(crate) close: bool,
    /// It is `101 Switching Protocols`.
    pub(crate) upgrade: bool,
    /// The client speaks HTTP/1.0 and keeps the connection.
    pub(crate) old_keep_alive: bool,
    pub(crate) took: Duration,
}

/// Writes the head that goes back.
pub(crate) fn write_response(out: &mut Vec<u8>, response: &Response<'_>, style: &ResponseStyle<'_>) {
    out.clear();
    let operations: [Option<&HeaderOps>; 2] =
        [style.via.and_then(Via::destination).map(|d| &d.headers.response), style.via.map(|v| &v.route().headers.response)];
    let _ = write!(out, "HTTP/1.1 {} ", response.status);
    push(out, &[response.reason, "\r\n"]);
    for header in response.headers {
        match known(header.name) {
            Known::Connection | Known::Hop | Known::TransferEncoding | Known::ServiceTime => continue,
            Known::NotSent | Known::PeerMetadata | Known::Server => continue,
            Known::Upgrade if !style.upgrade => continue,
            _ => {}
        }
        if !dropped(&operations, header.name) {
            push_header(out, header.name, header.value);
        }
    }
    if response.chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    let server = if style.direction == Direction::Inbound { "istio-envoy" } else { "envoy" };
    let _ = write!(out, "x-envoy-upstream-service-time: {}\r\nserver: {server}\r\n", style.took.as_millis());
    add(out, &operations);
    out.extend_from_slice(match (style.upgrade, style.close, style.old_keep_alive) {
        (true, ..) => b"connection: upgrade\r\n\r\n",
        (_, true, _) => b"connection: close\r\n\r\n",
        (_, _, true) => b"connection: keep-alive\r\n\r\n",
        _ => b"\r\n",
    });
}

fn named_by_connection(request: &Request<'_>, name: &str) -> bool {
    let lists = request.headers.iter().filter(|h| known(h.name) == Known::Connection);
    let mut names = lists.flat_map(|h| tokens(h.value));
    // What the framing hangs on cannot be named away.
    names.any(|t| t.eq_ignore_ascii_case(name.as_bytes()))
        && !matches!(known(name), Known::ContentLength | Known::TransferEncoding | Known::Upgrade)
}

/// Whether a header that came is removed or replaced.
fn dropped(operations: &[Option<&HeaderOps>; 2], name: &str) -> bool {
    operations.iter().flatten().any(|o| {
        (!o.remove.is_empty() && o.remove.iter().any(|r| r.eq_ignore_ascii_case(name))) || (!o.set.is_empty() && o.set.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)))
    }) && !matches!(known(name), Known::ContentLength | Known::TransferEncoding)
}

fn is_host(name: &str) -> bool {
    name == "host" || name == ":authority"
}

fn set_host<'o>(operations: &[Option<&'o HeaderOps>; 2]) -> Option<&'o str> {
    operations.iter().flatten().flat_map(|o| o.set.iter().chain(&o.add)).find(|(n, _)| is_host(n)).map(|(_, v)| v.as_str())
}

fn add(out: &mut Vec<u8>, operations: &[Option<&HeaderOps>; 2]) {
    for (name, value) in operations.iter().flatten().flat_map(|o| o.set.iter().chain(&o.add)) {
        let framing = matches!(known(name), Known::ContentLength | Known::TransferEncoding | Known::Connection);
        // Values come from objects: a line end in one would begin a header of its own.
        if !is_host(name) && !framing && http::HeaderName::from_bytes(name.as_bytes()).is_ok() && http::HeaderValue::from_str(value).is_ok() {
            push_header(out, name, value.as_bytes());
        }
    }
}

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

fn push_header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
