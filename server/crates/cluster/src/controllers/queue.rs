//! A work queue: a key waits at most once, is never worked on twice at a time, and is retried later and later while it fails.
//!
//! Pure: time and chance are arguments.
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Wait before the first retry.
const FIRST_RETRY: Duration = Duration::from_millis(10);
/// Longest wait between retries: what a fault left undone is done within ten seconds of its end.
const LAST_RETRY: Duration = Duration::from_secs(8);

/// Keys of objects to look at.
pub(super) struct Queue<K> {
    ready: VecDeque<K>,
    waiting: HashSet<K>,
    running: HashSet<K>,
    /// Came again while running.
    dirty: HashSet<K>,
    /// By time; with `due`, each key once.
    later: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    failures: HashMap<K, Failure>,
    /// Keys whose plans are expensive, and when the next one may run.
    held: HashMap<K, Instant>,
}

struct Failure {
    times: u32,
    why: String,
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// An empty one.
    pub fn new() -> Queue<K> {
        Queue {
            ready: VecDeque::new(),
            waiting: HashSet::new(),
            running: HashSet::new(),
            dirty: HashSet::new(),
            later: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            held: HashMap::new(),
        }
    }

    /// Works on this key no sooner than that, however often it is added: events come faster than a plan over many objects ends.
    pub fn hold(&mut self, key: &K, until: Instant, now: Instant) {
        self.held.retain(|_, at| *at > now);
        self.held.insert(key.clone(), until);
    }

    /// Something about this key changed.
    pub fn add(&mut self, key: K) {
        if self.running.contains(&key) {
            self.dirty.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// Look at this key at that time; the earliest time asked for counts.
    pub fn add_at(&mut self, key: K, at: Instant) {
        match self.due.get(&key) {
            Some(&due) if due <= at => return,
            Some(&due) => {
                self.later.remove(&(due, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.later.insert((at, key));
    }

    /// A key to work on now, with why its last attempt failed. The caller says [`Queue::done`] or [`Queue::failed`] afterwards.
    pub fn next(&mut self, now: Instant) -> Option<(K, Option<String>)> {
        while let Some((at, key)) = self.later.first().cloned() {
            if at > now {
                break;
            }
            self.later.pop_first();
            self.due.remove(&key);
            self.add(key);
        }
        let key = loop {
            let key = self.ready.pop_front()?;
            self.waiting.remove(&key);
            match self.held.get(&key) {
                Some(&until) if until > now => self.add_at(key, until),
                _ => break key,
            }
        };
        self.running.insert(key.clone());
        let why = self.failures.get(&key).map(|f| f.why.clone());
        Some((key, why))
    }

    /// When the next key that waits for its time is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Work on this key succeeded.
    pub fn done(&mut self, key: &K) {
        // A failure that was told is taken back: the status that tells it has to be looked at again.
        if self.failures.remove(key).is_some() {
            self.dirty.insert(key.clone());
        }
        self.settle(key);
    }

    /// Work on this key failed; it is tried again after a pause that doubles. `chance` in 0..1 spreads the retries. Gives the pause.
    pub fn failed(&mut self, key: &K, why: String, now: Instant, chance: f64) -> Duration {
        let failure = self.failures.entry(key.clone()).or_insert(Failure { times: 0, why: String::new() });
        let pause = FIRST_RETRY
            .saturating_mul(1 << failure.times.min(16))
            .min(LAST_RETRY)
            .mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0);
        failure.times += 1;
        failure.why = why;
        self.settle(key);
        self.add_at(key.clone(), now + pause);
        pause
    }

    /// How often work on this key failed in a row.
    pub fn failures(&self, key: &K) -> u32 {
        self.failures.get(key).map_or(0, |f| f.times)
    }

    fn settle(&mut self, key: &K) {
        self.running.remove(key);
        if self.dirty.remove(key) {
            self.add(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_waits_once_and_runs_once_at_a_time() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next(now), Some(("a", None)));
        assert_eq!(queue.next(now), None);
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next(now), None, "it runs");
        queue.done(&"a");
        assert_eq!(queue.next(now), Some(("a", None)), "it came again while it ran");
        queue.done(&"a");
        assert_eq!(queue.next(now), None);
    }

    #[test]
    fn the_earliest_time_asked_for_counts() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        queue.add_at("a", now + Duration::from_secs(5));
        queue.add_at("a", now + Duration::from_secs(2));
        queue.add_at("a", now + Duration::from_secs(9));
        assert_eq!(queue.next_due(), Some(now + Duration::from_secs(2)));
        assert_eq!(queue.next(now), None);
        assert_eq!(queue.next(now + Duration::from_secs(2)), Some(("a", None)));
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn a_key_that_is_held_waits_while_others_go_on() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        let until = now + Duration::from_secs(1);
        queue.hold(&"a", until, now);
        for _ in 0..3 {
            queue.add("a");
            queue.add("b");
            assert_eq!(queue.next(now), Some(("b", None)));
            queue.done(&"b");
            assert_eq!(queue.next(now), None);
        }
        assert_eq!(queue.next_due(), Some(until));
        assert_eq!(queue.next(until), Some(("a", None)));
        queue.done(&"a");
        queue.add("a");
        assert_eq!(queue.next(until), Some(("a", None)), "it is held once");
    }

    #[test]
    fn a_failing_key_is_retried_later_and_later_and_success_forgets_it() {
        let (mut queue, mut now) = (Queue::new(), Instant::now());
        queue.add("a");
        let mut pauses = Vec::new();
        for _ in 0..12 {
            assert!(queue.next(now).is_some());
            let pause = queue.failed(&"a", "no".to_owned(), now, 0.5);
            pauses.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 8000, 8000]);
        assert_eq!(queue.next(now), Some(("a", Some("no".to_owned()))));
        queue.done(&"a");
        assert_eq!(queue.next(now), Some(("a", None)), "looked at once more, so that its status forgets the failure");
        queue.done(&"a");
        assert_eq!((queue.next(now), queue.failures(&"a")), (None, 0));
    }
}
