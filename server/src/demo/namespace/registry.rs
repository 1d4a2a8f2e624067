//! Which namespaces are looked after, which of them rest, and which are forgotten. The only place that decides it.
//!
//! A namespace is *awake* while somebody looks at it or something is under way in it; else it rests: its watches, port-forwards and
//! pollers end, its log stays. It wakes up as soon as somebody asks for it. **Invariant:** what is live is never put to rest.
use crate::demo::namespace::state::NamespaceState;
use crate::k8s::Held;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use wire::Namespace;

/// Namespaces without an object of the demo and without a viewer that are watched at a time: names that somebody makes up must not add up.
const MOST_EMPTY: usize = 64;
/// Namespaces without an object of the demo whose log is kept.
const MOST_REMEMBERED: usize = 256;
/// A namespace without an object of the demo rests after so long.
const EMPTY_RESTS_AFTER: Duration = Duration::from_secs(3);

struct Known {
    state: Arc<NamespaceState>,
    /// Whether its parts run, or are about to.
    awake: bool,
    /// When it was asked for last.
    asked: Instant,
}

/// All namespaces that the panel knows of.
pub struct Registry {
    known: Mutex<BTreeMap<Namespace, Known>>,
    /// How long a namespace is watched after the last one looked and the last work ended.
    idle_after: Duration,
}

/// What to do with a namespace that was asked for.
pub enum Asked {
    /// Its parts run already.
    Awake(Arc<NamespaceState>),
    /// The caller has to start them.
    Wakes(Arc<NamespaceState>),
}

impl Registry {
    /// None is known.
    pub fn new(idle_after: Duration) -> Registry {
        Registry { known: Mutex::default(), idle_after }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Namespace, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a quiet namespace is watched.
    pub fn idle_after(&self) -> Duration {
        self.idle_after
    }

    /// A namespace that is known; returns `None` for any other.
    pub fn known(&self, ns: &Namespace) -> Option<Asked> {
        self.lock().get_mut(ns).map(Known::ask)
    }

    /// A namespace, made where it is not known.
    pub fn ask(&self, ns: &Namespace, make: impl FnOnce() -> Arc<NamespaceState>) -> Asked {
        let mut known = self.lock();
        if !known.contains_key(ns) {
            make_room(&mut known);
        }
        known.entry(ns.clone()).or_insert_with(|| Known { state: make(), awake: false, asked: Instant::now() }).ask()
    }

    /// A namespace's newest frame or history is asked for, which is no reason to wake it.
    pub fn peek(&self, ns: &Namespace) -> Option<Arc<NamespaceState>> {
        self.lock().get(ns).map(|known| known.state.clone())
    }

    /// Puts a namespace to rest if nothing is live in it. `quiet_since`: since when its own task has seen nothing going on.
    /// Returns whether its parts must end. The caller holds one handle of the state, the registry another; any more are somebody's
    /// who works with it.
    pub fn rest(&self, state: &Arc<NamespaceState>, quiet_since: Instant) -> bool {
        let mut all = self.lock();
        let Some(known) = all.get_mut(&state.ns).filter(|known| Arc::ptr_eq(&known.state, state)) else { return true };
        let empty = state.is_empty();
        let after = if empty { self.idle_after.min(EMPTY_RESTS_AFTER) } else { self.idle_after };
        let quiet = quiet_since.elapsed() >= after && known.asked.elapsed() >= after;
        // What was seen last of a cluster that does not answer could not be seen again.
        let last_seen = !empty && state.reach.borrow().failing.is_some();
        if !quiet || last_seen || state.is_live() || Arc::strong_count(state) > 2 {
            return false;
        }
        known.awake = false;
        state.forget();
        if empty {
            forget_some(&mut all, &state.ns);
        }
        true
    }

    /// How many are awake, and how many are known.
    pub fn count(&self) -> (usize, usize) {
        let known = self.lock();
        (known.values().filter(|known| known.awake).count(), known.len())
    }

    /// Those at rest whose Lease this panel holds.
    pub fn holders(&self) -> Vec<Arc<NamespaceState>> {
        let holds = |known: &&Known| !known.awake && known.state.facts.borrow().held == Held::Ours;
        self.lock().values().filter(holds).map(|known| known.state.clone()).collect()
    }

    /// All that are known.
    pub fn all(&self) -> Vec<Arc<NamespaceState>> {
        self.lock().values().map(|known| known.state.clone()).collect()
    }
}

impl Known {
    fn ask(&mut self) -> Asked {
        self.asked = Instant::now();
        self.state.asked.notify_waiters();
        if std::mem::replace(&mut self.awake, true) {
            Asked::Awake(self.state.clone())
        } else {
            Asked::Wakes(self.state.clone())
        }
    }
}

/// Ends the longest unasked of those that have nothing of the demo and nobody's attention, where there are too many.
fn make_room(known: &mut BTreeMap<Namespace, Known>) {
    let idle = |k: &&Known| k.awake && k.state.is_empty() && !k.state.is_live() && Arc::strong_count(&k.state) <= 2;
    if known.len() < MOST_EMPTY || known.values().filter(idle).count() < MOST_EMPTY {
        return;
    }
    let oldest = known.values().filter(idle).min_by_key(|k| k.asked).map(|k| k.state.clone());
    if let Some(oldest) = oldest {
        oldest.stop.cancel();
        known.remove(&oldest.ns);
    }
}

/// An empty namespace went to rest: it is kept if it has a log, as long as there are not too many of them.
fn forget_some(known: &mut BTreeMap<Namespace, Known>, ns: &Namespace) {
    let has_log = |k: &Known| !k.state.facts.borrow().log.is_empty();
    if known.get(ns).is_some_and(|k| !has_log(k)) {
        known.remove(ns);
        return;
    }
    let resting = |k: &&Known| !k.awake && k.state.was_empty();
    if known.values().filter(resting).count() > MOST_REMEMBERED {
        let oldest = known.values().filter(resting).min_by_key(|k| k.asked).map(|k| k.state.ns.clone());
        if let Some(oldest) = oldest {
            known.remove(&oldest);
        }
    }
}
