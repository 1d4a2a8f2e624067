//! The table as requests use it: names resolved for this pod, endpoints with their connections, labels of metrics spelled.

use super::endpoint::Upstream;
use super::outlier::{Detector, Ended, Health};
use super::pool::Pool;
use crate::config_dump::domains;
use crate::sidecar::config::Reach;
use crate::sidecar::stats::metrics::{Metrics, Peer, ServiceLabels, Workload};
use crate::table::{Balance, Cluster, Endpoint, Host, Policy, Protocol, RouteTable, TableUpdate};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A table that is in use. Swapped as a whole: a request sees one of them, never half of two.
#[derive(Default)]
pub(crate) struct Routing {
    pub(crate) revision: u64,
    /// In the order of their full names.
    hosts: Vec<Arc<LiveHost>>,
    /// Kept from table to table while Services stay the same: a moved weight must not cost a walk over all names.
    index: Arc<Index>,
}

/// Places in [`Routing::hosts`].
#[derive(Default)]
struct Index {
    by_full_name: HashMap<String, usize>,
    /// By every name this pod may use.
    by_any_name: HashMap<String, usize>,
}

/// Endpoints by address, so that a newer table takes their connections over. Those of a cluster with limits are its own, under its name.
pub(crate) type Upstreams = HashMap<(SocketAddr, String), Arc<Upstream>>;

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
    /// It speaks no HTTP: no route applies.
    pub(crate) tcp: bool,
    /// Whose turn it is (round robin).
    pub(crate) turn: AtomicUsize,
    /// Leaves failing endpoints out, where the rule says so.
    pub(crate) detector: Option<Arc<Detector>>,
    /// The limits of its connections, where there are any.
    pool: Option<Arc<Pool>>,
}

/// An endpoint of a cluster.
#[derive(Clone)]
pub(crate) struct LiveEndpoint {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) peer: Peer,
    /// Looked at only where the cluster has a detector.
    pub(crate) health: Arc<Health>,
}

impl LiveHost {
    /// The cluster of a port and subset; `None` where the port or the subset does not exist.
    pub(crate) fn cluster(&self, port: u16, subset: &str) -> Option<&Arc<LiveCluster>> {
        let at = self.host.clusters.iter().position(|c| c.port == port && c.subset == subset)?;
        self.clusters.get(at)
    }
}

/// What a table is made with.
pub(crate) struct Maker<'m> {
    pub(crate) own: &'m Workload,
    pub(crate) metrics: &'m Metrics,
    pub(crate) upstreams: &'m mut Upstreams,
    pub(crate) reach: Option<&'m Reach>,
}

impl Routing {
    /// The host of a name as a request has it: short, longer, full, or an address of a Service; in lower case, without port.
    pub(crate) fn resolve(&self, name: &str) -> Option<&Arc<LiveHost>> {
        self.hosts.get(*self.index.by_any_name.get(name.strip_suffix('.').unwrap_or(name))?)
    }

    /// The host of a full name.
    pub(crate) fn host(&self, full: &str) -> Option<&Arc<LiveHost>> {
        self.hosts.get(*self.index.by_full_name.get(full)?)
    }

    /// All hosts.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &Arc<LiveHost>> {
        self.hosts.iter()
    }

    /// Namespaces of all hosts.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        self.hosts
            .iter()
            .map(|h| &h.host.namespace)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .cloned()
            .collect()
    }

    /// What Services say that an endpoint speaks; HTTP if one of several says so.
    pub(crate) fn endpoint_protocol(&self, at: SocketAddr) -> Protocol {
        let of_host = |live: &Arc<LiveHost>| {
            let host = &live.host;
            let has = |port: u16| host.cluster(port, "").is_some_and(|c| c.endpoints.iter().any(|e| e.address == at));
            host.ports.iter().filter(|port| has(port.port)).map(|port| port.protocol).collect::<Vec<_>>()
        };
        let said: Vec<Protocol> = self.hosts.iter().flat_map(of_host).collect();
        let first = |wanted: &[Protocol]| said.iter().copied().find(|protocol| wanted.contains(protocol));
        first(&[Protocol::Http, Protocol::Http2]).or_else(|| first(&[Protocol::Tcp])).unwrap_or_default()
    }

    /// All clusters, for the admin pages.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &Arc<LiveCluster>> {
        self.hosts.iter().flat_map(|h| &h.clusters)
    }

    /// All endpoints; one that is in several clusters comes several times.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.clusters().flat_map(|c| &c.endpoints).map(|e| &e.upstream)
    }

    /// The table as it was sent, for the admin pages.
    pub(crate) fn table(&self) -> RouteTable {
        RouteTable {
            revision: self.revision,
            hosts: self.hosts.iter().map(|h| (h.name.clone(), h.host.clone())).collect(),
        }
    }

    /// Makes what the control plane sent usable. What did not change is taken over, connections included. Second are the endpoints that
    /// are gone: to be retired once the new table is in use.
    pub(crate) fn next(&self, update: TableUpdate, maker: &mut Maker<'_>) -> (Routing, Vec<Arc<Upstream>>) {
        let same_services = !update.full
            && update.gone.is_empty()
            && update
                .set
                .iter()
                .all(|(name, host)| self.host(name).is_some_and(|old| old.host.addresses == host.addresses));
        let next = if same_services { self.replaced(update, maker) } else { self.rebuilt(update, maker) };
        let lost = self.lost(&next);
        for upstream in &lost {
            maker.upstreams.retain(|_, known| !Arc::ptr_eq(known, upstream));
        }
        (next, lost)
    }

    /// The same Services, some of them changed.
    fn replaced(&self, update: TableUpdate, maker: &mut Maker<'_>) -> Routing {
        let mut hosts = self.hosts.clone();
        for (name, host) in update.set {
            if let Some(at) = self.index.by_full_name.get(&name) {
                hosts[*at] = maker.host(&name, host, Some(&self.hosts[*at]));
            }
        }
        Routing { revision: update.revision, hosts, index: self.index.clone() }
    }

    /// Services came or went.
    fn rebuilt(&self, update: TableUpdate, maker: &mut Maker<'_>) -> Routing {
        let mut hosts: BTreeMap<String, Arc<LiveHost>> = BTreeMap::new();
        if !update.full {
            hosts.extend(
                self.hosts.iter().filter(|h| !update.gone.contains(&h.name)).map(|h| (h.name.clone(), h.clone())),
            );
        }
        for (name, host) in update.set {
            // After the control plane was away everything is sent, and most of it is as it was.
            let live = match self.host(&name).filter(|old| old.host == host) {
                Some(same) => same.clone(),
                None => maker.host(&name, host, self.host(&name)),
            };
            hosts.insert(name, live);
        }
        let mut index = Index::default();
        for (at, (name, live)) in hosts.iter().enumerate() {
            index.by_full_name.insert(name.clone(), at);
            index
                .by_any_name
                .extend(domains(name, &live.host, &maker.own.namespace).into_iter().map(|domain| (domain, at)));
        }
        Routing { revision: update.revision, hosts: hosts.into_values().collect(), index: Arc::new(index) }
    }

    /// Endpoints that `newer` has nowhere any more.
    fn lost(&self, newer: &Routing) -> Vec<Arc<Upstream>> {
        let changed = self.hosts.iter().filter(|h| newer.host(&h.name).is_none_or(|new| !Arc::ptr_eq(new, h)));
        let has = |host: &LiveHost, upstream: &Arc<Upstream>| {
            host.clusters.iter().flat_map(|c| &c.endpoints).any(|e| Arc::ptr_eq(&e.upstream, upstream))
        };
        let missing = |old: &Arc<LiveHost>| {
            let new = newer.host(&old.name).cloned();
            let all = old.clusters.iter().flat_map(|c| &c.endpoints).map(|e| e.upstream.clone());
            all.filter(|u| new.as_ref().is_none_or(|n| !has(n, u))).collect::<Vec<_>>()
        };
        let mut missing: Vec<Arc<Upstream>> = changed.flat_map(missing).collect();
        if !missing.is_empty() {
            let alive: HashSet<*const Upstream> = newer.upstreams().map(Arc::as_ptr).collect();
            missing.retain(|u| !alive.contains(&Arc::as_ptr(u)));
        }
        missing
    }
}

impl Maker<'_> {
    fn host(&mut self, name: &str, host: Arc<Host>, old: Option<&Arc<LiveHost>>) -> Arc<LiveHost> {
        let clusters = host
            .clusters
            .iter()
            .map(|c| Arc::new(self.cluster(name, &host, c, old.and_then(|o| o.cluster(c.port, &c.subset)))))
            .collect();
        Arc::new(LiveHost { name: name.into(), host, clusters })
    }

    /// What was counted under the same policy goes on counting.
    fn cluster(&mut self, name: &str, host: &Host, cluster: &Cluster, old: Option<&Arc<LiveCluster>>) -> LiveCluster {
        let policy = &cluster.policy;
        let pool = match old.filter(|o| o.policy.limits == policy.limits) {
            Some(old) => old.pool.clone(),
            None => Pool::new(&policy.limits),
        };
        // Whose turn it is, too: many changes would else favour whoever stands first.
        let turn = old.map_or(0, |o| o.turn.load(Ordering::Relaxed));
        let old = old.filter(|o| o.policy.outlier == policy.outlier);
        let detector = match old {
            Some(old) => old.detector.clone(),
            None => policy.outlier.as_ref().map(|rule| Detector::new(rule, Instant::now())),
        };
        let service = ServiceLabels { host: name.into(), name: host.name.clone(), namespace: host.namespace.clone() };
        let mut endpoints = Vec::with_capacity(cluster.endpoints.len());
        for endpoint in &cluster.endpoints {
            let destination = Workload {
                name: endpoint.workload.clone(),
                namespace: endpoint.namespace.clone(),
                app: endpoint.app.clone(),
                version: endpoint.version.clone(),
            };
            let upstream = self.upstream(endpoint, pool.as_ref(), || cluster.name(name));
            let known = old.and_then(|o| o.endpoints.iter().find(|e| e.upstream.endpoint == *endpoint));
            let health = known.map(|e| e.health.clone()).unwrap_or_default();
            endpoints.push(LiveEndpoint {
                upstream,
                peer: self.metrics.peer("source", self.own, &destination, &service),
                health,
            });
        }
        if let Some((old, detector)) = old.zip(detector.as_ref()) {
            let gone =
                old.endpoints.iter().filter(|e| !endpoints.iter().any(|new| Arc::ptr_eq(&new.health, &e.health)));
            gone.for_each(|e| detector.forget(&e.health));
        }
        let speaks = |protocol| host.ports.iter().any(|p| p.port == cluster.port && p.protocol == protocol);
        LiveCluster {
            name: cluster.name(name),
            endpoints,
            policy: cluster.policy.clone(),
            nobody: self.metrics.peer("source", self.own, &Workload::default(), &service),
            http2: speaks(Protocol::Http2),
            tcp: speaks(Protocol::Tcp),
            turn: AtomicUsize::new(turn),
            detector,
            pool,
        }
    }

    /// The same address under another name is another pod: its connections are not the old one's.
    fn upstream(
        &mut self,
        endpoint: &Endpoint,
        pool: Option<&Arc<Pool>>,
        name: impl FnOnce() -> String,
    ) -> Arc<Upstream> {
        let key = (endpoint.address, if pool.is_some() { name() } else { String::new() });
        let same_pool = |u: &&Arc<Upstream>| u.pool().map(Arc::as_ptr) == pool.map(Arc::as_ptr);
        if let Some(known) = self.upstreams.get(&key).filter(|u| u.endpoint == *endpoint).filter(same_pool) {
            return known.clone();
        }
        let upstream = Arc::new(Upstream::pooled(endpoint.clone(), pool.cloned(), self.reach.cloned()));
        self.upstreams.insert(key, upstream.clone());
        upstream
    }
}

impl LiveCluster {
    /// Notes how a request at one of its endpoints ended.
    pub(crate) fn note(&self, endpoint: &LiveEndpoint, ended: Ended) {
        if let Some(detector) = &self.detector {
            detector.note(&endpoint.health, ended, self.endpoints.len(), Instant::now());
        }
    }

    /// A cluster of one endpoint: the app behind an inbound listener, or the calling pod itself.
    pub(crate) fn single(name: String, address: SocketAddr, peer: Peer, reach: Option<&Reach>) -> LiveCluster {
        let endpoint = Endpoint {
            address,
            workload: String::new(),
            namespace: String::new(),
            app: String::new(),
            version: String::new(),
        };
        let endpoints = vec![LiveEndpoint {
            upstream: Arc::new(Upstream::new(endpoint, reach.cloned())),
            peer,
            health: Arc::default(),
        }];
        let policy = Policy { balance: Balance::Random, ..Policy::default() };
        LiveCluster {
            name,
            endpoints,
            policy,
            nobody: peer,
            http2: false,
            tcp: false,
            turn: AtomicUsize::new(0),
            detector: None,
            pool: None,
        }
    }
}
