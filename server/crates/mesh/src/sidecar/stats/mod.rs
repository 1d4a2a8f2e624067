//! What is counted and logged.

pub(super) mod access_log;
pub(super) mod flag;
pub(super) mod metrics;
