//! The mesh: who gets a sidecar, where a request goes, how sidecars learn it, and the sidecar itself.
//!
//! Knows nothing of the embedded cluster or of the panel: objects come in as JSON, sockets and cancellation from the caller.

mod client_routes;
mod config_dump;
mod control;
#[doc(hidden)]
pub mod fuzz_invariants;
mod inject;
mod json;
mod sidecar;
mod table;
pub mod validate;

pub use client_routes::{client_revision, client_routes};
pub use control::{Control, control_limits};
pub use inject::{Decision, PROXY_CONTAINER, SidecarTemplate, has_sidecar, inject};
pub use sidecar::{InboundPorts, Ports, Reach, Sidecar, SidecarConfig, SidecarError, run_sidecar};
pub use table::{
    Action, Balance, Cluster, Destination, Endpoint, Fault, HashCookie, HeaderChanges, HeaderOps, Headers, Host,
    Limits, Match, Matched, MeshInput, Mirror, Outlier, Pattern, Policy, Protocol, Redirect, Report, RequestView,
    Retries, RetryOn, Rewrite, Route, RouteTable, ServicePort, StringMatch, TableUpdate, cluster_name, pick_weighted,
    port_protocol, route_for,
};
