//! SPDY/3.1 inside a WebSocket: how kubectl forwards ports. Only what that needs; no flow control, as kubectl has none.
//!
//! Source: the SPDY protocol, draft 3.1, and Kubernetes' KEP 4006 for the tunnel.
mod frame;
mod headers;
mod session;

pub(super) use session::run;

/// The WebSocket subprotocol: each binary message is a piece of the SPDY connection's bytes.
pub(super) const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
