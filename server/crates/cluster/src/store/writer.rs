//! The one writer: takes what has queued up, decides each write in turn, commits them together, then publishes.
use super::disk::Disk;
use super::state::State;
use super::{Event, Key};
use crate::{Object, status::Status};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use tokio::sync::oneshot;

/// Writes that share one fsync. More would only make the first of them wait.
const BATCH: usize = 256;

/// What a write is to do.
pub enum Change {
    /// Store this; the store stamps `metadata.resourceVersion`.
    Put(Key, Object),
    /// Remove it; this is its last state.
    Delete(Key, Object),
    /// Nothing: the answer is this, as it stands.
    None(Arc<Object>),
}

type Decide = Box<dyn FnOnce(&Txn<'_>) -> Result<Change, Status> + Send>;

pub(super) struct Job {
    pub(super) decide: Decide,
    pub(super) answer: oneshot::Sender<Result<Arc<Object>, Status>>,
}

/// The newest state, the earlier writes of the same batch included.
pub struct Txn<'a> {
    state: &'a RwLock<State>,
    batch: &'a HashMap<Key, Option<Arc<Object>>>,
}

impl Txn<'_> {
    /// How many objects of a resource there are.
    pub fn count(&self, resource: &str) -> usize {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut count = state.count(resource);
        for (key, written) in self.batch.iter().filter(|(key, _)| key.resource == resource) {
            match (state.get(key).is_some(), written.is_some()) {
                (false, true) => count += 1,
                (true, false) => count -= 1,
                _ => {}
            }
        }
        count
    }

    /// The object as this write must see it.
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        match self.batch.get(key) {
            Some(written) => written.clone(),
            None => self.state.read().unwrap_or_else(PoisonError::into_inner).get(key),
        }
    }
}

pub(super) fn run(mut disk: Disk, state: &RwLock<State>, queue: &mpsc::Receiver<Job>) {
    // The newest revision that may be on disk, be it of a write that was refused.
    let mut tried = 0;
    while let Ok(first) = queue.recv() {
        let mut jobs = vec![first];
        while jobs.len() < BATCH
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        batch(&mut disk, state, jobs, &mut tried);
    }
}

fn batch(disk: &mut Disk, state: &RwLock<State>, jobs: Vec<Job>, tried: &mut u64) {
    if disk.is_closed() {
        recover(disk, state, *tried);
    }
    let mut revision = state.read().unwrap_or_else(PoisonError::into_inner).revision();
    let mut overlay: HashMap<Key, Option<Arc<Object>>> = HashMap::new();
    let mut events: Vec<Event> = Vec::new();
    let mut answers = Vec::with_capacity(jobs.len());
    for Job { decide, answer } in jobs {
        let txn = Txn { state, batch: &overlay };
        // A bug in one decision must not take the store down with it.
        let decided = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decide(&txn)))
            .unwrap_or_else(|_| Err(Status::internal("the write failed unexpectedly")));
        let (key, mut object, deleted) = match decided {
            Err(status) => {
                answers.push((answer, Err(status)));
                continue;
            }
            Ok(Change::None(object)) => {
                answers.push((answer, Ok(object)));
                continue;
            }
            Ok(Change::Put(key, object)) => (key, object, false),
            Ok(Change::Delete(key, object)) => (key, object, true),
        };
        revision += 1;
        object["metadata"]["resourceVersion"] = Value::String(revision.to_string());
        let after = Arc::new(object);
        let before = txn.get(&key);
        overlay.insert(key.clone(), (!deleted).then(|| after.clone()));
        answers.push((answer, Ok(after.clone())));
        events.push(Event { revision, key, before, after, deleted, bytes: 0 });
    }
    let durable = if events.is_empty() { Ok(()) } else { commit(disk, &mut events, revision) };
    match durable {
        Ok(()) => state.write().unwrap_or_else(PoisonError::into_inner).publish(events),
        Err(status) => {
            tracing::error!(error = %status.message, "The store could not write; the changes are refused");
            *tried = (*tried).max(revision);
            recover(disk, state, *tried);
            for (_, result) in &mut answers {
                *result = Err(status.clone());
            }
        }
    }
    for (answer, result) in answers {
        // The caller may have gone; what is written stays written.
        let _ = answer.send(result);
    }
}

/// Gets the file ready for the next write, at a revision beyond those that were `tried`. Where that fails, the next batch tries
/// again before it writes. Readers go on meanwhile: nobody but this thread changes objects.
fn recover(disk: &mut Disk, state: &RwLock<State>, tried: u64) {
    let (objects, revision) = {
        let state = state.read().unwrap_or_else(PoisonError::into_inner);
        (state.all(), state.revision().max(tried))
    };
    match disk.recover(objects, revision) {
        // Shown only now that it is on disk: a reader's version must not be given to another write after a restart.
        Ok(()) => state.write().unwrap_or_else(PoisonError::into_inner).skip_to(revision),
        Err(error) => tracing::error!(%error, hint = error.hint(), "The store cannot be used until this is resolved"),
    }
}

fn commit(disk: &Disk, events: &mut [Event], revision: u64) -> Result<(), Status> {
    // In order: of several writes to one object in a batch the last one stays.
    let mut rows = Vec::with_capacity(events.len());
    for event in events {
        let json = serde_json::to_vec(&*event.after).map_err(|e| Status::internal(e.to_string()))?;
        event.bytes = json.len();
        rows.push((&event.key, (!event.deleted).then_some(json)));
    }
    disk.commit(&rows, revision).map_err(|e| Status::internal(format!("the store could not be written: {e}")))
}
