//! Figures for `cargo xtask bench history`: what an hour takes of memory, and how soon a span is read from it.
use super::flow::{Counts, End, Flow, Metric};
use super::histogram::{Bounds, Histogram};
use super::{About, Reading, Recorder};
use std::time::Instant;
use wire::{DashboardQuery, Namespace, Reporter, Span, View};

/// Counters of a demo's three sidecars after so many seconds at 200 requests/s: two versions, a few failures, the node's probes.
fn readings(s: u64) -> [Reading; 3] {
    let end = |workload: &str, version: &str| End {
        workload: workload.to_owned(),
        app: workload.to_owned(),
        version: version.to_owned(),
    };
    let bounds = Bounds::new((1..=28).map(|n| n * 500).collect());
    // Percent of the requests in each of the first buckets; what is cut off stays for a later second.
    let shares = [0, 52, 30, 9, 4, 2, 1, 1, 1];
    let counts = |requests: u64| {
        let buckets = (0..29).map(|at| requests * shares.get(at).unwrap_or(&0) / 100).collect();
        let histogram = Histogram::new(bounds.clone(), buckets).unwrap();
        Counts { requests, duration_us: requests * 1_337, histogram, ..Counts::default() }
    };
    let flow = |reporter, source: &str, version: &str, code: &str| Flow {
        reporter,
        source: end(source, ""),
        destination: end(&format!("flaskapp-{version}"), version),
        service: "flaskapp".to_owned(),
        code: code.to_owned(),
        metric: Metric::Istio,
    };
    let client = "simple-flask-app-client";
    let of = |reporter, version: &str| {
        [("200", 99), ("503", 1)].map(|(code, n)| (flow(reporter, client, version, code), counts(s * n)))
    };
    let called = |version: &str| -> Reading {
        let probes = (flow(Reporter::Destination, "kubelet", version, "200"), counts(s));
        of(Reporter::Destination, version).into_iter().chain([probes]).collect()
    };
    [["v1", "v2"].into_iter().flat_map(|version| of(Reporter::Source, version)).collect(), called("v1"), called("v2")]
}

fn resident_mb() -> f64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}

#[test]
#[ignore = "minutes in a debug build; `cargo xtask bench history` runs it"]
fn an_hour_of_one_sandbox_and_of_a_hundred() {
    let hour = |recorders: &mut [Recorder]| {
        for s in 0..3_700 {
            let read = readings(s);
            for recorder in recorders.iter_mut() {
                let pods = ["client", "v1", "v2"].into_iter().zip(read.iter().cloned());
                recorder.take(s * 1_000 + 250, pods.map(|(pod, read)| (pod.to_owned(), Some(read))).collect());
            }
        }
    };
    // The program's own pages are there before anything is measured.
    let mut first = [Recorder::default()];
    hour(&mut first);
    let before = resident_mb();
    let mut one = [Recorder::default()];
    hour(&mut one);
    let after_one = resident_mb();
    println!("history_mb={:.2}", after_one - before);
    let mut longest: f64 = 0.0;
    for view in [View::Mesh, View::Workload] {
        for seconds in Span::LIVE.into_iter().cycle().take(10) {
            let query = DashboardQuery {
                view,
                workload: "flaskapp-v1".to_owned(),
                span: Span::Last(seconds),
                ..DashboardQuery::default()
            };
            let about = About {
                namespace: Namespace::default(),
                now_ms: 3_700_000,
                source: "sidecars".to_owned(),
                changes: Vec::new(),
                workloads: Vec::new(),
            };
            let begun = Instant::now();
            let written = serde_json::to_string(&one[0].show(&query, about)).unwrap();
            longest = longest.max(begun.elapsed().as_secs_f64() * 1_000.0);
            assert!(written.len() > 1_000);
        }
    }
    println!("span_ms={longest:.2}");
    let mut hundred: Vec<Recorder> = (0..100).map(|_| Recorder::default()).collect();
    hour(&mut hundred);
    println!("history_100_mb={:.2}", resident_mb() - after_one);
}
