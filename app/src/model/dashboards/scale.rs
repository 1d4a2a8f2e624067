//! The scales of values: linear ones with round labels, and that of a histogram's buckets.
use super::HEIGHT;

/// From values to heights.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// Evenly from one value to another.
    Linear {
        /// The value at the bottom.
        low: f64,
        /// The value at the top.
        high: f64,
        /// Distance of the labels.
        step: f64,
    },
    /// Each bucket as high as the next.
    Buckets {
        /// Lower bound of the lowest bucket, then the upper bounds of all that are shown.
        edges: Vec<f64>,
    },
}

impl Scale {
    /// Round values from `low` to at least `high`, at about `labels` of them.
    pub fn linear(low: f64, high: f64, labels: u32) -> Scale {
        let high = if high > low { high } else { low + 1.0 };
        let raw = (high - low) / f64::from(labels.max(1));
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= raw * 0.9);
        let step = step.unwrap_or(10.0 * power);
        Scale::Linear { low, high: low + ((high - low) / step - 1e-6).ceil() * step, step }
    }

    /// The buckets that are not empty. `counts` has one more than `bounds`; what is beyond the last bound has no height to be drawn at.
    pub fn buckets(bounds: &[f64], counts: &[u64]) -> Scale {
        let filled = |at: &usize| counts.get(*at).is_some_and(|n| *n > 0);
        let first = (0..bounds.len()).find(filled).unwrap_or(0);
        let last = (0..bounds.len()).rev().find(filled).unwrap_or(bounds.len().saturating_sub(1)).max(first);
        let low = first.checked_sub(1).map_or(0.0, |below| bounds[below]);
        let upper = bounds.get(first..=last).unwrap_or_default();
        Scale::Buckets { edges: std::iter::once(low).chain(upper.iter().copied()).collect() }
    }

    /// How high a value is, from the top; outside of the chart what is outside of the scale.
    pub fn y(&self, value: f64) -> f64 {
        let part = match self {
            Scale::Linear { low, high, .. } => (value - low) / (high - low),
            Scale::Buckets { edges } => {
                let buckets = edges.len().saturating_sub(1).max(1) as f64;
                let above = edges.partition_point(|edge| *edge < value);
                match (above.checked_sub(1).and_then(|at| edges.get(at)), edges.get(above)) {
                    (Some(low), Some(high)) => ((above - 1) as f64 + (value - low) / (high - low)) / buckets,
                    (None, _) => 0.0,
                    (Some(_), None) => 1.0,
                }
            }
        };
        HEIGHT - part.clamp(0.0, 1.0) * HEIGHT
    }

    /// Values that are labelled, from below. `most`: labels that have room.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        match self {
            Scale::Linear { low, high, step } => {
                let n = ((high - low) / step).round() as u32;
                (0..=n).map(|i| low + f64::from(i) * step).collect()
            }
            Scale::Buckets { edges } => {
                let every = edges.len().div_ceil(most.max(1)).max(1);
                edges.iter().copied().step_by(every).collect()
            }
        }
    }
}

/// Where the axis of success begins, for the lowest percentage that is shown.
pub fn success_floor(lowest: f64) -> f64 {
    [99.0, 98.0, 95.0, 90.0, 80.0, 50.0].into_iter().find(|floor| lowest >= *floor).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_round() {
        for (low, high, labels, told) in [
            (0.0, 203.0, 4, vec![0.0, 50.0, 100.0, 150.0, 200.0, 250.0]),
            (0.0, 0.3, 4, vec![0.0, 0.1, 0.2, 0.3]),
            (99.0, 100.0, 2, vec![99.0, 99.5, 100.0]),
            (0.0, 0.0, 4, vec![0.0, 0.25, 0.5, 0.75, 1.0]),
            (-50.0, 100.0, 6, vec![-50.0, -25.0, 0.0, 25.0, 50.0, 75.0, 100.0]),
        ] {
            let scale = Scale::linear(low, high, labels);
            let ticks: Vec<f64> = scale.ticks(9).into_iter().map(|t| (t * 1e9).round() / 1e9).collect();
            assert_eq!(ticks, told, "{low} {high}");
            assert!(scale.y(low) == HEIGHT && scale.y(high) >= 0.0 && scale.y(1e9) == 0.0);
        }
    }

    #[test]
    fn buckets_are_even_and_only_those_that_are_not_empty() {
        let scale = Scale::buckets(&[0.5, 1.0, 5.0, 10.0, 25.0], &[0, 3, 7, 0, 0, 2]);
        assert_eq!(scale, Scale::Buckets { edges: vec![0.5, 1.0, 5.0] });
        for (value, y) in [(0.1, 100.0), (0.5, 100.0), (0.75, 75.0), (1.0, 50.0), (3.0, 25.0), (5.0, 0.0), (99.0, 0.0)]
        {
            assert_eq!(scale.y(value), y, "{value}");
        }
        assert_eq!(Scale::buckets(&[], &[]).y(3.0), 0.0);
        assert_eq!(Scale::buckets(&[1.0], &[0, 5]), Scale::Buckets { edges: vec![0.0, 1.0] });
        assert_eq!(scale.ticks(2), [0.5, 5.0]);
    }

    #[test]
    fn the_axis_of_success_begins_below_what_is_shown() {
        for (lowest, floor) in [(99.5, 99.0), (98.99, 98.0), (60.0, 50.0), (12.0, 0.0)] {
            assert_eq!(success_floor(lowest), floor);
        }
    }
}
