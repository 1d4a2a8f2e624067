//! A view of the dashboards: the sidecars' counters, with what the panel knows beside them.
use crate::demo::clock::now_ms;
use crate::demo::dashboards::{About, Recorder};
use crate::demo::namespace::state::NamespaceState;
use crate::demo::plan::observe::demo_pods;
use crate::demo::prometheus::Prometheus;
use wire::{ApiError, DashboardQuery, Dashboards, RouteChange, Span};

/// What a view needs beside the counters.
pub fn about(state: &NamespaceState, source: String) -> About {
    let mut workloads: Vec<String> = demo_pods(&state.now()).into_iter().map(|pod| pod.view.workload).collect();
    workloads.extend([DashboardQuery::WORKLOAD.to_owned()]);
    workloads.retain(|name| !name.is_empty());
    let log = &state.facts.borrow().log;
    let changes = log.iter().rev().filter(|entry| entry.error.is_none());
    let changes = changes.filter_map(|entry| Some(RouteChange { at_ms: entry.at_ms, split: entry.split.clone()? }));
    About { namespace: state.ns.clone(), now_ms: now_ms(), source, changes: changes.collect(), workloads }
}

/// The view: of the Prometheus that was named, else of the panel's memory. Errors: that Prometheus does not answer.
pub async fn dashboards(
    state: &NamespaceState,
    query: &DashboardQuery,
    prometheus: Option<&Prometheus>,
) -> Result<Dashboards, ApiError> {
    let Some(prometheus) = prometheus else {
        state.counters.watch(now_ms).await;
        return Ok(state.counters.show(query, about(state, "sidecars".to_owned())));
    };
    let end_s = match query.span {
        Span::Last(_) => now_ms() / 1_000,
        Span::Between { to, .. } => to,
    };
    let readings = prometheus.counters(&state.ns, end_s).await?;
    Ok(Recorder::of(readings).show(query, about(state, prometheus.address().to_owned())))
}
