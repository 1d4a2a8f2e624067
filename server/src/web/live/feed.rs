//! One feed per namespace that somebody watches: the task that fills its ring.
use super::encode::{self, Audience, Known};
use super::ring::{Joined, Ring};
use crate::demo::NamespaceState;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;
use wire::{Frame, Namespace};

/// The feeds that run, by namespace.
pub struct Feeds {
    running: Running,
    begin: mpsc::UnboundedSender<Closing>,
}

type Running = Arc<Mutex<BTreeMap<Namespace, Arc<Feed>>>>;

/// Runs the feeds that [`Feeds::join`] begins.
pub struct Runner(mpsc::UnboundedReceiver<Closing>);

/// One namespace's events.
struct Feed {
    namespace: Arc<NamespaceState>,
    ring: Arc<Ring>,
    began: Instant,
    /// The event `history`, with the time of its newest frame.
    history: Mutex<(u64, Bytes)>,
}

/// Ends a feed when dropped, also where its task panics or was never begun: its viewers' streams end, and they connect to the next one.
struct Closing {
    feed: Arc<Feed>,
    running: Running,
}

impl Feeds {
    /// Nothing runs before the [`Runner`] does.
    pub fn new() -> (Arc<Feeds>, Runner) {
        let (begin, begun) = mpsc::unbounded_channel();
        (Arc::new(Feeds { running: Arc::default(), begin }), Runner(begun))
    }

    /// One more viewer of a namespace; begins its feed where nobody else watches it. `None` if the panel shuts down.
    pub fn join(&self, namespace: &Arc<NamespaceState>, build: &str, audience: Audience) -> Option<Joined> {
        let mut running = lock(&self.running);
        let feed = running.get(&namespace.ns).filter(|feed| Arc::ptr_eq(&feed.namespace, namespace));
        if let Some(joined) = feed.and_then(|feed| feed.join(build, audience)) {
            return Some(joined);
        }
        let feed = Arc::new(Feed::new(namespace.clone()));
        let joined = feed.join(build, audience);
        running.insert(namespace.ns.clone(), feed.clone());
        drop(running);
        // The runner is gone only when the program ends; then the feed ends here.
        self.begin.send(Closing { feed, running: self.running.clone() }).ok().and(joined)
    }
}

impl Runner {
    /// Runs until the token; then every stream ends.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut feeds = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(closing) = self.0.recv() => { feeds.spawn(async move { closing.feed.run().await }); }
                Some(ended) = feeds.join_next() => if let Err(why) = ended {
                    error!(%why, "A live feed ended in a panic; its viewers connect to the next one");
                }
            }
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut running = lock(&self.running);
        self.feed.ring.close();
        if running.get(&self.feed.namespace.ns).is_some_and(|feed| Arc::ptr_eq(feed, &self.feed)) {
            running.remove(&self.feed.namespace.ns);
        }
    }
}

impl Feed {
    fn new(namespace: Arc<NamespaceState>) -> Feed {
        let ring = Ring::new(known(&namespace), 0);
        Feed { namespace, ring, began: Instant::now(), history: Mutex::new((0, encode::history(&[]))) }
    }

    /// Runs as long as somebody watches and the namespace is looked after.
    async fn run(&self) {
        let (mut statuses, mut frames) = (self.namespace.status.subscribe(), self.namespace.frames.subscribe());
        loop {
            statuses.mark_unchanged();
            frames.mark_unchanged();
            let Some(due_ms) = self.ring.publish(&known(&self.namespace), self.now_ms()) else { return };
            tokio::select! {
                () = self.namespace.stop.cancelled() => return,
                changed = statuses.changed() => if changed.is_err() { return },
                changed = frames.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(self.began + Duration::from_millis(due_ms)) => {}
            }
        }
    }

    fn join(&self, build: &str, audience: Audience) -> Option<Joined> {
        let mut joined = self.ring.join(audience, &known(&self.namespace), self.now_ms())?;
        joined.after([encode::hello(build), self.history()].into_iter());
        Some(joined)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The last minute, encoded once for all who come before its next frame.
    fn history(&self) -> Bytes {
        let frames = lock(&self.namespace.history);
        let newest_ms = frames.back().map_or(0, |frame| frame.at_ms);
        let mut encoded = lock(&self.history);
        if encoded.0 != newest_ms {
            *encoded = (newest_ms, encode::history(&frames.iter().collect::<Vec<&Frame>>()));
        }
        encoded.1.clone()
    }
}

fn known(namespace: &NamespaceState) -> Known {
    Known { status: namespace.status.borrow().clone(), traffic: namespace.frames.borrow().clone() }
}

/// What is behind these locks is replaced in one step: it is whole also after a panic.
fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
