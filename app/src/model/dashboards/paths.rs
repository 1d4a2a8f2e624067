//! Paths of lines, stacked areas, stacked bars, and heat maps. A gap in time, and what is not known, stays a gap.
use super::WIDTH;
use super::axis::Axis;
use super::scale::Scale;
use std::fmt::Write as _;
use wire::Step;

/// Shades of a heat map.
const SHADES: usize = 8;
/// Least height of a bar that must be seen: two pixels of a chart that is 150 high.
const LEAST: f64 = 1.4;

/// Values on top of each other, step by step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stacked {
    /// For each series, for each step, from where to where; `None` where it is not known.
    pub layers: Vec<Vec<Option<(f64, f64)>>>,
}

impl Stacked {
    /// Puts series on top of each other, the first one at the foot.
    pub fn new(series: &[Vec<Option<f64>>]) -> Stacked {
        let steps = series.iter().map(Vec::len).max().unwrap_or(0);
        let mut foot = vec![0.0; steps];
        let layer = |values: &Vec<Option<f64>>| {
            let mut on_top = |(at, value): (usize, &Option<f64>)| {
                let value = (*value)?;
                let low = foot[at];
                foot[at] += value;
                Some((low, foot[at]))
            };
            values.iter().enumerate().map(&mut on_top).collect()
        };
        Stacked { layers: series.iter().map(layer).collect() }
    }

    /// The highest value.
    pub fn most(&self) -> f64 {
        self.layers.iter().flatten().flatten().map(|(_, high)| *high).fold(0.0, f64::max)
    }
}

/// Runs of steps that follow each other and whose value is known.
fn runs<T: Copy>(steps: &[Step], values: &[Option<T>]) -> Vec<Vec<(Step, T)>> {
    let mut runs: Vec<Vec<(Step, T)>> = Vec::new();
    let mut before: Option<Step> = None;
    for (step, value) in steps.iter().zip(values) {
        let Some(value) = value else {
            before = None;
            continue;
        };
        match (before, runs.last_mut()) {
            (Some(last), Some(run)) if last.to_ms == step.from_ms => run.push((*step, *value)),
            _ => runs.push(vec![(*step, *value)]),
        }
        before = Some(*step);
    }
    runs
}

/// Where a step of a run is drawn: at its middle; the first and the last one reach to the ends of the run.
fn x<T>(axis: Axis, run: &[(Step, T)], at: usize) -> f64 {
    let step = run[at].0;
    match at {
        0 => axis.x(step.from_ms),
        _ if at + 1 == run.len() => axis.x(step.to_ms),
        _ => axis.middle(step),
    }
}

/// A line from step to step; a step alone is a level one.
pub fn line(axis: Axis, scale: &Scale, steps: &[Step], values: &[Option<f64>]) -> String {
    let mut path = String::new();
    for run in runs(steps, values) {
        for (at, (_, value)) in run.iter().enumerate() {
            let pen = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{pen}{:.1} {:.2}", x(axis, &run, at), scale.y(*value));
        }
        if let [(step, _)] = run[..] {
            let _ = write!(path, "H{:.1}", axis.x(step.to_ms));
        }
    }
    path
}

/// The layers as areas.
pub fn areas(axis: Axis, scale: &Scale, steps: &[Step], stacked: &Stacked) -> Vec<String> {
    let area = |layer: &Vec<Option<(f64, f64)>>| {
        let mut path = String::new();
        for run in runs(steps, layer) {
            // A step alone is a block.
            let only = run.first().filter(|_| run.len() == 1).map(|(step, value)| (axis.x(step.to_ms), *value));
            let there: Vec<(f64, (f64, f64))> =
                run.iter().enumerate().map(|(at, (_, value))| (x(axis, &run, at), *value)).chain(only).collect();
            let upper = there.iter().map(|(x, (_, high))| (*x, *high));
            let lower = there.iter().rev().map(|(x, (low, _))| (*x, *low));
            for (at, (x, value)) in upper.chain(lower).enumerate() {
                let _ = write!(path, "{}{x:.1} {:.2}", if at == 0 { 'M' } else { 'L' }, scale.y(value));
            }
            path.push('Z');
        }
        path
    };
    stacked.layers.iter().map(area).collect()
}

/// The layers as bars. One of `seen` is high enough to be seen however small it is, and pushes nothing up.
pub fn bars(axis: Axis, scale: &Scale, steps: &[Step], stacked: &Stacked, seen: &[bool]) -> Vec<String> {
    let bar = |(at, layer): (usize, &Vec<Option<(f64, f64)>>)| {
        let mut path = String::new();
        for (step, value) in steps.iter().zip(layer) {
            let Some((low, high)) = value.filter(|(low, high)| high > low) else { continue };
            let (foot, least) = (scale.y(low), if seen.get(at) == Some(&true) { LEAST } else { 0.0 });
            block(
                &mut path,
                (axis.x(step.from_ms), axis.x(step.to_ms)),
                foot - (foot - scale.y(high)).max(least),
                foot,
            );
        }
        path
    };
    stacked.layers.iter().enumerate().map(bar).collect()
}

fn block(path: &mut String, (left, right): (f64, f64), top: f64, foot: f64) {
    let _ = write!(path, "M{left:.1} {top:.2}H{right:.1}V{foot:.2}H{left:.1}Z");
}

/// A heat map as one path for each shade, the lightest first, and the most requests that a cell has. `bounds` are the upper bounds of all
/// buckets but the last.
pub fn heat(axis: Axis, scale: &Scale, steps: &[Step], bounds: &[f64], counts: &[Vec<u64>]) -> (Vec<String>, u64) {
    let mut shades = vec![String::new(); SHADES];
    let bounded = |step: &Vec<u64>| step.iter().take(bounds.len()).copied().max();
    let most = counts.iter().filter_map(bounded).max().unwrap_or(0);
    for (step, counts) in steps.iter().zip(counts) {
        for (bucket, n) in counts.iter().take(bounds.len()).enumerate().filter(|(_, n)| **n > 0) {
            // The root, so that few requests are seen beside many.
            let shade = ((*n as f64 / most as f64).sqrt() * SHADES as f64).ceil() as usize;
            let low = bucket.checked_sub(1).map_or(0.0, |below| bounds[below]);
            let sides = (axis.x(step.from_ms), axis.x(step.to_ms));
            block(&mut shades[shade.clamp(1, SHADES) - 1], sides, scale.y(bounds[bucket]), scale.y(low));
        }
    }
    (shades, most)
}

/// A line for a sparkline: as wide and high as a chart, between the least and the highest value.
pub fn spark(axis: Axis, steps: &[Step], values: &[Option<f64>], low: f64, high: f64) -> String {
    let margin = (high - low).max(f64::MIN_POSITIVE) * 0.05;
    line(axis, &Scale::Linear { low: low - margin, high: high + margin, step: 1.0 }, steps, values)
}

/// The whole width at one height.
pub fn level(scale: &Scale, value: f64) -> String {
    format!("M0 {:.2}H{WIDTH}", scale.y(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{DashboardQuery, Dashboards};

    fn steps(bounds: &[(u64, u64)]) -> Vec<Step> {
        bounds.iter().map(|(from, to)| Step { from_ms: from * 1_000, to_ms: to * 1_000 }).collect()
    }

    fn axis() -> Axis {
        let query = DashboardQuery::parse([("from", "0"), ("to", "100")]).unwrap();
        Axis::of(&Dashboards {
            namespace: Default::default(),
            query,
            from_ms: 0,
            to_ms: 100_000,
            age_ms: None,
            source: String::new(),
            metrics: vec![],
            steps: vec![],
            changes: vec![],
            services: vec![],
            workload: None,
        })
    }

    const SCALE: Scale = Scale::Linear { low: 0.0, high: 10.0, step: 5.0 };

    #[test]
    fn a_line_has_a_gap_where_nothing_was_read_or_known() {
        for (what, times, values, drawn) in [
            ("whole", vec![(0, 10), (10, 20)], vec![Some(0.0), Some(10.0)], "M0.0 100.00L200.0 0.00"),
            (
                "not read for a while",
                vec![(0, 10), (10, 20), (40, 50)],
                vec![Some(5.0), Some(5.0), Some(5.0)],
                "M0.0 50.00L200.0 50.00M400.0 50.00H500.0",
            ),
            (
                "not known for a while",
                vec![(0, 10), (10, 20), (20, 30)],
                vec![Some(5.0), None, Some(0.0)],
                "M0.0 50.00H100.0M200.0 100.00H300.0",
            ),
            ("nothing", vec![(0, 10)], vec![None], ""),
        ] {
            assert_eq!(line(axis(), &SCALE, &steps(&times), &values), drawn, "{what}");
        }
    }

    #[test]
    fn areas_and_bars_stand_on_each_other() {
        let steps = steps(&[(0, 10), (10, 20)]);
        let stacked = Stacked::new(&[vec![Some(2.0), None], vec![Some(3.0), Some(0.01)]]);
        assert_eq!(stacked.most(), 5.0);
        assert_eq!(
            areas(axis(), &SCALE, &steps, &stacked),
            ["M0.0 80.00L100.0 80.00L100.0 100.00L0.0 100.00Z", "M0.0 50.00L200.0 99.90L200.0 100.00L0.0 80.00Z",]
        );
        assert_eq!(
            bars(axis(), &SCALE, &steps, &stacked, &[false, true]),
            ["M0.0 80.00H100.0V100.00H0.0Z", "M0.0 50.00H100.0V80.00H0.0ZM100.0 98.60H200.0V100.00H100.0Z",],
            "a small failure is seen"
        );
    }

    #[test]
    fn a_heat_map_is_darker_where_more_requests_are() {
        let scale = Scale::buckets(&[1.0, 5.0], &[1, 64, 3]);
        let (shades, most) = heat(axis(), &scale, &steps(&[(0, 10)]), &[1.0, 5.0], &[vec![1, 64, 3]]);
        assert_eq!((most, shades.len()), (64, SHADES));
        assert_eq!(
            (shades[0].as_str(), shades[7].as_str()),
            ("M0.0 50.00H100.0V100.00H0.0Z", "M0.0 0.00H100.0V50.00H0.0Z")
        );
        assert!(shades[1..7].iter().all(String::is_empty), "what has no bound is not drawn");
    }
}
