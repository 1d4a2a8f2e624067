//! Memory that clients can make a sidecar keep: large heads, bodies that may have to be sent again, pages that nobody reads. What is
//! beyond the ordinary few KiB of a connection is charged to one budget; where that is used up, it is refused rather than kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that all connections share.
pub(crate) struct Budget {
    used: AtomicUsize,
    most: usize,
}

/// Bytes that one holder has of a budget; given back when dropped.
pub(crate) struct Charge {
    of: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Arc<Budget> {
        Arc::new(Budget { used: AtomicUsize::new(0), most })
    }

    /// A charge of nothing yet.
    pub(crate) fn charge(self: &Arc<Budget>) -> Charge {
        Charge { of: self.clone(), bytes: 0 }
    }

    /// A charge of so many bytes; `None` where there is no room for them.
    pub(crate) fn take(self: &Arc<Budget>, bytes: usize) -> Option<Charge> {
        let mut charge = self.charge();
        charge.grow_to(bytes).then_some(charge)
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Charge {
    /// Makes this a charge of at least so many bytes; `false` where the budget has no room.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return true };
        let room = |used: usize| used.checked_add(more).filter(|sum| *sum <= self.of.most);
        let granted = self.of.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if granted {
            self.bytes = bytes;
        }
        granted
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        if self.bytes > 0 {
            self.of.used.fetch_sub(self.bytes, Ordering::Relaxed);
            self.bytes = 0;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_budget_is_refused_and_everything_is_given_back() {
        let budget = Budget::new(1000);
        let all: Vec<Charge> = (0..12).filter_map(|_| budget.take(90)).collect();
        assert_eq!((all.len(), budget.used()), (11, 990));
        let mut other = budget.charge();
        assert!(other.grow_to(10) && !other.grow_to(11) && other.grow_to(5));
        drop(all);
        assert!(other.grow_to(1000) && budget.take(1).is_none());
        other.clear();
        assert_eq!(budget.used(), 0);
    }
}
