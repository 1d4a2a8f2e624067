//! What a sidecar adds to heads, keeps and strips: written once, for lines of HTTP/1.1 and for hyper's maps.

use crate::sidecar::clock;
use crate::sidecar::headers::ids::{hex, hex128, uuid};
use crate::sidecar::headers::known::{Known, known};
use crate::sidecar::headers::list::HeaderList;
use crate::sidecar::headers::ops::{Of, apply, set_host};
use crate::sidecar::route::decision::{Direction, Plan, Via};
use crate::sidecar::shared::Shared;
use crate::table::is_visible;
use std::time::Duration;

/// The number of the try, for the upstream.
pub(crate) const ATTEMPT: &str = "x-envoy-attempt-count";

/// Whose the request is once it is sent on: as it came, as the route rewrites it, or as the route's changes set it.
pub(crate) fn sent_authority<'a>(plan: &'a Plan, authority: &'a str) -> &'a str {
    let rewritten = plan.route().and_then(|r| r.rewrite.authority.as_deref()).filter(|a| is_visible(a));
    let set = plan.via.as_ref().and_then(|via| set_host(&via.request_changes()));
    set.or(rewritten).unwrap_or(authority)
}

/// Whether a request of this method says its length even where it has no body: without it a server could wait for one (RFC 9110, 8.6).
pub(crate) fn says_its_length(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD" | "DELETE" | "TRACE" | "CONNECT")
}

/// A request's headers on their way: which go on, and what is added to them.
pub(crate) struct RequestRules<'r> {
    shared: &'r Shared,
    plan: &'r Plan,
    upgrade: bool,
    has_id: bool,
    has_trace: bool,
    has_span: bool,
    has_sampled: bool,
    has_proto: bool,
    pub(crate) has_length: bool,
}

impl<'r> RequestRules<'r> {
    /// `upgrade`: it asks for another protocol, and may have it.
    pub(crate) fn new(shared: &'r Shared, plan: &'r Plan, upgrade: bool) -> RequestRules<'r> {
        RequestRules {
            shared,
            plan,
            upgrade,
            has_id: false,
            has_trace: false,
            has_span: false,
            has_sampled: false,
            has_proto: false,
            has_length: false,
        }
    }

    /// Whether a header goes on. `is_named`: `Connection` names it.
    pub(crate) fn keeps(&mut self, name: &str, value: &[u8], is_named: impl FnOnce() -> bool) -> bool {
        let known = known(name);
        match known {
            Known::Attempt | Known::PeerMetadata | Known::NotSent | Known::Internal if self.plan.tcp => return true,
            // A metadata header from the app would be forged; towards the app it is nobody's business.
            Known::Host
            | Known::Connection
            | Known::Hop
            | Known::Expect
            | Known::PeerMetadata
            | Known::NotSent
            | Known::Internal => return false,
            // What the next hop reads of the way here: only the sidecar on the way out may say it.
            Known::Attempt if self.plan.direction == Direction::Outbound => return false,
            Known::OriginalPath if self.plan.original.is_some() => return false,
            Known::Te if !value.eq_ignore_ascii_case(b"trailers") => return false,
            Known::Upgrade if !self.upgrade => return false,
            _ if may_be_named(known) && is_named() => return false,
            Known::ContentLength => self.has_length = true,
            Known::RequestId => self.has_id = true,
            Known::TraceId => self.has_trace = true,
            Known::SpanId => self.has_span = true,
            Known::Sampled => self.has_sampled = true,
            // All of a trace in one header.
            Known::B3 => (self.has_trace, self.has_span) = (true, true),
            Known::ForwardedProto => self.has_proto = true,
            _ => {}
        }
        true
    }

    /// Adds what is missing, and makes the route's changes. `authority` is the request's own.
    pub(crate) fn finish(&self, to: &mut impl HeaderList, authority: &str) {
        if self.plan.tcp {
            return;
        }
        let shared = self.shared;
        if !self.has_id {
            to.append("x-request-id", &uuid([shared.draw(), shared.draw()]));
        }
        if self.plan.direction == Direction::Outbound {
            if !self.has_trace {
                let (a, b) = (shared.draw(), shared.draw());
                to.append("x-b3-traceid", &hex128([a, b]));
                // What the client said of a trace without a name stays true of the one that is begun here.
                if !self.has_span {
                    to.append("x-b3-spanid", &hex::<16>(b));
                }
                if !self.has_sampled {
                    to.append("x-b3-sampled", b"0");
                }
            }
            if !self.has_proto {
                to.append("x-forwarded-proto", b"http");
            }
            to.append("x-envoy-peer-metadata", shared.metadata.as_bytes());
            to.append(ATTEMPT, b"1");
            self.tell_of_route(to, authority);
        }
        if let Some(via) = &self.plan.via {
            apply(to, &via.request_changes(), Of::Request);
        }
    }

    /// What Envoy tells an upstream of the route: what was rewritten, and how long it may take.
    fn tell_of_route(&self, to: &mut impl HeaderList, authority: &str) {
        let Some(route) = self.plan.route() else { return };
        if let Some(path) = &self.plan.original {
            to.append("x-envoy-original-path", path.as_bytes());
        }
        if route.rewrite.authority.is_some() {
            to.append("x-envoy-original-host", authority.as_bytes());
        }
        let per_try = route.retries.as_ref().and_then(|r| r.per_try_timeout_ms);
        if let Some(ms) = [per_try, route.timeout_ms].into_iter().flatten().min() {
            to.append("x-envoy-expected-rq-timeout-ms", itoa::Buffer::new().format(ms).as_bytes());
        }
    }
}

/// What is added to an upstream's answer.
pub(crate) struct Answered<'a> {
    /// The port speaks no HTTP: nothing is added or taken away.
    pub(crate) tcp: bool,
    pub(crate) direction: Direction,
    pub(crate) via: Option<&'a Via>,
    /// A cookie for the client, so that it comes to the same endpoint again.
    pub(crate) set_cookie: Option<&'a str>,
    /// Time from the request to this head.
    pub(crate) took: Duration,
}

/// A response's headers on their way back.
pub(crate) struct ResponseRules<'a> {
    answered: &'a Answered<'a>,
    /// It is `101 Switching Protocols`.
    upgrade: bool,
    has_date: bool,
    has_length: bool,
}

impl<'a> ResponseRules<'a> {
    pub(crate) fn new(answered: &'a Answered<'a>, upgrade: bool) -> ResponseRules<'a> {
        ResponseRules { answered, upgrade, has_date: false, has_length: false }
    }

    /// Whether a header goes back. `is_named`: `Connection` names it.
    pub(crate) fn keeps(&mut self, name: &str, is_named: impl FnOnce() -> bool) -> bool {
        let (known, answered) = (known(name), self.answered);
        match known {
            Known::Connection | Known::Hop | Known::TransferEncoding => return false,
            Known::ServiceTime | Known::NotSent | Known::PeerMetadata | Known::Server if answered.tcp => return true,
            Known::ServiceTime | Known::NotSent | Known::PeerMetadata | Known::Server => return false,
            Known::Upgrade if !self.upgrade => return false,
            _ if may_be_named(known) && is_named() => return false,
            // Twice the same is one.
            Known::ContentLength => return !std::mem::replace(&mut self.has_length, true),
            Known::Date => self.has_date = true,
            _ => {}
        }
        true
    }

    /// Adds what is the proxy's, and makes the route's changes.
    pub(crate) fn finish(&self, to: &mut impl HeaderList) {
        let answered = self.answered;
        if answered.tcp {
            return;
        }
        let took = u64::try_from(answered.took.as_millis()).unwrap_or(u64::MAX);
        to.append("x-envoy-upstream-service-time", itoa::Buffer::new().format(took).as_bytes());
        if let Some(cookie) = answered.set_cookie {
            to.append("set-cookie", cookie.as_bytes());
        }
        if let Some(via) = answered.via {
            apply(to, &via.response_changes(), Of::Response);
        }
        let server: &[u8] = if answered.direction == Direction::Inbound { b"istio-envoy" } else { b"envoy" };
        to.append("server", server);
        if !self.has_date {
            clock::with_date(|date| to.append("date", date));
        }
    }
}

/// What the framing hangs on cannot be named away by `Connection`.
fn may_be_named(known: Known) -> bool {
    !matches!(known, Known::ContentLength | Known::TransferEncoding | Known::Upgrade)
}
