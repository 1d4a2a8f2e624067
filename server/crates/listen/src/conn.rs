//! A connection's handle: says what the connection is doing, which decides who makes room for whom, and when its time is up.
use crate::activity::Activity;
use crate::admission::Phase;
use crate::counts::{Reason, Refused};
use crate::table::Shared;
use crate::{Limits, Peer};
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// A connection; a cheap handle. It is in the extensions of every request that [`crate::serve_http1`] serves.
#[derive(Clone, Debug)]
pub struct Conn(pub(crate) Arc<Entry>);

/// Whether what follows a request can be told from its own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body, or a chunked one: the request ends in an empty line.
    Line,
    /// A body of a known length.
    Length,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) activity: Arc<Activity>,
}

impl Entry {
    fn changed(&self) {
        self.activity.changed(self.shared.now());
    }

    /// Takes note of bytes that came: part of a head unless a request is under way.
    pub(crate) fn came(&self, bytes: &[u8]) {
        let mut tail = self.activity.tail.load(Ordering::Relaxed);
        for byte in &bytes[bytes.len().saturating_sub(4)..] {
            tail = tail << 8 | u32::from(*byte);
        }
        self.activity.tail.store(tail, Ordering::Relaxed);
        if !self.activity.is_in_head() {
            return;
        }
        if self.activity.head_since.load(Ordering::Relaxed) == 0 {
            self.activity.head_since.store(self.shared.now() + 1, Ordering::Relaxed);
        }
        self.activity.buffered.fetch_add(bytes.len(), Ordering::Relaxed);
        let all = self.shared.buffered.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        if all > self.shared.limits.head_budget {
            self.shared.shed();
        }
    }

    /// Until when a read may wait, and what has run out then; `None` while a request is under way.
    pub(crate) fn deadline(&self) -> Option<(Instant, Option<Reason>)> {
        let limits = &self.shared.limits;
        let after = |start: u64, wait: std::time::Duration| self.shared.at(start) + wait;
        match self.activity.phase() {
            Phase::Waiting => Some((after(self.activity.since(), limits.head), Some(Reason::SlowHead))),
            Phase::Idle => match self.activity.head_since.load(Ordering::Relaxed) {
                0 => Some((
                    after(
                        self.activity.since(),
                        if self.activity.is_known() { limits.idle } else { limits.idle_unknown },
                    ),
                    None,
                )),
                start => Some((after(start - 1, limits.head), Some(Reason::SlowHead))),
            },
            _ => None,
        }
    }

    pub(crate) fn refuse(&self, reason: Reason) {
        self.shared.stats.refuse(reason);
    }

    /// Whether a close should read on for a while.
    pub(crate) fn lingers(&self) -> bool {
        let partial = self.activity.buffered.load(Ordering::Relaxed) > 0;
        !self.activity.has_ended() && (self.activity.sending.load(Ordering::Relaxed) || partial)
    }

    pub(crate) fn stall(&self) -> std::time::Duration {
        let limits = &self.shared.limits;
        if self.activity.patient.load(Ordering::Relaxed) { limits.tunnel_stall } else { limits.write_stall }
    }
}

impl Conn {
    /// The limits of its listener.
    pub fn limits(&self) -> &Limits {
        &self.0.shared.limits
    }

    /// A whole head has come: a request is under way until the result is dropped, at the end of its answer. While it is, no deadline for
    /// heads runs, and the connection is not evicted.
    pub fn request(&self, framing: Framing) -> Request {
        let entry = &self.0;
        if entry.activity.finish_waiting() {
            entry.shared.first_head();
        }
        let freed = entry.activity.buffered.swap(0, Ordering::Relaxed);
        entry.shared.buffered.fetch_sub(freed, Ordering::Relaxed);
        entry.activity.head_since.store(0, Ordering::Relaxed);
        entry.activity.heads.fetch_add(1, Ordering::Relaxed);
        entry.activity.requests.fetch_add(1, Ordering::Relaxed);
        entry.changed();
        Request { conn: self.clone(), framing }
    }

    /// The answer to the request under way has no end. It may be evicted from then on, though later than what does nothing.
    ///
    /// # Errors
    /// As many streams are open as the listener or the peer may have.
    pub fn stream(&self) -> Result<Stream, Refused> {
        let peer = self.0.shared.stream(self.0.id)?;
        self.0.activity.streams.fetch_add(1, Ordering::Relaxed);
        self.0.changed();
        Ok(Stream { conn: self.clone(), peer })
    }

    /// The body of the request under way is being read, until the result is dropped.
    pub fn reading(&self) -> Reading {
        self.0.activity.receiving.fetch_add(1, Ordering::Relaxed);
        self.0.changed();
        Reading(self.clone())
    }

    /// From here on the connection carries bytes that are no HTTP: no deadline for heads, a longer one for writes.
    pub fn tunnel(&self) {
        self.0.activity.patient.store(true, Ordering::Relaxed);
        self.relay();
    }

    /// The bytes of the connection are passed on unread: no deadline for heads, the usual one for writes.
    pub fn relay(&self) {
        if self.0.activity.finish_waiting() {
            self.0.shared.first_head();
        }
        self.0.activity.tunnel.store(true, Ordering::Relaxed);
        self.0.changed();
    }

    /// The connection speaks HTTP/2: its heads come in frames, between others. What bounds a frame is the protocol's ping.
    pub fn multiplexed(&self) {
        self.0.activity.multiplexed.store(true, Ordering::Relaxed);
    }

    /// The peer may be sending more of a body that is not wanted: a close then reads on for a while, so that the answer arrives.
    pub fn sending(&self, more: bool) {
        self.0.activity.sending.store(more, Ordering::Relaxed);
    }

    /// Somebody has signed in on this connection. `identity` is a digest of who; never 0. `most` is how many connections they may have.
    ///
    /// # Errors
    /// They have as many already.
    pub fn identify(&self, identity: u64, most: usize) -> Result<(), Refused> {
        let identity = identity.max(1);
        if self.0.activity.identity.load(Ordering::Relaxed) == identity {
            return Ok(());
        }
        self.0.shared.name(self.0.id, identity, most)?;
        self.0.activity.identity.store(identity, Ordering::Relaxed);
        self.0.activity.known.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The client's address, as a trusted proxy names it for the request under way. It counts from here on.
    ///
    /// # Errors
    /// That address has as many connections as it may.
    pub fn forwarded(&self, address: IpAddr) -> Result<(), Refused> {
        self.0.shared.rename(self.0.id, Peer::from(address))
    }

    /// Takes note of bytes that were read, for code that reads without [`crate::Paced`]: they count as part of an unfinished head until
    /// [`Conn::request`] is called.
    pub fn came(&self, bytes: &[u8]) {
        self.0.came(bytes);
    }

    /// Counts that the policy ended this connection, for code that bounds its waits by itself.
    pub fn refuse(&self, reason: Reason) {
        self.0.refuse(reason);
    }

    /// Resolves when the connection was evicted.
    pub async fn evicted(&self) {
        self.0.activity.wake.notified().await;
    }

    /// Waits for a handshake, no longer than a first head may take.
    ///
    /// # Errors
    /// The handshake's own, or that it took too long.
    pub async fn within_head<T>(&self, handshake: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
        tokio::time::timeout(self.limits().head, handshake).await.unwrap_or_else(|_| {
            self.0.refuse(Reason::SlowHead);
            Err(std::io::ErrorKind::TimedOut.into())
        })
    }

    /// Whether no whole head has come yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.activity.phase() == Phase::Waiting
    }

    pub(crate) fn closed(&self) {
        // After an eviction bytes may have come that the table does not know of.
        let freed = self.0.activity.buffered.swap(0, Ordering::Relaxed);
        self.0.shared.buffered.fetch_sub(freed, Ordering::Relaxed);
        self.0.shared.closed(self.0.id);
    }
}

/// A request under way.
#[derive(Debug)]
pub struct Request {
    conn: Conn,
    framing: Framing,
}

impl Drop for Request {
    fn drop(&mut self) {
        let entry = &self.conn.0;
        entry.changed();
        // Bytes after the request's end are the start of the next head, which may have come in the same packet. Behind a body of a
        // known length that cannot be seen; such a head has until the idle connection's deadline, which frees nobody who sends one.
        let more = self.framing == Framing::Line
            && entry.activity.tail.load(Ordering::Relaxed) != u32::from_be_bytes(*b"\r\n\r\n");
        let head_since = if more { entry.shared.now() + 1 } else { 0 };
        entry.activity.head_since.store(head_since, Ordering::Relaxed);
        entry.activity.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer without an end.
#[derive(Debug)]
pub struct Stream {
    conn: Conn,
    peer: Option<Peer>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.conn.0.activity.streams.fetch_sub(1, Ordering::Relaxed);
        self.conn.0.changed();
        self.conn.0.shared.stream_ended(self.peer);
    }
}

/// A body that is being read.
#[derive(Debug)]
pub struct Reading(Conn);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.0.activity.receiving.fetch_sub(1, Ordering::Relaxed);
        self.0.0.changed();
    }
}
