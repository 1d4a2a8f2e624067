//! Heads of HTTP/1.1 as they are sent on, byte by byte from the borrowed view of the one that came.

use super::header_rules::{Answered, RequestRules, ResponseRules, says_its_length, sent_authority};
use crate::sidecar::headers::known::{Known, known};
use crate::sidecar::headers::list::{HeaderList, Lines};
use crate::sidecar::route::decision::Plan;
use crate::sidecar::shared::Shared;
use http1::{Framing, Header, Request, Response, tokens};
use std::borrow::Cow;

impl crate::table::Headers for Request<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        crate::table::joined(name, self.values(name))
    }

    fn any(&self, name: &str, fits: &dyn Fn(&str) -> bool) -> Option<bool> {
        if name == "cookie" {
            return self.value(name).map(|v| fits(&v));
        }
        crate::table::any_of(self.values(name), fits)
    }
}

/// Writes the head that goes upstream.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    shared: &Shared,
    request: &Request<'_>,
    authority: &str,
    path: &str,
    plan: &Plan,
) {
    out.clear();
    let old = request.version == 0;
    let target = plan.target.as_deref().unwrap_or(path);
    let version = if old { " HTTP/1.0\r\nhost: " } else { " HTTP/1.1\r\nhost: " };
    push(out, &[request.method, " ", target, version, sent_authority(plan, authority), "\r\n"]);
    let mut lines = Lines::behind(out);
    let mut rules = RequestRules::new(shared, plan, request.upgrade);
    for header in request.headers {
        let is_named = || request.connection_names_more && named_by_connection(request.headers, header.name);
        if rules.keeps(header.name, header.value, is_named) {
            lines.append(header.name, header.value);
        }
    }
    let has_no_body = request.framing == Framing::Done && !request.upgrade && !old;
    if says_its_length(request.method) && !rules.has_length && has_no_body {
        lines.append("content-length", b"0");
    }
    if request.upgrade {
        lines.append("connection", b"upgrade");
    }
    if old {
        // An old client's answer must not come in chunks: ask as it asked.
        lines.append("connection", b"close");
    }
    rules.finish(&mut lines, authority);
    out.extend_from_slice(b"\r\n");
}

/// Tells the next try's number in a head that was written for the one before.
pub(crate) fn number_try(head: &mut Vec<u8>, number: u32) {
    let before: &[u8] = b"\r\nx-envoy-attempt-count: ";
    let end = memchr::memmem::find(head, b"\r\n\r\n").unwrap_or(head.len());
    let Some(at) = memchr::memmem::find(&head[..end], before).map(|at| at + before.len()) else { return };
    let digits = head[at..].iter().take_while(|c| c.is_ascii_digit()).count();
    head.splice(at..at + digits, number.to_string().into_bytes());
}

/// How a response is written.
pub(crate) struct ResponseStyle {
    /// The connection ends after it.
    pub(crate) close: bool,
    /// It is `101 Switching Protocols`.
    pub(crate) upgrade: bool,
    /// The client speaks HTTP/1.0 and keeps the connection.
    pub(crate) old_keep_alive: bool,
}

/// Writes the head that goes back.
pub(crate) fn write_response(
    out: &mut Vec<u8>,
    response: &Response<'_>,
    answered: &Answered<'_>,
    style: &ResponseStyle,
) {
    out.clear();
    let mut status = itoa::Buffer::new();
    push(out, &["HTTP/1.1 ", status.format(response.status), " ", response.reason, "\r\n"]);
    let mut lines = Lines::behind(out);
    let mut rules = ResponseRules::new(answered, style.upgrade);
    for header in response.headers {
        let is_named = || response.connection_names_more && named_by_connection(response.headers, header.name);
        if rules.keeps(header.name, is_named) {
            lines.append(header.name, header.value);
        }
    }
    if response.chunked {
        lines.append("transfer-encoding", b"chunked");
    }
    rules.finish(&mut lines);
    out.extend_from_slice(match (style.upgrade, style.close, style.old_keep_alive) {
        (true, ..) => b"connection: upgrade\r\n\r\n",
        (_, true, _) => b"connection: close\r\n\r\n",
        (_, _, true) => b"connection: keep-alive\r\n\r\n",
        _ => b"\r\n",
    });
}

fn named_by_connection(headers: &[Header<'_>], name: &str) -> bool {
    let lists = headers.iter().filter(|h| known(h.name) == Known::Connection);
    let mut names = lists.flat_map(|h| tokens(h.value));
    names.any(|t| t.eq_ignore_ascii_case(name.as_bytes()))
}

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}
