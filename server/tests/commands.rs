//! Every command that the panel prints for the walkthrough, taken from its status and run with an unmodified kubectl.
mod common;

use common::programs::{Ran, kubectl, objects_of_ours, shell};
use common::{TestPanel, count, holds};
use serde_json::{Value, json};

/// The command that the status has for a button.
fn printed(panel: &TestPanel, name: &str) -> String {
    let status = panel.status();
    status["commands"][name]
        .as_str()
        .unwrap_or_else(|| panic!("no command `{name}`: {:#}", status["commands"]))
        .to_owned()
}

/// Runs it in a shell, as people paste it.
fn run(panel: &TestPanel, name: &str, fill: &[(&str, &str)]) -> String {
    let command = fill.iter().fold(printed(panel, name), |text, (hole, value)| text.replace(hole, value));
    let ran: Ran = shell(panel, &command);
    assert!(ran.ok, "{name}: {command}\n{ran:?}\n{:#}", panel.status());
    ran.out
}

#[test]
fn every_printed_command_of_the_walkthrough_does_what_its_button_does() {
    let panel = TestPanel::start();
    // No file of the project is at hand, and the namespace is not the one that the files name.
    let mut panel = panel;
    if common::real::kubeconfig().is_none() {
        panel.namespace = "team-a".to_owned();
    }
    run(&panel, "deploy", &[]);
    panel.until_true("Deployed");
    panel.until_true("ClientReady");
    let again = run(&panel, "deploy", &[]);
    assert!(again.lines().all(|l| l.ends_with("unchanged")), "{again}");

    assert!(run(&panel, "verify", &[]).contains("/usr/bin"));
    run(&panel, "inject", &[]);
    panel.until_true("Injected");

    // kubectl's label is no obstacle to the panel's own button, nor the panel's to kubectl.
    panel.ask("inject", r#"{"inject": false}"#);
    let status = panel.until_reason("Injected", "NotInjected");
    assert!(status["operation"].is_null(), "{status:#}");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_true("Injected");
    run(&panel, "uninject", &[]);
    panel.until("no pod has a sidecar", |s| {
        s["pods"].as_array().is_some_and(|p| p.len() == 3 && p.iter().all(|p| p["ready"] == "1/1"))
    });
    run(&panel, "inject", &[]);
    panel.until_true("Injected");

    // Weights where there is no route make one; with a route they change it.
    run(&panel, "weights", &[("%v1%", "70"), ("%v2%", "30")]);
    panel.until("70/30 by kubectl", |s| s["desired"] == json!({"v1": 70, "v2": 30}) && holds(s, "RouteAcknowledged"));
    run(&panel, "weights", &[("%v1%", "0"), ("%v2%", "100")]);
    panel.until("0/100 by kubectl", |s| s["desired"] == json!({"v1": 0, "v2": 100}) && holds(s, "RouteAcknowledged"));
    run(&panel, "adopt", &[]);
    panel.until_true("RouteOurs");
    run(&panel, "unroute", &[]);
    panel.until_reason("RoutePresent", "NoRoute");
    run(&panel, "route", &[]);
    panel.until("50/50 by kubectl", |s| s["desired"] == json!({"v1": 50, "v2": 50}));

    run(&panel, "load", &[("%rate%", "50")]);
    panel.until("load by kubectl", |s| s["load"]["rate"] == 50);
    panel.until_frame("both versions answer", |f| count(f, "v1") > 10 && count(f, "v2") > 10);
    run(&panel, "load_stop", &[]);
    panel.until("no load", |s| s["load"]["rate"] == 0);

    kubectl(&panel, &["-n", &panel.namespace, "delete", "deployment", "simple-flask-app-client"]).must();
    panel.until_reason("ClientReady", "NoClient");
    run(&panel, "client", &[]);
    panel.until_true("ClientReady");

    // What the log printed is the same. Whoever applied the route owns it until the panel adopts it.
    run(&panel, "adopt", &[]);
    panel.until_true("RouteOurs");
    panel.ask("weights", r#"{"v1": 90, "v2": 10}"#);
    let log = panel.status()["log"].clone();
    let logged = log
        .as_array()
        .and_then(|l| l.iter().find(|e| e["what"] == "90/10"))
        .map(|e| e["command"].as_str().unwrap_or_default().to_owned());
    let ran = shell(&panel, &logged.expect("a line about 90/10"));
    assert!(ran.ok, "{ran:?}");

    run(&panel, "teardown", &[]);
    run(&panel, "teardown_namespace", &[]);
    panel.until_true("Clean");
    assert_eq!(objects_of_ours(&panel), "", "objects of ours are left");
    panel.until("no process is left", |_| panel.children().is_empty());
}

#[test]
fn manifests_over_http_are_the_panels_own_and_never_others() {
    let panel = TestPanel::start();
    let answer = panel.get(&panel.path("manifests"));
    assert_eq!(
        (answer.status, answer.head.to_lowercase().contains("content-type: text/yaml")),
        (200, true),
        "{}",
        answer.head
    );
    assert!(answer.text.contains(&format!("namespace: {}", panel.namespace)), "{}", answer.text);
    assert_eq!(answer.text.matches("kind: Deployment").count(), 3, "{}", answer.text);
    assert_eq!(panel.get("/api/demo/manifests/nothing").status, 404);
    assert_eq!(panel.post("manifests", "").status, 405);
    // Somebody's own Service of that name: applying ours over it would put our label on it.
    let ns = panel.namespace.clone();
    kubectl(&panel, &["create", "namespace", &ns]).must();
    kubectl(&panel, &["-n", &ns, "create", "service", "clusterip", "flaskapp", "--tcp=7777"]).must();
    let seen = panel.until("the Service is seen", |_| panel.get(&panel.path("manifests")).status == 409);
    let reason: Value = seen["conditions"]
        .as_array()
        .and_then(|c| c.iter().find(|c| c["type"] == "Deployed"))
        .map(|c| c["reason"].clone())
        .unwrap_or_default();
    assert_eq!(reason, "NotDeployed", "one object of somebody else's is no demo: {seen:#}");
    kubectl(&panel, &["-n", &ns, "delete", "service", "flaskapp"]).must();
}
