//! What one connection is doing: counters and times that its own code writes, and that the listener reads to decide who makes room.
use crate::Peer;
use crate::admission::{Phase, Seen};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Activity {
    /// It has a reserved place.
    pub(crate) reserved: bool,
    /// Whole heads so far, modulo 2³².
    pub(crate) heads: AtomicU32,
    /// Requests under way.
    pub(crate) requests: AtomicU32,
    pub(crate) streams: AtomicU32,
    pub(crate) receiving: AtomicU32,
    pub(crate) known: AtomicBool,
    pub(crate) identity: AtomicU64,
    pub(crate) tunnel: AtomicBool,
    /// Its writes may wait for longer.
    pub(crate) patient: AtomicBool,
    pub(crate) multiplexed: AtomicBool,
    pub(crate) waiting: AtomicBool,
    /// Start of the current phase, milliseconds.
    pub(crate) since: AtomicU64,
    /// First byte of an unfinished head, milliseconds + 1; 0: there is none.
    pub(crate) head_since: AtomicU64,
    /// Bytes of the unfinished head.
    pub(crate) buffered: AtomicUsize,
    /// The last four bytes read.
    pub(crate) tail: AtomicU32,
    /// The peer may still be sending when the connection is closed.
    pub(crate) sending: AtomicBool,
    pub(crate) ended: AtomicBool,
    pub(crate) wake: Notify,
}

impl Activity {
    /// A connection that waits for its first head since `now`, milliseconds.
    pub(crate) fn new(reserved: bool, now: u64) -> Activity {
        Activity {
            reserved,
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
            since: AtomicU64::new(now),
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

    /// Whether what comes next is part of a request's head.
    pub(crate) fn is_in_head(&self) -> bool {
        let elsewhere = [&self.tunnel, &self.multiplexed].iter().any(|flag| flag.load(Ordering::Relaxed));
        self.requests.load(Ordering::Relaxed) == 0 && !elsewhere
    }

    /// Whole heads so far, modulo 2³².
    pub(crate) fn heads(&self) -> u32 {
        self.heads.load(Ordering::Relaxed)
    }

    /// Another phase begins now.
    pub(crate) fn changed(&self, now: u64) {
        self.since.store(now, Ordering::Relaxed);
    }

    pub(crate) fn seen(&self, id: u64, peer: Option<Peer>) -> Seen {
        let phase: Phase = self.phase();
        Seen {
            id,
            peer,
            phase,
            known: self.is_known(),
            since: self.since(),
            buffered: self.buffered.load(Ordering::Relaxed),
        }
    }
}
