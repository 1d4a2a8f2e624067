//! The heads a sidecar writes: what it adds, what it keeps, what it strips.

use super::changes::{change, set_host};
use super::clock;
use super::http1::{Framing, Known, Request, Response, known, tokens};
use super::outbound::{Plan, Via};
use super::shared::Shared;
use super::spell::{push_decimal, push_hex, push_uuid};
use crate::table::{Route, is_visible};
use std::io::Write;
use std::time::Duration;

/// Which side of the pod a request crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Inbound,
    Outbound,
}

/// Writes the head that goes upstream.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    shared: &Shared,
    direction: Direction,
    request: &Request<'_>,
    authority: &str,
    path: &str,
    plan: &Plan,
) {
    out.clear();
    let route = plan.via.as_ref().map(Via::route);
    let authority_before = authority;
    let authority = route.and_then(|r| r.rewrite.authority.as_deref()).filter(|a| is_visible(a)).unwrap_or(authority);
    let operations = plan.via.as_ref().map(Via::request_changes);
    let new_host = operations.as_ref().and_then(set_host).unwrap_or(authority);
    push(
        out,
        &[
            request.method,
            " ",
            plan.target.as_deref().unwrap_or(path),
            if request.version == 0 { " HTTP/1.0\r\nhost: " } else { " HTTP/1.1\r\nhost: " },
            new_host,
            "\r\n",
        ],
    );
    let (mut has_id, mut has_trace, mut has_span, mut has_sampled, mut has_proto, mut has_length) =
        (false, false, false, false, false, false);
    for header in request.headers {
        match known(header.name) {
            // A metadata header from the app would be forged; towards the app it is nobody's business.
            Known::Host
            | Known::Connection
            | Known::Hop
            | Known::Expect
            | Known::PeerMetadata
            | Known::NotSent
            | Known::Internal => continue,
            // What the next hop reads of the way here: only the sidecar on the way out may say it.
            Known::Attempt if direction == Direction::Outbound => continue,
            Known::OriginalPath if plan.original.is_some() => continue,
            Known::Te if !header.value.eq_ignore_ascii_case(b"trailers") => continue,
            Known::Upgrade if !request.upgrade => continue,
            _ if request.connection_names_more && named_by_connection(request.headers, header.name) => continue,
            Known::ContentLength => has_length = true,
            Known::RequestId => has_id = true,
            Known::TraceId => has_trace = true,
            Known::SpanId => has_span = true,
            Known::Sampled => has_sampled = true,
            // All of a trace in one header.
            Known::B3 => (has_trace, has_span) = (true, true),
            Known::ForwardedProto => has_proto = true,
            _ => {}
        }
        push_header(out, header.name, header.value);
    }
    // Without it a server could wait for a body (RFC 9110, 8.6).
    let may_have_body = !matches!(request.method, "GET" | "HEAD" | "DELETE" | "TRACE" | "CONNECT");
    if may_have_body && !has_length && request.framing == Framing::Done && !request.upgrade && request.version == 1 {
        out.extend_from_slice(b"content-length: 0\r\n");
    }
    if request.upgrade {
        out.extend_from_slice(b"connection: upgrade\r\n");
    }
    if request.version == 0 {
        // An old client's answer must not come in chunks: ask as it asked.
        out.extend_from_slice(b"connection: close\r\n");
    }
    if !has_id {
        out.extend_from_slice(b"x-request-id: ");
        push_uuid(out, [shared.draw(), shared.draw()]);
        out.extend_from_slice(b"\r\n");
    }
    if direction == Direction::Outbound {
        if !has_trace {
            let (a, b) = (shared.draw(), shared.draw());
            out.extend_from_slice(b"x-b3-traceid: ");
            push_hex(out, a, 16);
            push_hex(out, b, 16);
            // What the client said of a trace without a name stays true of the one that is begun here.
            if !has_span {
                out.extend_from_slice(b"\r\nx-b3-spanid: ");
                push_hex(out, b, 16);
            }
            out.extend_from_slice(if has_sampled { b"\r\n" } else { b"\r\nx-b3-sampled: 0\r\n" });
        }
        if !has_proto {
            out.extend_from_slice(b"x-forwarded-proto: http\r\n");
        }
        push(out, &["x-envoy-peer-metadata: ", &shared.metadata, "\r\n", ATTEMPT, "1\r\n"]);
        if let Some(route) = route {
            told_of_route(out, route, plan, authority_before);
        }
    }
    out.extend_from_slice(b"\r\n");
    if let Some(operations) = &operations {
        change(out, operations);
    }
}

const ATTEMPT: &str = "x-envoy-attempt-count: ";

/// What Envoy tells an upstream of the route: what was rewritten, and how long it may take.
fn told_of_route(out: &mut Vec<u8>, route: &Route, plan: &Plan, authority: &str) {
    if let Some(path) = &plan.original {
        push(out, &["x-envoy-original-path: ", path, "\r\n"]);
    }
    if route.rewrite.authority.is_some() {
        push(out, &["x-envoy-original-host: ", authority, "\r\n"]);
    }
    let per_try = route.retries.as_ref().and_then(|r| r.per_try_timeout_ms);
    if let Some(ms) = [per_try, route.timeout_ms].into_iter().flatten().min() {
        let _ = write!(out, "x-envoy-expected-rq-timeout-ms: {ms}\r\n");
    }
}

/// Tells the next try's number in a head that was written for the one before.
pub(crate) fn number_try(head: &mut Vec<u8>, number: u32) {
    let end = memchr::memmem::find(head, b"\r\n\r\n").unwrap_or(head.len());
    let Some(at) = memchr::memmem::find(&head[..end], b"\r\nx-envoy-attempt-count: ").map(|at| at + 2 + ATTEMPT.len())
    else {
        return;
    };
    let digits = head[at..].iter().take_while(|c| c.is_ascii_digit()).count();
    head.splice(at..at + digits, number.to_string().into_bytes());
}

/// How a response is written.
pub(crate) struct ResponseStyle<'a> {
    pub(crate) direction: Direction,
    pub(crate) via: Option<&'a Via>,
    pub(crate) set_cookie: Option<&'a str>,
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
    let (mut has_date, mut has_length) = (false, false);
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, response.status.into());
    push(out, &[" ", response.reason, "\r\n"]);
    for header in response.headers {
        match known(header.name) {
            Known::Connection | Known::Hop | Known::TransferEncoding | Known::ServiceTime => continue,
            Known::NotSent | Known::PeerMetadata | Known::Server => continue,
            Known::Upgrade if !style.upgrade => continue,
            _ if response.connection_names_more && named_by_connection(response.headers, header.name) => continue,
            // Twice the same is one.
            Known::ContentLength if std::mem::replace(&mut has_length, true) => continue,
            Known::Date => has_date = true,
            _ => {}
        }
        push_header(out, header.name, header.value);
    }
    if response.chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    let server = if style.direction == Direction::Inbound { "istio-envoy" } else { "envoy" };
    out.extend_from_slice(b"x-envoy-upstream-service-time: ");
    push_decimal(out, u64::try_from(style.took.as_millis()).unwrap_or(u64::MAX));
    out.extend_from_slice(b"\r\n");
    if let Some(cookie) = style.set_cookie {
        push(out, &["set-cookie: ", cookie, "\r\n"]);
    }
    if let Some(via) = style.via {
        out.extend_from_slice(b"\r\n");
        change(out, &via.response_changes());
        out.truncate(out.len() - 2);
    }
    push(out, &["server: ", server, "\r\n"]);
    if !has_date {
        clock::push_date(out);
    }
    out.extend_from_slice(match (style.upgrade, style.close, style.old_keep_alive) {
        (true, ..) => b"connection: upgrade\r\n\r\n",
        (_, true, _) => b"connection: close\r\n\r\n",
        (_, _, true) => b"connection: keep-alive\r\n\r\n",
        _ => b"\r\n",
    });
}

fn named_by_connection(headers: &[httparse::Header<'_>], name: &str) -> bool {
    let lists = headers.iter().filter(|h| known(h.name) == Known::Connection);
    let mut names = lists.flat_map(|h| tokens(h.value));
    // What the framing hangs on cannot be named away.
    names.any(|t| t.eq_ignore_ascii_case(name.as_bytes()))
        && !matches!(known(name), Known::ContentLength | Known::TransferEncoding | Known::Upgrade)
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
