//! The axis of time, which all charts of a view share.
use super::WIDTH;
use wire::{Dashboards, RouteChange, Span, Step};

/// Distances between labels in seconds. A chart has room for seven.
const DISTANCES_S: [u64; 9] = [10, 15, 30, 60, 120, 300, 600, 900, 1_800];
const MOST_LABELS: u64 = 7;
/// Labels of changes keep this distance, in percent of the width.
const BETWEEN_MARKS: f64 = 14.0;

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    from_ms: u64,
    to_ms: u64,
}

impl Axis {
    /// The span that was asked for; what was not read of it stays empty.
    pub fn of(shown: &Dashboards) -> Axis {
        let (from_ms, to_ms) = match shown.query.span {
            Span::Last(seconds) => (shown.to_ms.saturating_sub(u64::from(seconds) * 1_000), shown.to_ms),
            Span::Between { from, to } => (from * 1_000, to * 1_000),
        };
        let begin = if shown.steps.is_empty() { from_ms } else { from_ms.min(shown.from_ms) };
        Axis { from_ms: begin, to_ms: to_ms.max(shown.to_ms) }
    }

    /// An axis of another length that ends at the same time.
    pub fn ending_with(self, seconds: u64) -> Axis {
        Axis { from_ms: self.to_ms.saturating_sub(seconds * 1_000), to_ms: self.to_ms }
    }

    /// Where a time is, 0 to 1; outside of that where it is before or behind the axis.
    pub fn part(self, at_ms: u64) -> f64 {
        let length = self.to_ms.saturating_sub(self.from_ms).max(1);
        (at_ms as f64 - self.from_ms as f64) / length as f64
    }

    /// Where a time is in a chart.
    pub fn x(self, at_ms: u64) -> f64 {
        self.part(at_ms).clamp(0.0, 1.0) * WIDTH
    }

    /// The middle of a step.
    pub fn middle(self, step: Step) -> f64 {
        self.x(step.from_ms.midpoint(step.to_ms))
    }

    /// Times that are labelled, with where they are in percent.
    pub fn ticks(self) -> Vec<(f64, String)> {
        let length_s = self.to_ms.saturating_sub(self.from_ms) / 1_000;
        let distance = DISTANCES_S.into_iter().find(|distance| length_s / distance <= MOST_LABELS).unwrap_or(1_800);
        let first = (self.from_ms / 1_000).div_ceil(distance) * distance;
        let times = (0..=MOST_LABELS).map(|n| first + n * distance).filter(|s| s * 1_000 <= self.to_ms);
        let label = |s: u64| if distance < 60 { clock(s * 1_000) } else { clock(s * 1_000)[..5].to_owned() };
        // A label at the very end would be cut off.
        let inside = times.map(|s| (self.part(s * 1_000) * 100.0, label(s))).filter(|(x, _)| (3.0..=96.0).contains(x));
        inside.collect()
    }
}

/// `14:02:31` of the day, UTC.
pub fn clock(at_ms: u64) -> String {
    let s = at_ms / 1_000;
    format!("{:02}:{:02}:{:02}", s / 3_600 % 24, s / 60 % 60, s % 60)
}

/// Changes of the weights: where each is in percent, and its label where that does not touch another. The newest label goes first.
pub fn marks(axis: Axis, changes: &[RouteChange]) -> Vec<(f64, Option<String>)> {
    let mut marks = Vec::new();
    let mut right = 100.0 + BETWEEN_MARKS / 2.0;
    for change in changes.iter().rev() {
        let part = axis.part(change.at_ms);
        if !(0.0..=1.0).contains(&part) {
            continue;
        }
        let at = part * 100.0;
        let fits = right - at >= BETWEEN_MARKS;
        if fits {
            right = at;
        }
        marks.push((at, fits.then(|| change.split.to_string())));
    }
    marks.reverse();
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Split;

    #[test]
    fn times_are_labelled_at_round_moments() {
        let axis = Axis { from_ms: 1_764_072_301_500, to_ms: 1_764_072_361_500 };
        let labels: Vec<String> = axis.ticks().into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["12:05:10", "12:05:20", "12:05:30", "12:05:40", "12:05:50"]);
        let hour = axis.ending_with(3_600);
        let labels: Vec<String> = hour.ticks().into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["11:10", "11:20", "11:30", "11:40", "11:50", "12:00"]);
        assert_eq!((axis.x(0), axis.x(1_764_072_331_500), axis.x(u64::MAX)), (0.0, 500.0, 1_000.0));
    }

    #[test]
    fn labels_of_changes_do_not_touch() {
        let axis = Axis { from_ms: 0, to_ms: 100_000 };
        let change = |s: u64, v2| RouteChange { at_ms: s * 1_000, split: Split::v1_v2(v2).unwrap() };
        let drawn = marks(axis, &[change(10, 0), change(50, 10), change(52, 20), change(90, 50), change(200, 60)]);
        let labels: Vec<(f64, Option<&str>)> = drawn.iter().map(|(x, label)| (*x, label.as_deref())).collect();
        assert_eq!(labels, [(10.0, Some("100/0")), (50.0, None), (52.0, Some("80/20")), (90.0, Some("50/50"))]);
    }
}
