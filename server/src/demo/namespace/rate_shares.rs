//! The cap on the sum of all generators that this panel drives, and its fair division among namespaces.
//!
//! **Invariant:** what is granted never sums to more than the cap. What is asked for stays as it was asked for.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use wire::{Generators, Namespace, Rate};

/// Divides `cap` requests a second by max–min fairness: whoever asks for less than an equal part gets all of it, the others share what is
/// left equally. Where the cap is not divisible, those that come first get one more. Grants are in the order of `asked`.
pub fn share(asked: &[Rate], cap: u32) -> Vec<Rate> {
    let mut order: Vec<usize> = (0..asked.len()).collect();
    // Stable: equal ones keep their order.
    order.sort_by_key(|i| asked[*i]);
    let mut granted = vec![Rate::default(); asked.len()];
    let mut left = cap;
    for (place, i) in order.iter().enumerate() {
        let waiting = u32::try_from(order.len() - place).unwrap_or(u32::MAX);
        // Rounded up: what does not divide goes to those that come first, and the last ones get one less.
        let grant = asked[*i].per_second().min(left.div_ceil(waiting));
        left -= grant;
        granted[*i] = Rate::at_most(grant);
    }
    granted
}

/// Rates by namespace. A namespace without a running generator is not in it.
pub type Grants = BTreeMap<Namespace, Rate>;

/// What all namespaces together ask for and are granted.
pub struct Shares {
    /// Requests a second of all generators together.
    cap: u32,
    asked: Mutex<BTreeMap<Namespace, Rate>>,
    grants: watch::Sender<Arc<Grants>>,
    /// Counts the uses of the stop-all switch: every load that was asked for before is off.
    stops: watch::Sender<u64>,
}

impl Shares {
    /// Nobody asks yet.
    pub fn new(cap: u32) -> Shares {
        Shares {
            cap: cap.max(1),
            asked: Mutex::default(),
            grants: watch::Sender::default(),
            stops: watch::Sender::new(0),
        }
    }

    /// Requests a second that all generators together may send.
    pub fn cap(&self) -> u32 {
        self.cap
    }

    /// Registers what a namespace's generator is asked for; 0 takes it out. Gives what is granted: less than 1 request a second only where
    /// there are more generators than requests a second to give.
    pub fn ask(&self, ns: &Namespace, rate: Rate) -> Rate {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if rate == Rate::default() { asked.remove(ns) } else { asked.insert(ns.clone(), rate) };
        if before != (rate != Rate::default()).then_some(rate) {
            let rates: Vec<Rate> = asked.values().copied().collect();
            let granted: Grants = asked.keys().cloned().zip(share(&rates, self.cap)).collect();
            // Under the lock, so that the newest division is published last.
            self.grants.send_if_modified(|known| {
                let changed = **known != granted;
                *known = Arc::new(granted);
                changed
            });
        }
        self.granted(ns)
    }

    /// Whether another generator would get at least 1 request a second.
    pub fn has_room(&self, ns: &Namespace) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.contains_key(ns) || u32::try_from(asked.len()).is_ok_and(|n| n < self.cap)
    }

    /// What a namespace's generator may send; 0 where none is registered.
    pub fn granted(&self, ns: &Namespace) -> Rate {
        self.grants.borrow().get(ns).copied().unwrap_or_default()
    }

    /// How much load runs, in all namespaces together.
    pub fn total(&self) -> Generators {
        let grants = self.grants.borrow();
        let rate = grants.values().map(|rate| rate.per_second()).sum();
        Generators { running: u32::try_from(grants.len()).unwrap_or(u32::MAX), rate, cap: self.cap }
    }

    /// Tells of every change of the division.
    pub fn changes(&self) -> watch::Receiver<Arc<Grants>> {
        self.grants.subscribe()
    }

    /// Turns off every load that was asked for so far. Returns whose generators were registered.
    pub fn stop_all(&self) -> BTreeSet<Namespace> {
        // Under the lock: a generator that is registered later is of a load that was asked for later, or its poller sees the switch.
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.stops.send_modify(|n| *n += 1);
        asked.keys().cloned().collect()
    }

    /// Tells of every use of the stop-all switch.
    pub fn stops(&self) -> watch::Receiver<u64> {
        self.stops.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str) -> Vec<Rate> {
        text.split_whitespace().map(|n| Rate::at_most(n.parse().unwrap())).collect()
    }

    #[test]
    fn the_cap_is_shared_by_max_min_fairness() {
        for (what, asked, cap, granted) in [
            ("nobody", "", 100, ""),
            ("room for all", "10 20 30", 100, "10 20 30"),
            ("exactly all", "50 50", 100, "50 50"),
            ("equal parts", "50000 50000 50000 50000 50000", 50_000, "10000 10000 10000 10000 10000"),
            ("who asks for little gets it", "10 500 500", 110, "10 50 50"),
            ("order does not matter", "500 10 500", 110, "50 10 50"),
            ("in steps", "5 20 100 100", 100, "5 20 38 37"),
            ("does not divide", "100 100 100", 100, "34 33 33"),
            ("one alone", "50000", 1_000, "1000"),
            ("more generators than requests", "5 5 5", 2, "1 1 0"),
            ("stopped ones take nothing", "0 100 0", 60, "0 60 0"),
        ] {
            assert_eq!(share(&rates(asked), cap), rates(granted), "{what}");
        }
    }

    #[test]
    fn the_sum_is_never_above_the_cap_and_nothing_is_left_while_somebody_wants_more() {
        let mut seed = 7_u32;
        let mut next = |most: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed / 7 % most
        };
        for _ in 0..2_000 {
            let asked: Vec<Rate> = (0..next(40)).map(|_| Rate::at_most(next(2_000))).collect();
            let cap = 1 + next(20_000);
            let granted = share(&asked, cap);
            let sum: u32 = granted.iter().map(|r| r.per_second()).sum();
            let wanted: u32 = asked.iter().map(|r| r.per_second()).sum();
            assert_eq!(sum, wanted.min(cap), "{asked:?} {cap}");
            let least_cut = granted.iter().zip(&asked).filter(|(g, a)| g < a).map(|(g, _)| g.per_second()).min();
            let most = granted.iter().map(|r| r.per_second()).max().unwrap_or(0);
            assert!(
                least_cut.is_none_or(|least| least + 1 >= most),
                "who is cut has as much as anybody: {asked:?} {granted:?}"
            );
        }
    }

    #[test]
    fn others_get_back_what_one_leaves() {
        let shares = Shares::new(300);
        let ns = |name: &str| name.parse::<Namespace>().unwrap();
        let mut changes = shares.changes();
        assert_eq!(shares.ask(&ns("a"), Rate::at_most(250)).per_second(), 250);
        assert_eq!(shares.ask(&ns("b"), Rate::at_most(250)).per_second(), 150);
        assert!(changes.has_changed().unwrap());
        assert_eq!(
            (shares.granted(&ns("a")).per_second(), shares.total()),
            (150, Generators { running: 2, rate: 300, cap: 300 })
        );
        changes.mark_unchanged();
        shares.ask(&ns("b"), Rate::at_most(250));
        assert!(!changes.has_changed().unwrap(), "the same again changes nothing");
        assert_eq!(shares.stop_all(), BTreeSet::from([ns("a"), ns("b")]), "the switch names whom it stops");
        shares.ask(&ns("b"), Rate::default());
        assert_eq!(
            (shares.granted(&ns("a")).per_second(), shares.granted(&ns("b")).per_second(), shares.total()),
            (250, 0, Generators { running: 1, rate: 250, cap: 300 })
        );
    }
}
