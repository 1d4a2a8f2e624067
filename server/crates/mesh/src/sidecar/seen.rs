//! What is known of a request while it is under way; recorded once, at its end, whatever happened.

use super::access_log::Outcome;
use super::flag::Flag;
use super::metrics::{Peer, cut};
use super::outbound::{Decision, Target, Via};
use super::shared::Shared;
use crate::table::Headers;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Counts on drop, so that a client that left is counted too.
pub(crate) struct Seen<'s> {
    shared: &'s Shared,
    pub(crate) started: Instant,
    pub(crate) peer: Peer,
    /// 0 until there is an answer.
    pub(crate) status: u16,
    pub(crate) flag: Flag,
    /// What the upstream said in the present try; 0 until it does.
    pub(crate) upstream_status: u16,
    /// Only where an access log is kept.
    pub(crate) line: Option<Box<Line>>,
}

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
    /// What the client speaks, where this sidecar itself put its request into HTTP/1.1.
    pub(crate) protocol: Option<&'static str>,
}

/// Most bytes of one field of the access log: a client decides how long they are, and a line waits in memory until it is written.
const MAX_FIELD: usize = 1024;

impl Line {
    /// Of a request that cannot be read.
    pub(crate) fn unread(ends: Ends) -> Line {
        let local = ends.at.map(|at| at.to_string()).unwrap_or_default();
        Line {
            downstream: ends.from.to_string(),
            local,
            protocol: ends.protocol.unwrap_or("HTTP/1.1"),
            ..Line::default()
        }
    }

    /// What is known of a request from its beginning.
    pub(crate) fn of(
        method: &str,
        target: &Target<'_>,
        protocol: &'static str,
        headers: &dyn Headers,
        decision: Option<&Decision>,
        ends: Ends,
    ) -> Line {
        let value = |name: &str| cut(&headers.value(name).unwrap_or_default(), MAX_FIELD);
        let (mut path, mut authority, mut route) = (target.path, target.authority, "");
        match decision {
            Some(Decision::Forward(plan)) => {
                path = plan.original.as_deref().or(plan.target.as_deref()).unwrap_or(path);
                let by = plan.via.as_ref().map(Via::route);
                authority = by.and_then(|r| r.rewrite.authority.as_deref()).unwrap_or(authority);
                route = by.map_or("default", |r| &r.name);
            }
            Some(Decision::Reply(reply)) => route = reply.via.as_ref().map_or("", |via| &via.route().name),
            Some(Decision::Tunnel(_)) | None => {}
        }
        Line {
            method: cut(method, MAX_FIELD),
            path: cut(path, MAX_FIELD),
            protocol: ends.protocol.unwrap_or(protocol),
            authority: cut(authority, MAX_FIELD),
            forwarded_for: value("x-forwarded-for"),
            user_agent: value("user-agent"),
            request_id: value("x-request-id"),
            route: cut(route, MAX_FIELD),
            ..Line::unread(ends)
        }
    }
}

impl<'s> Seen<'s> {
    pub(crate) fn new(shared: &'s Shared, peer: Peer) -> Seen<'s> {
        Seen { shared, started: Instant::now(), peer, status: 0, flag: Flag::None, upstream_status: 0, line: None }
    }

    pub(crate) fn took(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes the outcome; the first flag stays.
    pub(crate) fn answer(&mut self, status: u16, flag: Flag) {
        self.status = status;
        if flag != Flag::None {
            self.flag = flag;
        }
    }
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        let took = self.took();
        let flag = if self.status == 0 { Flag::DC } else { self.flag };
        self.shared.metrics.record(self.peer, self.status, flag, took);
        if let Some((line, log)) = self.line.as_ref().zip(self.shared.log.as_ref()) {
            log.print(line, &Outcome { status: self.status, flag, from_upstream: self.upstream_status > 0, took });
        }
    }
}
