//! Answers of the sidecar's own.

use super::changes::change;
use super::clock;
use super::exchange::Downstream;
use super::flag::Flag;
use super::metrics::Peer;
use super::outbound::Via;
use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An answer of the sidecar's own.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) flag: Flag,
    pub(crate) body: Cow<'static, str>,
    pub(crate) location: Option<String>,
    pub(crate) peer: Peer,
    /// The route that was met: its changes to responses are made to this one, too.
    pub(crate) via: Option<Via>,
    /// Waited before it is given (fault injection).
    pub(crate) delay: Option<Duration>,
    /// The host that the table lacks, if that is the reason.
    pub(crate) unknown: Option<Box<str>>,
}

impl Reply {
    pub(crate) fn empty(peer: Peer) -> Reply {
        Reply::text(500, Flag::None, "", peer)
    }

    pub(crate) fn text(status: u16, flag: Flag, why: &'static str, peer: Peer) -> Reply {
        Reply { status, flag, body: why.into(), location: None, peer, via: None, delay: None, unknown: None }
    }
}

/// Writes it into `out`. `not_sent` tells the sidecar that asked that its request may be tried elsewhere.
pub(crate) fn write_reply(
    out: &mut Vec<u8>,
    reply: &Reply,
    to_head: bool,
    close: bool,
    old_keep_alive: bool,
    not_sent: bool,
) {
    out.clear();
    let reason = http::StatusCode::from_u16(reply.status).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
    let _ = write!(out, "HTTP/1.1 {} {reason}\r\n", reply.status);
    if let Some(location) = reply.location.as_deref().filter(|l| http::HeaderValue::from_str(l).is_ok()) {
        let _ = write!(out, "location: {location}\r\n");
    }
    let body = if reply.status == 204 || reply.status == 304 { "" } else { &reply.body };
    if !body.is_empty() {
        out.extend_from_slice(b"content-type: text/plain\r\n");
    }
    if reply.status != 204 && !(to_head && body.is_empty()) {
        let _ = write!(out, "content-length: {}\r\n", body.len());
    }
    if let Some(via) = &reply.via {
        out.extend_from_slice(b"\r\n");
        change(out, &via.response_changes());
        out.truncate(out.len() - 2);
    }
    clock::push_date(out);
    if reply.flag == Flag::UO {
        out.extend_from_slice(b"x-envoy-overloaded: true\r\n");
    }
    let connection = if close {
        "connection: close\r\n"
    } else if old_keep_alive {
        "connection: keep-alive\r\n"
    } else {
        ""
    };
    let _ = write!(out, "server: envoy\r\n{}{connection}\r\n", if not_sent { "x-mesh-not-sent: 1\r\n" } else { "" });
    if !to_head {
        out.extend_from_slice(body.as_bytes());
    }
}

/// Ends a connection so that the last answer is not lost to a reset: says that nothing more comes, and reads on for a moment.
pub(crate) async fn linger(down: &mut Downstream) {
    let stream = down.stream.get_mut();
    let _ = stream.shutdown().await;
    let mut sink = [0; 2048];
    let drained = async {
        for _ in 0..512 {
            if !matches!(stream.read(&mut sink).await, Ok(n) if n > 0) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), drained).await;
}
