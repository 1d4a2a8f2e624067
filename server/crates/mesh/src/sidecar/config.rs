//! What a sidecar is told when it starts.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Who and where a sidecar is.
#[derive(Clone, Debug)]
pub struct SidecarConfig {
    /// Name of the pod.
    pub pod: String,
    /// Its namespace: short names resolve in it.
    pub namespace: String,
    /// Deployment or other owner, for the metrics.
    pub workload: String,
    /// Label `app`, for the metrics.
    pub app: String,
    /// Label `version`, for the metrics.
    pub version: String,
    /// The pod's address: everything is listened on here.
    pub pod_ip: IpAddr,
    /// Address the app binds.
    pub app_ip: IpAddr,
    /// Ports of the app that are taken over on `pod_ip`.
    pub inbound_ports: Vec<u16>,
    /// The sidecar's own ports.
    pub ports: Ports,
    /// The control plane's unix socket.
    pub control_socket: PathBuf,
    /// Says where connections may be made to; everywhere without it.
    pub reach: Option<Reach>,
    /// Prints a line for each request, in Istio's format.
    pub access_log: bool,
    /// Where to: standard output, or a file that is appended to.
    pub access_log_file: Option<PathBuf>,
    /// Longest time for a request's head once its first byte is there, and for a connection's first; slower clients are closed.
    pub head_time: Duration,
    /// Longest time for which a request's body is waited for before the answer has begun; every KiB that came adds a second.
    pub body_time: Duration,
    /// Longest time for which an answer is not read.
    pub write_time: Duration,
    /// After the stop connections are still taken for this long, so that callers learn that the pod is going before it is gone.
    pub linger: Duration,
    /// Longest time for requests under way after that.
    pub drain: Duration,
}

/// Decides, before a connection to an endpoint or to the app is made, whether it may be made.
#[derive(Clone)]
pub struct Reach(Arc<Decide>);

type Decide = dyn Fn(SocketAddr) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync;

impl Reach {
    /// Asks `decide` each time. A refused connection fails as if nobody listened at the address.
    pub fn new<F: Future<Output = bool> + Send + 'static>(
        decide: impl Fn(SocketAddr) -> F + Send + Sync + 'static,
    ) -> Reach {
        Reach(Arc::new(move |to| Box::pin(decide(to))))
    }

    pub(crate) async fn allows(&self, to: SocketAddr) -> bool {
        (self.0)(to).await
    }
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reach")
    }
}

/// Ports as Istio numbers them; 0 takes any free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Envoy's admin pages, 15000.
    pub admin: u16,
    /// The app's proxy, 15001.
    pub outbound: u16,
    /// Metrics, 15020.
    pub stats: u16,
    /// Readiness, 15021.
    pub health: u16,
}

impl Default for Ports {
    fn default() -> Ports {
        Ports { admin: 15000, outbound: 15001, stats: 15020, health: 15021 }
    }
}

impl SidecarConfig {
    /// A sidecar of a pod, with Istio's ports, no inbound port, no access log, and empty labels.
    pub fn new(namespace: &str, pod: &str, pod_ip: IpAddr, app_ip: IpAddr, control_socket: PathBuf) -> SidecarConfig {
        SidecarConfig {
            pod: pod.into(),
            namespace: namespace.into(),
            workload: String::new(),
            app: String::new(),
            version: String::new(),
            pod_ip,
            app_ip,
            inbound_ports: Vec::new(),
            ports: Ports::default(),
            control_socket,
            reach: None,
            access_log: false,
            access_log_file: None,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            write_time: Duration::from_secs(10),
            linger: Duration::from_millis(250),
            drain: Duration::from_secs(10),
        }
    }
}

/// Why a sidecar did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// A port is taken, or the address is not this machine's.
    #[error("the sidecar cannot listen on {address}: {source}")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A listener or another part of it ended that should have run on: a defect.
    #[error("a part of the sidecar ended early: {0}")]
    EndedEarly(String),
}
