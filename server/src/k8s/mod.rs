//! The panel's only way to a cluster. Nothing in here knows the demo, or whether the cluster is embedded.
mod apply;
mod breaker;
mod cache;
mod calls;
mod client;
mod discovery;
mod forward;
mod heartbeat;
mod inventory;
mod kinds;
mod lease;
mod process;
mod retry;
mod silence;

pub use apply::{ApplyError, Writer};
pub use cache::{Cache, CachedObject, Problem, watch};
pub use client::{Cluster, client, reason_of};
pub use discovery::{Istiod, istio_versions, istiods, label, mesh_name, post, whoami};
pub use forward::{Forwarded, exec, open};
pub use heartbeat::{Reach, heartbeat};
pub use inventory::{Inventory, inventory, inventory_of};
pub use kinds::{KindName, MANAGED_BY, MANAGER, ours};
pub use lease::{Held, LEASE, LeaseLock, Seize};
pub use silence::Silence;
