//! Histograms of durations: adding them up, and percentiles. Pure.
use std::sync::Arc;

/// Upper bounds of a histogram's buckets in microseconds, ascending. One more bucket, without a bound, comes after them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bounds(Arc<[u64]>);

impl Bounds {
    /// Sorted, without repetitions.
    pub fn new(mut micros: Vec<u64>) -> Bounds {
        micros.sort_unstable();
        micros.dedup();
        Bounds(micros.into())
    }

    /// All of them.
    pub fn micros(&self) -> &[u64] {
        &self.0
    }
}

/// Requests by duration. Empty, without even the last bucket, where none was timed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    bounds: Bounds,
    buckets: Vec<u64>,
}

impl Histogram {
    /// Returns `None` where there is not one bucket more than there are bounds.
    pub fn new(bounds: Bounds, buckets: Vec<u64>) -> Option<Histogram> {
        (buckets.len() == bounds.0.len() + 1).then_some(Histogram { bounds, buckets })
    }

    /// Upper bounds of all buckets but the last.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Requests in each bucket, not cumulative.
    pub fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    /// Requests in all buckets.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What was counted since `before`; `None` where that cannot have been before.
    pub fn since(&self, before: &Histogram) -> Option<Histogram> {
        if before.buckets.is_empty() {
            return Some(self.clone());
        }
        if self.bounds != before.bounds {
            return None;
        }
        let buckets = self.buckets.iter().zip(&before.buckets).map(|(now, then)| now.checked_sub(*then));
        Some(Histogram { bounds: self.bounds.clone(), buckets: buckets.collect::<Option<_>>()? })
    }

    /// Adds another one. Where their bounds differ, those that both have remain: below each of them it is exact.
    pub fn add(&mut self, other: &Histogram) {
        if other.buckets.is_empty() {
            return;
        }
        if self.buckets.is_empty() {
            *self = other.clone();
            return;
        }
        if self.bounds == other.bounds {
            self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, theirs)| *mine += theirs);
            return;
        }
        let common = self.bounds.0.iter().filter(|bound| other.bounds.0.binary_search(bound).is_ok());
        let common = Bounds::new(common.copied().collect());
        let (mut mine, theirs) = (self.within(&common), other.within(&common));
        mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        (self.bounds, self.buckets) = (common, mine);
    }

    /// The buckets of coarser bounds, all of which it has.
    pub fn within(&self, coarser: &Bounds) -> Vec<u64> {
        let mut buckets = vec![0; coarser.0.len() + 1];
        for (at, n) in self.buckets.iter().enumerate() {
            let bound = self.bounds.0.get(at).copied().unwrap_or(u64::MAX);
            buckets[coarser.0.partition_point(|coarse| *coarse < bound)] += n;
        }
        buckets
    }

    /// The bucket that a percentile is in: its place, and how far up in it. Returns `None` without requests.
    fn place(&self, p: f64) -> Option<(usize, f64)> {
        let rank = p * self.count() as f64;
        let mut below = 0;
        for (at, n) in self.buckets.iter().enumerate().filter(|(_, n)| **n > 0) {
            if rank <= (below + n) as f64 {
                return Some((at, (rank - below as f64).max(0.0) / *n as f64));
            }
            below += n;
        }
        None
    }

    /// A percentile in milliseconds, by linear interpolation within its bucket, as PromQL's `histogram_quantile` does it: the first
    /// bucket begins at 0, and in the last one it is the bound below. Returns `None` with fewer than 1/(1-p) requests.
    pub fn quantile_ms(&self, p: f64) -> Option<f64> {
        // 1/(1-0.9) is 10.000000000000002.
        if (self.count() as f64) < 1.0 / (1.0 - p) - 1e-6 {
            return None;
        }
        let (at, part) = self.place(p)?;
        let low = at.checked_sub(1).map_or(0, |below| self.bounds.0[below]) as f64;
        let high = self.bounds.0.get(at).map_or(low, |high| *high as f64);
        Some((low + (high - low) * part) / 1_000.0)
    }

    /// The bounds of the only bucket that both percentiles are in.
    pub fn only_bucket_ms(&self, p: f64, q: f64) -> Option<[f64; 2]> {
        let (at, _) = self.place(p)?;
        let high = *self.bounds.0.get(at)?;
        let low = at.checked_sub(1).map_or(0, |below| self.bounds.0[below]);
        (self.place(q)?.0 == at).then_some([low as f64 / 1_000.0, high as f64 / 1_000.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histogram(micros: &[u64], buckets: &[u64]) -> Histogram {
        Histogram::new(Bounds::new(micros.to_vec()), buckets.to_vec()).unwrap()
    }

    /// Worked out by hand from the documentation of `histogram_quantile`.
    #[test]
    fn percentiles_are_those_of_promql() {
        let h = |buckets: &[u64]| histogram(&[1_000, 5_000, 10_000], buckets);
        for (buckets, p, ms) in [
            (vec![100, 0, 0, 0], 0.5, Some(0.5)),
            (vec![50, 50, 0, 0], 0.5, Some(1.0)),
            (vec![50, 50, 0, 0], 0.75, Some(3.0)),
            (vec![0, 0, 100, 0], 0.9, Some(9.5)),
            (vec![0, 0, 0, 100], 0.5, Some(10.0)),
            (vec![90, 0, 0, 10], 0.99, Some(10.0)),
            (vec![0, 100, 0, 0], 0.99, Some(4.96)),
            (vec![0, 99, 0, 0], 0.99, None),
            (vec![0, 10, 0, 0], 0.9, Some(4.6)),
            (vec![1, 0, 0, 0], 0.5, None),
            (vec![0, 0, 0, 0], 0.5, None),
        ] {
            let read = h(&buckets).quantile_ms(p);
            assert_eq!(read.map(|ms| (ms * 1e6).round() / 1e6), ms, "{buckets:?} {p}");
        }
        assert_eq!(h(&[0, 100, 0, 0]).only_bucket_ms(0.5, 0.99), Some([1.0, 5.0]));
        assert_eq!(h(&[50, 50, 0, 0]).only_bucket_ms(0.5, 0.99), None);
        assert_eq!(h(&[0, 0, 0, 9]).only_bucket_ms(0.5, 0.99), None, "the last bucket has no upper bound");
        assert_eq!(Histogram::default().quantile_ms(0.5), None);
    }

    #[test]
    fn histograms_of_other_bounds_keep_the_common_ones() {
        let mut fine = histogram(&[500, 1_000, 2_000, 5_000], &[1, 2, 3, 4, 5]);
        fine.add(&histogram(&[1_000, 5_000, 10_000], &[10, 20, 30, 40]));
        assert_eq!((fine.bounds().micros(), fine.buckets()), (&[1_000, 5_000][..], &[13, 27, 75][..]));
        let (h, other) = (histogram(&[1, 2], &[1, 2, 3]), histogram(&[1, 3], &[1, 2, 3]));
        assert_eq!(h.since(&other), None, "it was made anew");
        assert_eq!(h.since(&histogram(&[1, 2], &[1, 0, 4])), None, "it went down");
        assert_eq!(h.since(&histogram(&[1, 2], &[1, 0, 3])), Some(histogram(&[1, 2], &[0, 2, 0])));
        assert_eq!(h.since(&Histogram::default()), Some(h.clone()));
        assert_eq!(Histogram::new(Bounds::default(), vec![]), None);
    }

    proptest! {
        #[test]
        fn adding_loses_no_request_and_percentiles_grow(
            a in proptest::collection::vec(0_u64..1_000, 5), b in proptest::collection::vec(0_u64..1_000, 4), ps in proptest::array::uniform2(0.0..0.999_f64)
        ) {
            let mut sum = histogram(&[500, 1_000, 2_000, 5_000], &a);
            sum.add(&histogram(&[1_000, 2_000, 7_000], &b));
            prop_assert_eq!(sum.count(), a.iter().chain(&b).sum::<u64>());
            let [p, q] = if ps[0] <= ps[1] { ps } else { [ps[1], ps[0]] };
            if let (Some(low), Some(high)) = (sum.quantile_ms(p), sum.quantile_ms(q)) {
                prop_assert!(low <= high, "{} {}", low, high);
            }
        }
    }
}
