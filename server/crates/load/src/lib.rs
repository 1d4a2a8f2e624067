//! The load generator of the demo's client: an open-loop engine, the agent that controls it over HTTP, and the statistics of a split.
//!
//! **Invariant:** knows nothing of Kubernetes or of a mesh: a URL, perhaps a proxy, and who answered.
mod agent;
mod client;
mod engine;
mod schedule;
mod snapshot;
mod spec;
pub mod stats;

pub use agent::{AgentListener, serve_agent};
pub use client::{AgentClient, AgentError};
pub use engine::{Engine, EngineConfig, EngineError};
pub use snapshot::{AgentStatus, FirstAnswer, Mark, Snapshot};
pub use spec::{LoadSpec, MAX_RATE, SpecError};

/// Port of the agent: on a pod's loopback, or the name of its unix socket (`7070.sock`).
pub const AGENT_PORT: u16 = 7070;

/// What the demo asks for where a [`LoadSpec`] names no URL.
pub const DEFAULT_URL: &str = "http://flaskapp:7777/env/version";
