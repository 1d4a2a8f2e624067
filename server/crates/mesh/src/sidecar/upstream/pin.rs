//! The endpoint that a client's connection has at a port which speaks no HTTP: as with a TCP proxy it is drawn once, and kept for as long
//! as it is there. A connection to `http_proxy` may carry requests for other ports as well, so the pin is one cluster's.

use super::balance::choose;
use super::routing::LiveCluster;
use std::net::SocketAddr;

/// The cluster's name and the endpoint; nothing before the first draw.
#[derive(Default)]
pub(crate) struct Pin(Option<(String, SocketAddr)>);

impl Pin {
    /// The endpoint for this cluster, drawn if there is none yet; `None` where the cluster has none.
    pub(crate) fn endpoint(&mut self, cluster: &LiveCluster, draw: u64) -> Option<SocketAddr> {
        let is_there = |at: &SocketAddr| cluster.endpoints.iter().any(|e| e.upstream.address() == *at);
        if let Some((name, at)) = &self.0
            && *name == cluster.name
            && is_there(at)
        {
            return Some(*at);
        }
        let drawn = choose(cluster, draw, None, &[]).map(|endpoint| endpoint.upstream.address());
        self.0 = drawn.map(|at| (cluster.name.clone(), at));
        drawn
    }

    /// The endpoint did not answer: a client would connect anew, and may come to another one.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}
