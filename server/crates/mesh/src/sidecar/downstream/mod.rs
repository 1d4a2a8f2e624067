//! A connection of a client, as bytes.

pub(super) mod client_timeout;
pub(super) mod connection;
mod sniff;
