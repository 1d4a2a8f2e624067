//! The panel's only way to a cluster. Nothing in here knows whether the cluster is embedded.
mod apply;
mod breaker;
mod calls;
mod client;
mod discover;
mod forward;
mod heartbeat;
mod inventory;
mod manifests;
mod patience;
mod watch;

pub use apply::{ApplyError, Writer};
pub use client::{Cluster, api_error, client, reason_of};
pub use discover::{Istiod, istio_versions, istiods, label, mesh_name, post, whoami};
pub use forward::{Forwarded, exec, open};
pub use heartbeat::{Reach, heartbeat};
pub use inventory::{Inventory, inventory, inventory_of};
pub use manifests::{Id, ImageSource, KindName, MANAGED_BY, MANAGER, Manifests, ROUTE_HOST, ours};
pub use watch::{Problem, Seen, World, watch};
