//! What a listener does with a connection: HTTP/1.1, HTTP/2, or bytes.

pub(super) mod proxy;
pub(super) mod streams;
pub(super) mod tunnel;
