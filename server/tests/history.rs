//! The last hour, where a Prometheus was named: asked for the demo's metrics, given as JSON.
mod common;

use common::TestPanel;
use common::prometheus::Prometheus;
use serde_json::json;

#[test]
fn the_last_hour_comes_from_the_prometheus_that_was_named() {
    let prometheus = Prometheus::start(&["v1", "v2"], "30");
    let url = prometheus.url;
    let panel = TestPanel::with(&["--prometheus-url", &url]);
    let past = panel.get("/api/demo/history").json();
    assert_eq!(
        (past["metric"].as_str(), past["source"].as_str()),
        (Some("envoy_cluster_upstream_rq"), Some(url.as_str())),
        "{past}"
    );
    assert_eq!(
        past["moments"][1],
        json!({"at_s": 1_764_072_315, "rates": {"v1": 30.0, "v2": 30.0}, "failed": 0.0}),
        "{past}"
    );
    let asked: Vec<String> = prometheus.paths.iter().take(2).collect();
    assert!(asked[0].contains("istio_requests_total") && asked[1].contains("flaskapp%5C%5C.istio-app"), "{asked:?}");
    let page = panel.get("/history");
    assert!(page.status == 308 && page.head.contains("/dashboards?span=3600"), "{}", page.head);
    let shown = panel.get("/api/demo/dashboards?span=3600").json();
    assert_eq!(shown["source"], url.as_str(), "{shown}");
}

#[test]
fn without_one_it_says_how_to_name_one() {
    let panel = TestPanel::with(&[]);
    let refused = panel.get("/api/demo/history");
    assert_eq!(
        (refused.status, refused.json()["hint"].as_str()),
        (404, Some("Start the panel with --prometheus-url.")),
        "{}",
        refused.text
    );
    let gone = TestPanel::with(&["--prometheus-url", "http://127.0.0.1:1"]);
    let refused = gone.get("/api/demo/history");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (504, Some("timeout")), "{}", refused.text);
    let dashboards = gone.get("/api/demo/dashboards");
    assert_eq!((dashboards.status, dashboards.json()["code"].as_str()), (504, Some("timeout")), "{}", dashboards.text);
}
