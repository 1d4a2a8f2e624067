//! The dashboards: what the sidecars counted in a span of the last hour. `GET /api/demo/dashboards`, and the page `/dashboards`.
mod query;

use crate::{Namespace, Split};
pub use query::{BadQuery, DashboardQuery, Reporter, Slo, Span, View};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Period of the error budget in seconds: as long as the panel remembers. A budget of 30 days says nothing about a demo.
pub const BUDGET_S: u32 = 3_600;
/// Period of the burn rate in seconds.
pub const BURN_S: u32 = 300;

/// One view of the dashboards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Dashboards {
    /// Which namespace it is about.
    pub namespace: Namespace,
    /// What was asked for, with its defaults.
    pub query: DashboardQuery,
    /// Beginning of what the numbers cover, in milliseconds since the Unix epoch. Counters are read at moments: this is one of them.
    pub from_ms: u64,
    /// Its end: the newest reading where the span is live. Equal to `from_ms` where nothing was read.
    pub to_ms: u64,
    /// How old the newest reading is; `None` where nothing was read.
    pub age_ms: Option<u64>,
    /// `sidecars`, or the address of the Prometheus that was asked.
    pub source: String,
    /// The metrics that counted: `istio_requests_total`, or Envoy's own `envoy_cluster_upstream_rq`.
    pub metrics: Vec<String>,
    /// The steps of every chart, oldest first. Time between two steps was not read.
    pub steps: Vec<Step>,
    /// Changes of the weights, oldest first.
    pub changes: Vec<RouteChange>,
    /// View `mesh`: a row per service, the one that burns its budget fastest first.
    pub services: Vec<ServiceRow>,
    /// View `workload`.
    pub workload: Option<WorkloadBoard>,
}

/// A step of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Step {
    /// When it begins, in milliseconds since the Unix epoch.
    pub from_ms: u64,
    /// When it ends.
    pub to_ms: u64,
}

/// A change of the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RouteChange {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The new weights.
    pub split: Split,
}

/// What was counted of some requests in one stretch of time. A number that is not known is `null`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tally {
    /// How long it is; 0 where nothing was read.
    pub seconds: f64,
    /// Requests that ended.
    pub requests: u64,
    /// Those of them with a 5xx or without an answer.
    pub failed: u64,
    /// Those whose duration was counted.
    pub timed: u64,
    /// Requests a second.
    pub rate: Option<f64>,
    /// Percent of the requests that did not fail.
    pub success_percent: Option<f64>,
    /// Duration that half of the requests keep.
    pub p50_ms: Option<f64>,
    /// Duration that nine of ten requests keep.
    pub p90_ms: Option<f64>,
    /// Duration that 99 of 100 requests keep.
    pub p99_ms: Option<f64>,
    /// The only bucket of the histogram that p50 and p99 are in: its bounds are known, a value within is not.
    pub bucket_ms: Option<[f64; 2]>,
    /// Mean size of a request's body.
    pub request_bytes: Option<f64>,
    /// Mean size of a response's body.
    pub response_bytes: Option<f64>,
}

/// A number of a [`Tally`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Requests a second.
    Rate,
    /// Percent of success.
    SuccessPercent,
    /// Median.
    P50Ms,
    /// 90th percentile.
    P90Ms,
    /// 99th percentile.
    P99Ms,
    /// Mean size of a request.
    RequestBytes,
    /// Mean size of a response.
    ResponseBytes,
}

/// Why a number is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Unknown {
    /// No sidecar was read in this time.
    NothingRead,
    /// There was no request in this time.
    NoRequests,
    /// A percentile p takes at least 1/(1-p) requests.
    TooFewRequests {
        /// How many there were.
        has: u64,
        /// How many it takes.
        needs: u64,
    },
    /// The sidecars have no such metric.
    NotReported,
}

impl Figure {
    /// All of them.
    pub const ALL: [Figure; 7] = [
        Figure::Rate,
        Figure::SuccessPercent,
        Figure::P50Ms,
        Figure::P90Ms,
        Figure::P99Ms,
        Figure::RequestBytes,
        Figure::ResponseBytes,
    ];

    /// As JSON and CSV name it.
    pub fn name(self) -> &'static str {
        match self {
            Figure::Rate => "rate",
            Figure::SuccessPercent => "success_percent",
            Figure::P50Ms => "p50_ms",
            Figure::P90Ms => "p90_ms",
            Figure::P99Ms => "p99_ms",
            Figure::RequestBytes => "request_bytes",
            Figure::ResponseBytes => "response_bytes",
        }
    }

    /// Requests that it takes: 1/(1-p) for a percentile.
    pub fn needs(self) -> u64 {
        match self {
            Figure::Rate => 0,
            Figure::P50Ms => 2,
            Figure::P90Ms => 10,
            Figure::P99Ms => 100,
            Figure::SuccessPercent | Figure::RequestBytes | Figure::ResponseBytes => 1,
        }
    }
}

impl Tally {
    /// One of its numbers.
    pub fn get(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::Rate => self.rate,
            Figure::SuccessPercent => self.success_percent,
            Figure::P50Ms => self.p50_ms,
            Figure::P90Ms => self.p90_ms,
            Figure::P99Ms => self.p99_ms,
            Figure::RequestBytes => self.request_bytes,
            Figure::ResponseBytes => self.response_bytes,
        }
    }

    /// Why a number is not known; `None` where it is.
    pub fn why(&self, figure: Figure) -> Option<Unknown> {
        if self.get(figure).is_some() {
            return None;
        }
        let percentile = matches!(figure, Figure::P50Ms | Figure::P90Ms | Figure::P99Ms);
        Some(match (self.seconds > 0.0, self.requests.max(self.timed)) {
            (false, _) => Unknown::NothingRead,
            (true, 0) => Unknown::NoRequests,
            (true, has) if has < figure.needs() => Unknown::TooFewRequests { has, needs: figure.needs() },
            (true, _) if percentile && (1..figure.needs()).contains(&self.timed) => {
                Unknown::TooFewRequests { has: self.timed, needs: figure.needs() }
            }
            (true, _) => Unknown::NotReported,
        })
    }
}

/// Requests that have something in common, over the whole span and step by step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Series {
    /// What they have in common: a service, a version, a workload. Empty where the sidecars do not know it.
    pub name: String,
    /// Over the whole span.
    pub total: Tally,
    /// Why numbers of `total` are not known, by their names.
    pub unknown: BTreeMap<String, Unknown>,
    /// One for each of the steps.
    pub points: Vec<Tally>,
}

impl Series {
    /// With the reasons for what is not known.
    pub fn new(name: String, total: Tally, points: Vec<Tally>) -> Series {
        let unknown = Figure::ALL.iter().filter_map(|f| Some((f.name().to_owned(), total.why(*f)?))).collect();
        Series { name, total, unknown, points }
    }
}

/// The failures that an objective allows, and those that there were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Budget {
    /// The period in seconds, whatever span is shown.
    pub period_s: u32,
    /// How much of it was read.
    pub read_s: f64,
    /// Requests in the period.
    pub requests: u64,
    /// Failed ones.
    pub failed: u64,
    /// Failures that the objective allows among so many requests.
    pub allowed: f64,
    /// Percent of the budget that is left, below 0 where more failed than is allowed; `null` without requests.
    pub left_percent: Option<f64>,
    /// The period of the burn rate in seconds.
    pub burn_period_s: u32,
    /// How fast the budget burns: 1 uses it up exactly in its period; `null` without requests.
    pub burn_rate: Option<f64>,
}

/// A service and its versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceRow {
    /// All its requests.
    pub service: Series,
    /// Its error budget.
    pub budget: Budget,
    /// Percent of the budget that was left at the end of each step of the period, oldest first; empty for all but the first row.
    pub budget_left: Vec<BudgetPoint>,
    /// By version; a version without a name are the requests that reached no pod.
    pub versions: Vec<VersionRow>,
}

/// What was left of a budget at one moment, of the budget of the whole period.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BudgetPoint {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Percent that was left.
    pub left_percent: f64,
}

/// A version of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VersionRow {
    /// Its requests.
    pub version: Series,
    /// Its part of the error budget.
    pub budget: Budget,
}

/// One workload, or one app with all its versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkloadBoard {
    /// Its name.
    pub name: String,
    /// Names that can be chosen.
    pub names: Vec<String>,
    /// Whether the numbers are those of the requests it got; else of those it sent, because it got none.
    pub inbound: bool,
    /// All its requests.
    pub all: Series,
    /// The same by the version that answered.
    pub versions: Vec<Series>,
    /// The same by response code.
    pub codes: Vec<Series>,
    /// Requests it got, by who sent them.
    pub sources: Vec<Series>,
    /// Requests it sent, by who got them.
    pub destinations: Vec<Series>,
    /// Durations.
    pub histogram: DurationHistogram,
}

/// How many requests took how long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DurationHistogram {
    /// Upper bounds of the buckets in milliseconds. One more bucket, without a bound, comes after them.
    pub bounds_ms: Vec<f64>,
    /// Requests in each bucket over the whole span.
    pub counts: Vec<u64>,
    /// The same for each of the steps.
    pub steps: Vec<Vec<u64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_says_why() {
        let tally = |seconds, requests, timed| Tally { seconds, requests, timed, ..Tally::default() };
        let few = |has, needs| Some(Unknown::TooFewRequests { has, needs });
        for (what, tally, figure, why) in [
            ("not read", tally(0.0, 0, 0), Figure::Rate, Some(Unknown::NothingRead)),
            ("no request", tally(5.0, 0, 0), Figure::SuccessPercent, Some(Unknown::NoRequests)),
            ("99 requests", tally(5.0, 99, 99), Figure::P99Ms, few(99, 100)),
            ("one request", tally(5.0, 1, 1), Figure::P50Ms, few(1, 2)),
            ("not timed", tally(5.0, 500, 0), Figure::P50Ms, Some(Unknown::NotReported)),
            ("partly timed", tally(5.0, 500, 7), Figure::P90Ms, few(7, 10)),
            ("no sizes", tally(5.0, 500, 500), Figure::RequestBytes, Some(Unknown::NotReported)),
            ("known", Tally { rate: Some(0.0), ..tally(5.0, 0, 0) }, Figure::Rate, None),
        ] {
            assert_eq!(tally.why(figure), why, "{what}");
        }
    }
}
