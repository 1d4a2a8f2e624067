//! A line of the access log: what it says of a request, and how that is spelled.

use crate::sidecar::clock::civil;
use crate::sidecar::route::decision::Decision;
use crate::sidecar::route::target::Target;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::stats::metrics::cut;
use crate::table::Headers;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the access log says beside the outcome.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) protocol: &'static str,
    pub(crate) authority: String,
    pub(crate) forwarded_for: String,
    pub(crate) user_agent: String,
    pub(crate) request_id: String,
    pub(crate) cluster: String,
    pub(crate) upstream: String,
    /// Our end of the connection to the upstream, and of the client's.
    pub(crate) upstream_local: String,
    pub(crate) local: String,
    pub(crate) downstream: String,
    /// Name of the route; empty where it has none.
    pub(crate) route: String,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Milliseconds until the upstream's head.
    pub(crate) upstream_ms: Option<u128>,
    /// Envoy's `RESPONSE_CODE_DETAILS`, where the flag alone does not tell them.
    pub(crate) details: Option<&'static str>,
}

/// Both ends of a client's connection, for the access log.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) from: SocketAddr,
    pub(crate) at: Option<SocketAddr>,
}

/// Most bytes of one field of the access log: a client decides how long they are, and a line waits in memory until it is written.
const MAX_FIELD: usize = 1024;

impl Line {
    /// Of a request that cannot be read.
    pub(crate) fn unread(ends: Ends) -> Line {
        let local = ends.at.map(|at| at.to_string()).unwrap_or_default();
        Line { downstream: ends.from.to_string(), local, protocol: "HTTP/1.1", ..Line::default() }
    }

    /// What is known of a request from its beginning.
    pub(crate) fn of(
        method: &str,
        target: &Target<'_>,
        protocol: &'static str,
        headers: &dyn Headers,
        decision: &Decision,
        ends: Ends,
    ) -> Line {
        let value = |name: &str| cut(&headers.value(name).unwrap_or_default(), MAX_FIELD);
        let (mut path, mut authority, mut route) = (target.path, target.authority, "");
        match decision {
            Decision::Forward(plan) => {
                path = plan.original.as_deref().or(plan.target.as_deref()).unwrap_or(path);
                let by = plan.route();
                authority = by.and_then(|r| r.rewrite.authority.as_deref()).unwrap_or(authority);
                route = by.map_or("default", |r| &r.name);
            }
            Decision::Reply(reply) => route = reply.via.as_ref().map_or("", |via| &via.route().name),
            Decision::Tunnel(_) => {}
        }
        Line {
            method: cut(method, MAX_FIELD),
            path: cut(path, MAX_FIELD),
            protocol,
            authority: cut(authority, MAX_FIELD),
            forwarded_for: value("x-forwarded-for"),
            user_agent: value("user-agent"),
            request_id: value("x-request-id"),
            route: cut(route, MAX_FIELD),
            ..Line::unread(ends)
        }
    }
}

/// How a request ended.
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) flag: Flag,
    /// The answer is an upstream's.
    pub(crate) from_upstream: bool,
    pub(crate) took: Duration,
}

impl Outcome {
    /// Envoy's `RESPONSE_CODE_DETAILS`.
    fn details(&self, protocol: &str) -> &'static str {
        match self.flag {
            Flag::DC => "downstream_remote_disconnect",
            Flag::DR => "http2.remote_reset",
            Flag::None | Flag::DI if self.from_upstream => "via_upstream",
            Flag::None | Flag::DI => "direct_response",
            Flag::UH => "no_healthy_upstream",
            Flag::UF => "upstream_reset_before_response_started{remote_connection_failure}",
            Flag::UO => "upstream_reset_before_response_started{overflow}",
            Flag::UC if self.from_upstream => "upstream_reset_after_response_started{connection_termination}",
            Flag::UC => "upstream_reset_before_response_started{connection_termination}",
            Flag::UR if self.from_upstream => "upstream_reset_after_response_started{remote_reset}",
            Flag::UR => "upstream_reset_before_response_started{remote_reset}",
            Flag::UT => "response_timeout",
            Flag::UPE => "upstream_reset_before_response_started{protocol_error}",
            Flag::NR => "route_not_found",
            Flag::NC => "cluster_not_found",
            Flag::DPE if protocol == "HTTP/2" => "http2.invalid.header.field",
            Flag::DPE => "http1.codec_error",
            Flag::SI => "request_overall_timeout",
            Flag::FI => "fault_filter_abort",
        }
    }
}

/// Spells a line, with its end.
pub(crate) fn spelled(line: &Line, outcome: &Outcome, now: SystemTime) -> String {
    let upstream_ms = line.upstream_ms.map_or("-".to_string(), |ms| ms.to_string());
    let mut out = String::with_capacity(400);
    let _ = write!(out, "[{}] \"", timestamp(now.checked_sub(outcome.took).unwrap_or(now)));
    for (text, after) in [(&line.method, " "), (&line.path, " ")] {
        push(&mut out, text, after);
    }
    let (flag, took) = (outcome.flag.text(), outcome.took.as_millis());
    let _ = write!(
        out,
        "{}\" {} {flag} {} - \"-\" {} {} {took} {upstream_ms} \"",
        line.protocol,
        outcome.status,
        line.details.unwrap_or_else(|| outcome.details(line.protocol)),
        line.received,
        line.sent,
    );
    for (text, after) in [
        (&line.forwarded_for, "\" \""),
        (&line.user_agent, "\" \""),
        (&line.request_id, "\" \""),
        (&line.authority, "\" \""),
        (&line.upstream, "\" "),
        (&line.cluster, " "),
        (&line.upstream_local, " "),
        (&line.local, " "),
        (&line.downstream, " - "),
        (&line.route, "\n"),
    ] {
        push(&mut out, text, after);
    }
    out
}

/// A client's words must neither end a field nor a line.
fn push(out: &mut String, text: &str, after: &str) {
    if text.is_empty() {
        out.push('-');
    }
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push_str(after);
}

/// RFC 3339 with milliseconds, in UTC.
fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = ((since.as_secs() / 86_400) as i64, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_istios() {
        let line = Line {
            method: "GET".into(),
            path: "/env/version".into(),
            protocol: "HTTP/1.1",
            authority: "flaskapp:7777".into(),
            user_agent: "curl/8".into(),
            request_id: "id".into(),
            cluster: "outbound|7777|v1|flaskapp.istio-app.svc.cluster.local".into(),
            upstream: "127.64.0.2:7777".into(),
            downstream: "127.64.0.4:1".into(),
            sent: 2,
            upstream_ms: Some(3),
            ..Line::default()
        };
        let at = UNIX_EPOCH + Duration::from_millis(1_763_850_634_005);
        let outcome = Outcome { status: 200, flag: Flag::None, from_upstream: true, took: Duration::from_millis(4) };
        let text = spelled(&line, &outcome, at);
        assert_eq!(
            text,
            "[2025-11-22T22:30:34.001Z] \"GET /env/version HTTP/1.1\" 200 - via_upstream - \"-\" 0 2 4 3 \"-\" \"curl/8\" \"id\" \"flaskapp:7777\" \
             \"127.64.0.2:7777\" outbound|7777|v1|flaskapp.istio-app.svc.cluster.local - - 127.64.0.4:1 - -\n"
        );
        let forged = Line { user_agent: "a\" \\ \r\n[2025] \u{1b}".into(), ..Line::default() };
        assert!(
            spelled(&forged, &outcome, at).contains(" \"a\\\" \\\\ \\x0d\\x0a[2025] \\x1b\" "),
            "{}",
            spelled(&forged, &outcome, at)
        );
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(951_782_400)), "2000-02-29T00:00:00.000Z");
    }
}
