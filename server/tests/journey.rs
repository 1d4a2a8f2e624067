//! The walkthrough by HTTP: on the embedded cluster with real processes, and again on a real one.
mod common;

use common::{TestPanel, count, real, reason};
use serde_json::json;

#[test]
fn the_walkthrough_by_http() {
    let panel = TestPanel::start();
    assert_eq!(reason(&panel.status(), "Deployed"), "NotDeployed");

    let accepted = panel.post("deploy", "");
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let status = panel.until_reason("Deployed", "Deployed");
    panel.until_reason("ClientReady", "ClientReady");
    assert!(status["pods"].as_array().unwrap().iter().all(|p| p["ready"] == "1/1"), "{status}");

    panel.ask("verify", "");
    let status = panel.until_reason("Verified", "Verified");
    assert!(status.to_string().contains("/usr/bin"), "the pod's PATH is told: {status}");

    panel.ask("load", r#"{"rate": 200}"#);
    panel.until_frame("both versions answer, about half each", |f| count(f, "v1") > 50 && count(f, "v2") > 50);

    // The first trap: a route without sidecars changes nothing.
    let shifted = panel.ask("weights", r#"{"v1": 100, "v2": 0}"#);
    assert_eq!(shifted["acknowledged"], false, "{shifted}");
    panel.until_reason("WeightsApply", "ClientHasNoSidecar");

    panel.ask("inject", r#"{"inject": true}"#);
    let status = panel.until_reason("Injected", "Injected");
    let ready: Vec<_> = status["pods"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| p["phase"] == "Running")
        .map(|p| p["ready"].clone())
        .collect();
    assert_eq!(ready, vec![json!("2/2"); 3], "{status}");
    panel.until_reason("WeightsApply", "WeightsApply");

    // The load goes on from the new client by itself.
    panel.until_frame("load goes on", |f| f["achieved_rate"].as_f64() > Some(0.0));
    panel.shift(80, 20);
    panel.until_frame("the split is seen", |f| {
        let verdict = &f["verdict"];
        verdict["requests"].as_u64().unwrap_or(0) >= 1_000 && verdict["kind"] == "in_keeping"
    });

    panel.shift(0, 100);
    let frame = panel.until_frame("only v2 is asked", |f| {
        f["desired"]["v2"] == 100 && f["verdict"]["requests"].as_u64().unwrap_or(0) >= 500
    });
    assert_eq!(
        frame["verdict"]["observed"], 100.0,
        "not one request sent after the acknowledgement goes to v1: {frame}"
    );
    assert_eq!(frame["errors"], 0, "{frame}");

    panel.ask("inject", r#"{"inject": false, "workloads": ["simple-flask-app-client"]}"#);
    panel.until_reason("WeightsApply", "ClientHasNoSidecar");
    panel.until_frame("weights have no effect without a sidecar", |f| f["rates"]["v1"].as_f64() > Some(0.0));

    panel.ask("teardown", "");
    panel.until_reason("Clean", "Clean");
    assert_eq!(panel.status()["pods"], json!([]));
    common::no_process_left(panel.dir.path());
}

#[test]
fn a_killed_pod_is_restarted_and_the_panel_shows_it() {
    if real::left_out("kills the panel's child processes: pods are not its children there") {
        return;
    }
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    let (pid, _) =
        panel.children().into_iter().find(|(_, line)| line.contains("flaskapp")).expect("a flaskapp process");
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    panel.until("a restart is counted", |s| {
        s["pods"].as_array().unwrap().iter().any(|p| p["restarts"].as_u64() >= Some(1))
    });
    panel.until_reason("Deployed", "Deployed");
}

#[test]
fn a_killed_panel_leaves_no_child_and_comes_back_with_its_objects() {
    if real::left_out("looks at the embedded cluster's processes and its state folder") {
        return;
    }
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    panel.ask("weights", r#"{"v1": 70, "v2": 30}"#);
    let api = std::fs::read_to_string(&panel.kubeconfig).unwrap();
    let dir = panel.kill();
    common::no_process_left(dir.path());

    let panel = TestPanel::on(dir);
    assert_eq!(std::fs::read_to_string(&panel.kubeconfig).unwrap(), api, "an exported KUBECONFIG survives");
    let status = panel.until("the same pods run again", |s| {
        let pods = s["pods"].as_array().unwrap();
        pods.len() == 3 && pods.iter().all(|p| p["restarts"].as_u64() >= Some(1)) && reason(s, "Deployed") == "Deployed"
    });
    assert_eq!(status["desired"], json!({"v1": 70, "v2": 30}));
    assert_eq!(status["load"]["rate"], 0, "load never restarts by itself");
    panel.ask("teardown", "");
    panel.until_reason("Clean", "Clean");
}

#[test]
fn another_panel_drives_the_same_cluster_by_its_kubeconfig() {
    let home = TestPanel::start();
    let guest = home.beside();
    assert_eq!(guest.status()["cluster"]["kind"], "kubeconfig");
    guest.ask("deploy", "");
    guest.until_reason("ClientReady", "ClientReady");
    guest.ask("inject", r#"{"inject": true}"#);
    guest.until_reason("Injected", "Injected");
    guest.shift(30, 70);
    guest.ask("load", r#"{"rate": 100}"#);
    // Both see the same: objects, weights, who set them, and the load that only one of them has asked for.
    let status = home.until("the other panel's weights are seen", |s| {
        s["desired"] == json!({"v1": 30, "v2": 70}) && s["load"]["rate"] == 100
    });
    assert_eq!(status["desired_by"], "curl");
    assert_eq!(reason(&status, "RouteOurs"), "RouteOurs");
    let seen = |f: &serde_json::Value| count(f, "v1") + count(f, "v2") > 100;
    home.until_frame("its traffic is seen", seen);
    guest.until_frame("its traffic is seen by itself", seen);
    // Each has told the client where to count from; the later mark serves both.
    for panel in [&home, &guest, &home] {
        panel.until_frame("the split is judged", |f| {
            f["verdict"]["requests"].as_u64().unwrap_or(0) >= 100 && f["desired"]["v1"] == 30
        });
    }
    // What one of them stops the other one does not start again, however quickly it went.
    for rate in [0, 100, 0] {
        guest.ask("load", &format!(r#"{{"rate": {rate}}}"#));
    }
    home.until("the load is off", |s| s["load"]["rate"] == 0);
    assert_eq!(guest.status()["load"]["rate"], 0);
    // Who acts cleans up; the other one sees it.
    guest.ask("teardown", "");
    home.until_reason("Clean", "Clean");
}

#[test]
fn two_namespaces_do_not_meet() {
    let panel = TestPanel::start();
    let json = [("Content-Type", "application/json")];
    let (one, two) = (&format!("{}-one", panel.namespace), &format!("{}-two", panel.namespace));
    let ask = |ns: &str, verb: &str, body: &str| {
        let answer = panel.send("POST", &format!("/api/demo/{verb}?namespace={ns}"), &json, body);
        assert!(answer.status < 300, "{ns} {verb}: {}", answer.text);
        answer.json()
    };
    let status = |ns: &str| panel.get(&format!("/api/demo/status?namespace={ns}")).json();
    for ns in [one, two] {
        ask(ns, "deploy", "{}");
    }
    for ns in [one, two] {
        panel.until(&format!("{ns} is ready"), |_| {
            reason(&status(ns), "Deployed") == "Deployed" && status(ns)["operation"].is_null()
        });
    }
    ask(one, "weights", r#"{"v1": 90, "v2": 10}"#);
    panel.until("one has its weights", |_| status(one)["desired"] == json!({"v1": 90, "v2": 10}));
    assert_eq!(status(two)["desired"], json!(null));
    ask(one, "teardown", "{}");
    panel.until("one is clean", |_| reason(&status(one), "Clean") == "Clean" && status(one)["operation"].is_null());
    assert_eq!(reason(&status(two), "Deployed"), "Deployed");
}
