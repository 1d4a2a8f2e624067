//! One feed per namespace that somebody watches: a task that encodes, and the ring that all its viewers read.
use super::encode::{self, AUDIENCES, Audience, Encoder, Known};
use crate::demo::Space;
use app::types::{Frame, Namespace};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Batches that a viewer may be behind, about 1.5 s; one that is further behind skips them.
const RING: usize = 16;

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
    space: Arc<Space>,
    began: Instant,
    /// `None` once the feed has ended.
    open: Mutex<Option<Open>>,
}

/// An encoder and its viewers: behind one lock, so that who joins gets each event either within the whole state or after it.
struct Open {
    encoder: Encoder,
    rings: [broadcast::Sender<Bytes>; AUDIENCES.len()],
    history: Option<(u64, Bytes)>,
}

/// Ends a feed when dropped, also where its task panics or was never begun: the viewers' streams end, and they come again.
struct Closing {
    feed: Arc<Feed>,
    running: Running,
}

/// A viewer's place in the ring.
pub struct Joined {
    feed: Arc<Feed>,
    audience: Audience,
    events: broadcast::Receiver<Bytes>,
    /// The whole state, until it is sent.
    opening: VecDeque<Bytes>,
}

impl Feeds {
    /// Nothing runs before the [`Runner`] does.
    pub fn new() -> (Arc<Feeds>, Runner) {
        let (begin, begun) = mpsc::unbounded_channel();
        (Arc::new(Feeds { running: Arc::default(), begin }), Runner(begun))
    }

    /// One more viewer of a namespace. Begins its feed where nobody else watches it.
    pub fn join(&self, space: &Arc<Space>, build: &str, audience: Audience) -> Joined {
        let mut running = lock(&self.running);
        let known = running.get(&space.ns).filter(|feed| Arc::ptr_eq(&feed.space, space)).cloned();
        if let Some(joined) = known.and_then(|feed| feed.join(audience, Some(build))) {
            return joined;
        }
        let (feed, joined) = Feed::open(space.clone(), build, audience);
        running.insert(space.ns.clone(), feed.clone());
        drop(running);
        // The runner is gone only when the program ends; then the feed ends here.
        let _ = self.begin.send(Closing { feed, running: self.running.clone() });
        joined
    }
}

impl Runner {
    /// Runs until the token; then every stream ends.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut feeds = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(closing) = self.0.recv() => { feeds.spawn(async move { closing.feed.run().await; drop(closing) }); }
                Some(ended) = feeds.join_next() => if let Err(why) = ended {
                    error!(%why, "A live feed ended in a panic; its viewers are connected to the next one");
                }
            }
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        // The registry first: who joins holds it, too.
        let mut running = lock(&self.running);
        *lock(&self.feed.open) = None;
        if running.get(&self.feed.space.ns).is_some_and(|feed| Arc::ptr_eq(feed, &self.feed)) {
            running.remove(&self.feed.space.ns);
        }
    }
}

impl Feed {
    fn open(space: Arc<Space>, build: &str, audience: Audience) -> (Arc<Feed>, Joined) {
        let encoder = Encoder::new(known(&space), 0);
        let open = Open { encoder, rings: std::array::from_fn(|_| broadcast::Sender::new(RING)), history: None };
        let events = open.rings[audience.index()].subscribe();
        let feed = Arc::new(Feed { space, began: Instant::now(), open: Mutex::new(Some(open)) });
        let opening = lock(&feed.open).as_mut().map(|open| open.opening(&feed.space, audience, Some(build))).unwrap_or_default();
        let joined = Joined { feed: feed.clone(), audience, events, opening };
        (feed, joined)
    }

    /// Encodes as long as somebody watches and the namespace is looked after.
    async fn run(&self) {
        let (mut statuses, mut frames) = (self.space.status.subscribe(), self.space.frames.subscribe());
        loop {
            statuses.mark_unchanged();
            frames.mark_unchanged();
            let Some(due) = self.publish() else { return };
            tokio::select! {
                () = self.space.stop.cancelled() => return,
                changed = statuses.changed() => if changed.is_err() { return },
                changed = frames.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    /// Hands out what is due; gives when to do so again. `None` if nobody watches: the feed has ended.
    fn publish(&self) -> Option<Instant> {
        let mut place = lock(&self.open);
        let open = place.as_mut()?;
        let watched = open.watched();
        if watched == [false; AUDIENCES.len()] {
            *place = None;
            return None;
        }
        let known = known(&self.space);
        open.hand_out(&known, false, self.now_ms());
        Some(self.began + Duration::from_millis(open.encoder.due_ms(&known, watched)))
    }

    /// A place in the ring with the whole state before it; with `build`, the first events of a stream as well. `None` if the feed has ended.
    fn join(self: Arc<Feed>, audience: Audience, build: Option<&str>) -> Option<Joined> {
        let mut place = lock(&self.open);
        let open = place.as_mut()?;
        if build.is_some() {
            // Who comes now sees what is so now, and nothing of the past.
            open.hand_out(&known(&self.space), true, self.now_ms());
        }
        let events = open.rings[audience.index()].subscribe();
        let opening = open.opening(&self.space, audience, build);
        drop(place);
        Some(Joined { feed: self, audience, events, opening })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Open {
    fn watched(&self) -> [bool; AUDIENCES.len()] {
        std::array::from_fn(|place| self.rings[place].receiver_count() > 0)
    }

    fn hand_out(&mut self, known: &Known, flush: bool, now_ms: u64) {
        let watched = self.watched();
        for (ring, events) in self.rings.iter().zip(self.encoder.batch(known, watched, flush, now_ms)) {
            if !events.is_empty() {
                // Without viewers there is nobody to miss it.
                let _ = ring.send(events);
            }
        }
    }

    fn opening(&mut self, space: &Space, audience: Audience, build: Option<&str>) -> VecDeque<Bytes> {
        let mut opening = VecDeque::new();
        if let Some(build) = build {
            opening.push_back(encode::hello(build));
            opening.push_back(self.history(space));
        }
        opening.extend(self.encoder.whole(audience));
        opening.retain(|events| !events.is_empty());
        opening
    }

    /// The last minute, encoded once per frame of it.
    fn history(&mut self, space: &Space) -> Bytes {
        let frames = lock(&space.history);
        let newest_ms = frames.back().map_or(0, |frame| frame.at_ms);
        match &self.history {
            Some((at_ms, events)) if *at_ms == newest_ms => events.clone(),
            _ => {
                let events = encode::history(&frames.iter().cloned().collect::<Vec<Frame>>());
                self.history = Some((newest_ms, events.clone()));
                events
            }
        }
    }
}

impl Joined {
    /// The next events; `None` if the stream has ended.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(events) = self.opening.pop_front() {
                return Some(events);
            }
            match self.events.recv().await {
                Ok(events) => return Some(events),
                Err(broadcast::error::RecvError::Lagged(_)) => *self = self.feed.clone().join(self.audience, None)?,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

fn known(space: &Space) -> Known {
    Known { status: space.status.borrow().clone(), traffic: space.frames.borrow().clone() }
}

/// What is behind these locks is put in place in one step: it is whole also after a panic.
fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
