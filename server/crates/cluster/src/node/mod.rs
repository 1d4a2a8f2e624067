//! The node: runs the pods bound to it as child processes of our own binary, and carries the traffic of Services.
//!
//! Read in this order: [`pod`] decides, [`worker`] carries out, [`agent`] gives each pod a worker; then the parts that
//! they use. **Invariant:** children are started by [`spawner`] alone, and none of them outlives this process.
mod agent;
mod capacity;
mod cluster_ip;
mod confine;
mod container;
mod endpoint_addresses;
mod environment;
mod exec;
mod handle;
mod ignored;
mod image;
mod inbound;
mod inbound_watch;
mod launch;
mod leftovers;
mod listening;
mod logfile;
mod logs;
mod memory;
mod memory_limit;
mod net;
mod node_object;
mod pod;
mod pod_events;
mod pod_folder;
mod pod_status;
mod port_forward;
mod probe;
mod process;
mod reach;
mod report;
mod restart;
mod service_ips;
mod service_proxy;
mod services;
mod services_watch;
mod shared;
mod spawner;
mod spec;
mod worker;

pub use confine::{ConfineError, Connections, LONGEST_FILE, confine};
pub use endpoint_addresses::admission as endpoint_address_admission;
pub use handle::NodeHandle;
pub use ignored::admission as ignored_fields_admission;
pub use image::Image;
pub use inbound::{Inbound, serve_inbound};
pub use net::{NetError, Network};
pub use reach::{NODE_SOCKET, Reach};
pub use service_ips::admission as service_ip_admission;
pub use spawner::begin_child;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use tokio_util::sync::CancellationToken;

use crate::events::Recorder;
use crate::registry::Registry;
use crate::statedir::CHILDREN;
use image::Images;
use leftovers::Records;
pub use shared::Routed;
use shared::{KUBELET, Policies, Shared};
use spawner::Spawner;

/// Longest folder name under which a pod's sockets still fit into a socket address (108 bytes).
const RUN_DIR_LONGEST: usize = 70;

/// What a node is made of.
#[derive(Clone)]
pub struct NodeConfig {
    /// Name of the Node object and `spec.nodeName` of its pods.
    pub name: String,
    /// Folder for logs, private folders of pods, and notes of children; the caller holds its lock.
    pub state_dir: PathBuf,
    /// What pods may run.
    pub images: Vec<Image>,
    /// What containers run, as `program applet args…`; this program where it is none.
    pub program: Option<PathBuf>,
    /// Containers may run programs of the host.
    pub allow_host_exec: bool,
    /// Who else routes to pods; nobody where it is none.
    pub routed: Option<Routed>,
    /// Counts connections of the node's proxies.
    pub listeners: listen::Books,
    /// At most so many pods, whatever the machine carries.
    pub max_pods: Option<u64>,
}

/// A node that has not started its work.
pub struct Node {
    shared: Arc<Shared>,
}

impl Node {
    /// Kills what an earlier node left over, and starts the thread that starts children. Must be called in a runtime.
    /// Errors: the state folder cannot be written, this program's own file cannot be found.
    pub fn new(config: NodeConfig, registry: Registry, recorder: &Recorder, network: Arc<Network>) -> io::Result<Node> {
        let records = Records::open(config.state_dir.join(CHILDREN))?;
        let left = records.kill_leftovers()?;
        if left > 0 {
            tracing::info!(node.leftovers = left, "Killed {left} processes that an earlier run had left over");
        }
        let program = match config.program {
            Some(program) => program,
            None => std::env::current_exe()?,
        };
        let images = Images::new(config.images, program, config.allow_host_exec);
        let logs = config.state_dir.join("logs");
        std::fs::create_dir_all(&logs)?;
        let run = run_folder(&config.state_dir)?;
        tracing::info!("{}", confine::enforced(confine::landlock_abi()));
        let recorder = recorder.of(KUBELET, Some(&config.name));
        let spawner = Spawner::start(records)?;
        let policies = Policies {
            proxies: listen::Listener::new("node-proxy", service_proxy::limits(), &config.listeners),
            cluster_ips: listen::Listener::new("cluster-ip", cluster_ip::limits(), &config.listeners),
            questions: listen::Listener::new("node-questions", reach::limits(), &config.listeners),
        };
        let shared = Shared::new(
            config.name,
            registry,
            recorder,
            images,
            network,
            spawner,
            logs,
            run,
            config.routed,
            policies,
            config.max_pods,
        );
        if let Ok(kind) = shared.kind("", "services")
            && let Ok(services) = shared.registry.list(&kind, None, &crate::registry::ListOptions::default())
        {
            service_ips::adopt(&shared.network, services.items.iter());
        }
        shared.measure();
        Ok(Node { shared: Arc::new(shared) })
    }

    /// What the API server asks.
    pub fn handle(&self) -> NodeHandle {
        NodeHandle(self.shared.clone())
    }

    /// Runs pods until stopped; returns within about five seconds then, when no child is left.
    /// Errors: the kinds that a node needs are not served, or no process can be started any more.
    pub async fn run(self, stop: CancellationToken) -> Result<(), String> {
        let shared = self.shared.clone();
        // Traffic goes on while pods end.
        let traffic = CancellationToken::new();
        let pods = async {
            let ended = tokio::select! {
                ended = agent::run(shared.clone(), stop) => ended.map_err(|status| status.message),
                () = shared.spawner.ended() => Err("the thread that starts processes has ended".to_owned()),
            };
            traffic.cancel();
            ended
        };
        let (ended, (), (), (), (), ()) = tokio::join!(
            pods,
            services_watch::run(shared.clone(), traffic.clone()),
            cluster_ip::serve(
                shared.policies.cluster_ips.clone(),
                shared.network.clone(),
                shared.services.subscribe(),
                shared.reach(),
                traffic.clone()
            ),
            node_object::run(shared.clone(), traffic.clone()),
            reach::serve(shared.clone(), traffic.clone()),
            inbound_watch::run(shared.clone(), traffic.clone()),
        );
        ended
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may lie outside the state folder, where nobody would look for it.
        let _ = std::fs::remove_dir_all(&self.shared.run);
    }
}

#[cfg(test)]
mod node_tests;

/// The folder of the pods' private folders, empty: in the state folder, or behind a link where that name is too long.
fn run_folder(state_dir: &Path) -> io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let run = state_dir.join("run");
    if let Ok(target) = std::fs::read_link(&run) {
        let _ = std::fs::remove_dir_all(target);
        std::fs::remove_file(&run)?;
    } else if run.exists() {
        std::fs::remove_dir_all(&run)?;
    }
    let mut folder = std::fs::DirBuilder::new();
    folder.mode(0o700);
    if run.as_os_str().as_bytes().len() <= RUN_DIR_LONGEST {
        folder.create(&run)?;
        return Ok(run);
    }
    let mut random = [0_u8; 6];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let short = Path::new("/tmp").join(format!("demo-panel-{}", HEXLOWER.encode(&random)));
    // Fails where somebody was quicker with that name: then it is not ours.
    folder.create(&short)?;
    std::os::unix::fs::symlink(&short, &run)?;
    Ok(short)
}
