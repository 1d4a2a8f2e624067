//! What the node's parts share: handles, and what runs where.
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::capacity::{Capacity, capacity, rooms, steady};
use super::container::Now;
use super::environment::SIDECAR_PORTS;
use super::image::{Image, Images};
use super::inbound::{self, Inbound};
use super::listening::{Sockets, is_local, is_unicast};
use super::logfile::LogFile;
use super::net::Network;
use super::service_proxy::Reach;
use super::services::Services;
use super::spawner::Spawner;
use crate::events::Recorder;
use crate::kinds::Kind;
use crate::registry::{Registry, WriteOptions};
use crate::status::Status;

/// Who writes, in managedFields and as the events' source.
pub const KUBELET: &str = "kubelet";

/// Resolves when all who send requests to pods by routes of their own (a mesh's sidecars) know the Services and EndpointSlices of a
/// revision of the store; before that, a pod that is to stop still gets requests.
pub type Routed = Arc<dyn Fn(u64) -> BoxFuture<'static, ()> + Send + Sync>;

/// Connection policies of the node's listeners, each shared by all sockets of its kind.
pub struct Policies {
    /// Of the outbound proxies of pods without sidecar.
    pub proxies: listen::Listener,
    /// Of the Services' ClusterIPs.
    pub cluster_ips: listen::Listener,
    /// Of the socket where pods' proxies ask whom they may reach.
    pub questions: listen::Listener,
}

/// Handles of the node; one for all workers.
pub struct Shared {
    /// `spec.nodeName` of its pods.
    pub name: String,
    /// The cluster's objects.
    pub registry: Registry,
    /// Events.
    pub recorder: Recorder,
    /// What may run.
    pub images: Images,
    /// Addresses.
    pub network: Arc<Network>,
    /// Starts processes.
    pub spawner: Spawner,
    /// Newest Services and their ready endpoints.
    pub services: watch::Sender<Arc<Services>>,
    /// Folder of all logs.
    pub logs: PathBuf,
    /// Folder of all pods' private folders.
    pub run: PathBuf,
    /// Who else routes to pods, and when they know a revision.
    pub routed: Option<Routed>,
    /// Connection policies of the listeners that live in this process.
    pub policies: Policies,
    /// Zero of [`Now::mono`].
    pub epoch: Instant,
    /// At most so many pods, whatever the machine carries.
    max_pods: Option<u64>,
    /// As last measured.
    capacity: Mutex<Option<Capacity>>,
    pods: Mutex<HashMap<(String, String), Arc<PodEntry>>>,
}

/// A pod on this node, as exec, logs and port-forward see it.
#[derive(Debug)]
pub struct PodEntry {
    /// `metadata.uid`.
    pub uid: String,
    /// Its address; none while it has none.
    pub ips: Option<Ips>,
    /// Its private folder.
    pub run_dir: PathBuf,
    /// Its logs.
    pub logs: PathBuf,
    /// Names of app containers, then of init containers.
    pub containers: Vec<String>,
    live: Mutex<HashMap<String, Live>>,
    sockets: Sockets,
    /// Ports that its proxy was told to take over.
    opened: Mutex<BTreeSet<u16>>,
}

/// A pod's addresses.
#[derive(Clone, Copy, Debug)]
pub struct Ips {
    /// `status.podIP`.
    pub pod: Ipv4Addr,
    /// Where its apps listen.
    pub app: Ipv4Addr,
}

/// A container's newest run.
#[derive(Clone, Debug)]
pub struct Live {
    /// Its process, leader of its group.
    pub pid: i32,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Its image.
    pub image: Image,
    /// Its log.
    pub log: LogFile,
    /// Whether its process runs.
    pub running: bool,
    /// Cancelled at its end: what was executed in it ends with it.
    pub ended: CancellationToken,
}

impl Shared {
    /// Puts the handles together.
    #[expect(clippy::too_many_arguments, reason = "called once; each is a different type")]
    pub fn new(
        name: String,
        registry: Registry,
        recorder: Recorder,
        images: Images,
        network: Arc<Network>,
        spawner: Spawner,
        logs: PathBuf,
        run: PathBuf,
        routed: Option<Routed>,
        policies: Policies,
        max_pods: Option<u64>,
    ) -> Shared {
        let services = watch::Sender::new(Arc::new(Services::default()));
        let (capacity, pods) = (Mutex::default(), Mutex::default());
        let epoch = Instant::now();
        Shared {
            name,
            registry,
            recorder,
            images,
            network,
            spawner,
            services,
            logs,
            run,
            routed,
            policies,
            epoch,
            max_pods,
            capacity,
            pods,
        }
    }

    /// Measures how many pods the machine carries. Reads some files of `/proc` and the cgroups.
    pub fn measure(&self) -> Capacity {
        let started = lock(&self.pods).values().filter(|entry| entry.is_up()).count() as u64;
        let now = capacity(started, &rooms(Path::new("/"), started), self.max_pods);
        let mut last = lock(&self.capacity);
        let steady = steady(*last, now);
        *last.insert(steady)
    }

    /// Whether a pod may be set up here. The scheduler counts as well; this holds for pods that were bound without it, and where the
    /// machine has become smaller. The error has the kubelet's words.
    pub fn admit(&self) -> Result<(), String> {
        let used = lock(&self.pods).values().filter(|entry| entry.ips.is_some()).count() as u64;
        match *lock(&self.capacity) {
            Some(capacity) if used >= capacity.pods => Err(format!(
                "Node didn't have enough resource: pods, requested: 1, used: {used}, capacity: {}",
                capacity.pods
            )),
            _ => Ok(()),
        }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now { mono: self.epoch.elapsed(), wall: Timestamp::now() }
    }

    /// A built-in kind.
    pub fn kind(&self, group: &str, plural: &str) -> Result<Arc<Kind>, Status> {
        let found = self.registry.kinds().find(group, plural).cloned();
        found.ok_or_else(|| Status::internal(format!("this cluster does not serve {plural}")))
    }

    /// How the node writes.
    pub fn writes() -> WriteOptions {
        WriteOptions::by(KUBELET)
    }

    /// Makes a pod known to exec, logs and port-forward.
    pub fn enter(&self, namespace: &str, name: &str, entry: &Arc<PodEntry>) {
        lock(&self.pods).insert((namespace.to_owned(), name.to_owned()), Arc::clone(entry));
    }

    /// Forgets a pod, unless another has taken its name.
    pub fn leave(&self, namespace: &str, name: &str, uid: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut pods = lock(&self.pods);
        if pods.get(&key).is_some_and(|entry| entry.uid == uid) {
            pods.remove(&key);
        }
    }

    /// Whether a connection on behalf of a pod may be made to this address: outside of loopback to any unicast address, within it to
    /// ports that a pod's containers listen on. A host's service that listens on 0.0.0.0 has every pod's address, too.
    pub async fn may_connect(&self, to: SocketAddr) -> bool {
        match to.ip().to_canonical() {
            IpAddr::V4(ip) if ip.is_loopback() => self.pod_listens(ip, to.port()).await,
            ip if is_local(ip) => false,
            _ => is_unicast(to),
        }
    }

    /// Whether this is a pod's address, and one of its containers listens there. A port of an app behind a proxy counts as the pod's: the
    /// proxy is told to take it over if it has not.
    pub async fn pod_listens(&self, ip: Ipv4Addr, port: u16) -> bool {
        let of = |entry: &&Arc<PodEntry>| entry.ips.is_some_and(|ips| ips.pod == ip || ips.app == ip);
        let entry = lock(&self.pods).values().find(of).cloned();
        let Some(entry) = entry else { return false };
        entry.listens(ip, port) || (entry.app_listens_behind(ip, port) && entry.open(port).await)
    }

    /// [`Shared::may_connect`] for what must not keep the node alive.
    pub fn reach(self: &Arc<Shared>) -> Reach {
        let node = Arc::downgrade(self);
        Arc::new(move |to| {
            let node = node.upgrade();
            Box::pin(async move {
                match node {
                    Some(node) => node.may_connect(to).await,
                    None => false,
                }
            })
        })
    }

    /// The pods whose proxy has an address of its own.
    pub fn proxied(&self) -> Vec<(Ips, Arc<PodEntry>)> {
        let pods = lock(&self.pods);
        let ips = |entry: &Arc<PodEntry>| entry.ips.filter(|ips| ips.pod != ips.app && entry.is_up());
        pods.values().filter_map(|entry| Some((ips(entry)?, Arc::clone(entry)))).collect()
    }

    /// A pod on this node.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Arc<PodEntry>> {
        lock(&self.pods).get(&(namespace.to_owned(), name.to_owned())).cloned()
    }
}

impl PodEntry {
    /// A pod of which nothing runs.
    pub fn new(uid: String, ips: Option<Ips>, run_dir: PathBuf, logs: PathBuf, containers: Vec<String>) -> PodEntry {
        let (live, sockets, opened) = (Mutex::default(), Sockets::default(), Mutex::default());
        PodEntry { uid, ips, run_dir, logs, containers, live, sockets, opened }
    }

    /// The folder that its processes work in, and write to.
    pub fn files(&self) -> PathBuf {
        self.run_dir.join("files")
    }

    /// Whether a process of one of its containers gets a connection to this address, which is one of the pod's.
    pub fn listens(&self, ip: Ipv4Addr, port: u16) -> bool {
        let leaders: Vec<i32> = lock(&self.live).values().filter(|live| live.running).map(|live| live.pid).collect();
        self.sockets.reached(&leaders, ip, port)
    }

    /// Whether this is the address of the pod's proxy, and the app behind it listens on the port.
    fn app_listens_behind(&self, ip: Ipv4Addr, port: u16) -> bool {
        let behind = self.ips.filter(|ips| ips.pod == ip && ips.app != ip && !SIDECAR_PORTS.contains(&port));
        behind.is_some_and(|ips| self.listens(ips.app, port))
    }

    /// Has the pod's proxy take a port of the app over. Returns whether it has.
    pub async fn open(&self, port: u16) -> bool {
        let is_open = inbound::ask(&self.run_dir, Inbound::Open(port)).await;
        if is_open {
            lock(&self.opened).insert(port);
        }
        is_open
    }

    /// Has the pod's proxy leave a port on which the app no longer listens.
    pub async fn close(&self, port: u16) {
        lock(&self.opened).remove(&port);
        inbound::ask(&self.run_dir, Inbound::Close(port)).await;
    }

    /// Ports that its proxy was told to take over.
    pub fn opened(&self) -> BTreeSet<u16> {
        lock(&self.opened).clone()
    }

    /// Notes a container's new run.
    pub fn began(&self, container: &str, live: Live) {
        lock(&self.live).insert(container.to_owned(), live);
    }

    /// Notes that a container's process has ended.
    pub fn ended(&self, container: &str) {
        if let Some(live) = lock(&self.live).get_mut(container) {
            live.running = false;
            live.ended.cancel();
        }
    }

    /// Whether a process of the pod runs.
    pub fn is_up(&self) -> bool {
        lock(&self.live).values().any(|live| live.running)
    }

    /// A container's newest run since the node started.
    pub fn live(&self, container: &str) -> Option<Live> {
        lock(&self.live).get(container).cloned()
    }
}

impl Drop for PodEntry {
    /// However the pod ended, even by a defect of its worker.
    fn drop(&mut self) {
        lock(&self.live).values().for_each(|live| live.ended.cancel());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one call, so the maps are valid after any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
