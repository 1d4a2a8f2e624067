//! Where a request goes: VirtualService + DestinationRule + Services + EndpointSlices → [`RouteTable`].
//!
//! **Invariant:** no clock, no I/O, no cluster client. Semantics: Istio's references "Virtual Service" and "Destination Rule".

mod matches;
mod pick;
mod build;
mod registry;
mod rules;
mod routes;
mod duration;

pub use build::{MeshInput, Report};
pub use matches::{Headers, Match, Pattern, RequestView, StringMatch};
pub use pick::{Matched, pick_weighted, route_for};

pub(crate) use duration::duration_ms;
pub(crate) use matches::query_value;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Everything a sidecar must know to route: one entry for each Service, keyed by its full name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Revision of the cluster's store that this table was made from.
    pub revision: u64,
    /// By full name, for example `flaskapp.istio-app.svc.cluster.local`.
    pub hosts: BTreeMap<String, Arc<Host>>,
}

/// What changed between two tables; the whole table where `full`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableUpdate {
    /// Revision that the receiver is at once it has applied this.
    pub revision: u64,
    /// Forget everything else first.
    #[serde(default, skip_serializing_if = "is_false")]
    pub full: bool,
    /// New and changed hosts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Arc<Host>>,
    /// Hosts that are no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

impl RouteTable {
    /// Applies what a control plane sent.
    pub fn apply(&mut self, update: TableUpdate) {
        if update.full {
            self.hosts = update.set;
        } else {
            for name in &update.gone {
                self.hosts.remove(name);
            }
            self.hosts.extend(update.set);
        }
        self.revision = update.revision;
    }
}

/// A Service, its endpoints by subset, and the routes a VirtualService gives it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// The Service's name.
    pub name: String,
    /// The Service's namespace.
    pub namespace: String,
    /// Its cluster addresses; empty for a headless one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Its ports, in the order they were written.
    pub ports: Vec<ServicePort>,
    /// One for each port and subset; the subset of the whole Service is `""`.
    pub clusters: Vec<Cluster>,
    /// Tried in order, first match wins. Empty where no VirtualService names the host: then it is plain balancing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// `namespace/name` of the VirtualService that the routes come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_service: Option<String>,
}

impl Host {
    /// The cluster of a port and subset.
    pub fn cluster(&self, port: u16, subset: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|c| c.port == port && c.subset == subset)
    }

    /// The port a destination means: its own, else the only one, else that of the request (Istio's `Destination.port`).
    pub fn destination_port(&self, written: Option<u16>, requested: u16) -> u16 {
        match (written, self.ports.as_slice()) {
            (Some(port), _) => port,
            (None, [only]) => only.port,
            (None, _) => requested,
        }
    }
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServicePort {
    /// Number of the port of the Service.
    pub port: u16,
    /// Its name; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What is spoken there, from `appProtocol` or the name's prefix.
    #[serde(default, skip_serializing_if = "Protocol::is_http")]
    pub protocol: Protocol,
}

/// What a port speaks ("Protocol Selection" in Istio's documents).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1, also where nothing is said.
    #[default]
    Http,
    /// HTTP/2 with prior knowledge, gRPC included.
    Http2,
    /// Bytes.
    Tcp,
}

impl Protocol {
    fn is_http(&self) -> bool {
        *self == Protocol::Http
    }
}

/// The endpoints of one port and subset, and how they are used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Port of the Service.
    pub port: u16,
    /// Name of the subset, `""` for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subset: String,
    /// Ready endpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// From the DestinationRule.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: Policy,
}

impl Cluster {
    /// The cluster's name as Istio builds it.
    pub fn name(&self, host: &str) -> String {
        cluster_name(self.port, &self.subset, host)
    }
}

/// `outbound|7777|v1|flaskapp.istio-app.svc.cluster.local`.
pub fn cluster_name(port: u16, subset: &str, host: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

/// Where a pod answers, and who it is for the metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address and target port.
    pub address: SocketAddr,
    /// Deployment or other owner.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workload: String,
    /// Namespace of the pod.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Label `app`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// Label `version`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// How a cluster's endpoints are used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// How one endpoint is chosen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub balance: Balance,
    /// Longest wait for a connection, in milliseconds. Istio's default is 10 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout_ms: Option<u64>,
}

/// How one endpoint is chosen (`LoadBalancerSettings`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The less busy of two drawn at random: Istio's default.
    #[default]
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// Drawn.
    Random,
    /// By the value of a header.
    HashHeader(String),
    /// By the value of a cookie.
    HashCookie(String),
    /// By a parameter of the query.
    HashQuery(String),
}

/// One entry of a VirtualService's `http` list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Its name; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Any one must match; empty matches everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
    /// What is done with the request.
    pub action: Action,
    /// Longest time for the whole answer, in milliseconds; none by default, as in Istio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Istio's default (2, before anything was sent) where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// Changes to path and authority.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rewrite: Rewrite,
    /// Changes to headers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: HeaderChanges,
    /// Injected faults.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fault: Fault,
}

/// What a route does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// To one of these, by weight.
    Forward(Vec<Destination>),
    /// Sends the client elsewhere.
    Redirect(Redirect),
    /// Answers by itself.
    Respond {
        /// Status code.
        status: u16,
        /// Text of the body.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        body: String,
    },
}

impl Default for Action {
    fn default() -> Action {
        Action::Forward(Vec::new())
    }
}

/// A weighted destination.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    /// Full name of the Service.
    pub host: String,
    /// Port of the Service where one was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Subset, `""` for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subset: String,
    /// Share, relative to the sum of the route's weights. 0 is never.
    pub weight: u32,
    /// Changes to headers for this destination alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: HeaderChanges,
}

/// `HTTPRedirect`. Empty fields keep what the request had.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Redirect {
    /// New path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// New host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// New scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// New port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// 301 by default.
    pub code: u16,
}

/// `HTTPRetry`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// Tries after the first.
    pub attempts: u32,
    /// Longest time for one try, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_try_timeout_ms: Option<u64>,
    /// What is tried again, Envoy's names (`5xx`, `gateway-error`, `connect-failure`, …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<RetryOn>,
    /// Status codes that are tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
}

/// A reason to try again (Envoy's `x-envoy-retry-on`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    /// Any 5xx, or no answer.
    #[serde(rename = "5xx")]
    ServerError,
    /// 502, 503, 504.
    GatewayError,
    /// No answer.
    Reset,
    /// No answer, and nothing of the request was sent.
    ResetBeforeRequest,
    /// No connection.
    ConnectFailure,
    /// 409.
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
}

/// `HTTPRewrite`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rewrite {
    /// Takes the place of the matched prefix, or of the whole path where it was matched exactly or by a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Pattern and replacement (`\1` is the first group).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<(Pattern, String)>,
    /// New Host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// `Headers`: what is done to the headers of request and response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderChanges {
    /// To the request.
    #[serde(default, skip_serializing_if = "is_default")]
    pub request: HeaderOps,
    /// To the response.
    #[serde(default, skip_serializing_if = "is_default")]
    pub response: HeaderOps,
}

/// `HeaderOperations`. Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderOps {
    /// Replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    /// Appends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<(String, String)>,
    /// Removes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// `HTTPFaultInjection`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Milliseconds, and the percentage of requests it meets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<(u64, f64)>,
    /// Status code, and the percentage of requests it meets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<(u16, f64)>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
