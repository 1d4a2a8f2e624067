//! The shell around every controller: watch, queue, plan, apply, retry. The only part with a clock and with waiting.
//!
//! Level-triggered: an event only says which key to look at; the plan reads the newest state, so a missed or doubled event does no harm.
use super::apply::{Apply, Failed};
use super::object::{KindName, controller_of, name, namespace, text};
use super::queue::Queue;
use super::step::Step;
pub(super) use super::view::View;
use crate::Object;
use crate::events::Recorder;
use crate::registry::{Watch, WatchEvent, WatchKind, WatchOptions};
use crate::status::Status;
use futures::stream::{FuturesUnordered, SelectAll, StreamExt};
use jiff::Timestamp;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Failures in a row before one is worth a warning: conflicts and races settle by themselves sooner.
const WORTH_A_WARNING: u32 = 6;
/// A plan that takes longer than this is expensive: one over the thousands of pods of a large ReplicaSet.
const EXPENSIVE: Duration = Duration::from_millis(1);
/// How many times as long as an expensive plan took its key rests before the next one, so that it has at most a fifth of a core.
const REST: u32 = 4;
/// Longest rest after an expensive plan.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// Pause before watching again after a watch was refused.
const WATCH_AGAIN: Duration = Duration::from_millis(200);

/// A namespaced object, or one of the cluster with an empty namespace.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    /// A key from its parts.
    pub fn new(namespace: &str, name: &str) -> Key {
        Key { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The key of an object.
    pub fn of(object: &Object) -> Key {
        Key::new(namespace(object), name(object))
    }

    /// The key of the object's controller, if that is of this kind.
    pub fn of_controller(object: &Object, kind: &str) -> Vec<Key> {
        let controller = controller_of(object).filter(|r| r["kind"] == kind);
        controller.map(|r| Key::new(namespace(object), text(r, "/name"))).into_iter().collect()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// What an event says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is there, or differs.
    There,
    /// It is gone.
    Gone,
}

/// A kind that a controller watches, and which keys a change of one object concerns.
pub(crate) struct Source<K> {
    pub kind: KindName,
    pub keys: fn(&Object, &View) -> Vec<K>,
}

impl<K> Source<K> {
    /// A source.
    pub fn new(kind: KindName, keys: fn(&Object, &View) -> Vec<K>) -> Source<K> {
        Source { kind, keys }
    }
}

/// One controller: what it watches, and its plan for a key.
pub(crate) trait Controller: Send + 'static {
    /// What names a piece of work.
    type Key: Clone + Eq + Hash + Ord + fmt::Display + Send + Sync;
    /// As the source of events, and in logs.
    const NAME: &'static str;
    /// In managedFields: the program that a real cluster runs this controller in.
    const MANAGER: &'static str = "kube-controller-manager";
    /// Keys worked on at the same time.
    const WORKERS: usize = 16;

    /// Keys to look at first, whether or not an object says so.
    fn seeds(&self) -> Vec<Self::Key> {
        Vec::new()
    }

    /// Reads whatever it keeps besides the registry's state anew: called when the watches are open, and whenever they are opened
    /// again because one fell behind. Events that come afterwards may be older than what is read here.
    fn begin(&mut self, _view: &View) {}

    /// What it watches.
    fn sources(&self) -> Vec<Source<Self::Key>>;

    /// Keys that a change concerns.
    fn on(&mut self, source: &Source<Self::Key>, _change: Change, object: &Arc<Object>, view: &View) -> Vec<Self::Key> {
        (source.keys)(object, view)
    }

    /// Reads what the plan needs and plans. `failure` is why the last attempt to create a pod for this key failed.
    fn plan(
        &mut self,
        key: &Self::Key,
        view: &View,
        now: Timestamp,
        failure: Option<&str>,
    ) -> Result<Vec<Step>, Status>;
}

/// Runs a controller until `stop`. Writes that have begun are finished first.
pub(crate) async fn run<C: Controller>(mut controller: C, view: View, recorder: Recorder, stop: CancellationToken) {
    let sources = controller.sources();
    let apply = Apply::new(view.clone(), &recorder, C::NAME, C::MANAGER);
    let mut queue: Queue<C::Key> = Queue::new();
    controller.seeds().into_iter().for_each(|key| queue.add(key));
    let mut watches = Watches::open(&sources, &view);
    controller.begin(&view);
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < C::WORKERS
            && let Some((key, failure)) = queue.next(Instant::now())
        {
            let failure = failure.as_deref().filter(|why| !why.is_empty());
            let began = Instant::now();
            let planned = controller.plan(&key, &view, Timestamp::now(), failure);
            let took = began.elapsed();
            if took > EXPENSIVE {
                let now = Instant::now();
                queue.hold(&key, now + (took * REST).min(LONGEST_REST), now);
            }
            let apply = apply.clone();
            running.push(async move {
                let result = match planned {
                    Ok(steps) => apply.run(steps).await,
                    Err(status) => Err(Failed::from(status)),
                };
                (key, result)
            });
        }
        let due = queue.next_due();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some((key, result)) = running.next(), if !running.is_empty() => settle::<C>(&mut queue, key, result),
            event = watches.next(), if !sources.is_empty() => match event {
                Some((i, event)) => note(&mut controller, &sources[i], &event, &view, &mut queue),
                None => {
                    // All of them anew: an owner's and its dependents' events belong together.
                    tokio::time::sleep(WATCH_AGAIN).await;
                    watches = Watches::open(&sources, &view);
                    controller.begin(&view);
                }
            },
            () = at(due), if due.is_some() && running.len() < C::WORKERS => {}
        }
    }
    while running.next().await.is_some() {}
}

fn note<C: Controller>(
    controller: &mut C,
    source: &Source<C::Key>,
    event: &WatchEvent,
    view: &View,
    queue: &mut Queue<C::Key>,
) {
    let change = match event.kind {
        WatchKind::Bookmark => return,
        WatchKind::Deleted => Change::Gone,
        WatchKind::Added | WatchKind::Modified => Change::There,
    };
    for key in controller.on(source, change, &event.object, view) {
        queue.add(key);
    }
}

fn settle<C: Controller>(queue: &mut Queue<C::Key>, key: C::Key, result: Result<Option<Duration>, Failed>) {
    let now = Instant::now();
    match result {
        Ok(again) => {
            queue.done(&key);
            if let Some(after) = again {
                queue.add_at(key, now + after);
            }
        }
        Err(Failed { status, is_spawn }) => {
            let why = if is_spawn { status.message.clone() } else { String::new() };
            let pause = queue.failed(&key, why, now, chance());
            let times = queue.failures(&key);
            if times == WORTH_A_WARNING {
                tracing::warn!(controller = C::NAME, object = %key, times, "`{key}` failed {times} times in a row: {status}");
            } else {
                tracing::debug!(controller = C::NAME, object = %key, retry_ms = pause.as_millis() as u64, "`{key}` failed: {status}");
            }
        }
    }
}

/// Until that time; for ever where there is none.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// 0..1, to spread retries.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX))
}

/// The watches of one controller; the first that ends, ends all.
struct Watches {
    streams: SelectAll<futures::stream::BoxStream<'static, (usize, Option<WatchEvent>)>>,
}

impl Watches {
    fn open<K>(sources: &[Source<K>], view: &View) -> Watches {
        let mut streams = SelectAll::new();
        for (i, source) in sources.iter().enumerate() {
            match open(source, view) {
                Ok(Some(watch)) => {
                    // The error or the end comes out as `None`, once.
                    let events = watch.map(|event| event.ok()).chain(futures::stream::iter([None]));
                    streams.push(events.map(move |event| (i, event)).boxed());
                }
                Ok(None) => {}
                Err(status) => tracing::warn!(kind = %source.kind, "Watching `{}` was refused: {status}", source.kind),
            }
        }
        Watches { streams }
    }

    async fn next(&mut self) -> Option<(usize, WatchEvent)> {
        let (i, event) = self.streams.next().await?;
        Some((i, event?))
    }
}

/// None where the cluster does not have the kind.
fn open<K>(source: &Source<K>, view: &View) -> Result<Option<Watch>, Status> {
    let Some(kind) = view.kind(&source.kind) else { return Ok(None) };
    view.registry().watch(kind, None, &WatchOptions::default()).map(Some)
}
