//! Sorts what was counted in a span into series: by whatever the caller makes keys of, over all and step by step. Pure.
use super::flow::{Counts, Flow, Metric};
use super::store::{Store, Visited};
use super::tally::Sum;
use std::collections::{BTreeMap, BTreeSet};
use wire::{Series, Step};

/// Most steps of a chart: as many as a chart of usual width can show.
const MOST_STEPS: u64 = 120;
/// Lengths of a chart's steps in seconds.
const LENGTHS_S: [u64; 6] = [1, 2, 3, 5, 10, 30];

/// Requests that have a key in common.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Over the whole span.
    pub total: Sum,
    /// In the steps that had any.
    pub points: BTreeMap<usize, Sum>,
}

/// A span, sorted.
#[derive(Debug)]
pub struct Collected<K> {
    /// The steps of its charts.
    pub steps: Vec<Step>,
    /// Seconds that were read, by step.
    pub seconds: Vec<f64>,
    /// The series.
    pub groups: BTreeMap<K, Group>,
    /// Metrics that counted.
    pub metrics: BTreeSet<Metric>,
}

/// Reads a span. `keys` names the series that a flow belongs to.
pub fn collect<K: Ord>(store: &Store, (from_ms, to_ms): (u64, u64), keys: impl Fn(&Flow) -> Vec<K>) -> Collected<K> {
    let length_s = to_ms.saturating_sub(from_ms).div_ceil(1_000);
    let step_s = LENGTHS_S.into_iter().find(|step| length_s / step <= MOST_STEPS).unwrap_or(LENGTHS_S[5]);
    let mut collected =
        Collected { steps: Vec::new(), seconds: Vec::new(), groups: BTreeMap::new(), metrics: BTreeSet::new() };
    let mut slot = None;
    store.visit(from_ms, to_ms, |visited| match visited {
        Visited::Step { begin_ms, end_ms } => collected.step(begin_ms, end_ms, step_s * 1_000, &mut slot),
        Visited::Flow(flow, counts) => collected.flow(flow, &counts, keys(flow)),
    });
    collected
}

impl<K: Ord> Collected<K> {
    /// Goes on with the chart's step, or begins the next one: where its time is over, and behind a gap.
    fn step(&mut self, begin_ms: u64, end_ms: u64, length_ms: u64, slot: &mut Option<u64>) {
        let here = end_ms.saturating_sub(1) / length_ms;
        let seconds = end_ms.saturating_sub(begin_ms) as f64 / 1_000.0;
        match (self.steps.last_mut(), self.seconds.last_mut()) {
            (Some(last), Some(read)) if *slot == Some(here) && last.to_ms == begin_ms => {
                last.to_ms = end_ms;
                *read += seconds;
            }
            _ => {
                self.steps.push(Step { from_ms: begin_ms, to_ms: end_ms });
                self.seconds.push(seconds);
            }
        }
        *slot = Some(here);
    }

    fn flow(&mut self, flow: &Flow, counts: &Counts, keys: Vec<K>) {
        let Some(at) = self.steps.len().checked_sub(1) else { return };
        if !keys.is_empty() {
            self.metrics.insert(flow.metric);
        }
        for key in keys {
            let group = self.groups.entry(key).or_default();
            group.total.add(flow, counts);
            group.points.entry(at).or_default().add(flow, counts);
        }
    }

    /// Seconds that were read.
    pub fn read_s(&self) -> f64 {
        self.seconds.iter().sum()
    }

    /// A group as a series; without requests where there is no such group.
    pub fn series(&self, name: &str, group: Option<&Group>) -> Series {
        let nothing = Group::default();
        let group = group.unwrap_or(&nothing);
        let none = Sum::default();
        let point = |(at, seconds): (usize, &f64)| group.points.get(&at).unwrap_or(&none).tally(*seconds);
        let points = self.seconds.iter().enumerate().map(point).collect();
        Series::new(name.to_owned(), group.total.tally(self.read_s()), points)
    }
}
