//! A connection's handle: says what the connection is doing, which decides who makes room for whom, and when its time is up.
use crate::admission::Phase;
use crate::counts::{Reason, Refused};
use crate::table::Shared;
use crate::{Limits, Peer};
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Notify;
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
    id: u64,
    /// It has a reserved place.
    pub(crate) reserved: bool,
    pub(crate) shared: Arc<Shared>,
    /// Whole heads so far, modulo 2³².
    heads: AtomicU32,
    /// Requests under way.
    requests: AtomicU32,
    streams: AtomicU32,
    receiving: AtomicU32,
    known: AtomicBool,
    identity: AtomicU64,
    tunnel: AtomicBool,
    /// Its writes may wait for longer.
    patient: AtomicBool,
    multiplexed: AtomicBool,
    waiting: AtomicBool,
    /// Start of the current phase, milliseconds.
    since: AtomicU64,
    /// First byte of an unfinished head, milliseconds + 1; 0: there is none.
    head_since: AtomicU64,
    /// Bytes of the unfinished head.
    pub(crate) buffered: AtomicUsize,
    /// The last four bytes read.
    tail: AtomicU32,
    /// The peer may still be sending when the connection is closed.
    sending: AtomicBool,
    ended: AtomicBool,
    wake: Notify,
}

impl Entry {
    pub(crate) fn new(id: u64, reserved: bool, shared: &Arc<Shared>) -> Entry {
        Entry {
            id,
            reserved,
            shared: shared.clone(),
            heads: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            receiving: AtomicU32::new(0),
            known: AtomicBool::new(false),
            identity: AtomicU64::new(0),
            tunnel: AtomicBool::new(false),
            patient: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
            waiting: AtomicBool::new(true),
            since: AtomicU64::new(shared.now()),
            head_since: AtomicU64::new(0),
            buffered: AtomicUsize::new(0),
            tail: AtomicU32::new(0),
            sending: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        let count = |n: &AtomicU32| n.load(Ordering::Relaxed);
        let (requests, streams, receiving) = (count(&self.requests), count(&self.streams), count(&self.receiving));
        if self.tunnel.load(Ordering::Relaxed) {
            Phase::Streaming
        } else if requests == 0 {
            if self.waiting.load(Ordering::Relaxed) { Phase::Waiting } else { Phase::Idle }
        } else if requests > streams + receiving {
            Phase::Active
        } else if streams > 0 {
            Phase::Streaming
        } else {
            Phase::Receiving
        }
    }

    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    pub(crate) fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    fn changed(&self) {
        self.since.store(self.shared.now(), Ordering::Relaxed);
    }

    /// Whether this ended the wait for a first head.
    pub(crate) fn finish_waiting(&self) -> bool {
        self.waiting.swap(false, Ordering::Relaxed)
    }

    /// Ends the connection from outside.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Takes note of bytes that came: part of a head unless a request is under way.
    pub(crate) fn came(&self, bytes: &[u8]) {
        let mut tail = self.tail.load(Ordering::Relaxed);
        for byte in &bytes[bytes.len().saturating_sub(4)..] {
            tail = tail << 8 | u32::from(*byte);
        }
        self.tail.store(tail, Ordering::Relaxed);
        if !self.is_in_head() {
            return;
        }
        if self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.shared.now() + 1, Ordering::Relaxed);
        }
        self.buffered.fetch_add(bytes.len(), Ordering::Relaxed);
        let all = self.shared.buffered.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        if all > self.shared.limits.head_budget {
            self.shared.shed();
        }
    }

    /// Whether what comes next is part of a request's head.
    pub(crate) fn is_in_head(&self) -> bool {
        let elsewhere = [&self.tunnel, &self.multiplexed].iter().any(|flag| flag.load(Ordering::Relaxed));
        self.requests.load(Ordering::Relaxed) == 0 && !elsewhere
    }

    /// Whole heads so far, modulo 2³².
    pub(crate) fn heads(&self) -> u32 {
        self.heads.load(Ordering::Relaxed)
    }

    /// Until when a read may wait, and what has run out then; `None` while a request is under way.
    pub(crate) fn deadline(&self) -> Option<(Instant, Option<Reason>)> {
        let limits = &self.shared.limits;
        let after = |start: u64, wait: std::time::Duration| self.shared.at(start) + wait;
        match self.phase() {
            Phase::Waiting => Some((after(self.since(), limits.head), Some(Reason::SlowHead))),
            Phase::Idle => match self.head_since.load(Ordering::Relaxed) {
                0 => Some((after(self.since(), if self.is_known() { limits.idle } else { limits.idle_unknown }), None)),
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
        let partial = self.buffered.load(Ordering::Relaxed) > 0;
        !self.has_ended() && (self.sending.load(Ordering::Relaxed) || partial)
    }

    pub(crate) fn stall(&self) -> std::time::Duration {
        let limits = &self.shared.limits;
        if self.patient.load(Ordering::Relaxed) { limits.tunnel_stall } else { limits.write_stall }
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
        if entry.finish_waiting() {
            entry.shared.first_head();
        }
        let freed = entry.buffered.swap(0, Ordering::Relaxed);
        entry.shared.buffered.fetch_sub(freed, Ordering::Relaxed);
        entry.head_since.store(0, Ordering::Relaxed);
        entry.heads.fetch_add(1, Ordering::Relaxed);
        entry.requests.fetch_add(1, Ordering::Relaxed);
        entry.changed();
        Request { conn: self.clone(), framing }
    }

    /// The answer to the request under way has no end. It may be evicted from then on, though later than what does nothing.
    ///
    /// # Errors
    /// As many streams are open as the listener or the peer may have.
    pub fn stream(&self) -> Result<Stream, Refused> {
        let peer = self.0.shared.stream(self.0.id)?;
        self.0.streams.fetch_add(1, Ordering::Relaxed);
        self.0.changed();
        Ok(Stream { conn: self.clone(), peer })
    }

    /// The body of the request under way is being read, until the result is dropped.
    pub fn reading(&self) -> Reading {
        self.0.receiving.fetch_add(1, Ordering::Relaxed);
        self.0.changed();
        Reading(self.clone())
    }

    /// From here on the connection carries bytes that are no HTTP: no deadline for heads, a longer one for writes.
    pub fn tunnel(&self) {
        self.0.patient.store(true, Ordering::Relaxed);
        self.relay();
    }

    /// The bytes of the connection are passed on unread: no deadline for heads, the usual one for writes.
    pub fn relay(&self) {
        if self.0.finish_waiting() {
            self.0.shared.first_head();
        }
        self.0.tunnel.store(true, Ordering::Relaxed);
        self.0.changed();
    }

    /// The connection speaks HTTP/2: its heads come in frames, between others. What bounds a frame is the protocol's ping.
    pub fn multiplexed(&self) {
        self.0.multiplexed.store(true, Ordering::Relaxed);
    }

    /// The peer may be sending more of a body that is not wanted: a close then reads on for a while, so that the answer arrives.
    pub fn sending(&self, more: bool) {
        self.0.sending.store(more, Ordering::Relaxed);
    }

    /// Somebody has signed in on this connection. `identity` is a digest of who; never 0. `most` is how many connections they may have.
    ///
    /// # Errors
    /// They have as many already.
    pub fn identify(&self, identity: u64, most: usize) -> Result<(), Refused> {
        let identity = identity.max(1);
        if self.0.identity.load(Ordering::Relaxed) == identity {
            return Ok(());
        }
        self.0.shared.name(self.0.id, identity, most)?;
        self.0.identity.store(identity, Ordering::Relaxed);
        self.0.known.store(true, Ordering::Relaxed);
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
        self.0.wake.notified().await;
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
        self.0.phase() == Phase::Waiting
    }

    pub(crate) fn closed(&self) {
        // After an eviction bytes may have come that the table does not know of.
        let freed = self.0.buffered.swap(0, Ordering::Relaxed);
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
        let more =
            self.framing == Framing::Line && entry.tail.load(Ordering::Relaxed) != u32::from_be_bytes(*b"\r\n\r\n");
        let head_since = if more { entry.shared.now() + 1 } else { 0 };
        entry.head_since.store(head_since, Ordering::Relaxed);
        entry.requests.fetch_sub(1, Ordering::Relaxed);
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
        self.conn.0.streams.fetch_sub(1, Ordering::Relaxed);
        self.conn.0.changed();
        self.conn.0.shared.stream_ended(self.peer);
    }
}

/// A body that is being read.
#[derive(Debug)]
pub struct Reading(Conn);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.0.receiving.fetch_sub(1, Ordering::Relaxed);
        self.0.0.changed();
    }
}
