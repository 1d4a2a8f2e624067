//! The last hour, where a Prometheus was named: asked for the demo's metrics, drawn as a page, given as JSON.
mod common;

use common::TestPanel;
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

/// Answers range queries as Prometheus does: nothing for Istio's metric, two versions for Envoy's. Gives its address and the paths asked for.
fn prometheus() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, paths) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let values = json!([[1_764_072_300, "30"], [1_764_072_315, "30"]]);
            let series = |subset: &str| json!({"metric": {"cluster_name": format!("outbound|7777|{subset}|flaskapp.istio-app.svc.cluster.local;"), "response_code": "200"}, "values": values});
            let result = if first.contains("envoy_cluster_upstream_rq") { json!([series("v1"), series("v2")]) } else { json!([]) };
            let body = json!({"status": "success", "data": {"resultType": "matrix", "result": result}}).to_string();
            let _ = write!(&stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            if asked.send(first).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}"), paths)
}

#[test]
fn the_last_hour_comes_from_the_prometheus_that_was_named() {
    let (url, paths) = prometheus();
    let panel = TestPanel::with(&["--prometheus-url", &url]);
    let past = panel.get("/api/demo/history").json();
    assert_eq!((past["metric"].as_str(), past["source"].as_str()), (Some("envoy_cluster_upstream_rq"), Some(url.as_str())), "{past}");
    assert_eq!(past["moments"][1], json!({"at_s": 1_764_072_315, "rates": {"v1": 30.0, "v2": 30.0}, "failed": 0.0}), "{past}");
    let asked: Vec<String> = paths.iter().take(2).collect();
    assert!(asked[0].contains("istio_requests_total") && asked[1].contains("flaskapp%5C%5C.istio-app"), "{asked:?}");
    let page = panel.get("/history");
    assert_eq!(page.status, 200);
    for word in ["Last hour", "<svg", "v2", "50.0 %", "envoy_cluster_upstream_rq"] {
        assert!(page.text.contains(word), "no {word}: {}", page.text);
    }
    assert!(panel.get("/").text.contains("/history?namespace=istio-app"), "the panel leads there");
}

#[test]
fn without_one_it_says_how_to_name_one() {
    let panel = TestPanel::with(&[]);
    let refused = panel.get("/api/demo/history");
    assert_eq!((refused.status, refused.json()["hint"].as_str()), (404, Some("Start the panel with --prometheus-url.")), "{}", refused.text);
    assert!(!panel.get("/").text.contains("/history"));
    let gone = TestPanel::with(&["--prometheus-url", "http://127.0.0.1:1"]);
    let refused = gone.get("/api/demo/history");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (504, Some("timeout")), "{}", refused.text);
}
