//! How the engine works.
use std::time::Duration;

/// How the engine works. [`EngineConfig::default`] is the demo's.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// `host:port` of the HTTP proxy that is asked in absolute form; nothing: the service itself is asked.
    pub proxy: Option<String>,
    /// What is asked where the load names no URL; without a proxy the only service that may be asked.
    pub default_url: String,
    /// How long a connection is used, so that balancing by connection is seen where there is no sidecar; nothing: as long as it lasts.
    pub connection_life: Option<Duration>,
    /// Longest wait for an answer. Istio sets none by default; we do, so that a hung version shows as an error and not as a gap.
    pub answer_timeout: Duration,
    /// Most connections at a time; each is a file descriptor.
    pub max_connections: usize,
    /// Most requests sent or waiting at a time; above it the schedule's places are left empty ("shed").
    pub max_in_flight: usize,
    /// Connections kept ready, and taken in turn. Never more than requests a second.
    pub warm_connections: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            proxy: None,
            default_url: crate::DEFAULT_URL.to_owned(),
            connection_life: Some(Duration::from_secs(1)),
            answer_timeout: Duration::from_secs(5),
            max_connections: 256,
            max_in_flight: 2_048,
            warm_connections: 8,
        }
    }
}
