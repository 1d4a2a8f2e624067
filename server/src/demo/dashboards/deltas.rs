//! From one reading of the sidecars to the next: what was counted in between. Pure.
//!
//! A reading is of all sidecars at one moment. One that lacks a sidecar is put off, so that what that one counted meanwhile does not look
//! like a peak; the step of time is longer then.
use super::flow::{Counts, Flow, Reading};
use std::collections::{BTreeMap, HashMap};

/// Readings further apart are not set beside each other: nobody knows when in between the requests were.
const FORGOTTEN_AFTER_MS: u64 = 60_000;
/// Readings in a row that are put off for a sidecar that does not answer.
const PUT_OFF: u32 = 2;

/// What is known of a pod's counters at the reading before.
enum Base {
    /// The pod began after that: its counters began at 0.
    Zero,
    /// It was there and was not read.
    Unknown,
    /// They were these.
    Read(Reading),
}

/// The reading before.
#[derive(Default)]
pub struct Deltas {
    at_ms: Option<u64>,
    bases: HashMap<String, Base>,
    put_off: u32,
}

/// What was counted between two readings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// When the second one was made.
    pub at_ms: u64,
    /// How long after the first one.
    pub length_ms: u64,
    /// By flow.
    pub flows: HashMap<Flow, Counts>,
}

impl Deltas {
    /// Takes a reading: every pod with a sidecar, and its counters where it answered. Returns `None` where nothing can be said yet.
    pub fn take(&mut self, at_ms: u64, pods: BTreeMap<String, Option<Reading>>) -> Option<Counted> {
        let length_ms = self.at_ms.and_then(|before| at_ms.checked_sub(before));
        if length_ms.is_none_or(|length| length == 0 || length > FORGOTTEN_AFTER_MS) {
            self.bases = pods.into_iter().map(|(pod, read)| (pod, read.map_or(Base::Unknown, Base::Read))).collect();
            (self.at_ms, self.put_off) = (Some(at_ms), 0);
            return None;
        }
        let lacks = pods.iter().any(|(pod, read)| read.is_none() && matches!(self.bases.get(pod), Some(Base::Read(_))));
        if lacks && self.put_off < PUT_OFF {
            self.put_off += 1;
            return None;
        }
        let is_read = pods.values().any(Option::is_some);
        let mut flows = HashMap::new();
        let mut bases = HashMap::with_capacity(pods.len());
        for (pod, read) in pods {
            let base = self.bases.remove(&pod).unwrap_or(Base::Zero);
            let Some(reading) = read else {
                // What it counts until it answers again has no beginning, unless it never answered and began here.
                bases.insert(pod, if matches!(base, Base::Zero) { Base::Zero } else { Base::Unknown });
                continue;
            };
            let nothing = Reading::new();
            let before = match &base {
                Base::Zero => Some(&nothing),
                Base::Read(before) => Some(before),
                Base::Unknown => None,
            };
            if let Some(before) = before {
                // A flow that is new here had counted nothing at the reading before.
                add(&mut flows, &reading, before);
            }
            bases.insert(pod, Base::Read(reading));
        }
        (self.at_ms, self.bases, self.put_off) = (Some(at_ms), bases, 0);
        // Where no sidecar was read, nothing is known: that is not the same as no request.
        is_read.then(|| Counted { at_ms, length_ms: length_ms.unwrap_or_default(), flows })
    }
}

fn add(flows: &mut HashMap<Flow, Counts>, reading: &Reading, before: &Reading) {
    for (flow, counts) in reading {
        let counted = before.get(flow).map_or_else(|| counts.clone(), |before| counts.since(before));
        if !counted.is_zero() {
            flows.entry(flow.clone()).or_default().add(&counted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(counts: &[(&str, u64)]) -> Option<Reading> {
        let counted = |n: u64| Counts { requests: n, ..Counts::default() };
        Some(counts.iter().map(|(version, n)| (Flow::to_version(version), counted(*n))).collect())
    }

    /// Each reading is `(second, [(pod, counters)])`; what comes of it is `length: total` or nothing.
    type Told = (u64, Vec<(&'static str, Option<Reading>)>);

    fn run(readings: Vec<Told>) -> Vec<Option<(u64, u64)>> {
        let mut deltas = Deltas::default();
        let mut take = |(s, pods): Told| {
            let pods = pods.into_iter().map(|(pod, read)| (pod.to_owned(), read)).collect();
            let counted = deltas.take(s * 1_000, pods)?;
            Some((counted.length_ms / 1_000, counted.flows.values().map(|c| c.requests).sum()))
        };
        readings.into_iter().map(&mut take).collect()
    }

    #[test]
    fn counters_become_what_was_counted() {
        let r = |n| reading(&[("v1", n)]);
        for (what, readings, told) in [
            (
                "a pod that was there before counts from its first reading",
                vec![(1, vec![("a", r(100))]), (2, vec![("a", r(130))])],
                vec![None, Some((1, 30))],
            ),
            (
                "a pod that began here counts from 0",
                vec![(1, vec![]), (2, vec![("a", r(7))]), (3, vec![("a", r(7))])],
                vec![None, Some((1, 7)), Some((1, 0))],
            ),
            (
                "a pod that began here and answers later counts from 0",
                vec![(1, vec![]), (2, vec![("a", None)]), (3, vec![("a", r(7))])],
                vec![None, None, Some((1, 7))],
            ),
            (
                "a restarted sidecar began at 0",
                vec![(1, vec![("a", r(100))]), (2, vec![("a", r(30))])],
                vec![None, Some((1, 30))],
            ),
            (
                "a flow that begins counts from its first sample",
                vec![(1, vec![("a", r(5))]), (2, vec![("a", reading(&[("v1", 5), ("v2", 4)]))])],
                vec![None, Some((1, 4))],
            ),
            (
                "a restarted sidecar without requests yet",
                vec![(1, vec![("a", r(100))]), (2, vec![("a", reading(&[]))]), (3, vec![("a", r(120))])],
                vec![None, Some((1, 0)), Some((1, 120))],
            ),
            (
                "a reading without one of the sidecars is put off",
                vec![
                    (1, vec![("a", r(1)), ("b", r(1))]),
                    (2, vec![("a", r(2)), ("b", None)]),
                    (3, vec![("a", r(3)), ("b", r(5))]),
                ],
                vec![None, None, Some((2, 6))],
            ),
            (
                "a sidecar that stays silent is given up, and begins anew",
                vec![
                    (1, vec![("a", r(1)), ("b", r(1))]),
                    (2, vec![("a", r(2)), ("b", None)]),
                    (3, vec![("a", r(3)), ("b", None)]),
                    (4, vec![("a", r(4)), ("b", None)]),
                    (5, vec![("a", r(5)), ("b", r(90))]),
                    (6, vec![("a", r(6)), ("b", r(91))]),
                ],
                vec![None, None, None, Some((3, 3)), Some((1, 1)), Some((1, 2))],
            ),
            (
                "a pod that is gone takes nothing with it",
                vec![(1, vec![("a", r(1)), ("b", r(9))]), (2, vec![("a", r(3))])],
                vec![None, Some((1, 2))],
            ),
            (
                "readings an hour apart, and a clock that goes back",
                vec![
                    (1, vec![("a", r(1))]),
                    (3_601, vec![("a", r(900))]),
                    (3_602, vec![("a", r(901))]),
                    (3_600, vec![("a", r(950))]),
                    (3_601, vec![("a", r(951))]),
                ],
                vec![None, None, Some((1, 1)), None, Some((1, 1))],
            ),
        ] {
            assert_eq!(run(readings), told, "{what}");
        }
    }
}
