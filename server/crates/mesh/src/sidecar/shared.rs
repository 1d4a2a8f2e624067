//! What all connections of a sidecar share: cheap handles and numbers.

use super::SidecarConfig;
use super::access_log::Log;
use super::balance::mix;
use super::metrics::{Metrics, Peer, ServiceLabels, Workload};
use super::seen::Ends;
use super::routing::{LiveCluster, LiveHost, Maker, Routing, Upstreams};
use super::wants::Wants;
use crate::table::TableUpdate;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The state of a sidecar.
pub(crate) struct Shared {
    pub(crate) config: SidecarConfig,
    /// This pod, for the metrics.
    pub(crate) own: Workload,
    pub(crate) metrics: Metrics,
    pub(crate) started: Instant,
    /// Where one is kept.
    pub(crate) log: Option<Log>,
    /// There is a table.
    pub(crate) ready: AtomicBool,
    /// The pod is going: answers say `connection: close`, new connections are still taken.
    pub(crate) draining: AtomicBool,
    /// Idle connections end now.
    pub(crate) closing: CancellationToken,
    /// Tunnels and HTTP/2 streams, which outlive the function that began them.
    pub(crate) tasks: TaskTracker,
    /// Copies of requests that are under way (mirrors), and those there was no room for.
    pub(crate) copies: Arc<AtomicU32>,
    pub(crate) not_copied: AtomicU64,
    /// For requests to hosts that nobody knows.
    pub(crate) black_hole: Peer,
    /// Hosts that are not in the table yet.
    pub(crate) wants: Wants,
    /// What this sidecar tells the next one about its pod.
    pub(crate) metadata: String,
    /// Streams of HTTP/2 that this sidecar hands to its own listener in HTTP/1.1, by our end of the connection.
    handed: Mutex<HashMap<SocketAddr, Ends>>,
    routing: RwLock<Arc<Routing>>,
    upstreams: Mutex<Upstreams>,
    /// The calling pod's own ports, as clusters of one endpoint.
    own_ports: Mutex<HashMap<SocketAddr, Arc<LiveCluster>>>,
    /// Peers of inbound requests by what their sidecar said of them.
    callers: Mutex<HashMap<Vec<u8>, Peer>>,
    random: AtomicU64,
}

/// Longest word of a caller about its pod.
const MAX_METADATA: usize = 1024;

impl Shared {
    pub(crate) fn new(config: SidecarConfig) -> Shared {
        let own = Workload {
            name: config.workload.clone(),
            namespace: config.namespace.clone(),
            app: config.app.clone(),
            version: config.version.clone(),
        };
        let metrics = Metrics::default();
        // The first peer is also what stands for peers beyond the most there may be.
        let black_hole = metrics.peer("source", &own, &Workload::default(), &ServiceLabels { host: "BlackHoleCluster".into(), ..ServiceLabels::default() });
        let mut seed = [0; 8];
        // Without entropy the splits are still right; only two sidecars might draw alike.
        let _ = getrandom::fill(&mut seed);
        let metadata = [&own.name, &own.namespace, &own.app, &own.version].map(|s| s.replace(|c: char| !c.is_ascii_graphic() || c == '~', "")).join("~");
        Shared {
            own,
            metrics,
            started: Instant::now(),
            log: config.access_log.then(|| Log::start(config.access_log_file.clone())).and_then(|log| {
                log.inspect_err(|error| tracing::warn!(%error, "There is no access log: its thread does not start")).ok()
            }),
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            copies: Arc::default(),
            not_copied: AtomicU64::new(0),
            black_hole,
            wants: Wants::default(),
            metadata,
            handed: Mutex::default(),
            routing: RwLock::default(),
            upstreams: Mutex::default(),
            own_ports: Mutex::default(),
            callers: Mutex::default(),
            random: AtomicU64::new(u64::from_ne_bytes(seed)),
            config,
        }
    }

    /// The table in use.
    pub(crate) fn routing(&self) -> Arc<Routing> {
        self.routing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a newer table in use. When this returns no request is routed by the old one any more.
    pub(crate) fn apply(&self, update: TableUpdate) {
        let old = self.routing();
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        let (new, lost) = old.next(update, &mut Maker { own: &self.own, metrics: &self.metrics, upstreams: &mut upstreams });
        *self.routing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        lost.iter().for_each(|upstream| upstream.retire());
        self.ready.store(true, Ordering::Release);
    }

    /// Gets a host that a request names and the table lacks. Returns whether the table has it now.
    pub(crate) async fn learn(&self, name: &str) -> bool {
        if !self.ready.load(Ordering::Acquire) || !self.wants.ask(name).await {
            return false;
        }
        let is_found = self.routing().resolve(name).is_some();
        if !is_found {
            self.wants.miss(name);
        }
        is_found
    }

    /// [`Shared::learn`] for the host of an authority, if the table lacks it.
    pub(crate) async fn learn_authority(&self, authority: &str) {
        if let Some((name, _)) = super::outbound::split_authority(authority)
            && self.routing().resolve(&name).is_none()
        {
            self.learn(&name).await;
        }
    }

    /// Uniform over 64 bits.
    pub(crate) fn draw(&self) -> u64 {
        mix(self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }

    /// Whether something that happens to `percent` of requests happens to this one.
    pub(crate) fn chance(&self, percent: f64) -> bool {
        percent >= 100.0 || (self.draw() >> 11) as f64 / (1_u64 << 53) as f64 * 100.0 < percent
    }

    /// Whether the Service's port that an authority names speaks HTTP/2.
    pub(crate) fn speaks_http2(&self, authority: &str) -> bool {
        let Some((name, port)) = super::outbound::split_authority(authority) else { return false };
        self.routing().resolve(&name).and_then(|host| host.cluster(port.unwrap_or(80), "")).is_some_and(|cluster| cluster.http2)
    }

    /// Tells who serves the connection that begins at `by` whose request it carries.
    pub(crate) fn hand_over(&self, by: SocketAddr, of: Ends) {
        self.handed().insert(by, of);
    }

    /// Whose request a connection from there carries, where it is not its own: who takes it over counts it, too.
    pub(crate) fn take_over(&self, from: SocketAddr) -> Option<Ends> {
        self.handed().remove(&from)
    }

    fn handed(&self) -> MutexGuard<'_, HashMap<SocketAddr, Ends>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A port of the calling pod itself.
    pub(crate) fn own_port(&self, address: SocketAddr) -> Arc<LiveCluster> {
        let mut ports = self.own_ports.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let service = ServiceLabels { host: "InboundPassthroughCluster".into(), ..ServiceLabels::default() };
            let peer = self.metrics.peer("source", &self.own, &self.own, &service);
            Arc::new(LiveCluster::single(format!("inbound|{}||", address.port()), address, peer))
        };
        ports.entry(address).or_insert_with(make).clone()
    }

    /// Who an inbound request is from, by what the caller's sidecar said (`workload~namespace~app~version`). Nobody is believed more
    /// than for a label of a metric: there is no mutual TLS.
    pub(crate) fn caller(&self, metadata: &[u8]) -> Peer {
        // Four names of Kubernetes are shorter; what is longer was forged, and is not kept.
        let metadata = if metadata.len() > MAX_METADATA { b"" } else { metadata };
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = callers.get(metadata) {
            return *peer;
        }
        let text = String::from_utf8_lossy(metadata);
        let mut parts = text.split('~').map(|p| p.chars().take(253).collect::<String>());
        let mut part = || parts.next().unwrap_or_default();
        let source = Workload { name: part(), namespace: part(), app: part(), version: part() };
        let peer = self.metrics.peer("destination", &source, &self.own, &self.own_service());
        if callers.len() < 1024 {
            callers.insert(metadata.to_vec(), peer);
        }
        peer
    }

    /// The Service that this pod is an endpoint of; named after the app while no table says it.
    fn own_service(&self) -> ServiceLabels {
        let routing = self.routing();
        let mine = |host: &&Arc<LiveHost>| {
            host.host.clusters.iter().any(|c| c.subset.is_empty() && c.endpoints.iter().any(|e| e.address.ip() == self.config.pod_ip))
        };
        let found = routing.hosts().find(mine);
        let (name, namespace) = found.map_or((&self.own.app, &self.own.namespace), |live| (&live.host.name, &live.host.namespace));
        ServiceLabels { host: format!("{name}.{namespace}.svc.cluster.local"), name: name.clone(), namespace: namespace.clone() }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn a_forged_word_about_the_caller_is_not_kept() {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let shared = Shared::new(SidecarConfig::new("a", "pod", local, local, "/nowhere".into()));
        let long = |n: usize| format!("{n:060000}");
        let peers: Vec<Peer> = (0..100).map(|n| shared.caller(long(n).as_bytes())).collect();
        assert!(peers.iter().all(|p| *p == peers[0]));
        assert_ne!(shared.caller(b"client~a~sleep~v1"), peers[0]);
        let kept: usize = shared.callers.lock().unwrap().keys().map(Vec::len).sum();
        assert!(kept < 100, "{kept} bytes");
    }
}
