//! The embedded cluster put together: state folder, store, API, controllers and node, as parts that the caller starts.
//!
//! [`Cluster::open`] claims what only one instance may have and binds nothing that others reach; the futures of
//! [`Cluster::serve_api`], [`Cluster::run_controllers`] and [`Cluster::run_node`] do the work until they are told to stop.
use crate::api::{self, Auth};
use crate::auth::{Hosts, Role, Tokens};
use crate::controllers;
use crate::events::{EventWriter, Recorder, events};
use crate::kinds::{Kind, Kinds};
use crate::kubeconfig;
use crate::node::{
    Image, NetError, Network, Node, NodeConfig, NodeHandle, Routed, endpoint_address_admission,
    ignored_fields_admission, service_ip_admission,
};
use crate::pki::{Pki, PkiError};
use crate::registry::{AdmissionHook, Registry};
use crate::statedir::{StateDir, StateDirError};
use crate::status::Status;
use crate::store::{Store, StoreError};
use listen::{Books, Listener};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// File of the store in the state folder.
const STORE: &str = "store.redb";
/// Files that a run makes once it has its store.
const MADE_LATER: [&str; 2] = ["tokens", "ca.crt"];
/// File that says who changed what.
const AUDIT: &str = "audit.log";
/// What every client and the node count on; the controllers furnish them.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// Name of the one node.
const NODE: &str = "local";

/// What a cluster is made of.
#[derive(Clone, Default)]
pub struct Config {
    /// Where everything that outlives the process is kept; made where it is missing.
    pub state_dir: PathBuf,
    /// Move what the folder holds aside and begin anew.
    pub reset: bool,
    /// What pods may run.
    pub images: Vec<Image>,
    /// Kinds besides the built-in ones.
    pub kinds: Vec<Kind>,
    /// Called on every create and update, in this order.
    pub admission: Vec<AdmissionHook>,
    /// The program that containers run; this one where it is not given.
    pub program: Option<PathBuf>,
    /// Containers may run programs of the host.
    pub allow_host_exec: bool,
    /// Namespace that the kubeconfigs choose; `default` where it is empty.
    pub namespace: String,
    /// Names by which the API may be addressed, besides those of loopback.
    pub hosts: Vec<String>,
    /// Who else routes to pods (a mesh), so that a pod stops when none of them sends to it any more.
    pub routed: Option<Routed>,
    /// Counts connections of the API and of the node's proxies.
    pub listeners: Books,
    /// Loopback address that the owner of this process connects to the API from; it has reserved places there. `None`: no reserve.
    pub own_client: Option<IpAddr>,
    /// At most so many pods; as many as the machine carries if it is `None`.
    pub max_pods: Option<u64>,
}

/// Why a cluster cannot be opened. `Display` is one line; [`OpenError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state folder: in use, not ours, read-only; or the API's port is taken.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// The store: damaged, of a newer format.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate authority.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// No addresses for pods.
    #[error(transparent)]
    Network(#[from] NetError),
    /// The node's own parts.
    #[error("the node cannot start: {0}")]
    Node(std::io::Error),
}

impl OpenError {
    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            OpenError::State(StateDirError::InUse { .. }) => {
                "Stop the other one, or give this one a --state-dir of its own."
            }
            OpenError::State(StateDirError::ReadOnly { .. }) => {
                "Make the state folder writable, or choose another with --state-dir."
            }
            OpenError::State(StateDirError::NotOurs { .. }) => "Choose an empty or new folder with --state-dir.",
            OpenError::State(StateDirError::StoreLost { .. }) => {
                "Put a copy of the file back, or start once with --reset: it moves the state folder aside and begins anew."
            }
            OpenError::State(StateDirError::PortTaken { .. }) => {
                "Choose another port with --api-listen, or none to get a free one."
            }
            OpenError::State(StateDirError::Io { .. }) => {
                "Check the disk and the rights of the state folder, or choose another with --state-dir."
            }
            OpenError::Store(why) => why.hint(),
            OpenError::Pki(_) => "Start once with --reset: it moves the state folder aside and begins anew.",
            OpenError::Network(_) => {
                "Stop instances that are no longer needed; each claims 4,096 addresses of 127.64.0.0/10 (Linux only)."
            }
            OpenError::Node(_) => "Check the rights of the state folder and the limits on processes and open files.",
        }
    }
}

/// An embedded cluster. Dropping it lets the next instance in; its parts must have ended by then.
pub struct Cluster {
    dir: Arc<StateDir>,
    registry: Registry,
    recorder: Recorder,
    /// Taken by `run_controllers`.
    writer: Mutex<Option<EventWriter>>,
    tokens: Tokens,
    hosts: Hosts,
    ca_pem: Arc<str>,
    tls: Arc<rustls::ServerConfig>,
    namespace: String,
    kubelet: NodeHandle,
    /// Taken by `run_node`.
    node: Mutex<Option<Node>>,
    /// What must be true before anybody is served; done once, by whichever part comes first.
    prepared: Arc<OnceCell<()>>,
    /// Who may connect to the API.
    policy: Listener,
}

impl Cluster {
    /// Locks the state folder and opens what is in it. Must be called in a Tokio runtime. Errors: one clear line each, and nothing was changed.
    pub fn open(config: Config) -> Result<Cluster, OpenError> {
        let dir = StateDir::open(&config.state_dir, config.reset)?;
        dir.check_store(STORE, &MADE_LATER)?;
        let store = Store::open(dir.file(STORE))?;
        let pki = Pki::open(&dir)?;
        let tokens = Tokens::open(&dir)?;
        let network = Network::claim(dir.path())?;
        // First of all: what a mesh's injection adds is not the writer's.
        let mut admission = vec![ignored_fields_admission()];
        admission.extend(config.admission);
        admission.push(service_ip_admission(network.clone()));
        admission.push(endpoint_address_admission(network.clone()));
        let registry = Registry::open(store, Kinds::builtin().with(config.kinds), admission)?;
        let (recorder, writer) = events(registry.clone());
        let node = NodeConfig {
            name: NODE.to_owned(),
            state_dir: dir.path().to_owned(),
            images: config.images,
            program: config.program,
            allow_host_exec: config.allow_host_exec,
            routed: config.routed,
            listeners: config.listeners.clone(),
            max_pods: config.max_pods,
        };
        let node = Node::new(node, registry.clone(), &recorder, network).map_err(OpenError::Node)?;
        let namespace = if config.namespace.is_empty() { "default".to_owned() } else { config.namespace };
        Ok(Cluster {
            dir: Arc::new(dir),
            registry,
            recorder,
            writer: Mutex::new(Some(writer)),
            tokens,
            hosts: Hosts::new(config.hosts),
            ca_pem: pki.ca_pem().into(),
            tls: pki.server_config()?,
            namespace,
            kubelet: node.handle(),
            node: Mutex::new(Some(node)),
            prepared: Arc::default(),
            policy: Listener::new("api", api::limits(config.own_client), &config.listeners),
        })
    }

    /// The namespaces that everybody counts on are there, and no pod is said to run that does not.
    fn prepare(&self) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let (prepared, registry, kubelet) = (self.prepared.clone(), self.registry.clone(), self.kubelet.clone());
        async move {
            let preparing = prepared.get_or_try_init(|| async {
                registry.ensure_namespaces(&NAMESPACES).await?;
                kubelet.forget_runs().await
            });
            preparing.await.copied().map_err(|status: Status| status.message)
        }
    }

    /// The private folder of this run, empty at its start, with a name short enough for sockets in it.
    pub fn run_dir(&self) -> &std::path::Path {
        self.kubelet.run_dir()
    }

    /// The verbs, for parts of this process.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// The owner's kubeconfig. The file exists once [`Cluster::bind_api`] has been called, of this run or an earlier one.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.dir.file(kubeconfig::file_name(Role::Owner))
    }

    /// The owner's kubeconfig as text, for an API at this address.
    pub fn kubeconfig(&self, api: SocketAddr) -> String {
        self.kubeconfig_of(Role::Owner, api).unwrap_or_default()
    }

    /// Listens for the API, with port 0 at the port of the last run where that is free, and writes a kubeconfig for each role.
    /// Errors: the port is taken, a file cannot be written.
    pub async fn bind_api(&self, addr: SocketAddr) -> Result<TcpListener, OpenError> {
        let listener = self.dir.bind_api(addr).await?;
        let bound = listener
            .local_addr()
            .map_err(|source| StateDirError::Io { what: format!("cannot listen on {addr}"), source })?;
        for role in [Role::Owner, Role::Presenter, Role::Viewer] {
            if let Some(text) = self.kubeconfig_of(role, bound) {
                self.dir.write(kubeconfig::file_name(role), &text)?;
            }
        }
        Ok(listener)
    }

    fn kubeconfig_of(&self, role: Role, api: SocketAddr) -> Option<String> {
        let (token, user) = self.tokens.of(role)?;
        let namespace = user.namespace.as_deref().unwrap_or(&self.namespace);
        Some(kubeconfig::render(api, &self.ca_pem, token, &user.name, namespace))
    }

    /// Serves the API until `stop`; it ends within a second then. Errors: the store refuses its first write.
    pub fn serve_api(
        &self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let (tls, registry, kubelet) = (self.tls.clone(), self.registry.clone(), Arc::new(self.kubelet.clone()));
        let auth = Auth { tokens: self.tokens.clone(), hosts: self.hosts.clone(), audit: Some(self.dir.file(AUDIT)) };
        let (prepared, policy) = (self.prepare(), self.policy.clone());
        async move {
            prepared.await?;
            // Served by the runtime of this part, whichever it was bound in.
            let listener = listener
                .into_std()
                .and_then(TcpListener::from_std)
                .map_err(|e| format!("cannot listen for the API: {e}"))?;
            api::serve(listener, policy, tls, registry, kubelet, auth, stop).await;
            Ok(())
        }
    }

    /// Runs until `stop`. Errors: the store's writer has ended by itself; no write will be done any more, so the program should end.
    pub fn watch_store(&self, stop: CancellationToken) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let ended = self.registry.store_ended();
        async move {
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                why = ended => Err(why),
            }
        }
    }

    /// Runs the controllers and writes events until `stop`. Errors: a controller ended by itself. To be called once.
    pub fn run_controllers(&self, stop: CancellationToken) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let (registry, recorder, root) = (self.registry.clone(), self.recorder.clone(), self.ca_pem.clone());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            let writing = async {
                if let Some(writer) = writer {
                    writer.run(stop.clone()).await;
                }
            };
            let (ended, ()) = tokio::join!(controllers::run(registry, recorder, Some(root), stop.clone()), writing);
            ended.map_err(|name| format!("{name} ended"))
        }
    }

    /// Runs pods until `stop`, then ends them. Errors: the node cannot start, or ended by itself. To be called once.
    pub fn run_node(&self, stop: CancellationToken) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let (prepared, node) = (self.prepare(), self.node.lock().unwrap_or_else(PoisonError::into_inner).take());
        async move {
            prepared.await?;
            match node {
                Some(node) => node.run(stop).await,
                None => Err("the node was started before".to_owned()),
            }
        }
    }
}
