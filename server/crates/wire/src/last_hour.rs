//! What happened before the minute that the panel itself remembers, as a Prometheus has it.
use crate::Namespace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The demo's requests over the last hour. `GET /api/demo/history`, and the page `/history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastHour {
    /// Which namespace it is about.
    pub namespace: Namespace,
    /// The Prometheus that was asked, without what may be secret in its address.
    pub source: String,
    /// The metric it had: `istio_requests_total`, or Envoy's own `envoy_cluster_upstream_rq`; empty where it had neither.
    pub metric: String,
    /// Seconds from one moment to the next.
    pub step_s: u32,
    /// Oldest first; a moment at which nothing was scraped is missing.
    pub moments: Vec<LastHourSample>,
}

/// Requests around one moment, averaged over the minute before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastHourSample {
    /// Seconds since the Unix epoch.
    pub at_s: u64,
    /// Requests a second, by version; failed ones are among them.
    pub rates: BTreeMap<String, f64>,
    /// Requests a second that got no answer, or a 5xx.
    pub failed: f64,
}

impl LastHourSample {
    /// Requests a second to all versions.
    pub fn rate(&self) -> f64 {
        self.rates.values().sum()
    }

    /// Percent of the requests that went to a version; nothing without requests.
    pub fn share(&self, version: &str) -> Option<f64> {
        let all = self.rate();
        (all > 0.0).then(|| self.rates.get(version).copied().unwrap_or(0.0) * 100.0 / all)
    }
}

impl LastHour {
    /// Every version that is named, in order.
    pub fn versions(&self) -> Vec<String> {
        let mut names: Vec<String> = self.moments.iter().flat_map(|m| m.rates.keys().cloned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Requests over the whole time, and how many of them failed; both estimated from the rates.
    pub fn totals(&self) -> (f64, f64) {
        let step = f64::from(self.step_s);
        self.moments.iter().fold((0.0, 0.0), |(all, failed), m| (all + m.rate() * step, failed + m.failed * step))
    }
}
