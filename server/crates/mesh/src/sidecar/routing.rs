//! The table as requests use it: names resolved for this pod, endpoints with their connections, labels of metrics spelled.

use super::metrics::{Metrics, Peer, ServiceLabels, Workload};
use super::upstream::Upstream;
use crate::config_dump::domains;
use crate::table::{Balance, Cluster, Endpoint, Host, Policy, Protocol, RouteTable};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// A table that is in use. Swapped as a whole: a request sees one of them, never half of two.
#[derive(Default)]
pub(crate) struct Routing {
    pub(crate) table: RouteTable,
    /// By full name.
    hosts: HashMap<String, Arc<LiveHost>>,
    /// By every name this pod may use.
    names: HashMap<String, Arc<LiveHost>>,
    upstreams: HashMap<SocketAddr, Arc<Upstream>>,
}

/// A host with its clusters in use.
pub(crate) struct LiveHost {
    pub(crate) name: String,
    pub(crate) host: Arc<Host>,
    clusters: Vec<Arc<LiveCluster>>,
}

/// A cluster in use.
pub(crate) struct LiveCluster {
    pub(crate) name: String,
    pub(crate) endpoints: Vec<LiveEndpoint>,
    pub(crate) policy: Policy,
    /// For requests that reach no endpoint.
    pub(crate) nobody: Peer,
    /// The Service's port speaks HTTP/2.
    pub(crate) http2: bool,
    /// Whose turn it is (round robin).
    pub(crate) turn: AtomicUsize,
}

/// An endpoint of a cluster.
#[derive(Clone)]
pub(crate) struct LiveEndpoint {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) peer: Peer,
}

impl LiveHost {
    /// The cluster of a port and subset; `None` where the port or the subset does not exist.
    pub(crate) fn cluster(&self, port: u16, subset: &str) -> Option<&Arc<LiveCluster>> {
        let at = self.host.clusters.iter().position(|c| c.port == port && c.subset == subset)?;
        self.clusters.get(at)
    }
}

impl Routing {
    /// The host of a name as a request has it: short, longer, full, or an address of a Service; in lower case, without port.
    pub(crate) fn resolve(&self, name: &str) -> Option<&Arc<LiveHost>> {
        self.names.get(name.strip_suffix('.').unwrap_or(name))
    }

    /// The host of a full name.
    pub(crate) fn host(&self, full: &str) -> Option<&Arc<LiveHost>> {
        self.hosts.get(full)
    }

    /// All clusters, for the admin pages.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &Arc<LiveCluster>> {
        self.table.hosts.keys().filter_map(|name| self.hosts.get(name)).flat_map(|h| &h.clusters)
    }

    /// All endpoints, once each.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }

    /// Makes a newer table usable. What did not change is taken over, connections included; endpoints that are gone are retired by
    /// [`Routing::retire_missing`] once the new table is in use.
    pub(crate) fn next(&self, table: RouteTable, own: &Workload, metrics: &Metrics) -> Routing {
        let mut next = Routing { hosts: HashMap::new(), names: HashMap::new(), upstreams: HashMap::new(), table };
        for (name, host) in &next.table.hosts {
            let live = match self.hosts.get(name).filter(|old| Arc::ptr_eq(&old.host, host)) {
                Some(same) => same.clone(),
                None => Arc::new(LiveHost {
                    name: name.clone(),
                    host: host.clone(),
                    clusters: host.clusters.iter().map(|c| Arc::new(self.live(name, host, c, &mut next.upstreams, own, metrics))).collect(),
                }),
            };
            for endpoint in live.clusters.iter().flat_map(|c| &c.endpoints) {
                next.upstreams.entry(endpoint.upstream.address()).or_insert_with(|| endpoint.upstream.clone());
            }
            for domain in domains(name, host, &own.namespace) {
                next.names.insert(domain, live.clone());
            }
            next.hosts.insert(name.clone(), live);
        }
        next
    }

    /// Closes idle connections to endpoints that `newer` no longer has.
    pub(crate) fn retire_missing(&self, newer: &Routing) {
        let kept: HashSet<*const Upstream> = newer.clusters().flat_map(|c| &c.endpoints).map(|e| Arc::as_ptr(&e.upstream)).collect();
        for upstream in self.clusters().flat_map(|c| &c.endpoints).map(|e| &e.upstream) {
            if !kept.contains(&Arc::as_ptr(upstream)) {
                upstream.retire();
            }
        }
    }

    fn live(
        &self,
        name: &str,
        host: &Host,
        cluster: &Cluster,
        upstreams: &mut HashMap<SocketAddr, Arc<Upstream>>,
        own: &Workload,
        metrics: &Metrics,
    ) -> LiveCluster {
        let service = ServiceLabels { host: name.into(), name: host.name.clone(), namespace: host.namespace.clone() };
        let mut upstream = |endpoint: &Endpoint| {
            let known = upstreams.get(&endpoint.address).or(self.upstreams.get(&endpoint.address));
            // The same address under another name is another pod: its connections are not the old one's.
            let upstream = known.filter(|u| u.endpoint == *endpoint).cloned().unwrap_or_else(|| Arc::new(Upstream::new(endpoint.clone())));
            upstreams.insert(endpoint.address, upstream.clone());
            upstream
        };
        let endpoints = cluster.endpoints.iter().map(|endpoint| {
            let destination = Workload {
                name: endpoint.workload.clone(),
                namespace: endpoint.namespace.clone(),
                app: endpoint.app.clone(),
                version: endpoint.version.clone(),
            };
            LiveEndpoint { upstream: upstream(endpoint), peer: metrics.peer("source", own, &destination, &service) }
        });
        LiveCluster {
            name: cluster.name(name),
            endpoints: endpoints.collect(),
            policy: cluster.policy.clone(),
            nobody: metrics.peer("source", own, &Workload::default(), &service),
            http2: host.ports.iter().any(|p| p.port == cluster.port && p.protocol == Protocol::Http2),
            turn: AtomicUsize::new(0),
        }
    }
}

impl LiveCluster {
    /// A cluster of one endpoint: the app behind an inbound listener, or the calling pod itself.
    pub(crate) fn single(name: String, address: SocketAddr, peer: Peer) -> LiveCluster {
        let endpoint = Endpoint { address, workload: String::new(), namespace: String::new(), app: String::new(), version: String::new() };
        let endpoints = vec![LiveEndpoint { upstream: Arc::new(Upstream::new(endpoint)), peer }];
        LiveCluster { name, endpoints, policy: Policy { balance: Balance::Random, ..Policy::default() }, nobody: peer, http2: false, turn: AtomicUsize::new(0) }
    }
}
