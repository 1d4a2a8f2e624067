//! The dashboards: what the sidecars of a namespace counted in the last hour, in memory. Pure; `pollers/sidecar_stats.rs` reads the sidecars.
//!
//! A reading of all sidecars (`scrape`) and the one before it give what was counted in between (`deltas`), which is kept (`store`), and
//! sorted into series when somebody asks (`collect`, `mesh`, `workload`).
mod codec;
mod collect;
mod csv;
mod deltas;
mod flow;
mod histogram;
mod mesh;
mod scrape;
mod store;
mod tally;
mod workload;

pub use csv::csv;
use deltas::Deltas;
use flow::Metric;
pub use flow::{End, Reading};
pub use scrape::{Own, read};
use std::collections::{BTreeMap, BTreeSet};
use store::Store;
use wire::{DashboardQuery, Dashboards, Namespace, RouteChange, Span, View};

/// A live span ends at the newest reading, unless that is older: sidecars are read at least once in 10 s.
const FRESH_MS: u64 = 30_000;

/// Readings of all sidecars, oldest first: when, in milliseconds since the Unix epoch, and each pod's counters where it answered.
pub type Readings = Vec<(u64, BTreeMap<String, Option<Reading>>)>;

/// What is remembered of a namespace's sidecars.
#[derive(Default)]
pub struct Recorder {
    deltas: Deltas,
    store: Store,
}

/// What an answer needs beside the counters.
pub struct About {
    /// Which namespace.
    pub namespace: Namespace,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Where the counters are from.
    pub source: String,
    /// Changes of the weights, oldest first.
    pub changes: Vec<RouteChange>,
    /// Workloads that can be chosen though they had no request.
    pub workloads: Vec<String>,
}

impl Recorder {
    /// Of readings that somebody else made.
    pub fn of(readings: Readings) -> Recorder {
        let mut recorder = Recorder::default();
        readings.into_iter().for_each(|(at_ms, pods)| recorder.take(at_ms, pods));
        recorder
    }

    /// Takes a reading of every pod with a sidecar: its counters where it answered.
    pub fn take(&mut self, at_ms: u64, pods: BTreeMap<String, Option<Reading>>) {
        if let Some(counted) = self.deltas.take(at_ms, pods) {
            self.store.push(counted);
        }
    }

    /// When the newest reading was made.
    pub fn newest_ms(&self) -> Option<u64> {
        self.store.newest_ms()
    }

    /// One view.
    pub fn show(&self, query: &DashboardQuery, about: About) -> Dashboards {
        let newest = self.newest_ms();
        let span = match query.span {
            Span::Last(seconds) => {
                let end = newest.filter(|at| about.now_ms.saturating_sub(*at) <= FRESH_MS).unwrap_or(about.now_ms);
                (end.saturating_sub(u64::from(seconds) * 1_000), end)
            }
            Span::Between { from, to } => (from * 1_000, to * 1_000),
        };
        let mut shown = Dashboards {
            namespace: about.namespace,
            query: query.clone(),
            from_ms: span.1,
            to_ms: span.1,
            age_ms: newest.map(|at| about.now_ms.saturating_sub(at)),
            source: about.source,
            metrics: Vec::new(),
            steps: Vec::new(),
            changes: about.changes,
            services: Vec::new(),
            workload: None,
        };
        let metrics = match query.view {
            View::Mesh => {
                let (collected, rows) = mesh::mesh(&self.store, span, query.slo);
                (shown.steps, shown.services) = (collected.steps, rows);
                collected.metrics
            }
            View::Workload => {
                let (collected, board) =
                    workload::workload(&self.store, span, &query.workload, query.reporter, &about.workloads);
                (shown.steps, shown.workload) = (collected.steps, Some(board));
                collected.metrics
            }
        };
        shown.metrics = metrics_named(&metrics);
        if let (Some(first), Some(last)) = (shown.steps.first(), shown.steps.last()) {
            (shown.from_ms, shown.to_ms) = (first.from_ms, last.to_ms);
        }
        shown.changes.retain(|change| (shown.from_ms..=shown.to_ms).contains(&change.at_ms));
        shown
    }
}

fn metrics_named(metrics: &BTreeSet<Metric>) -> Vec<String> {
    let name = |metric: &Metric| match metric {
        Metric::Istio => "istio_requests_total",
        Metric::Envoy => "envoy_cluster_upstream_rq",
    };
    metrics.iter().map(|metric| name(metric).to_owned()).collect()
}

#[cfg(test)]
mod figures;
#[cfg(test)]
mod tests;
