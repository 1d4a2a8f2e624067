//! Whether requests fail now, since when, and how. Judged over the last second. Pure.
use ::load::Snapshot;
use std::collections::{BTreeMap, VecDeque};
use wire::Failing;

/// The time that is judged, milliseconds. Snapshots come every 100 ms, or every 500 where nobody looks.
const SPAN_MS: u64 = 1_000;

/// Counts of one snapshot.
#[derive(Clone, Debug, Default)]
struct Sample {
    at_ms: u64,
    run: u64,
    answers: u64,
    errors: u64,
    kinds: BTreeMap<String, u64>,
    versions: BTreeMap<String, u64>,
}

/// Remembers the snapshots of the last second.
#[derive(Debug, Default)]
pub struct FailureWatch {
    /// Oldest first; the first is the newest that is at least a second old, so that the counts between it and the last are a second's.
    samples: VecDeque<Sample>,
    since_ms: Option<u64>,
}

impl FailureWatch {
    /// Takes the newest snapshot. Returns what fails, if anything has within the last second.
    pub fn take(&mut self, snapshot: &Snapshot) -> Option<Failing> {
        let now = Sample {
            at_ms: snapshot.at_ms,
            run: snapshot.run,
            answers: snapshot.counts.values().sum(),
            errors: snapshot.errors,
            kinds: snapshot.error_kinds.clone(),
            versions: snapshot.version_errors.clone(),
        };
        if self.samples.back().is_some_and(|last| last.run != now.run || last.at_ms > now.at_ms) {
            // Another run counts from 0.
            let start = Sample { at_ms: now.at_ms, run: now.run, ..Sample::default() };
            self.samples = VecDeque::from([start]);
        }
        let before_ms = self.samples.back().map_or(now.at_ms, |before| before.at_ms);
        while self.samples.get(1).is_some_and(|next| next.at_ms + SPAN_MS <= now.at_ms) {
            self.samples.pop_front();
        }
        self.samples.push_back(now);
        let (base, now) = (self.samples.front()?, self.samples.back()?);
        let errors = now.errors.saturating_sub(base.errors);
        if errors == 0 {
            self.since_ms = None;
            return None;
        }
        let answers = now.answers.saturating_sub(base.answers);
        let since_ms = *self.since_ms.get_or_insert(before_ms);
        let (version, of_version) = most(&now.versions, &base.versions).unwrap_or_default();
        Some(Failing {
            share: 100.0 * errors as f64 / (errors + answers) as f64,
            since_ms,
            kind: most(&now.kinds, &base.kinds).map(|(kind, _)| kind).unwrap_or_default(),
            version: (2 * of_version > errors).then_some(version),
        })
    }
}

/// The name that has grown most, and by how much.
fn most(now: &BTreeMap<String, u64>, base: &BTreeMap<String, u64>) -> Option<(String, u64)> {
    now.iter()
        .map(|(name, n)| (name.clone(), n.saturating_sub(base.get(name).copied().unwrap_or(0))))
        .filter(|(_, n)| *n > 0)
        .max_by_key(|(_, n)| *n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(at_ms: u64, run: u64, ok: u64, kinds: &[(&str, u64)], by_v2: u64) -> Snapshot {
        Snapshot {
            at_ms,
            run,
            counts: BTreeMap::from([("v1".to_owned(), ok)]),
            errors: kinds.iter().map(|(_, n)| n).sum(),
            error_kinds: kinds.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect(),
            version_errors: BTreeMap::from([("v2".to_owned(), by_v2)]),
            ..Snapshot::default()
        }
    }

    #[test]
    fn what_fails_is_judged_over_the_last_second() {
        let mut watch = FailureWatch::default();
        let mut take = |at_ms, ok, kinds: &[(&str, u64)], by_v2| {
            watch.take(&snapshot(at_ms, 1, ok, kinds, by_v2)).map(|f| (f.share, f.since_ms, f.kind, f.version))
        };
        // What failed before somebody looked is no news.
        assert_eq!(take(10_000, 100, &[("timeout", 7)], 0), None);
        assert_eq!(take(10_100, 120, &[("timeout", 7)], 0), None);
        let said = |share, since: u64, kind: &str, version: Option<&str>| {
            Some((share, since, kind.to_owned(), version.map(str::to_owned)))
        };
        assert_eq!(take(10_200, 120, &[("status_503", 20), ("timeout", 7)], 0), said(50.0, 10_100, "status_503", None));
        // A second later nothing but failures is left; it began where it began.
        assert_eq!(
            take(11_100, 120, &[("status_503", 60), ("timeout", 7)], 0),
            said(100.0, 10_100, "status_503", None)
        );
        // Cured: the second runs out.
        assert_eq!(take(11_200, 220, &[("status_503", 60), ("timeout", 7)], 0).map(|f| f.1), Some(10_100));
        assert_eq!(take(12_200, 320, &[("status_503", 60), ("timeout", 7)], 0), None);
        // A version's own failures.
        assert_eq!(
            take(12_300, 320, &[("status_500", 10), ("status_503", 60), ("timeout", 7)], 10).map(|f| (f.1, f.2, f.3)),
            Some((12_200, "status_500".to_owned(), Some("v2".to_owned())))
        );
    }

    #[test]
    fn another_run_counts_from_zero() {
        let mut watch = FailureWatch::default();
        assert_eq!(watch.take(&snapshot(10_000, 1, 100, &[("refused", 50)], 0)), None);
        assert_eq!(watch.take(&snapshot(10_500, 2, 5, &[], 0)), None);
        let failing = watch.take(&snapshot(10_600, 2, 5, &[("refused", 5)], 0)).unwrap();
        assert_eq!((failing.share, failing.since_ms), (50.0, 10_500));
    }
}
