//! Readings of sidecars become the views that people see.
use super::*;
use flow::{Counts, Flow, Metric};
use histogram::{Bounds, Histogram};
use std::collections::HashMap;
use wire::{Reporter, Unknown};

/// `reporter source>destination/version service code`; `-` is not known.
fn flow(text: &str) -> Flow {
    let mut words = text.split([' ', '>', '/']).map(|word| if word == "-" { "" } else { word });
    let mut next = || words.next().unwrap().to_owned();
    let reporter = if next() == "source" { Reporter::Source } else { Reporter::Destination };
    let app = |workload: &str| workload.split("-v").next().unwrap_or_default().to_owned();
    let (source, destination, version) = (next(), next(), next());
    Flow {
        reporter,
        source: End { app: app(&source), workload: source, version: String::new() },
        destination: End { app: app(&destination), workload: destination, version },
        service: next(),
        code: next(),
        metric: Metric::Istio,
    }
}

fn counts(requests: u64) -> Counts {
    let buckets = vec![requests / 2, requests - requests / 2, 0];
    let histogram = Histogram::new(Bounds::new(vec![1_000, 5_000]), buckets).unwrap();
    Counts { requests, histogram, ..Counts::default() }
}

/// A reading a second from second 1 on, each flow with so many requests a second.
fn recorder(seconds: u64, flows: &[(&str, u64)]) -> Recorder {
    let mut recorder = Recorder::default();
    for s in 0..=seconds {
        let read: Reading = flows.iter().map(|(text, n)| (flow(text), counts(n * s))).collect();
        recorder.take((s + 1) * 1_000, [("pod".to_owned(), Some(read))].into());
    }
    recorder
}

fn about(now_s: u64) -> About {
    About {
        namespace: Namespace::default(),
        now_ms: now_s * 1_000,
        source: "sidecars".to_owned(),
        changes: Vec::new(),
        workloads: vec!["flaskapp".to_owned()],
    }
}

fn query(text: &str) -> DashboardQuery {
    DashboardQuery::parse(text.split('&').map(|pair| pair.split_once('=').unwrap())).unwrap()
}

const DEMO: &[(&str, u64)] = &[
    ("source client>flaskapp-v1/v1 flaskapp 200", 90),
    ("source client>flaskapp-v2/v2 flaskapp 200", 8),
    ("source client>flaskapp-v2/v2 flaskapp 503", 1),
    ("source client>-/- flaskapp 503", 1),
    ("destination client>flaskapp-v1/v1 flaskapp 200", 90),
    ("destination client>flaskapp-v2/v2 flaskapp 200", 8),
    ("destination client>flaskapp-v2/v2 flaskapp 503", 1),
    ("destination ->flaskapp-v2/v2 flaskapp 404", 2),
    ("source client>-/- BlackHoleCluster 502", 4),
];

#[test]
fn the_mesh_counts_at_the_source_and_callers_without_a_sidecar_at_the_destination() {
    let recorder = recorder(100, DEMO);
    let shown = recorder.show(&query("view=mesh&span=60"), about(101));
    assert_eq!((shown.from_ms, shown.to_ms, shown.age_ms), (41_000, 101_000, Some(0)));
    assert_eq!((shown.steps.len(), shown.metrics.as_slice()), (60, &["istio_requests_total".to_owned()][..]));
    let [row] = &shown.services[..] else { panic!("{:?}", shown.services) };
    let total = row.service.total;
    // 100 a second at the source, and 2 of a caller without a sidecar.
    assert_eq!((total.requests, total.failed, total.rate), (60 * 102, 60 * 2, Some(102.0)));
    let versions: Vec<(&str, u64)> =
        row.versions.iter().map(|v| (v.version.name.as_str(), v.version.total.requests)).collect();
    assert_eq!(versions, [("", 60), ("v1", 5_400), ("v2", 660)], "what reached no pod has no version");
    assert_eq!(row.budget.requests, 10_200, "the budget's period is the hour, whatever is shown");
    assert_eq!((row.budget.read_s, row.budget.failed), (100.0, 200));
    let burn = row.budget.burn_rate.unwrap();
    assert!((burn - 200.0 / 10_200.0 / 0.001).abs() < 1e-9, "{burn}");
    let left: Vec<f64> = row.budget_left.iter().map(|point| point.left_percent).collect();
    assert!(left.windows(2).all(|pair| pair[0] > pair[1]), "{left:?}");
    assert!((left.last().unwrap() - row.budget.left_percent.unwrap()).abs() < 1e-9, "{left:?}");
}

#[test]
fn a_workload_is_counted_by_the_reporter_that_was_asked_for() {
    let recorder = recorder(100, DEMO);
    let board = |text: &str| recorder.show(&query(text), about(101)).workload.unwrap();
    let by = |series: &[wire::Series]| -> Vec<(String, u64)> {
        series.iter().map(|s| (s.name.clone(), s.total.requests / 60)).collect()
    };
    let named = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
        pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    };
    let at_destination = board("view=workload&span=60");
    assert!(at_destination.inbound);
    assert_eq!(by(&at_destination.versions), named(&[("v1", 90), ("v2", 11)]));
    assert_eq!(by(&at_destination.codes), named(&[("200", 98), ("404", 2), ("503", 1)]));
    assert_eq!(by(&at_destination.sources), named(&[("", 2), ("client", 99)]));
    let at_source = board("view=workload&span=60&reporter=source");
    assert_eq!(by(&at_source.versions), named(&[("", 1), ("v1", 90), ("v2", 9)]), "also what reached no pod");
    assert_eq!(by(&board("view=workload&workload=flaskapp-v2&span=60").versions), named(&[("v2", 11)]));
    let client = board("view=workload&workload=client&reporter=source&span=60");
    assert!(!client.inbound);
    assert_eq!(
        by(&client.destinations),
        named(&[("BlackHoleCluster", 4), ("flaskapp", 1), ("flaskapp-v1", 90), ("flaskapp-v2", 9)])
    );
    assert_eq!(client.names, ["client", "flaskapp", "flaskapp-v1", "flaskapp-v2"]);
    let histogram = &at_destination.histogram;
    assert_eq!((histogram.bounds_ms.as_slice(), histogram.counts.iter().sum::<u64>()), (&[1.0, 5.0][..], 60 * 101));
    let steps: Vec<u64> = (0..3).map(|at| histogram.steps.iter().map(|step| step[at]).sum()).collect();
    assert_eq!(steps, histogram.counts, "the heat map adds up to the histogram");
}

#[test]
fn what_nobody_counted_is_not_known_and_says_why() {
    let recorder = recorder(50, &[("destination client>flaskapp-v1/v1 flaskapp 200", 1)]);
    let none = Recorder::default().show(&query("view=workload&span=60"), about(51)).workload.unwrap();
    assert_eq!(none.all.unknown["rate"], Unknown::NothingRead);
    let here = recorder.show(&query("view=workload&span=60"), about(51)).workload.unwrap();
    assert_eq!(here.all.unknown["p99_ms"], Unknown::TooFewRequests { has: 50, needs: 100 });
    assert_eq!(here.all.unknown["request_bytes"], Unknown::NotReported);
    let other = recorder.show(&query("view=workload&workload=other&span=60"), about(51)).workload.unwrap();
    assert_eq!((other.all.total.rate, other.all.unknown["success_percent"]), (Some(0.0), Unknown::NoRequests));
    let later = recorder.show(&query("view=workload&span=60"), about(1_000)).workload.unwrap();
    assert_eq!(later.all.unknown["rate"], Unknown::NothingRead, "a live span is about now");
    let then = recorder.show(&query("view=workload&from=11&to=31"), about(1_000));
    assert_eq!((then.from_ms, then.to_ms, then.workload.unwrap().all.total.requests), (11_000, 31_000, 20));
}

#[test]
fn csv_has_the_numbers_of_json() {
    let recorder = recorder(20, DEMO);
    for text in ["view=mesh&span=60", "view=workload&span=60&reporter=source"] {
        let shown = recorder.show(&query(text), about(21));
        let csv = csv(&shown);
        let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = lines.next().unwrap();
        let rows: Vec<HashMap<&str, &str>> = lines
            .map(|fields| {
                assert_eq!(fields.len(), head.len(), "{fields:?}");
                head.iter().copied().zip(fields).collect()
            })
            .collect();
        let of = |kind: &str, name: &str, part: &str| -> Vec<&HashMap<&str, &str>> {
            rows.iter().filter(|row| row["kind"] == kind && row["name"] == name && row["part"] == part).collect()
        };
        let series = match &shown.workload {
            Some(board) => ("workload", &board.all),
            None => ("service", &shown.services[0].service),
        };
        let (whole, steps) = (of(series.0, "flaskapp", "span"), of(series.0, "flaskapp", "step"));
        assert_eq!((whole.len(), steps.len()), (1, shown.steps.len()));
        assert_eq!(whole[0]["requests"], series.1.total.requests.to_string());
        assert_eq!(whole[0]["p99_ms"].parse::<f64>().ok(), series.1.total.p99_ms);
        assert_eq!(whole[0]["success_percent"].parse::<f64>().ok(), series.1.total.success_percent);
        assert_eq!((whole[0]["request_bytes"], whole[0]["begin"]), ("", "1970-01-01T00:00:01Z"));
        let sum: u64 = steps.iter().map(|row| row["requests"].parse::<u64>().unwrap()).sum();
        assert_eq!(sum, series.1.total.requests, "the steps add up to the span");
        assert_eq!(of("version", "v2", "span").len(), 1);
    }
}
