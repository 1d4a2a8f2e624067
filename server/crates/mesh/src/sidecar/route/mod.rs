//! Where a request goes, decided without sockets.

pub(super) mod decision;
pub(super) mod hash_key;
pub(super) mod outbound;
pub(super) mod path;
pub(super) mod rewrite;
pub(super) mod target;
