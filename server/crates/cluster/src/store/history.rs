//! The newest events, from which watches and older lists are answered: as JSON, bounded in bytes.
use super::version::Version;
use super::{Event, Key};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Bytes of JSON that the history keeps alive: with what a record costs beside, some 1.3 MiB. Weights that move once a second fill it in
/// a quarter of an hour. A watcher that was away for longer lists again.
const BYTES: usize = 1024 * 1024;
/// Events kept, whatever their size: each costs some hundred bytes beside its JSON.
const EVENTS: usize = 4096;

/// What an event leaves behind.
struct Record {
    revision: u64,
    key: Key,
    after: Version,
    deleted: bool,
}

/// Of an object that has events in the history.
struct Base {
    /// The version before the first of them.
    before: Option<Version>,
    /// How many there are.
    events: usize,
}

/// The history no longer reaches back to the revision asked for; the oldest that is known.
#[derive(Debug)]
pub(crate) struct Compacted {
    /// Watches may start from here or later.
    pub oldest: u64,
    /// The newest revision.
    pub newest: u64,
}

pub(super) struct History {
    /// The revision before the first record.
    oldest: u64,
    records: VecDeque<Record>,
    bases: HashMap<Key, Base>,
    /// Of all versions in `records` and `bases`.
    bytes: usize,
}

impl History {
    pub(super) fn new(revision: u64) -> History {
        History { oldest: revision, records: VecDeque::new(), bases: HashMap::new(), bytes: 0 }
    }

    pub(super) fn push(&mut self, event: &Event) {
        let base = self.bases.entry(event.key.clone()).or_insert_with(|| {
            self.bytes += event.before.as_ref().map_or(0, Version::len);
            Base { before: event.before.clone(), events: 0 }
        });
        base.events += 1;
        self.bytes += event.after.len();
        let (after, deleted) = (event.after.clone(), event.deleted);
        self.records.push_back(Record { revision: event.revision, key: event.key.clone(), after, deleted });
        while self.bytes > BYTES || self.records.len() > EVENTS {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(record) = self.records.pop_front() else { return };
        self.oldest = record.revision;
        let Some(base) = self.bases.get_mut(&record.key) else { return };
        base.events -= 1;
        let earlier = base.before.take();
        self.bytes -= earlier.as_ref().map_or(0, Version::len);
        if base.events == 0 || record.deleted {
            self.bytes -= record.after.len();
        } else {
            base.before = Some(record.after);
        }
        if base.events == 0 {
            self.bases.remove(&record.key);
        }
    }

    /// Whether events after `revision` are all there, up to `newest`.
    pub(super) fn reachable(&self, revision: u64, newest: u64) -> Result<(), Compacted> {
        // A revision of the future belongs to a store that is gone: its reader has to begin anew, too.
        if revision < self.oldest || revision > newest {
            Err(Compacted { oldest: self.oldest, newest })
        } else {
            Ok(())
        }
    }

    /// The events of a resource after `revision`, oldest first.
    pub(super) fn since(&self, resource: &str, namespace: Option<&str>, revision: u64) -> Vec<Arc<Event>> {
        let mut last: HashMap<&Key, Option<&Version>> = HashMap::new();
        let mut events = Vec::new();
        for record in self.of(resource, namespace) {
            let before = last.insert(&record.key, (!record.deleted).then_some(&record.after));
            if record.revision > revision {
                let before = before
                    .unwrap_or_else(|| self.bases.get(&record.key).and_then(|base| base.before.as_ref()))
                    .cloned();
                let (after, deleted) = (record.after.clone(), record.deleted);
                events.push(Arc::new(Event {
                    revision: record.revision,
                    key: record.key.clone(),
                    before,
                    after,
                    deleted,
                }));
            }
        }
        events
    }

    /// What differed from now at `revision`: each object's version then, `None` where it was not there.
    pub(super) fn changed_since(
        &self,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> HashMap<&Key, Option<&Version>> {
        let mut then: HashMap<&Key, Option<&Version>> = HashMap::new();
        let mut changed = HashMap::new();
        for record in self.of(resource, namespace) {
            if record.revision > revision {
                let version = then
                    .get(&record.key)
                    .copied()
                    .unwrap_or_else(|| self.bases.get(&record.key).and_then(|base| base.before.as_ref()));
                changed.entry(&record.key).or_insert(version);
            } else {
                then.insert(&record.key, (!record.deleted).then_some(&record.after));
            }
        }
        changed
    }

    fn of<'a>(&'a self, resource: &str, namespace: Option<&str>) -> impl Iterator<Item = &'a Record> {
        self.records
            .iter()
            .filter(move |r| r.key.resource == resource && namespace.is_none_or(|wanted| wanted == r.key.namespace))
    }

    /// Bytes kept alive, and events.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.bytes, self.records.len())
    }
}
