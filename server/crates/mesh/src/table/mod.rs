//! Where a request goes: VirtualService + DestinationRule + Services + EndpointSlices → [`RouteTable`].
//!
//! **Invariant:** no clock, no I/O, no cluster client. Semantics: Istio's references "Virtual Service" and "Destination Rule".

mod build;
mod duration;
mod input;
mod matches;
mod pattern;
mod pick;
mod policy;
mod protocol;
mod re2;
mod registry;
mod route;
mod routes;
mod rules;

pub use input::{MeshInput, Report};
pub use matches::{Headers, Match, RequestView, StringMatch};
pub use pattern::Pattern;
pub use pick::{Matched, pick_weighted, route_for};
pub use policy::{Balance, HashCookie, Limits, Outlier, Policy};
pub use protocol::port_protocol;
pub use route::{
    Action, Destination, Fault, HeaderChanges, HeaderOps, Mirror, Redirect, Retries, RetryOn, Rewrite, Route,
};

pub(crate) use duration::duration_ms;
pub(crate) use matches::{any_of, joined, query_value};
pub(crate) use pattern::check as check_patterns;

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
    /// Workloads that have a sidecar, as `workload~namespace~app~version`; `None` where they did not change. A sidecar believes callers
    /// that are in this list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callers: Option<Vec<String>>,
    /// Number of the last name that the receiver asked for: if there is such a host, it has it now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub answers: u64,
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
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: Protocol,
}

/// What a port speaks ("Protocol Selection" in Istio's documents).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Nothing is said: HTTP if the bytes look like it, else TCP.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http,
    /// HTTP/2 with prior knowledge, gRPC included.
    Http2,
    /// Bytes: no rule of HTTP applies.
    Tcp,
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

/// Whether a text may stand in a request's first line or Host as it is: no line end, no space, no NUL, nothing beyond ASCII.
pub(crate) fn is_visible(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_graphic())
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
