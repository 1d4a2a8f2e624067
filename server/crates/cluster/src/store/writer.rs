//! The one writer: takes what has queued up, commits it together, then publishes. Its thread decides nothing.
use super::disk;
use super::disk::Disk;
use super::guard::caught;
use super::job::Job;
use super::sequence::Shared;
use super::state::Kept;
use super::version::Version;
use crate::status::Status;

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
