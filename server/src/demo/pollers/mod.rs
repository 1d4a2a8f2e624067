//! What asks the cluster, its sidecars and the load agent, and puts the answers into the state.
pub mod acks;
pub mod agent_connection;
pub mod follower;
pub mod generators;
pub mod lease;
pub mod load_agent;
pub mod load_order;
pub mod permissions;
pub mod sidecar_stats;
