//! What sidecars count: flows of requests, and the counters of each. Pure.
use super::histogram::Histogram;
use std::collections::HashMap;
use wire::Reporter;

/// One end of a flow, as labels say it. An empty field is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// Deployment.
    pub workload: String,
    /// App, or canonical service.
    pub app: String,
    /// Version.
    pub version: String,
}

/// Which metric counted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// `istio_requests_total`.
    Istio,
    /// `envoy_cluster_upstream_rq`, of an Envoy without Istio's filters: one end of each flow is not known.
    Envoy,
}

/// Requests that have all labels in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// Whose sidecar counted.
    pub reporter: Reporter,
    /// Who asked.
    pub source: End,
    /// Who answered, or should have.
    pub destination: End,
    /// The Service that was asked, without its namespace.
    pub service: String,
    /// Response code: `200`, `0` for no answer. Empty for Envoy's durations, which are not counted by code.
    pub code: String,
    /// Which metric counted.
    pub metric: Metric,
}

impl Flow {
    /// Whether its requests failed: a 5xx, or no answer.
    pub fn is_failure(&self) -> bool {
        self.code == "0" || (self.code.len() == 3 && self.code.starts_with('5'))
    }
}

/// Counters of a flow. They only grow, until the sidecar starts anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Sum of their durations in microseconds.
    pub duration_us: u64,
    /// Requests by duration.
    pub histogram: Histogram,
    /// Requests whose sizes were counted.
    pub sized: u64,
    /// Sum of the request bodies' sizes.
    pub request_bytes: u64,
    /// Sum of the response bodies' sizes.
    pub response_bytes: u64,
}

impl Counts {
    fn scalars(&self) -> [u64; 5] {
        [self.requests, self.duration_us, self.sized, self.request_bytes, self.response_bytes]
    }

    /// Whether there is nothing in it.
    pub fn is_zero(&self) -> bool {
        self.scalars().iter().all(|n| *n == 0) && self.histogram.count() == 0
    }

    /// What was counted since `before`. A counter that went down began anew at 0, as PromQL's `rate` takes it; the counters of a flow are
    /// of one process, so then all of them did.
    pub fn since(&self, before: &Counts) -> Counts {
        let fell = self.scalars().iter().zip(before.scalars()).any(|(now, then)| *now < then);
        match self.histogram.since(&before.histogram) {
            Some(histogram) if !fell => Counts {
                requests: self.requests - before.requests,
                duration_us: self.duration_us - before.duration_us,
                histogram,
                sized: self.sized - before.sized,
                request_bytes: self.request_bytes - before.request_bytes,
                response_bytes: self.response_bytes - before.response_bytes,
            },
            _ => self.clone(),
        }
    }

    /// Adds the counters of another flow or time.
    pub fn add(&mut self, other: &Counts) {
        self.requests += other.requests;
        self.duration_us += other.duration_us;
        self.histogram.add(&other.histogram);
        self.sized += other.sized;
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
    }
}

/// All counters of one sidecar at one moment.
pub type Reading = HashMap<Flow, Counts>;

#[cfg(test)]
impl Flow {
    /// Answers 200 of a version, as its callers count them.
    pub fn to_version(version: &str) -> Flow {
        Flow {
            reporter: Reporter::Source,
            source: End::default(),
            destination: End { version: version.to_owned(), ..End::default() },
            service: "flaskapp".to_owned(),
            code: "200".to_owned(),
            metric: Metric::Istio,
        }
    }
}
