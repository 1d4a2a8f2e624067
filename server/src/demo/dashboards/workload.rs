//! The view of one workload, or of one app with all its versions. Pure.
use super::collect::{Collected, Group, collect};
use super::flow::{End, Flow};
use super::store::{Store, Visited};
use std::collections::BTreeSet;
use wire::{DurationHistogram, Reporter, Series, WorkloadBoard};

/// A series of the view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// All requests in this direction.
    All(Direction),
    /// By the version that answered.
    Version(Direction, String),
    /// By response code.
    Code(Direction, String),
    /// Inbound by who sent them.
    Source(String),
    /// Outbound by who got them.
    Destination(String),
}

/// Requests that a workload gets, or sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// It gets them.
    In,
    /// It sends them.
    Out,
}

fn is(end: &End, name: &str) -> bool {
    end.workload == name || end.app == name
}

/// Whether a flow is to the workload: also one that reached no pod of the service of that name.
fn is_to(flow: &Flow, name: &str) -> bool {
    let nobody = flow.destination.workload.is_empty() && flow.destination.app.is_empty();
    is(&flow.destination, name) || (nobody && flow.service == name)
}

fn called(end: &End, service: &str) -> String {
    [&end.workload, &end.app, service].into_iter().find(|name| !name.is_empty()).unwrap_or_default().to_owned()
}

fn keys(flow: &Flow, name: &str, reporter: Reporter) -> Vec<Key> {
    let mut keys = Vec::new();
    if flow.reporter != reporter {
        return keys;
    }
    let mut add = |direction, peer| {
        keys.extend([Key::All(direction), Key::Version(direction, flow.destination.version.clone()), peer]);
        // Envoy counts durations of all codes together.
        if !flow.code.is_empty() {
            keys.push(Key::Code(direction, flow.code.clone()));
        }
    };
    if is_to(flow, name) {
        add(Direction::In, Key::Source(called(&flow.source, "")));
    }
    if is(&flow.source, name) {
        add(Direction::Out, Key::Destination(called(&flow.destination, &flow.service)));
    }
    keys
}

/// All names that can be chosen: apps and workloads of the last hour, and those that the caller knows.
fn names(store: &Store, to_ms: u64, known: &[String]) -> Vec<String> {
    let mut names: BTreeSet<String> = known.iter().cloned().collect();
    store.visit(to_ms.saturating_sub(3_600_000), to_ms, |visited| {
        if let Visited::Flow(flow, _) = visited {
            for end in [&flow.source, &flow.destination] {
                for name in [&end.workload, &end.app].into_iter().filter(|name| !name.is_empty()) {
                    if !names.contains(name) {
                        names.insert(name.clone());
                    }
                }
            }
        }
    });
    names.into_iter().collect()
}

/// The view, and what it was made of. `known`: names that can be chosen though they had no request.
pub fn workload(
    store: &Store,
    span: (u64, u64),
    name: &str,
    reporter: Reporter,
    known: &[String],
) -> (Collected<Key>, WorkloadBoard) {
    let collected = collect(store, span, |flow| keys(flow, name, reporter));
    let all = |direction| collected.groups.get(&Key::All(direction));
    let inbound = all(Direction::In).is_some() || all(Direction::Out).is_none();
    let direction = if inbound { Direction::In } else { Direction::Out };
    let listed = |of: &dyn Fn(&Key) -> Option<String>| -> Vec<Series> {
        let named = collected.groups.iter().filter_map(|(key, group)| Some((of(key)?, group)));
        named.map(|(name, group)| collected.series(&name, Some(group))).collect()
    };
    let mut names = names(store, span.1, known);
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
    let board = WorkloadBoard {
        name: name.to_owned(),
        names,
        inbound,
        all: collected.series(name, all(direction)),
        versions: listed(&|key| match key {
            Key::Version(of, version) if *of == direction => Some(version.clone()),
            _ => None,
        }),
        codes: listed(&|key| match key {
            Key::Code(of, code) if *of == direction => Some(code.clone()),
            _ => None,
        }),
        sources: listed(&|key| match key {
            Key::Source(name) => Some(name.clone()),
            _ => None,
        }),
        destinations: listed(&|key| match key {
            Key::Destination(name) => Some(name.clone()),
            _ => None,
        }),
        histogram: histogram(&collected, all(direction)),
    };
    (collected, board)
}

fn histogram(collected: &Collected<Key>, all: Option<&Group>) -> DurationHistogram {
    let Some(group) = all.filter(|group| group.total.histogram.count() > 0) else {
        return DurationHistogram::default();
    };
    let bounds = group.total.histogram.bounds();
    let nothing = vec![0; bounds.micros().len() + 1];
    let step = |at| group.points.get(&at).map_or_else(|| nothing.clone(), |sum| sum.histogram.within(bounds));
    DurationHistogram {
        bounds_ms: bounds.micros().iter().map(|micros| *micros as f64 / 1_000.0).collect(),
        counts: group.total.histogram.buckets().to_vec(),
        steps: (0..collected.steps.len()).map(step).collect(),
    }
}
