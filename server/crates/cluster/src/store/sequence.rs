//! The order of writes: compares what a write was decided on with what is there now, gives it its revision, queues it for the disk.
//!
//! Everything under this lock takes time in proportion to the write's keys, never to its size.
use super::Key;
use super::job::{Answer, Change, Job, Write};
use super::quota::{Quota, Usage};
use super::state::State;
use super::version::Draft;
use crate::Object;
use crate::status::Status;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::{oneshot, watch};

/// Jobs that share one fsync. More would only make the first of them wait.
const BATCH: usize = 256;

/// What the store's handles and its writer share.
pub(super) struct Shared {
    state: Arc<RwLock<State>>,
    sequence: Mutex<Sequence>,
    work: Condvar,
    /// Why the writer ended, where it was not told to.
    ended: watch::Sender<Option<String>>,
}

/// Decided writes that are not on disk yet, and what they change.
struct Sequence {
    /// The newest revision that was given to a write.
    revision: u64,
    ahead: HashMap<Key, Ahead>,
    counts: HashMap<String, usize>,
    usage: Usage,
    queue: VecDeque<Job>,
    closed: bool,
}

/// The newest decided state of an object.
struct Ahead {
    revision: u64,
    /// `None` where it is deleted.
    object: Option<Arc<Object>>,
    charge: usize,
}

/// What became of a decision.
pub(super) enum Submitted {
    /// It is answered when everything it was decided on is on disk.
    Queued(oneshot::Receiver<Answer>),
    /// It is answered already.
    Done(Answer),
    /// What it was decided on is no longer so: decide again.
    Stale,
}

/// What a decision looked at.
#[derive(Default)]
pub(super) struct Seen {
    /// Revisions of the objects that were read; `None` where there was none.
    pub(super) keys: HashMap<Key, Option<u64>>,
    /// Resources of which there must be fewer than so many.
    pub(super) limits: Vec<(String, usize)>,
    /// Some of it is not on disk yet.
    pub(super) is_ahead: bool,
}

impl Shared {
    pub(super) fn new(state: State, quota: Quota) -> Shared {
        let sequence = Sequence {
            revision: state.revision(),
            ahead: HashMap::new(),
            counts: HashMap::new(),
            usage: Usage::new(quota),
            queue: VecDeque::new(),
            closed: false,
        };
        let shared = Shared {
            state: Arc::new(RwLock::new(state)),
            sequence: Mutex::new(sequence),
            work: Condvar::new(),
            ended: watch::Sender::new(None),
        };
        shared.sequence().recount(&shared.read());
        shared
    }

    pub(super) fn state(&self) -> &Arc<RwLock<State>> {
        &self.state
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn sequence(&self) -> MutexGuard<'_, Sequence> {
        self.sequence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest state of an object, with its revision and whether it is still to be written.
    pub(super) fn newest(&self, key: &Key) -> (Option<(u64, Arc<Object>)>, bool) {
        if let Some(ahead) = self.sequence().ahead.get(key) {
            return (ahead.object.clone().map(|object| (ahead.revision, object)), true);
        }
        // A write that is published between the two locks is found here.
        (self.read().kept(key).map(|kept| (kept.version.revision, kept.object.clone())), false)
    }

    /// How many objects of a resource there are.
    pub(super) fn count(&self, resource: &str) -> usize {
        self.sequence().counts.get(resource).copied().unwrap_or(0)
    }

    /// Takes a decision, or finds that it has to be made again.
    pub(super) fn submit(&self, decided: Result<Change, Status>, seen: &Seen, may_use_reserve: bool) -> Submitted {
        let (key, mut object, deleted) = match decided {
            Err(status) => return self.answer(Err(status), seen),
            Ok(Change::None(object)) => return self.answer(Ok(object), seen),
            Ok(Change::Put(key, object)) => (key, object, false),
            Ok(Change::Delete(key, object)) => (key, object, true),
        };
        let draft = match Draft::of(&mut object) {
            Ok(draft) => draft,
            Err(status) => return Submitted::Done(Err(status)),
        };
        let mut sequence = self.sequence();
        if let Some(why) = self.ended.borrow().as_ref() {
            return Submitted::Done(Err(stopped(why)));
        }
        {
            let state = self.read();
            let is = |key: &Key| match sequence.ahead.get(key) {
                Some(ahead) => ahead.object.is_some().then_some(ahead.revision),
                None => state.kept(key).map(|kept| kept.version.revision),
            };
            let unchanged = seen.keys.iter().all(|(key, revision)| is(key) == *revision);
            let below =
                |(resource, most): &(String, usize)| sequence.counts.get(resource).copied().unwrap_or(0) < *most;
            if !unchanged || !seen.limits.iter().all(below) {
                return Submitted::Stale;
            }
            let before = match sequence.ahead.get(&key) {
                Some(ahead) => ahead.object.is_some().then_some(ahead.charge),
                None => state.kept(&key).map(|kept| kept.charge),
            };
            let after = (!deleted).then_some(draft.charge);
            if let Err(status) = sequence.usage.change(&key, before.unwrap_or(0), after.unwrap_or(0), may_use_reserve) {
                return Submitted::Done(Err(status));
            }
            let count = sequence.counts.entry(key.resource.clone()).or_default();
            match (before, after) {
                (None, Some(_)) => *count += 1,
                (Some(_), None) => *count = count.saturating_sub(1),
                _ => {}
            }
        }
        sequence.revision += 1;
        let revision = sequence.revision;
        object["metadata"]["resourceVersion"] = Value::String(revision.to_string());
        let object = Arc::new(object);
        let ahead = Ahead { revision, object: (!deleted).then(|| object.clone()), charge: draft.charge };
        sequence.ahead.insert(key.clone(), ahead);
        let (answer, answered) = oneshot::channel();
        let write = Write { revision, key, object: object.clone(), draft, deleted };
        sequence.queue.push_back(Job { answer, result: Ok(object), write: Some(write) });
        drop(sequence);
        self.work.notify_one();
        Submitted::Queued(answered)
    }

    /// An answer that changes nothing. Where it rests on a write that is not on disk yet, it waits for that.
    fn answer(&self, result: Answer, seen: &Seen) -> Submitted {
        if !seen.is_ahead {
            return Submitted::Done(result);
        }
        let (answer, answered) = oneshot::channel();
        let mut sequence = self.sequence();
        if self.ended.borrow().is_some() {
            return Submitted::Done(result);
        }
        sequence.queue.push_back(Job { answer, result, write: None });
        drop(sequence);
        self.work.notify_one();
        Submitted::Queued(answered)
    }

    /// The writer's next jobs; `None` once the store was closed and all are done.
    pub(super) fn next(&self) -> Option<Vec<Job>> {
        let mut sequence = self.sequence();
        loop {
            if !sequence.queue.is_empty() {
                let count = sequence.queue.len().min(BATCH);
                return Some(sequence.queue.drain(..count).collect());
            }
            if sequence.closed {
                return None;
            }
            sequence = self.work.wait(sequence).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// These writes are published: from here on the state answers for them.
    pub(super) fn settle(&self, keys: &[(Key, u64)]) {
        let mut sequence = self.sequence();
        for (key, revision) in keys {
            if sequence.ahead.get(key).is_some_and(|ahead| ahead.revision == *revision) {
                sequence.ahead.remove(key);
            }
        }
    }

    /// A write has failed: gives back all that wait behind it, as they were decided on it. Gives the newest revision that may be on disk.
    pub(super) fn fail(&self) -> (Vec<Job>, u64) {
        let mut sequence = self.sequence();
        sequence.ahead.clear();
        sequence.recount(&self.read());
        (sequence.queue.drain(..).collect(), sequence.revision)
    }

    /// The newest revision that was given to a write.
    pub(super) fn given(&self) -> u64 {
        self.sequence().revision
    }

    /// No more writes will come.
    pub(super) fn close(&self) {
        self.sequence().closed = true;
        self.work.notify_one();
    }

    /// The writer has ended by itself: no write will be done any more.
    pub(super) fn end(&self, why: &str) {
        self.ended.send_replace(Some(why.to_owned()));
        let (jobs, _) = self.fail();
        for job in jobs {
            // The caller may have gone.
            let _ = job.answer.send(Err(stopped(why)));
        }
    }

    /// Why the writer has ended; `None` while it runs.
    pub(super) fn ended(&self) -> watch::Receiver<Option<String>> {
        self.ended.subscribe()
    }
}

impl Sequence {
    /// Counts anew what is in the state alone.
    fn recount(&mut self, state: &State) {
        self.counts.clear();
        self.usage.clear();
        for (key, kept) in state.all() {
            self.usage.add(&key.namespace, kept.charge);
            *self.counts.entry(key.resource).or_default() += 1;
        }
    }
}

fn stopped(why: &str) -> Status {
    Status::internal(format!("the store has stopped: {why}"))
}
