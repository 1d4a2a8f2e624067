//! What a listener allows, with units and reasons.
use crate::Peer;
use std::time::Duration;

/// Limits of one listener. Start from [`Limits::default`] and change what differs.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most open connections. At this number a newcomer is served by evicting a connection that does nothing, or is refused.
    pub connections: usize,
    /// Most open connections of one peer address (an IPv6 address counts by its /64). A room behind one NAT address, or everybody on
    /// loopback, is one peer: 1,500 leaves room for 1,000 viewers.
    pub per_peer: usize,
    /// Most connections that have not sent a whole first head yet, TLS handshakes among them. They are what a flood consists of, and each
    /// may hold a read buffer of [`Limits::head_bytes`], so this bounds the memory of a flood.
    pub waiting: usize,
    /// Most answers without an end (event streams, watches) at once. Below [`Limits::connections`]: what is left serves requests.
    pub streams: usize,
    /// Most of them for one peer address. Below [`Limits::per_peer`], for the same reason.
    pub streams_per_peer: usize,
    /// A peer that is always admitted and never evicted, up to a number of its own.
    pub reserve: Option<Reserve>,
    /// Largest request head, bytes; hyper's read buffer is bounded by it. At least 8,192.
    pub head_bytes: usize,
    /// Most bytes of unfinished heads in all connections together. Above it the connection with most of them is closed.
    pub head_budget: usize,
    /// From the start of a connection to the end of its first head, handshake included; for a later head, from its first byte.
    pub head: Duration,
    /// Longest rest of a kept connection between two requests. Longer than clients keep theirs, so that no request meets a close.
    pub idle: Duration,
    /// The same for a connection on which nobody has signed in.
    pub idle_unknown: Duration,
    /// Longest time without progress of a write that waits for the peer to read.
    pub write_stall: Duration,
    /// The same for a tunnel: a person who looks at a page of `less` reads nothing meanwhile.
    pub tunnel_stall: Duration,
    /// Kernel send buffer of a connection, bytes (`SO_SNDBUF`; Linux doubles it for its own overhead). `None`: the system's default.
    pub send_buffer: Option<usize>,
    /// How long a close waits for the rest of a request that was refused, so that the client reads the refusal and no reset.
    pub linger: Duration,
    /// Most bytes that are read and discarded meanwhile.
    pub linger_bytes: usize,
    /// How long [`crate::Listener::run`] waits for open connections after it was stopped.
    pub drain: Duration,
    /// The peers are one trusted proxy: the TCP address is not counted, [`crate::Conn::forwarded`] says which address is.
    pub behind_proxy: bool,
}

/// Places kept for one peer address.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// Whose they are.
    pub peer: Peer,
    /// How many connections beyond [`Limits::connections`].
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 3_000,
            per_peer: 1_500,
            waiting: 1_024,
            streams: 2_500,
            streams_per_peer: 1_250,
            reserve: None,
            head_bytes: 16 * 1024,
            head_budget: 16 * 1024 * 1024,
            head: Duration::from_secs(8),
            idle: Duration::from_secs(120),
            idle_unknown: Duration::from_secs(75),
            write_stall: Duration::from_secs(6),
            tunnel_stall: Duration::from_secs(120),
            send_buffer: Some(32 * 1024),
            linger: Duration::from_secs(2),
            linger_bytes: 8 * 1024 * 1024,
            drain: Duration::from_secs(1),
            behind_proxy: false,
        }
    }
}

impl Limits {
    /// Scales every number of connections down so that the listener uses at most `share` percent of `descriptors`. `each` is how many
    /// descriptors a connection takes: 1, or 2 for a proxy.
    #[must_use]
    pub fn fitted(mut self, descriptors: usize, share: usize, each: usize) -> Limits {
        let most = (descriptors.saturating_mul(share) / 100 / each.max(1)).max(8);
        if most < self.connections {
            let scale = |n: usize| (n * most / self.connections).max(4);
            (self.per_peer, self.waiting) = (scale(self.per_peer), scale(self.waiting));
            (self.streams, self.streams_per_peer) = (scale(self.streams), scale(self.streams_per_peer));
            self.connections = most;
        }
        self
    }
}
