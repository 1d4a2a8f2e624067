//! What a write is decided on: the newest state, with a note of what was read.
use super::Key;
use super::job::Change;
use super::sequence::{Seen, Shared, Submitted};
use crate::Object;
use crate::status::Status;
use std::cell::RefCell;
use std::sync::Arc;

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

/// Decides once, and submits.
pub(super) fn attempt(
    shared: &Shared,
    decide: &dyn Fn(&Txn<'_>) -> Result<Change, Status>,
    may_use_reserve: bool,
) -> Submitted {
    let txn = Txn::new(shared);
    let decided = decide(&txn);
    shared.submit(decided, &txn.seen(), may_use_reserve)
}
