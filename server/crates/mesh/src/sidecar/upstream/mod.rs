//! Where requests go: clusters, endpoints, connections, limits.

pub(super) mod balance;
pub(super) mod endpoint;
pub(super) mod multiplex;
pub(super) mod outlier;
pub(super) mod pin;
pub(super) mod pool;
pub(super) mod routing;
