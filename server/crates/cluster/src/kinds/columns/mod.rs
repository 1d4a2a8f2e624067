//! Cells of `kubectl get`, as the API server prints them.
mod others;
mod pod;
mod text;

pub(super) use others::*;
pub(super) use pod::{ip, node_name, nominated_node, readiness_gates, ready, restarts, status};
pub use text::age;
pub(super) use text::name;
