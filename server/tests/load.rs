//! The load by HTTP: finite runs to the last request, what each version did, requests of one's own making.
mod common;

use common::{Answer, TestPanel, count};
use serde_json::Value;

/// A panel with the demo deployed.
fn deployed() -> TestPanel {
    let panel = TestPanel::start_in_istio_app();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    panel.until_reason("ClientReady", "ClientReady");
    panel
}

fn answered(frame: &Value) -> u64 {
    frame["counts"].as_object().map_or(0, |c| c.values().filter_map(Value::as_u64).sum())
}

#[test]
fn a_hundred_thousand_requests_are_answered_to_the_last_one_and_a_rate_alone_does_not_end_the_run() {
    let panel = deployed();
    // As fast as 32 connections allow: a slow machine takes longer, and nothing else.
    panel.ask("load", r#"{"rate": 500, "requests": 100000, "closed_loop": 32}"#);
    let begun = panel.until_frame("the run has begun", |f| f["requests"] == 100_000 && answered(f) > 0);
    // Another rate, and still that run.
    panel.ask("load", r#"{"rate": 20000}"#);
    let mut done = begun.clone();
    for goal in (10..=100).map(|n| n * 1_000) {
        done = panel.until_frame("a thousand more", |f| answered(f) + f["errors"].as_u64().unwrap() >= goal);
    }
    let done = if done["target_rate"] == 0.0 {
        done
    } else {
        panel.until_frame("it ends by itself", |f| f["target_rate"] == 0.0)
    };
    assert_eq!((answered(&done), &done["errors"], &done["run"]), (100_000, &0.into(), &begun["run"]), "{done}");
    let whole = &done["whole"];
    let rising: Vec<f64> =
        ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"].iter().map(|p| whole[*p].as_f64().unwrap()).collect();
    assert!(rising.windows(2).all(|w| w[0] <= w[1]) && rising[0] > 0.0, "{whole}");
    panel.until("the load is off", |s| s["load"]["rate"] == 0);

    // The same again is another run, counted from 0; so is one that is asked for while it runs.
    panel.ask("load", r#"{"rate": 50, "requests": 1000}"#);
    let second = panel.until_frame("the second has begun", |f| f["run"] != begun["run"] && answered(f) > 5);
    panel.ask("load", r#"{"rate": 5000, "requests": 1000}"#);
    let third = panel.until_frame("the third ends", |f| {
        f["run"] != second["run"] && f["target_rate"] == 0.0 && answered(f) >= 1_000
    });
    assert_eq!(answered(&third), 1_000, "{third}");
}

#[test]
fn a_run_that_loses_its_client_says_so() {
    let panel = deployed();
    panel.ask("load", r#"{"rate": 50, "requests": 100000}"#);
    panel.until_frame("it runs", |f| answered(f) > 10);
    panel.ask("inject", r#"{"inject": true, "workloads": ["simple-flask-app-client"]}"#);
    let ended =
        |entry: &Value| entry["what"].as_str().is_some_and(|w| w.starts_with("Run of 100,000 requests ended at "));
    let status = panel.until("the log tells", |s| s["log"].as_array().unwrap().iter().any(ended));
    let entry = status["log"].as_array().unwrap().iter().find(|e| ended(e)).unwrap();
    assert_eq!((&entry["error"]["code"], &entry["verb"]), (&"no_client".into(), &"load".into()), "{entry}");
    panel.until("the load is off", |s| s["load"]["rate"] == 0);
}

#[test]
fn each_version_has_its_own_rate_success_and_latency() {
    let panel = deployed();
    panel.ask("load", r#"{"rate": 200}"#);
    let frame = panel.until_frame("both versions answer", |f| {
        count(f, "v1") > 50 && count(f, "v2") > 50 && f["recent"]["seconds"].as_f64() > Some(1.0)
    });
    for version in ["v1", "v2"] {
        let part = &frame["recent"]["versions"][version];
        assert!(
            part["rate"].as_f64() > Some(0.0)
                && part["errors"] == 0
                && part["p50_ms"].as_f64() <= part["p99_ms"].as_f64(),
            "{version}: {frame}"
        );
    }
    // What no such name answers is a failure, and whose it is is told.
    panel.ask("load", r#"{"rate": 200, "path": "/no/such/path"}"#);
    let frame = panel
        .until_frame("both versions fail", |f| ["v1", "v2"].iter().all(|v| f["version_errors"][v].as_u64() > Some(20)));
    assert!(frame["error_kinds"]["status_404"].as_u64() > Some(40), "{frame}");
    let failing = &frame["recent"]["versions"]["v1"];
    assert!(failing["errors"].as_u64() > Some(0), "{failing}");

    // The page says it without any script where the drawer was left open; the API's stream carries no HTML unless it is asked for.
    let page = panel.send("GET", "/?namespace=istio-app", &[("Cookie", "drawer=numbers")], "");
    for part in
        ["data-testid=\"figures-v1\"", "flaskapp-v2", "service flaskapp", "data-testid=\"failed\"", "404", "p99"]
    {
        assert!(page.text.contains(part), "{part} is not in the page");
    }
}

#[test]
fn load_can_be_shaped_but_only_the_demos_service_is_asked() {
    let panel = deployed();
    panel.ask("load", r#"{"rate": 1, "closed_loop": 4, "path": "/env/version", "headers": {"x-who": "me"}}"#);
    panel.until_frame("a closed loop is faster than its rate", |f| f["achieved_rate"].as_f64() > Some(5.0));
    panel.ask("load", r#"{"rate": 0}"#);
    for (body, says) in [
        (r#"{"rate": 1, "url": "http://127.0.0.1:1/"}"#, "Unknown field `url`"),
        (r#"{"rate": 1, "path": "http://127.0.0.1:1/"}"#, "is not a path"),
        (r#"{"rate": 1, "headers": {"Host": "other"}}"#, "is not a header that load may add"),
        (r#"{"rate": 1, "method": "CONNECT"}"#, "is not one of the methods"),
        (r#"{"rate": 1, "closed_loop": 1000}"#, "are not between 1 and 256"),
    ] {
        let Answer { status, text, .. } = panel.post("load", body);
        assert!(status == 400 && text.contains(says), "{body}: {status} {text}");
    }
    assert_eq!(panel.status()["load"]["rate"], 0, "nothing of that runs");
}
