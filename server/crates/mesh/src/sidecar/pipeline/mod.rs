//! An exchange from the decision to the log line: attempts, heads, bodies, copies.

pub(super) mod attempts;
pub(super) mod body;
pub(super) mod header_rules;
pub(super) mod http1_exchange;
pub(super) mod http1_heads;
pub(super) mod hyper_heads;
pub(super) mod log_line;
pub(super) mod mirror;
pub(super) mod reply;
pub(super) mod reset;
pub(super) mod stall;
pub(super) mod stream_body;
pub(super) mod stream_client;
pub(super) mod stream_exchange;
pub(super) mod stream_link;
pub(super) mod stream_record;
pub(super) mod telemetry;
