//! `istio_requests_total` and `istio_request_duration_milliseconds` with Istio's labels ("Istio Standard Metrics"), cheap to record:
//! labels are spelled once for each peer, a request adds to numbers only.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds in milliseconds, as Istio's histogram has them.
const BOUNDS_MS: [f64; 20] = [
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 30_000.0, 60_000.0, 300_000.0, 600_000.0, 1_800_000.0,
    3_600_000.0, f64::INFINITY,
];

/// Who a series is about: everything of its labels but the outcome. An index into the table of spelled labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Peer(u32);

/// Why a response is not simply the upstream's (Envoy's `RESPONSE_FLAGS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::upper_case_acronyms)] // Envoy's own spelling.
pub(crate) enum Flag {
    None,
    /// No healthy upstream.
    UH,
    /// Connection to the upstream failed.
    UF,
    /// A limit of the connection pool is reached.
    UO,
    /// The upstream ended the connection.
    UC,
    /// The upstream ended its stream of HTTP/2.
    UR,
    /// The upstream took too long.
    UT,
    /// What the upstream sent is no HTTP.
    UPE,
    /// No route.
    NR,
    /// No such cluster.
    NC,
    /// The client went away.
    DC,
    /// The client gave its stream of HTTP/2 up.
    DR,
    /// The client's request is malformed.
    DPE,
    /// Fault injected: abort.
    FI,
    /// Fault injected: delay.
    DI,
}

impl Flag {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Flag::None => "-",
            Flag::UH => "UH",
            Flag::UF => "UF",
            Flag::UO => "UO",
            Flag::UC => "UC",
            Flag::UR => "UR",
            Flag::UT => "UT",
            Flag::UPE => "UPE",
            Flag::NR => "NR",
            Flag::NC => "NC",
            Flag::DC => "DC",
            Flag::DR => "DR",
            Flag::DPE => "DPE",
            Flag::FI => "FI",
            Flag::DI => "DI",
        }
    }
}

/// A workload, for the labels `source_…` or `destination_…`. Empty fields read `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) app: String,
    pub(crate) version: String,
}

/// The three labels of the Service that was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceLabels {
    /// Full name.
    pub(crate) host: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

/// All series of a sidecar.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    peers: Vec<String>,
    by_labels: HashMap<String, Peer>,
    series: HashMap<Key, Series>,
}

type Key = (Peer, u16, Flag);

#[derive(Default)]
struct Series {
    count: u64,
    sum_ms: f64,
    buckets: [u64; BOUNDS_MS.len()],
}

/// Most different peers: a forged header must not fill the memory.
const MAX_PEERS: usize = 10_000;

impl Metrics {
    /// Spells a peer's labels. The same labels give the same peer.
    pub(crate) fn peer(&self, reporter: &str, source: &Workload, destination: &Workload, service: &ServiceLabels) -> Peer {
        let mut labels = format!("reporter=\"{reporter}\"");
        for (side, w) in [("source", source), ("destination", destination)] {
            for (label, value) in [
                ("workload", &w.name),
                ("workload_namespace", &w.namespace),
                ("principal", &String::new()),
                ("app", &w.app),
                ("version", &w.version),
                ("canonical_service", &w.app),
                ("canonical_revision", &w.version),
            ] {
                let _ = write!(labels, ",{side}_{label}=\"{}\"", escaped(value));
            }
            let _ = write!(labels, ",{side}_cluster=\"Kubernetes\"");
        }
        for (label, value) in [("service", &service.host), ("service_name", &service.name), ("service_namespace", &service.namespace)] {
            let _ = write!(labels, ",destination_{label}=\"{}\"", escaped(value));
        }
        // Only the side that accepts a connection knows how it was secured; here it never is.
        let _ = write!(labels, ",connection_security_policy=\"{}\",request_protocol=\"http\"", if reporter == "source" { "unknown" } else { "none" });
        let mut inner = self.lock();
        if let Some(peer) = inner.by_labels.get(&labels) {
            return *peer;
        }
        if inner.peers.len() >= MAX_PEERS {
            return Peer(0);
        }
        let peer = Peer(inner.peers.len() as u32);
        inner.peers.push(labels.clone());
        inner.by_labels.insert(labels, peer);
        peer
    }

    /// Counts a request that is over.
    pub(crate) fn record(&self, peer: Peer, code: u16, flag: Flag, took: Duration) {
        let ms = took.as_secs_f64() * 1000.0;
        let bucket = BOUNDS_MS.iter().position(|bound| ms <= *bound).unwrap_or(BOUNDS_MS.len() - 1);
        let mut inner = self.lock();
        let series = inner.series.entry((peer, code, flag)).or_default();
        series.count += 1;
        series.sum_ms += ms;
        series.buckets[bucket] += 1;
    }

    /// The Prometheus text format.
    pub(crate) fn render(&self) -> String {
        let inner = self.lock();
        let mut sorted: Vec<(&Key, &Series)> = inner.series.iter().collect();
        sorted.sort_by_key(|(key, _)| **key);
        let labels = |(peer, code, flag): &Key| {
            let of_peer = inner.peers.get(peer.0 as usize).map_or("", String::as_str);
            format!("{of_peer},response_code=\"{code}\",response_flags=\"{}\",grpc_response_status=\"\"", flag.text())
        };
        let mut out = String::from("# HELP istio_requests_total Requests by reporter, source, destination and response code.\n# TYPE istio_requests_total counter\n");
        for (key, series) in &sorted {
            let _ = writeln!(out, "istio_requests_total{{{}}} {}", labels(key), series.count);
        }
        out.push_str("# HELP istio_request_duration_milliseconds Time from a request's head to the end of its response, in milliseconds.\n");
        out.push_str("# TYPE istio_request_duration_milliseconds histogram\n");
        for (key, series) in &sorted {
            let labels = labels(key);
            let mut so_far = 0;
            for (bound, count) in BOUNDS_MS.iter().zip(series.buckets) {
                so_far += count;
                let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".into() };
                let _ = writeln!(out, "istio_request_duration_milliseconds_bucket{{{labels},le=\"{bound}\"}} {so_far}");
            }
            let _ = writeln!(out, "istio_request_duration_milliseconds_sum{{{labels}}} {}", series.sum_ms);
            let _ = writeln!(out, "istio_request_duration_milliseconds_count{{{labels}}} {}", series.count);
        }
        out
    }

    /// Requests so far, all together.
    pub(crate) fn total(&self) -> u64 {
        self.lock().series.values().map(|s| s.count).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn escaped(value: &str) -> String {
    if value.is_empty() {
        return "unknown".into();
    }
    value.chars().filter(|c| !c.is_control()).flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect()
}
