//! The durable state: objects by key, one revision counter, a bounded history of events.
//!
//! **Invariants:** what a write returned is on disk (fsync); a revision is never given twice, restarts included;
//! readers see whole writes only, in the order of their revisions. Knows nothing of kinds' meanings.
//!
//! A write is decided on a thread of its own, on the newest state. Its commit compares what it was decided on with what is there
//! by then; where that differs, it is decided again. So no decision, however long it takes, holds up another object's write.
mod disk;
mod error;
mod guard;
mod history;
mod job;
mod lanes;
mod quota;
mod sequence;
mod state;
mod subscriber;
mod subscription;
mod txn;
mod version;
mod work;
mod writer;

pub use error::StoreError;
pub(crate) use history::Compacted;
pub use job::Change;
pub use subscription::Subscription;
pub use txn::Txn;
pub use version::Version;
pub(crate) use work::Work;

use crate::{Object, status::Status};
use quota::Quota;
use sequence::{Shared, Submitted};
use state::State;
use std::path::Path;
use std::sync::Arc;

/// Decisions of one write that may turn out stale before it is refused. From the second on, writes to its object take turns.
const ATTEMPTS: usize = 16;

/// Where an object is: `plural.group` (the plural alone in the core group), namespace ("" where it has none), name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `deployments.apps`, `pods`.
    pub resource: String,
    /// Empty for objects without a namespace.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl Key {
    /// A key from its parts.
    pub fn new(resource: &str, namespace: &str, name: &str) -> Key {
        Key { resource: resource.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// One write, as watchers see it.
#[derive(Clone, Debug)]
pub struct Event {
    /// The write's revision.
    pub revision: u64,
    /// Which object.
    pub key: Key,
    /// The object before; none where it was created.
    pub before: Option<Version>,
    /// The object after. Of a deletion: its last state with the deletion's version.
    pub after: Version,
    /// Whether this write removed it.
    pub deleted: bool,
}

/// How a write is made.
#[derive(Clone, Debug)]
pub(crate) struct WriteHow {
    /// The object it is about: writes to it take turns where they collide.
    pub(crate) key: Key,
    /// Bytes that it is decided from, about: large ones do not go ahead of each other.
    pub(crate) bytes: usize,
    /// It reports of an object that is there, and may do so where the quota is used up.
    pub(crate) may_use_reserve: bool,
}

/// A cheap handle; the last one to go ends the writer's thread and closes the file.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    lanes: Arc<lanes::Lanes>,
    work: Work,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Store {
    /// Opens or creates the file, loads everything, starts the writer. Errors: see [`StoreError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Store, StoreError> {
        Store::open_with(path.as_ref(), Quota::default())
    }

    fn open_with(path: &Path, quota: Quota) -> Result<Store, StoreError> {
        let (disk, objects, revision) = disk::Disk::open(path)?;
        let shared = Arc::new(Shared::new(State::new(objects, revision), quota));
        let writers = shared.clone();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer::run(disk, &writers))
            .map_err(|e| StoreError::Io { path: path.to_owned(), source: e })?;
        Ok(Store(Arc::new(Inner { shared, lanes: Arc::default(), work: Work::new(), thread: Some(thread) })))
    }

    /// Resolves when the writer has ended by itself, with the reason: no write will be done any more. Never resolves otherwise.
    pub(crate) fn ended(&self) -> impl Future<Output = String> + Send + use<> {
        let mut ended = self.0.shared.ended();
        async move {
            let why = ended.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
            match why {
                Some(why) => why,
                None => std::future::pending().await,
            }
        }
    }

    /// Where to do work over a client's data.
    pub(crate) fn work(&self) -> &Work {
        &self.0.work
    }

    /// The newest revision that is on disk.
    pub(crate) fn revision(&self) -> u64 {
        self.0.shared.read().revision()
    }

    /// One object as it is now.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.0.shared.read().kept(key).map(|kept| kept.object.clone())
    }

    /// Bytes of memory that an object takes; 0 where there is none.
    pub(crate) fn bytes(&self, key: &Key) -> usize {
        self.0.shared.read().kept(key).map_or(0, |kept| kept.charge)
    }

    /// All objects of a resource, of one namespace where given, in order of their keys, with the revision they belong to.
    pub(crate) fn list(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Object>>, u64) {
        let state = self.0.shared.read();
        (state.list(resource, namespace), state.revision())
    }

    /// The same as it was at an earlier revision. Errors: the history no longer reaches back so far.
    pub(crate) fn list_at(
        &self,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Vec<Arc<Object>>, Compacted> {
        self.0.shared.read().list_at(resource, namespace, revision)
    }

    /// Runs `decide` on the newest state and makes its change durable before answering. It is run again where what it read has
    /// changed meanwhile, so it must have no effect but its result.
    ///
    /// Errors: `decide`'s own; 403 where the quota is used up; 409 where others change the object all the time; 500 where the
    /// disk failed, and then nothing has changed.
    pub(crate) async fn write<F>(&self, how: WriteHow, decide: F) -> Result<Arc<Object>, Status>
    where
        F: Fn(&Txn<'_>) -> Result<Change, Status> + Send + Sync + 'static,
    {
        let (shared, lanes, work) = (self.0.shared.clone(), self.0.lanes.clone(), self.0.work.clone());
        self.0.work.apart(write(shared, lanes, work, how, decide)).await
    }

    /// What is there now, and every later event of that resource. Atomic: nothing is missed between the two.
    pub(crate) fn subscribe(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Object>>, Subscription) {
        let mut state = self.0.shared.change();
        (
            state.list(resource, namespace),
            Subscription::open(&mut state, self.0.shared.state().clone(), resource, namespace),
        )
    }

    /// Events strictly after `revision`. Errors: the history no longer reaches back so far, or was never there.
    pub(crate) fn subscribe_from(
        &self,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Subscription, Compacted> {
        let mut state = self.0.shared.change();
        let missed = state.since(resource, namespace, revision)?;
        let mut subscription = Subscription::open(&mut state, self.0.shared.state().clone(), resource, namespace);
        subscription.catch_up(missed);
        Ok(subscription)
    }
}

async fn write<F>(
    shared: Arc<Shared>,
    lanes: Arc<lanes::Lanes>,
    work: Work,
    how: WriteHow,
    decide: F,
) -> Result<Arc<Object>, Status>
where
    F: Fn(&Txn<'_>) -> Result<Change, Status> + Send + Sync + 'static,
{
    let decide = Arc::new(decide);
    let mut lane = lanes.join(&how.key).await;
    for _ in 0..ATTEMPTS {
        let (shared, decide) = (shared.clone(), decide.clone());
        let attempt = move || txn::attempt(&shared, &*decide, how.may_use_reserve);
        match work.run_here(how.bytes, attempt).await? {
            Submitted::Done(answer) => return answer,
            Submitted::Queued(answer) => {
                // The next one sees this write already.
                drop(lane);
                let lost =
                    |_| Err(Status::internal("the store stopped before it answered; the write may not have happened"));
                return answer.await.unwrap_or_else(lost);
            }
            Submitted::Stale if lane.is_none() => lane = Some(lanes.enter(&how.key).await),
            Submitted::Stale => {}
        }
    }
    Err(Status::conflict(
        &how.key.resource,
        &how.key.name,
        "it or its namespace was changed all the time; please try again",
    ))
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // Why it ended was said to whoever waits for that.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
