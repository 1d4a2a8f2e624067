//! What is decided about a request before anything is sent: an answer of the sidecar's own, or where the request goes and how.

use crate::sidecar::headers::ops::Levels;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::stats::metrics::Peer;
use crate::sidecar::upstream::routing::{LiveCluster, LiveHost};
use crate::table::{Action, Destination, Retries, Route};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What is to be done with a request.
pub(crate) enum Decision {
    Reply(Reply),
    Forward(Plan),
    /// CONNECT: bytes to an endpoint of this cluster.
    Tunnel(Arc<LiveCluster>),
}

impl Decision {
    /// Takes the names of the hosts that the table lacks.
    pub(crate) fn take_unknown(&mut self) -> Box<[Box<str>]> {
        match self {
            Decision::Reply(reply) => std::mem::take(&mut reply.unknown),
            Decision::Forward(plan) => std::mem::take(&mut plan.unknown),
            Decision::Tunnel(_) => Box::default(),
        }
    }
}

/// Which side of the pod a request crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Inbound,
    Outbound,
}

/// Where a request goes and how.
pub(crate) struct Plan {
    pub(crate) direction: Direction,
    pub(crate) cluster: Arc<LiveCluster>,
    /// The VirtualService's route it goes by; `None` for plain balancing.
    pub(crate) via: Option<Via>,
    /// Path and query, where they are not sent as they came.
    pub(crate) target: Option<String>,
    /// Path and query before they were rewritten.
    pub(crate) original: Option<String>,
    /// Key of consistent hashing.
    pub(crate) hash: Option<u64>,
    /// The cookie that the key was made up for.
    pub(crate) set_cookie: Option<String>,
    /// Waited before anything is sent (fault injection).
    pub(crate) delay: Option<Duration>,
    /// Who gets a copy.
    pub(crate) mirrors: Vec<Arc<LiveCluster>>,
    /// Hosts that the table lacks: with one of them the request may go elsewhere.
    pub(crate) unknown: Box<[Box<str>]>,
    /// The port speaks no HTTP: what was sent goes on as it came, to one endpoint for each connection of the client.
    pub(crate) tcp: bool,
    /// That endpoint.
    pub(crate) endpoint: Option<SocketAddr>,
}

static DEFAULT_RETRIES: LazyLock<Retries> = LazyLock::new(Retries::default);

impl Plan {
    pub(crate) fn route(&self) -> Option<&Route> {
        self.via.as_ref().map(Via::route)
    }

    /// What is tried again, and how often: as the route says, else on the way out Istio's default.
    pub(crate) fn retries(&self) -> Option<&Retries> {
        if self.tcp {
            return None;
        }
        match self.route() {
            Some(route) => Some(route.retries.as_ref().unwrap_or(&DEFAULT_RETRIES)),
            None => (self.direction == Direction::Outbound).then_some(&*DEFAULT_RETRIES),
        }
    }

    /// Istio leaves Envoy's retries on the endpoint that the key leads to, where a route has one destination.
    pub(crate) fn keeps_to_its_endpoint(&self) -> bool {
        self.cluster.policy.balance.is_consistent()
            && self.route().is_some_and(|r| matches!(&r.action, Action::Forward(to) if to.len() == 1))
    }
}

/// A route and one of its destinations, without copying them.
#[derive(Clone)]
pub(crate) struct Via {
    pub(crate) host: Arc<LiveHost>,
    pub(crate) route: usize,
    pub(crate) destination: usize,
}

impl std::fmt::Debug for Via {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}][{}]", self.host.name, self.route, self.destination)
    }
}

impl Via {
    /// What is done to a request's headers.
    pub(crate) fn request_changes(&self) -> Levels<'_> {
        [self.destination().map(|d| &d.headers.request), Some(&self.route().headers.request)]
    }

    /// What is done to a response's headers.
    pub(crate) fn response_changes(&self) -> Levels<'_> {
        [self.destination().map(|d| &d.headers.response), Some(&self.route().headers.response)]
    }

    pub(crate) fn route(&self) -> &Route {
        &self.host.host.routes[self.route]
    }

    pub(crate) fn destination(&self) -> Option<&Destination> {
        match &self.route().action {
            Action::Forward(all) => all.get(self.destination),
            _ => None,
        }
    }
}

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
    /// Hosts that the table lacks: with one of them the answer may be another.
    pub(crate) unknown: Box<[Box<str>]>,
    /// Tells the sidecar that asked that nothing was sent: its request may be tried elsewhere.
    pub(crate) not_sent: bool,
}

impl Reply {
    pub(crate) fn empty(peer: Peer) -> Reply {
        Reply::text(500, Flag::None, "", peer)
    }

    pub(crate) fn text(status: u16, flag: Flag, why: &'static str, peer: Peer) -> Reply {
        Reply {
            status,
            flag,
            body: why.into(),
            location: None,
            peer,
            via: None,
            delay: None,
            unknown: Box::default(),
            not_sent: false,
        }
    }
}
