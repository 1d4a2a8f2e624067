//! Where a request comes from.
use std::net::IpAddr;

/// Where a connection comes from; put there by the accept loop.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);
