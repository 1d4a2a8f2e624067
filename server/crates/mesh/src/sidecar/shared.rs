//! What all connections of a sidecar share: cheap handles and numbers.

use super::budget::Budget;
use super::config::SidecarConfig;
use super::stats::access_log::Log;
use super::stats::metrics::{Metrics, Peer, ServiceLabels, Workload};
use super::tasks::Tasks;
use super::upstream::balance::mix;
use super::upstream::routing::{LiveCluster, LiveHost, Maker, Routing, Upstreams};
use super::wants::Wants;
use crate::control::caller_name;
use crate::table::TableUpdate;
use listen::Books;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

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
    /// Tunnels and HTTP/2 streams, which outlive the function that began them; and the token that ends idle connections.
    pub(crate) tasks: Tasks,
    /// Copies of requests that are under way (mirrors), and those there was no room for.
    pub(crate) copies: Arc<AtomicU32>,
    pub(crate) not_copied: AtomicU64,
    /// Connections of HTTP/2, and the streams of all of them.
    pub(crate) http2: Arc<AtomicU32>,
    pub(crate) streams: Arc<AtomicU32>,
    /// Memory that clients can make this sidecar keep beyond the ordinary.
    pub(crate) budget: Arc<Budget>,
    /// Connections and refusals of all listeners.
    pub(crate) books: Books,
    /// For requests to hosts that nobody knows.
    pub(crate) black_hole: Peer,
    /// Hosts that are not in the table yet.
    pub(crate) wants: Wants,
    /// What this sidecar tells the next one about its pod.
    pub(crate) metadata: String,
    routing: RwLock<Arc<Routing>>,
    upstreams: Mutex<Upstreams>,
    /// The calling pod's own ports, as clusters of one endpoint.
    own_ports: Mutex<HashMap<SocketAddr, Arc<LiveCluster>>>,
    callers: Mutex<Callers>,
    random: AtomicU64,
}

/// Peers of inbound requests by what their sidecar said of them (`x-envoy-peer-metadata`), which anybody can write.
#[derive(Default)]
struct Callers {
    /// Workloads that have a sidecar, from the control plane.
    known: HashSet<String>,
    peers: HashMap<Vec<u8>, Peer>,
    /// Peers that are not known.
    strangers: usize,
}

/// Bytes of [`Shared::budget`]: 256 heads of 60 KiB with what is sent on of them, well below the memory limit of an injected sidecar (128 MiB).
pub(crate) const BUDGET: usize = 16 << 20;
/// Longest metadata of a caller, in bytes.
const MAX_METADATA: usize = 1024;
/// Most callers that are counted by name though the control plane has not named them: its list may be a moment late, or the caller is
/// not of this cluster. All others are counted as `unknown`.
const MAX_STRANGERS: usize = 16;
/// Most ports of the calling pod itself that are remembered, with their kept connections.
const MAX_OWN_PORTS: usize = 64;

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
        let black_hole = metrics.peer(
            "source",
            &own,
            &Workload::default(),
            &ServiceLabels { host: "BlackHoleCluster".into(), ..ServiceLabels::default() },
        );
        let mut seed = [0; 8];
        // Without entropy the splits are still right; only two sidecars might draw alike.
        let _ = getrandom::fill(&mut seed);
        let metadata = caller_name([&own.name, &own.namespace, &own.app, &own.version]);
        Shared {
            own,
            metrics,
            started: Instant::now(),
            log: config.access_log.then(|| Log::start(config.access_log_file.clone())).and_then(|log| {
                log.inspect_err(|error| tracing::warn!(%error, "There is no access log: its thread does not start"))
                    .ok()
            }),
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            tasks: Tasks::default(),
            copies: Arc::default(),
            not_copied: AtomicU64::new(0),
            http2: Arc::default(),
            streams: Arc::default(),
            budget: Budget::new(BUDGET),
            books: Books::default(),
            black_hole,
            wants: Wants::default(),
            metadata,
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
        if let Some(callers) = &update.callers {
            self.callers().learn(callers);
        }
        let same_services =
            update.set.keys().all(|name| old.host(name).is_some()) && update.gone.is_empty() && !update.full;
        let (new, lost) = old.next(
            update,
            &mut Maker {
                own: &self.own,
                metrics: &self.metrics,
                upstreams: &mut upstreams,
                reach: self.config.reach.as_ref(),
            },
        );
        *self.routing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        lost.iter().for_each(|upstream| upstream.retire());
        self.ready.store(true, Ordering::Release);
        if !same_services && self.metrics.has_many_peers() {
            self.forget_peers();
        }
    }

    /// Forgets the labels of workloads that no table has any more and that were never counted.
    fn forget_peers(&self) {
        let routing = self.routing();
        let mut used: HashSet<Peer> =
            routing.clusters().flat_map(|c| c.endpoints.iter().map(|e| e.peer).chain([c.nobody])).collect();
        used.extend(self.callers().peers.values());
        used.extend(
            self.own_ports.lock().unwrap_or_else(PoisonError::into_inner).values().map(|cluster| cluster.nobody),
        );
        self.metrics.forget_peers_but(&used);
    }

    /// Gets hosts that a request names and the table lacks. Returns whether the table has one of them now.
    pub(crate) async fn learn(&self, names: &[Box<str>]) -> bool {
        let mut is_found = false;
        for name in names {
            if !self.ready.load(Ordering::Acquire) || !self.wants.ask(name).await {
                continue;
            }
            if self.routing().resolve(name).is_some() {
                is_found = true;
            } else {
                self.wants.miss(name);
            }
        }
        is_found
    }

    /// Uniform over 64 bits.
    pub(crate) fn draw(&self) -> u64 {
        mix(self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }

    /// Whether something that happens to `percent` of requests happens to this one.
    pub(crate) fn chance(&self, percent: f64) -> bool {
        percent >= 100.0 || (self.draw() >> 11) as f64 / (1_u64 << 53) as f64 * 100.0 < percent
    }

    /// A port of the calling pod itself.
    pub(crate) fn own_port(&self, address: SocketAddr) -> Arc<LiveCluster> {
        let mut ports = self.own_ports.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let service = ServiceLabels { host: "InboundPassthroughCluster".into(), ..ServiceLabels::default() };
            let peer = self.metrics.peer("source", &self.own, &self.own, &service);
            Arc::new(LiveCluster::single(
                format!("inbound|{}||", address.port()),
                address,
                peer,
                self.config.reach.as_ref(),
            ))
        };
        if ports.len() >= MAX_OWN_PORTS && !ports.contains_key(&address) {
            // The app may ask for every port there is: this one lasts for one request.
            return make();
        }
        ports.entry(address).or_insert_with(make).clone()
    }

    /// Who an inbound request is from, by the caller's metadata (`workload~namespace~app~version`). Nobody is believed more than for a
    /// label of a metric: there is no mutual TLS.
    pub(crate) fn caller(&self, metadata: &[u8]) -> Peer {
        let mut callers = self.callers();
        if let Some(peer) = callers.peers.get(metadata) {
            return *peer;
        }
        let source = if callers.admits(metadata) { parse_workload(metadata) } else { None };
        let (key, source) = source.map_or((&[][..], Workload::default()), |source| (metadata, source));
        if let Some(peer) = callers.peers.get(key) {
            return *peer;
        }
        let peer = self.metrics.peer("destination", &source, &self.own, &self.own_service());
        callers.strangers += usize::from(!callers.is_known(key));
        callers.peers.insert(key.to_vec(), peer);
        peer
    }

    fn callers(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Service that this pod is an endpoint of; named after the app while no table says it.
    fn own_service(&self) -> ServiceLabels {
        let routing = self.routing();
        let mine = |host: &&Arc<LiveHost>| {
            host.host
                .clusters
                .iter()
                .any(|c| c.subset.is_empty() && c.endpoints.iter().any(|e| e.address.ip() == self.config.pod_ip))
        };
        let found = routing.hosts().find(mine);
        let (name, namespace) =
            found.map_or((&self.own.app, &self.own.namespace), |live| (&live.host.name, &live.host.namespace));
        ServiceLabels {
            host: format!("{name}.{namespace}.svc.cluster.local"),
            name: name.clone(),
            namespace: namespace.clone(),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

impl Callers {
    /// Takes a new list of workloads. Callers that are not in it keep their peers as far as there is room for strangers.
    fn learn(&mut self, known: &[String]) {
        self.known = known.iter().cloned().collect();
        let mut peers = std::mem::take(&mut self.peers);
        self.strangers = 0;
        peers.retain(|metadata, _| {
            let known = self.is_known(metadata);
            let keep = known || self.strangers < MAX_STRANGERS;
            self.strangers += usize::from(keep && !known);
            keep
        });
        self.peers = peers;
    }

    /// Who says nothing is known, too.
    fn is_known(&self, metadata: &[u8]) -> bool {
        metadata.is_empty() || std::str::from_utf8(metadata).is_ok_and(|text| self.known.contains(text))
    }

    /// Whether a caller is counted by its own name.
    fn admits(&self, metadata: &[u8]) -> bool {
        metadata.len() <= MAX_METADATA && (self.strangers < MAX_STRANGERS || self.is_known(metadata))
    }
}

/// Reads `workload~namespace~app~version`; `None` where it is anything else.
fn parse_workload(metadata: &[u8]) -> Option<Workload> {
    let mut parts = std::str::from_utf8(metadata).ok()?.split('~').map(String::from);
    let workload =
        Workload { name: parts.next()?, namespace: parts.next()?, app: parts.next()?, version: parts.next()? };
    parts.next().is_none().then_some(workload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn shared() -> Shared {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Shared::new(SidecarConfig::new("a", "pod", local, local, "/nowhere".into()))
    }

    #[test]
    fn what_callers_invent_is_bounded_and_who_is_known_is_counted_by_name() {
        let shared = shared();
        let unknown = shared.caller(b"");
        for n in 0..1000 {
            shared.caller(format!("forged-{n}~a~b~c").as_bytes());
            shared.caller(format!("{n}{}~a~b~c", "x".repeat(2000)).as_bytes());
            shared.caller(format!("known~a~app~v1~{n}").as_bytes());
        }
        assert_eq!(shared.caller(b"client~a~app~v1"), unknown);
        shared.apply(TableUpdate { callers: Some(vec!["client~a~app~v1".into()]), ..TableUpdate::default() });
        let client = shared.caller(b"client~a~app~v1");
        assert_ne!(client, unknown);
        for n in 1000..2000 {
            assert_eq!(shared.caller(format!("forged-{n}~a~b~c").as_bytes()), unknown);
        }
        assert_eq!((shared.caller(b"client~a~app~v1"), shared.callers().peers.len()), (client, MAX_STRANGERS + 2));
    }

    #[test]
    fn asking_for_every_port_of_the_pod_keeps_few() {
        let shared = shared();
        for port in 1..=u16::MAX {
            assert_eq!(
                shared.own_port((Ipv4Addr::LOCALHOST, port).into()).endpoints[0].upstream.address().port(),
                port
            );
        }
        assert_eq!(shared.own_ports.lock().unwrap().len(), MAX_OWN_PORTS);
    }
}
