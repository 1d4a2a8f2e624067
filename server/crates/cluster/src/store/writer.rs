//! The one writer: takes what has queued up, commits it together, then publishes. Its thread decides nothing.
use super::disk::Disk;
use super::guard::caught;
use super::sequence::{Seen, Shared};
use super::state::Kept;
use super::version::{Draft, Version};
use super::{Key, disk};
use crate::{Object, status::Status};
use std::cell::RefCell;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a write is to do.
pub enum Change {
    /// Store this; the store stamps `metadata.resourceVersion`.
    Put(Key, Object),
    /// Remove it; this is its last state.
    Delete(Key, Object),
    /// Nothing: the answer is this, as it stands.
    None(Arc<Object>),
}

/// What a write is answered.
pub(super) type Answer = Result<Arc<Object>, Status>;

/// Something to be answered, and to be written before where there is a write.
pub(super) struct Job {
    pub(super) answer: oneshot::Sender<Answer>,
    pub(super) result: Answer,
    pub(super) write: Option<Write>,
}

/// A decided write.
pub(super) struct Write {
    pub(super) revision: u64,
    pub(super) key: Key,
    pub(super) object: Arc<Object>,
    pub(super) draft: Draft,
    pub(super) deleted: bool,
}

/// The newest state, earlier writes that are not on disk yet included. It remembers what was read: the write happens only if that
/// is still so when it is put in order.
pub struct Txn<'a> {
    shared: &'a Shared,
    seen: RefCell<Seen>,
}

impl<'a> Txn<'a> {
    pub(super) fn new(shared: &'a Shared) -> Txn<'a> {
        Txn { shared, seen: RefCell::default() }
    }

    /// The object as this write must see it.
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        let (found, is_ahead) = self.shared.newest(key);
        let mut seen = self.seen.borrow_mut();
        seen.is_ahead |= is_ahead;
        // The first read counts: a decision that sees two versions of an object is compared with the older one, and so made again.
        seen.keys.entry(key.clone()).or_insert(found.as_ref().map(|(revision, _)| *revision));
        found.map(|(_, object)| object)
    }

    /// Requires that there are fewer than `most` objects of a resource. Errors: there are not; how many there are.
    pub fn below(&self, resource: &str, most: usize) -> Result<(), usize> {
        let count = self.shared.count(resource);
        if count >= most {
            return Err(count);
        }
        self.seen.borrow_mut().limits.push((resource.to_owned(), most));
        Ok(())
    }

    pub(super) fn seen(self) -> Seen {
        self.seen.into_inner()
    }
}

/// Serves until the store is closed. Where the disk's library fails an assertion, the store ends and says why.
pub(super) fn run(disk: Disk, shared: &Shared) {
    let mut disk = disk;
    let path = disk.path().to_owned();
    let ended = caught(|| {
        while let Some(jobs) = shared.next() {
            batch(&mut disk, shared, jobs);
        }
    });
    let ended = match ended {
        Ok(()) => caught(move || drop(disk)),
        // After a panic it is left as it is, as its own end might panic, too.
        failed => {
            std::mem::forget(disk);
            failed
        }
    };
    if let Err(why) = ended {
        shared.end(&format!("the store {} is damaged, so a write failed: {why}", path.display()));
    }
}

fn batch(disk: &mut Disk, shared: &Shared, jobs: Vec<Job>) {
    if disk.is_closed() {
        recover(disk, shared);
    }
    let mut answers = Vec::with_capacity(jobs.len());
    let mut writes = Vec::new();
    for job in jobs {
        answers.push((job.answer, job.result));
        writes.extend(job.write.map(|write| {
            let name = disk::row_key(&write.key);
            let row = write.draft.row(&name, write.revision);
            (write, name, row)
        }));
    }
    let durable = match writes.last() {
        None => Ok(()),
        Some((last, ..)) => {
            // In order: of several writes to one object in a batch the last one stays.
            let rows: Vec<(&str, Option<&[u8]>)> =
                writes.iter().map(|(write, name, row)| (name.as_str(), (!write.deleted).then_some(&row[..]))).collect();
            disk.commit(&rows, last.revision)
        }
    };
    match durable {
        Ok(()) => {
            let mut settled = Vec::with_capacity(writes.len());
            let mut state = shared.change();
            for (write, _, row) in writes {
                settled.push((write.key.clone(), write.revision));
                let version = Version::new(write.revision, row, &write.object);
                state.publish(
                    write.key,
                    Kept { object: write.object, version, charge: write.draft.charge },
                    write.deleted,
                );
            }
            drop(state);
            shared.settle(&settled);
        }
        Err(error) => {
            tracing::error!(%error, "The store could not write; the changes are refused");
            let status = Status::internal(format!("the store could not be written: {error}"));
            answers.extend(shared.fail().0.into_iter().map(|job| (job.answer, job.result)));
            for (_, result) in &mut answers {
                *result = Err(status.clone());
            }
            recover(disk, shared);
        }
    }
    for (answer, result) in answers {
        // The caller may have gone; what is written stays written.
        let _ = answer.send(result);
    }
}

/// Gets the file ready for the next write, at a revision beyond those that were given. Where that fails, the next batch tries
/// again before it writes. Readers go on meanwhile: nobody but this thread changes the state.
fn recover(disk: &mut Disk, shared: &Shared) {
    let (rows, revision) = {
        let state = shared.read();
        let rows: Vec<_> = state.all().map(|(key, kept)| (disk::row_key(&key), kept.version.row().clone())).collect();
        (rows, state.revision().max(shared.given()))
    };
    match disk.recover(&rows, revision) {
        // Shown only now that it is on disk: a reader's version must not be given to another write after a restart.
        Ok(()) => shared.change().skip_to(revision),
        Err(error) => tracing::error!(%error, hint = error.hint(), "The store cannot be used until this is resolved"),
    }
}
