//! The view of the mesh: a row per service and version, counted at the source. Pure.
//!
//! A 503 that reaches no pod exists only at the source; a caller without a sidecar exists only at the destination.
use super::collect::{Collected, collect};
use super::flow::{Flow, Metric};
use super::store::{Store, Visited};
use super::tally::Spent;
use std::collections::BTreeMap;
use wire::{BUDGET_S, BURN_S, Budget, BudgetPoint, Reporter, ServiceRow, Slo, VersionRow};

/// Where Istio counts requests to what it does not know.
const NO_SERVICES: [&str; 3] = ["PassthroughCluster", "BlackHoleCluster", "InboundPassthroughCluster"];
/// Steps of the curve of what is left of a budget.
const CURVE_STEP_MS: u64 = 30_000;

/// A service, and one of its versions; `None` for all of them.
pub type Key = (String, Option<String>);

/// The service whose row a flow counts in.
fn service(flow: &Flow) -> Option<&str> {
    let nobody = flow.source.workload.is_empty() && flow.source.app.is_empty();
    let counts = match flow.reporter {
        Reporter::Source => true,
        Reporter::Destination => flow.metric == Metric::Istio && nobody,
    };
    let name = flow.service.as_str();
    (counts && !name.is_empty() && !NO_SERVICES.contains(&name)).then_some(name)
}

fn keys(flow: &Flow) -> Vec<Key> {
    let Some(service) = service(flow) else { return Vec::new() };
    vec![(service.to_owned(), None), (service.to_owned(), Some(flow.destination.version.clone()))]
}

/// What the periods of the budget hold.
#[derive(Default)]
struct Periods {
    spent: BTreeMap<Key, Spent>,
    read_s: f64,
    /// Failures by service in each step of the curve.
    curve: BTreeMap<String, BTreeMap<u64, u64>>,
    ends: Vec<u64>,
}

fn periods(store: &Store, to_ms: u64) -> Periods {
    let mut periods = Periods::default();
    let (begin, recent) =
        (to_ms.saturating_sub(u64::from(BUDGET_S) * 1_000), to_ms - u64::from(BURN_S).min(to_ms / 1_000) * 1_000);
    let (mut is_recent, mut slot) = (false, 0);
    store.visit(begin, to_ms, |visited| match visited {
        Visited::Step { begin_ms, end_ms } => {
            periods.read_s += end_ms.saturating_sub(begin_ms) as f64 / 1_000.0;
            is_recent = begin_ms.midpoint(end_ms) > recent;
            slot = (end_ms.saturating_sub(1) / CURVE_STEP_MS + 1) * CURVE_STEP_MS;
            if periods.ends.last() != Some(&slot) {
                periods.ends.push(slot);
            }
        }
        Visited::Flow(flow, counts) => {
            let failed = if flow.is_failure() { counts.requests } else { 0 };
            for key in keys(flow) {
                if failed > 0 && key.1.is_none() {
                    *periods.curve.entry(key.0.clone()).or_default().entry(slot).or_default() += failed;
                }
                let spent = periods.spent.entry(key).or_default();
                spent.period = (spent.period.0 + counts.requests, spent.period.1 + failed);
                if is_recent {
                    spent.recent = (spent.recent.0 + counts.requests, spent.recent.1 + failed);
                }
            }
        }
    });
    periods
}

impl Periods {
    fn budget(&self, key: &Key, slo: Slo) -> Budget {
        self.spent.get(key).copied().unwrap_or_default().budget(slo, self.read_s)
    }

    /// What was left of the budget of the whole period, moment by moment.
    fn left(&self, service: &str, budget: &Budget) -> Vec<BudgetPoint> {
        if budget.requests == 0 {
            return Vec::new();
        }
        let failures = self.curve.get(service);
        let mut failed = 0;
        let point = |at_ms: &u64| {
            failed += failures.and_then(|steps| steps.get(at_ms)).copied().unwrap_or(0);
            BudgetPoint { at_ms: *at_ms, left_percent: 100.0 * (1.0 - failed as f64 / budget.allowed) }
        };
        self.ends.iter().map(point).collect()
    }
}

/// The rows, worst first, and what they were made of.
pub fn mesh(store: &Store, span: (u64, u64), slo: Slo) -> (Collected<Key>, Vec<ServiceRow>) {
    let collected = collect(store, span, keys);
    let periods = periods(store, span.1);
    let mut services: Vec<&String> =
        periods.spent.keys().chain(collected.groups.keys()).map(|(name, _)| name).collect();
    services.sort();
    services.dedup();
    let mut rows: Vec<ServiceRow> = services.into_iter().map(|name| row(&collected, &periods, name, slo)).collect();
    let burn = |budget: &Budget| budget.burn_rate.unwrap_or(-1.0);
    rows.sort_by(|a, b| burn(&b.budget).total_cmp(&burn(&a.budget)));
    rows.iter_mut().skip(1).for_each(|row| row.budget_left.clear());
    (collected, rows)
}

fn row(collected: &Collected<Key>, periods: &Periods, name: &str, slo: Slo) -> ServiceRow {
    let mut versions: Vec<&Option<String>> = periods
        .spent
        .keys()
        .chain(collected.groups.keys())
        .filter(|(service, _)| service == name)
        .map(|(_, v)| v)
        .collect();
    versions.sort();
    versions.dedup();
    let key = |version: &Option<String>| (name.to_owned(), version.clone());
    let versions = versions.into_iter().filter_map(|version| {
        let label = version.as_ref()?;
        let key = key(version);
        Some(VersionRow {
            version: collected.series(label, collected.groups.get(&key)),
            budget: periods.budget(&key, slo),
        })
    });
    let all = key(&None);
    let budget = periods.budget(&all, slo);
    ServiceRow {
        budget_left: periods.left(name, &budget),
        service: collected.series(name, collected.groups.get(&all)),
        budget,
        versions: versions.collect(),
    }
}
