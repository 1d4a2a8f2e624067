//! The watcher's end of its queue.
use super::Event;
use super::state::State;
use super::subscriber::Subscriber;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

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

impl Subscription {
    /// Begins with what is written after this; `locked` is the same state, locked.
    pub(super) fn open(
        locked: &mut State,
        state: Arc<RwLock<State>>,
        resource: &str,
        namespace: Option<&str>,
    ) -> Subscription {
        let (subscriber, queue, behind) = Subscriber::new(namespace);
        locked.subscribe(resource, subscriber);
        Subscription { missed: VecDeque::new(), queue, behind, began: locked.revision(), state }
    }

    pub(super) fn catch_up(&mut self, missed: Vec<Arc<Event>>) {
        self.missed = missed.into();
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
