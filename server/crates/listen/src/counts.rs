//! Open connections and refusals, per listener; for `/metrics`.
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Why a connection or a stream was refused or ended by the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The listener is full, and nothing in it may be evicted for the newcomer.
    Full,
    /// The peer address has as many connections as it may.
    Peer,
    /// The user has as many connections as one may.
    Identity,
    /// The process is about to run out of descriptors.
    Descriptors,
    /// It did nothing and made room for another.
    Evicted,
    /// Unfinished heads took more memory than the listener may use.
    Memory,
    /// No whole head within the deadline.
    SlowHead,
    /// The peer did not read.
    Stalled,
    /// As many streams as allowed are open.
    Streams,
}

const REASONS: [(Reason, &str); 9] = [
    (Reason::Full, "full"),
    (Reason::Peer, "peer"),
    (Reason::Identity, "identity"),
    (Reason::Descriptors, "descriptors"),
    (Reason::Evicted, "evicted"),
    (Reason::Memory, "memory"),
    (Reason::SlowHead, "slow_head"),
    (Reason::Stalled, "stalled"),
    (Reason::Streams, "streams"),
];

impl Reason {
    /// Label of the metric.
    pub fn as_str(self) -> &'static str {
        REASONS[self as usize].1
    }
}

/// A request or a connection that may not go on. The caller answers with 429 or 503 and `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
}

impl Refused {
    /// What `Retry-After` should say: streams end when pages are closed, which is not soon.
    pub const RETRY_AFTER: Duration = Duration::from_secs(5);

    /// 429 where the caller itself has too many, 503 where all callers together have.
    pub fn status(self) -> http::StatusCode {
        match self.reason {
            Reason::Peer | Reason::Identity => http::StatusCode::TOO_MANY_REQUESTS,
            _ => http::StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) name: &'static str,
    pub(crate) open: AtomicUsize,
    refused: [AtomicU64; REASONS.len()],
}

impl Stats {
    pub(crate) fn refuse(&self, reason: Reason) -> Refused {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
        Refused { reason }
    }
}

/// The counts of all listeners of a process; a cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Books(Arc<Mutex<Vec<Arc<Stats>>>>);

/// The counts of one listener.
#[derive(Clone, Debug)]
pub struct Count {
    /// Name of the listener.
    pub listener: &'static str,
    /// Connections open now.
    pub open: usize,
    /// Refusals since the start, by reason.
    pub refused: Vec<(Reason, u64)>,
}

impl Books {
    /// The counts of the listener of that name, made at the first call.
    pub(crate) fn of(&self, name: &'static str) -> Arc<Stats> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.iter().find(|stats| stats.name == name) {
            return known.clone();
        }
        let new = Arc::new(Stats { name, open: AtomicUsize::new(0), refused: Default::default() });
        all.push(new.clone());
        new
    }

    /// All listeners, in the order in which they were made.
    pub fn counts(&self) -> Vec<Count> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |stats: &Arc<Stats>| Count {
            listener: stats.name,
            open: stats.open.load(Ordering::Relaxed),
            refused: REASONS
                .iter()
                .map(|(reason, _)| (*reason, stats.refused[*reason as usize].load(Ordering::Relaxed)))
                .collect(),
        };
        all.iter().map(count).collect()
    }
}
