//! `istio_requests_total` and `istio_request_duration_milliseconds` with Istio's labels ("Istio Standard Metrics"), cheap to record:
//! labels are spelled when somebody scrapes, a request adds to numbers only.
//!
//! **Invariant:** peers, series and the length of a label are bounded, whatever clients send. A scrape is rendered series by series, so
//! that its memory does not depend on the number of series.

use super::flag::Flag;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds in milliseconds: those of Istio's histogram, and more of them below 25 ms. A fast app answers all requests within one of
/// Istio's buckets, and percentiles cannot be told from each other there.
const BOUNDS_MS: [f64; 29] = [
    0.25,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    3.0,
    4.0,
    5.0,
    7.5,
    10.0,
    15.0,
    20.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
    f64::INFINITY,
];

/// Who a series is about: everything of its labels but the outcome. A slot in the table of peers, and the slot's generation: a request
/// that outlives its peer must not be counted for the next one in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Peer {
    slot: u32,
    generation: u32,
}

/// A workload, for the labels `source_…` or `destination_…`. Empty fields read `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) app: String,
    pub(crate) version: String,
}

/// The three labels of the Service that was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_labels: HashMap<Arc<Labels>, Peer>,
    series: HashMap<Key, Series>,
    /// Requests beyond [`MAX_SERIES`], by class of the response code.
    overflow: [Series; 10],
}

#[derive(Default)]
struct Slot {
    generation: u32,
    /// `None` while the slot is free.
    labels: Option<Arc<Labels>>,
}

/// A peer's labels before they are spelled.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Labels {
    reporter: &'static str,
    source: Workload,
    destination: Workload,
    service: ServiceLabels,
}

type Key = (Peer, u16, Flag);

#[derive(Clone, Default)]
struct Series {
    count: u64,
    sum_ms: f64,
    buckets: [u64; BOUNDS_MS.len()],
}

/// Most peers. They come from the table of the control plane; what clients say about themselves is bounded before (`Shared::caller`).
const MAX_PEERS: usize = 4096;
/// Most series. A workload that calls 50 Services and sees 4 outcomes of each has 200; each is 31 lines of about 1 KB in a scrape.
const MAX_SERIES: usize = 256;
/// Longest value of a label in bytes: that of a Kubernetes label, twice the usual name of a workload.
const MAX_VALUE: usize = 63;
/// Peers without a series are looked for only where there are more than this.
const MANY_PEERS: usize = 256;

impl Metrics {
    /// The peer of these labels. The same labels give the same peer; beyond [`MAX_PEERS`] it is the first one.
    pub(crate) fn peer(
        &self,
        reporter: &'static str,
        source: &Workload,
        destination: &Workload,
        service: &ServiceLabels,
    ) -> Peer {
        let labels = Labels { reporter, source: source.cut(), destination: destination.cut(), service: service.cut() };
        let mut inner = self.lock();
        if let Some(peer) = inner.by_labels.get(&labels) {
            return *peer;
        }
        let slot = match inner.free.pop() {
            Some(slot) => slot,
            None if inner.slots.len() >= MAX_PEERS => return Peer { slot: 0, generation: 0 },
            None => {
                inner.slots.push(Slot::default());
                (inner.slots.len() - 1) as u32
            }
        };
        let labels = Arc::new(labels);
        let entry = &mut inner.slots[slot as usize];
        entry.labels = Some(labels.clone());
        let peer = Peer { slot, generation: entry.generation };
        inner.by_labels.insert(labels, peer);
        peer
    }

    /// Whether so many peers are known that those of Services long gone may be forgotten.
    pub(crate) fn has_many_peers(&self) -> bool {
        self.lock().by_labels.len() > MANY_PEERS
    }

    /// Forgets peers that have no series and are not in `used`. The first peer stays.
    pub(crate) fn forget_peers_but(&self, used: &HashSet<Peer>) {
        let inner = &mut *self.lock();
        let counted: HashSet<Peer> = inner.series.keys().map(|(peer, ..)| *peer).collect();
        let (slots, free) = (&mut inner.slots, &mut inner.free);
        inner.by_labels.retain(|_, peer| {
            let keep = peer.slot == 0 || used.contains(peer) || counted.contains(peer);
            if let Some(slot) = slots.get_mut(peer.slot as usize).filter(|_| !keep) {
                *slot = Slot { generation: slot.generation.wrapping_add(1), labels: None };
                free.push(peer.slot);
            }
            keep
        });
    }

    /// Counts a request that is over.
    pub(crate) fn record(&self, peer: Peer, code: u16, flag: Flag, took: Duration) {
        let ms = took.as_secs_f64() * 1000.0;
        let bucket = BOUNDS_MS.iter().position(|bound| ms <= *bound).unwrap_or(BOUNDS_MS.len() - 1);
        let mut inner = self.lock();
        let Inner { series, slots, overflow, .. } = &mut *inner;
        let is_known = slots.get(peer.slot as usize).is_some_and(|slot| slot.generation == peer.generation);
        let room = series.len() < MAX_SERIES && is_known;
        let counted = match series.get_mut(&(peer, code, flag)) {
            Some(known) => known,
            None if room => series.entry((peer, code, flag)).or_default(),
            None => &mut overflow[usize::from(code / 100).min(9)],
        };
        counted.count += 1;
        counted.sum_ms += ms;
        counted.buckets[bucket] += 1;
    }

    /// The Prometheus text format, in pieces.
    pub(crate) fn scrape(&self) -> Scrape {
        let inner = self.lock();
        let mut sorted: Vec<(&Key, &Series)> = inner.series.iter().collect();
        sorted.sort_by_key(|(key, _)| **key);
        let labels =
            |peer: Peer| inner.slots.get(peer.slot as usize).and_then(|slot| slot.labels.clone()).unwrap_or_default();
        let mut all: Vec<Row> = sorted
            .into_iter()
            .map(|((peer, code, flag), series)| Row {
                labels: labels(*peer),
                code: *code,
                flag: *flag,
                series: series.clone(),
            })
            .collect();
        let reporter =
            inner.slots.first().and_then(|first| first.labels.as_ref()).map_or("source", |labels| labels.reporter);
        let other = Arc::new(Labels { reporter, ..Labels::default() });
        let overflow = inner.overflow.iter().enumerate().filter(|(_, series)| series.count > 0);
        all.extend(overflow.map(|(class, series)| Row {
            labels: other.clone(),
            code: class as u16 * 100,
            flag: Flag::None,
            series: series.clone(),
        }));
        Scrape { rows: all, at: 0 }
    }

    /// Requests so far, all together.
    pub(crate) fn total(&self) -> u64 {
        let inner = self.lock();
        inner.series.values().chain(&inner.overflow).map(|s| s.count).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A series as it is spelled.
struct Row {
    labels: Arc<Labels>,
    code: u16,
    flag: Flag,
    series: Series,
}

impl Row {
    fn labels(&self) -> String {
        let mut labels = self.labels.spelled();
        let _ = write!(
            labels,
            ",response_code=\"{}\",response_flags=\"{}\",grpc_response_status=\"\"",
            self.code,
            self.flag.text()
        );
        labels
    }
}

/// All series at one moment, to be written one after the other.
pub(crate) struct Scrape {
    rows: Vec<Row>,
    /// Next piece: first the counters, all in one piece, then one histogram after the other.
    at: usize,
}

impl Iterator for Scrape {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let at = self.at;
        self.at += 1;
        if at > 0 {
            return self.rows.get(at - 1).map(histogram);
        }
        let mut out = String::from(
            "# HELP istio_requests_total Requests by reporter, source, destination and response code.\n# TYPE istio_requests_total counter\n",
        );
        for row in &self.rows {
            let _ = writeln!(out, "istio_requests_total{{{}}} {}", row.labels(), row.series.count);
        }
        out.push_str("# HELP istio_request_duration_milliseconds Time from a request's head to the end of its response, in milliseconds.\n");
        out.push_str("# TYPE istio_request_duration_milliseconds histogram\n");
        Some(out)
    }
}

fn histogram(row: &Row) -> String {
    let (labels, series) = (row.labels(), &row.series);
    let mut out = String::with_capacity((labels.len() + 80) * (BOUNDS_MS.len() + 2));
    let mut so_far = 0;
    for (bound, count) in BOUNDS_MS.iter().zip(series.buckets) {
        so_far += count;
        let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".into() };
        let _ = writeln!(out, "istio_request_duration_milliseconds_bucket{{{labels},le=\"{bound}\"}} {so_far}");
    }
    let _ = writeln!(out, "istio_request_duration_milliseconds_sum{{{labels}}} {}", series.sum_ms);
    let _ = writeln!(out, "istio_request_duration_milliseconds_count{{{labels}}} {}", series.count);
    out
}

impl Labels {
    fn spelled(&self) -> String {
        let mut labels = format!("reporter=\"{}\"", self.reporter);
        for (side, w) in [("source", &self.source), ("destination", &self.destination)] {
            for (label, value) in [
                ("workload", w.name.as_str()),
                ("workload_namespace", &w.namespace),
                ("principal", ""),
                ("app", &w.app),
                ("version", &w.version),
                ("canonical_service", &w.app),
                ("canonical_revision", &w.version),
            ] {
                let _ = write!(labels, ",{side}_{label}=\"{}\"", escaped(value));
            }
            let _ = write!(labels, ",{side}_cluster=\"Kubernetes\"");
        }
        for (label, value) in [
            ("service", &self.service.host),
            ("service_name", &self.service.name),
            ("service_namespace", &self.service.namespace),
        ] {
            let _ = write!(labels, ",destination_{label}=\"{}\"", escaped(value));
        }
        // Only the side that accepts a connection knows how it was secured; here it never is.
        let _ = write!(
            labels,
            ",connection_security_policy=\"{}\",request_protocol=\"http\"",
            if self.reporter == "source" { "unknown" } else { "none" }
        );
        labels
    }
}

impl Workload {
    fn cut(&self) -> Workload {
        Workload {
            name: cut(&self.name, MAX_VALUE),
            namespace: cut(&self.namespace, MAX_VALUE),
            app: cut(&self.app, MAX_VALUE),
            version: cut(&self.version, MAX_VALUE),
        }
    }
}

impl ServiceLabels {
    fn cut(&self) -> ServiceLabels {
        ServiceLabels {
            host: cut(&self.host, 3 * MAX_VALUE),
            name: cut(&self.name, MAX_VALUE),
            namespace: cut(&self.namespace, MAX_VALUE),
        }
    }
}

/// The first `most` bytes, less where a character would be cut in two.
pub(crate) fn cut(value: &str, most: usize) -> String {
    value[..value.floor_char_boundary(most)].to_string()
}

fn escaped(value: &str) -> String {
    if value.is_empty() {
        return "unknown".into();
    }
    value
        .chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(name: &str) -> Workload {
        Workload { name: name.into(), ..Workload::default() }
    }

    fn peer(metrics: &Metrics, name: &str) -> Peer {
        metrics.peer("source", &Workload::default(), &workload(name), &ServiceLabels::default())
    }

    #[test]
    fn peers_series_and_labels_are_bounded_and_nothing_is_lost() {
        let metrics = Metrics::default();
        for n in 0..2 * MAX_PEERS {
            let peer = peer(&metrics, &format!("{n}-{}", "x".repeat(1000)));
            metrics.record(peer, (n % 700) as u16, Flag::None, Duration::from_millis(1));
        }
        assert_eq!(metrics.total(), 2 * MAX_PEERS as u64);
        let pieces: Vec<String> = metrics.scrape().collect();
        assert!(pieces.len() <= MAX_SERIES + 11, "{}", pieces.len());
        let most = MAX_SERIES * 31 * 2048;
        assert!(
            pieces.iter().map(String::len).sum::<usize>() < most && pieces[1..].iter().all(|p| p.len() < 64 * 1024)
        );
        let counted: u64 = pieces[0]
            .lines()
            .filter(|l| l.starts_with("istio_requests_total{"))
            .map(|l| l.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!(counted, 2 * MAX_PEERS as u64);
    }

    #[test]
    fn a_peer_that_is_forgotten_is_not_counted_for_another() {
        let metrics = Metrics::default();
        let [_first, gone, counted, used] = ["first", "gone", "counted", "used"].map(|name| peer(&metrics, name));
        metrics.record(counted, 200, Flag::None, Duration::ZERO);
        metrics.forget_peers_but(&[used].into());
        assert_eq!((peer(&metrics, "counted"), peer(&metrics, "used")), (counted, used));
        let next = peer(&metrics, "next");
        assert_eq!((next.slot, next == gone), (gone.slot, false));
        metrics.record(gone, 200, Flag::None, Duration::ZERO);
        let text: String = metrics.scrape().collect();
        assert!(!text.contains("destination_workload=\"next\""), "{text}");
        assert_eq!(metrics.total(), 2);
    }
}
