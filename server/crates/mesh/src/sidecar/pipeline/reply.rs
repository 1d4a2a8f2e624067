//! Answers of the sidecar's own, as they are written.

use crate::sidecar::clock;
use crate::sidecar::headers::list::{HeaderList, Lines};
use crate::sidecar::headers::ops::{Of, apply};
use crate::sidecar::route::decision::Reply;
use crate::sidecar::stats::flag::Flag;
use http::{HeaderMap, HeaderValue, StatusCode};
use std::io::Write;

/// What of the text is sent.
pub(crate) fn body_of(reply: &Reply, to_head: bool) -> &str {
    if to_head { "" } else { said(reply) }
}

fn said(reply: &Reply) -> &str {
    if reply.status == 204 || reply.status == 304 { "" } else { &reply.body }
}

/// Adds its headers. `of_stream`: HTTP/2 needs no length to say that there is no text.
fn write_headers(to: &mut impl HeaderList, reply: &Reply, to_head: bool, of_stream: bool) {
    if let Some(location) = reply.location.as_deref().filter(|l| HeaderValue::from_str(l).is_ok()) {
        to.append("location", location.as_bytes());
    }
    let text = said(reply);
    if !text.is_empty() {
        to.append("content-type", b"text/plain");
    }
    if reply.status != 204 && !((to_head || of_stream) && text.is_empty()) {
        to.append("content-length", itoa::Buffer::new().format(text.len()).as_bytes());
    }
    if let Some(via) = &reply.via {
        apply(to, &via.response_changes(), Of::Response);
    }
    clock::with_date(|date| to.append("date", date));
    if reply.flag == Flag::UO {
        to.append("x-envoy-overloaded", b"true");
    }
    to.append("server", b"envoy");
    if reply.not_sent {
        to.append("x-mesh-not-sent", b"1");
    }
}

/// Writes it as HTTP/1.1 into `out`.
pub(crate) fn write_reply(out: &mut Vec<u8>, reply: &Reply, to_head: bool, close: bool, old_keep_alive: bool) {
    out.clear();
    let reason = StatusCode::from_u16(reply.status).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
    let _ = write!(out, "HTTP/1.1 {} {reason}\r\n", reply.status);
    let mut lines = Lines::behind(out);
    write_headers(&mut lines, reply, to_head, false);
    match (close, old_keep_alive) {
        (true, _) => lines.append("connection", b"close"),
        (_, true) => lines.append("connection", b"keep-alive"),
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body_of(reply, to_head).as_bytes());
}

/// Its status and headers, for hyper.
pub(crate) fn reply_head(reply: &Reply, to_head: bool) -> (StatusCode, HeaderMap) {
    let mut headers = HeaderMap::new();
    write_headers(&mut headers, reply, to_head, true);
    (StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers)
}
