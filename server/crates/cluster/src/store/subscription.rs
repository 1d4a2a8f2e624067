//! One watcher's queue. Bounded: a watcher that does not keep up is cut off and has to begin anew.
use super::Event;
use super::state::State;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Events a watcher may be behind.
const QUEUE: usize = 4096;
/// Bytes of JSON a watcher may be behind: they are kept alive for it alone.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// The store's end.
pub(super) struct Subscriber {
    namespace: Option<String>,
    queue: mpsc::Sender<Arc<Event>>,
    behind: Arc<AtomicUsize>,
}

/// The watcher's end.
pub struct Subscription {
    missed: VecDeque<Arc<Event>>,
    queue: mpsc::Receiver<Arc<Event>>,
    /// Bytes of JSON in `queue`.
    behind: Arc<AtomicUsize>,
    state: Arc<RwLock<State>>,
    /// The newest revision when this began.
    began: u64,
}

impl Subscriber {
    /// False where the watcher is gone or too slow: it is to be forgotten.
    pub(super) fn offer(&self, event: &Arc<Event>) -> bool {
        if self.namespace.as_deref().is_some_and(|namespace| namespace != event.key.namespace) {
            return !self.is_gone();
        }
        let bytes = event.after.len();
        if self.behind.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > QUEUE_BYTES {
            return false;
        }
        self.queue.try_send(event.clone()).is_ok()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.queue.is_closed()
    }
}

impl Subscription {
    pub(super) fn pair(namespace: Option<&str>, state: Arc<RwLock<State>>) -> (Subscriber, Subscription) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let behind = Arc::new(AtomicUsize::new(0));
        let subscription = Subscription { missed: VecDeque::new(), queue, behind: behind.clone(), state, began: 0 };
        (Subscriber { namespace: namespace.map(str::to_owned), queue: sender, behind }, subscription)
    }

    pub(super) fn catch_up(&mut self, missed: Vec<Arc<Event>>) {
        self.missed = missed.into();
    }

    pub(super) fn began_at(&mut self, revision: u64) {
        self.began = revision;
    }

    /// The revision of the state this began with.
    pub fn began(&self) -> u64 {
        self.began
    }

    /// The next event; `None` once the watcher was cut off.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arc<Event>>> {
        match self.missed.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => self.queue.poll_recv(cx).map(|event| {
                event.inspect(|event| {
                    self.behind.fetch_sub(event.after.len(), Ordering::Relaxed);
                })
            }),
        }
    }

    /// A revision up to which everything has been handed out; `None` while events wait.
    pub fn drained_at(&self) -> Option<u64> {
        // Read first: what is published up to here is already queued, as publishing holds the same lock.
        let revision = self.state.read().unwrap_or_else(PoisonError::into_inner).revision();
        (self.missed.is_empty() && self.queue.is_empty()).then_some(revision)
    }
}
