//! The dashboards: their numbers are the sidecars' own, in JSON, in CSV and on the page.
mod common;

use common::programs::{kubectl, kubectl_follow};
use common::{TestPanel, patience};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Injected, with a route, and no request sent through a sidecar yet.
fn injected() -> TestPanel {
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    // From here on the sidecars are read, so that they are known from their beginning.
    show(&panel, "span=60");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_reason("Injected", "Injected");
    panel.ask("route", r#"{"present": true}"#);
    panel.shift(70, 30);
    panel
}

fn path(panel: &TestPanel, query: &str) -> String {
    format!("/api/demo/dashboards?namespace={}&{query}", panel.namespace)
}

fn show(panel: &TestPanel, query: &str) -> Value {
    let answer = panel.get(&path(panel, query));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// Waits until a view is as desired.
fn until(panel: &TestPanel, query: &str, desired: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + patience();
    loop {
        let shown = show(panel, query);
        if desired(&shown) {
            return shown;
        }
        assert!(Instant::now() < deadline, "never: {query}\n{shown:#}\n{}", panel.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The counters of a pod's sidecar, by `reporter destination_version response_code`.
fn counters(panel: &TestPanel, pod: &str) -> BTreeMap<String, u64> {
    let target = format!("pod/{pod}");
    let mut forward =
        kubectl_follow(panel, &["-n", &panel.namespace, "port-forward", &target, ":15020", "--address", "127.0.0.1"]);
    let line = forward.until("a port", |line| line.starts_with("Forwarding from"));
    let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    let request = b"GET /stats/prometheus HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let text = common::raw(&format!("127.0.0.1:{port}"), request).text;
    let mut counters = BTreeMap::new();
    // The node's probes go on.
    let is_counter =
        |line: &&str| line.starts_with("istio_requests_total{") && !line.contains("source_workload=\"kubelet\"");
    for line in text.lines().filter(is_counter) {
        let label = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\""))?;
            rest.split('"').next()
        };
        let key = ["reporter", "destination_version", "response_code"].map(|name| label(name).unwrap_or_default());
        let n: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        *counters.entry(key.join(" ")).or_default() += n;
    }
    counters
}

fn requests(series: &Value) -> u64 {
    series["total"]["requests"].as_u64().unwrap_or(0)
}

/// Requests by the names of series.
fn by_name(series: &Value) -> BTreeMap<String, u64> {
    series.as_array().unwrap().iter().map(|s| (s["name"].as_str().unwrap().to_owned(), requests(s))).collect()
}

#[test]
fn the_numbers_are_the_sidecars_own() {
    let panel = injected();
    panel.ask("load", r#"{"rate": 300, "requests": 1500}"#);
    until(&panel, "view=mesh&span=60", |shown| {
        shown["services"][0]["service"]["total"]["requests"].as_u64() >= Some(100)
    });
    panel.until("the run ends", |s| s["load"]["rate"] == 0);
    let pods = kubectl(&panel, &["-n", &panel.namespace, "get", "pods", "-o", "name"]).must();
    let names: Vec<&str> = pods.lines().map(|line| line.trim_start_matches("pod/")).collect();
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for pod in names {
        for (key, n) in counters(&panel, pod) {
            *counted.entry(key).or_default() += n;
        }
    }
    let of = |prefix: &str| -> u64 { counted.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, n)| n).sum() };
    assert_eq!(of("source v1 ") + of("source v2 "), 1_500, "{counted:?}");

    // The mesh counts at the source: all of the run, each version as its counters say.
    let query = "view=mesh&span=300";
    let mesh = until(&panel, query, |shown| requests(&shown["services"][0]["service"]) >= 1_500);
    let row = &mesh["services"][0];
    assert_eq!((requests(&row["service"]), row["budget"]["requests"].as_u64()), (1_500, Some(1_500)), "{row:#}");
    for version in row["versions"].as_array().unwrap() {
        let name = version["version"]["name"].as_str().unwrap();
        assert_eq!(requests(&version["version"]), of(&format!("source {name} ")), "{name}: {counted:?}");
    }

    // A workload counts where it was asked to.
    for reporter in ["source", "destination"] {
        let query = format!("view=workload&span=300&reporter={reporter}");
        let shown = until(&panel, &query, |shown| requests(&shown["workload"]["all"]) >= 1_500);
        let board = &shown["workload"];
        let sources = by_name(&board["sources"]);
        let counters = of(&format!("{reporter} "));
        assert_eq!((sources["simple-flask-app-client"], counters), (1_500, 1_500), "{reporter}: {counted:?}");
        if reporter == "source" {
            let expected = ["v1", "v2"].map(|v| (v.to_owned(), of(&format!("source {v} ")))).into_iter().collect();
            assert_eq!(by_name(&board["versions"]), expected, "{counted:?}");
        }
        let timed: u64 = board["histogram"]["counts"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
        assert_eq!(timed, requests(&board["all"]), "{reporter}: every request is in the histogram");
        assert!(board["all"]["total"]["p99_ms"].as_f64().unwrap() > 0.0, "{board}");
        assert_eq!(board["all"]["unknown"]["request_bytes"]["reason"], "not_reported", "{board}");
    }
}

#[test]
fn csv_and_page_show_what_json_has() {
    let panel = injected();
    panel.ask("load", r#"{"rate": 300, "requests": 600}"#);
    until(&panel, "view=mesh&span=300", |shown| requests(&shown["services"][0]["service"]) >= 600);
    let now = show(&panel, "view=mesh&span=300")["to_ms"].as_u64().unwrap() / 1_000;
    // A span that is over does not change between two questions.
    let query = format!("view=workload&from={}&to={now}", now - 120);
    let (shown, csv) = (show(&panel, &query), panel.get(&path(&panel, &format!("{query}&format=csv"))));
    assert!(csv.head.contains("text/csv") && csv.head.contains("workload.csv"), "{}", csv.head);
    let mut lines = csv.text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let column = |name: &str| head.iter().position(|n| *n == name).unwrap();
    let whole: Vec<_> = lines.filter(|row| row[0] == "span").collect();
    for (kind, series) in [("version", "versions"), ("code", "codes"), ("source", "sources")] {
        let of_csv: BTreeMap<String, u64> = whole
            .iter()
            .filter(|row| row[column("kind")] == kind)
            .map(|row| (row[column("name")].to_owned(), row[column("requests")].parse().unwrap()))
            .collect();
        assert_eq!(of_csv, by_name(&shown["workload"][series]), "{kind}");
    }

    let page = panel.get(&path(&panel, &query).replacen("/api/demo/", "/", 1));
    assert_eq!(page.status, 200, "{}", page.text);
    for word in ["data-testid=\"rate\"", "data-testid=\"duration\"", "class=\"heat", "flaskapp answers"] {
        assert!(page.text.contains(word), "no {word}: {}", page.text);
    }
    assert!(!page.text.contains("http-equiv=\"refresh\""), "a span that is over is not drawn anew");
    let mesh = panel.get(&format!("/dashboards?namespace={}", panel.namespace));
    for word in
        ["http-equiv=\"refresh\"", "data-testid=\"mesh\"", "flaskapp keeps its objective.", "data-testid=\"budget\""]
    {
        assert!(mesh.text.contains(word), "no {word}: {}", mesh.text);
    }
    assert!(!mesh.text.contains(" style="), "the page's policy allows no inline style");
    let old = panel.get(&format!("/history?namespace={}", panel.namespace));
    let leads = format!("/dashboards?namespace={}&span=3600", panel.namespace);
    assert!(old.status == 308 && old.head.contains(&leads), "{}", old.head);
}

#[test]
fn nonsense_is_refused_with_what_to_do() {
    let panel = TestPanel::start();
    for (query, hint) in [
        ("view=pods", "Choose `view=mesh` or `view=workload`."),
        ("workload=../x", "For example ?namespace=istio-app. A workload: `workload=flaskapp-v1`."),
        ("reporter=me", "Choose `reporter=source` or `reporter=destination`."),
        ("span=61", "Choose `span=60`, `300`, `900` or `3600` seconds, or `from=` and `to=`."),
        ("from=5", "Give both in seconds since 1970, `to` 10 to 3600 s after `from`."),
        ("slo=100", "Give a percentage above 0 and below 100, with at most three decimals: `slo=99.9`."),
        ("format=xml", "Choose `format=json` or `format=csv`."),
        (
            "colour=red",
            "There are `namespace`, `view`, `workload`, `reporter`, `span`, `from`, `to`, `slo` and `format`.",
        ),
        ("span=60&span=60", "Leave one of them out."),
    ] {
        let refused = panel.get(&path(&panel, query));
        let error = refused.json();
        assert_eq!((refused.status, error["hint"].as_str()), (400, Some(hint)), "{query}: {error}");
        assert!(!error["zh"].as_str().unwrap_or_default().is_empty(), "{query}: {error}");
    }
    let empty = show(&panel, "view=workload");
    assert_eq!((&empty["age_ms"], &empty["workload"]["all"]["total"]["requests"]), (&Value::Null, &0.into()));
    assert_eq!(empty["workload"]["all"]["unknown"]["rate"]["reason"], "nothing_read", "{empty}");
}
