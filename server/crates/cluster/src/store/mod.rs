//! The durable state: objects by key, one revision counter, a bounded history of events.
//!
//! **Invariants:** what a write returned is on disk (fsync); a revision is never given twice, restarts included;
//! readers see whole writes only, in the order of their revisions. Knows nothing of kinds' meanings.
mod error;
mod disk;
mod state;
mod writer;
mod subscription;

pub use error::StoreError;
pub use subscription::Subscription;
pub use writer::{Change, Txn};
pub(crate) use state::Compacted;

use crate::{Object, status::Status};
use state::State;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, mpsc};

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

/// One write, as the history keeps it.
#[derive(Clone, Debug)]
pub struct Event {
    /// The write's revision.
    pub revision: u64,
    /// Which object.
    pub key: Key,
    /// The object before; none where it was created.
    pub before: Option<Arc<Object>>,
    /// The object after. Of a deletion: its last state with the deletion's version.
    pub after: Arc<Object>,
    /// Whether this write removed it.
    pub deleted: bool,
    /// Length of `after` as JSON, by which the history is bounded.
    pub bytes: usize,
}

/// A cheap handle; the last one to go ends the writer's thread and closes the file.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    state: Arc<RwLock<State>>,
    /// `None` only while dropping.
    jobs: Option<mpsc::Sender<writer::Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Store {
    /// Opens or creates the file, loads everything, starts the writer. Errors: see [`StoreError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Store, StoreError> {
        let (disk, objects, revision) = disk::Disk::open(path.as_ref())?;
        let state = Arc::new(RwLock::new(State::new(objects, revision)));
        let (jobs, queue) = mpsc::channel();
        let shared = state.clone();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer::run(disk, &shared, &queue))
            .map_err(|e| StoreError::Io { path: path.as_ref().to_owned(), source: e })?;
        Ok(Store(Arc::new(Inner { state, jobs: Some(jobs), thread: Some(thread) })))
    }

    /// The newest revision that is on disk.
    pub(crate) fn revision(&self) -> u64 {
        self.read(|state| state.revision())
    }

    /// One object as it is now.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.read(|state| state.get(key))
    }

    /// All objects of a resource, of one namespace where given, in order of their keys, with the revision they belong to.
    pub(crate) fn list(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Object>>, u64) {
        self.read(|state| (state.list(resource, namespace), state.revision()))
    }

    /// The same as it was at an earlier revision. Errors: the history no longer reaches back so far.
    pub(crate) fn list_at(&self, resource: &str, namespace: Option<&str>, revision: u64) -> Result<Vec<Arc<Object>>, Compacted> {
        self.read(|state| state.list_at(resource, namespace, revision))
    }

    /// Runs `decide` against the newest state, one write at a time, and makes its change durable before answering.
    ///
    /// `decide` runs on the writer's thread: it must be quick and must not write by itself.
    /// Errors: `decide`'s own; 500 where the disk failed, and then nothing has changed.
    pub(crate) async fn write<F>(&self, decide: F) -> Result<Arc<Object>, Status>
    where
        F: FnOnce(&Txn<'_>) -> Result<Change, Status> + Send + 'static,
    {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let job = writer::Job { decide: Box::new(decide), answer };
        let sent = self.0.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(Status::internal("the store has stopped"));
        }
        answered.await.unwrap_or_else(|_| Err(Status::internal("the store stopped before it answered; the write may not have happened")))
    }

    /// What is there now, and every later event of that resource. Atomic: nothing is missed between the two.
    pub(crate) fn subscribe(&self, resource: &str, namespace: Option<&str>) -> (Vec<Arc<Object>>, Subscription) {
        self.change_state(|state| (state.list(resource, namespace), state.subscribe(resource, namespace, self.0.state.clone())))
    }

    /// Events strictly after `revision`. Errors: the history no longer reaches back so far, or was never there.
    pub(crate) fn subscribe_from(&self, resource: &str, namespace: Option<&str>, revision: u64) -> Result<Subscription, Compacted> {
        self.change_state(|state| {
            let missed = state.since(resource, namespace, revision)?;
            let mut subscription = state.subscribe(resource, namespace, self.0.state.clone());
            subscription.catch_up(missed);
            Ok(subscription)
        })
    }

    fn read<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        f(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic in there was already answered as an error; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
