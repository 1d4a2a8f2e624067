//! What the panel says of a cluster before anything is put into it, on the page and for curl.
mod common;

use common::programs::kubectl;
use common::{TestPanel, message, real};
use serde_json::Value;

fn check<'a>(told: &'a Value, id: &str) -> &'a Value {
    let all = told["checks"].as_array().unwrap();
    all.iter().find(|c| c["id"] == id).unwrap_or_else(|| panic!("no check {id}: {told}"))
}

#[test]
fn the_preflight_names_the_cluster_and_what_the_demo_needs_of_it() {
    let panel = TestPanel::start();
    let told = panel.get(&panel.path("preflight")).json();
    assert_eq!(
        (&told["cluster"]["kind"], &told["namespace"]),
        (
            &Value::from(if common::real::kubeconfig().is_some() { "kubeconfig" } else { "embedded" }),
            &Value::from(panel.namespace.as_str())
        ),
        "{told}"
    );
    assert_eq!(check(&told, "namespace")["code"], "NamespaceAbsent", "{told}");
    assert_eq!(
        check(&told, "trial-pod")["code"],
        "TrialInjected",
        "a fresh cluster is as good as one with the demo: {told}"
    );
    assert!(told["checks"].as_array().unwrap().iter().all(|c| c["status"] == "ok"), "{told}");
    assert_eq!(
        check(&told, "istio")["reason"],
        "networking.istio.io is served as v1, v1beta1, v1alpha3; the panel writes v1."
    );
    assert_eq!(check(&told, "nodes")["status"], "ok", "{told}");

    panel.ask("deploy", "");
    panel.until_true("Deployed");
    let told = panel.get(&panel.path("preflight")).json();
    let graver: Vec<&Value> = told["checks"].as_array().unwrap().iter().filter(|c| c["status"] != "ok").collect();
    assert!(graver.is_empty(), "{graver:?}");
    assert_eq!(check(&told, "namespace")["code"], "NamespaceOurs", "{told}");
    assert!(check(&told, "trial-pod")["reason"].as_str().unwrap().contains("came back with istio-proxy"), "{told}");
    // The trial pod was a dry run.
    assert!(!panel.status()["pods"].as_array().unwrap().iter().any(|p| p["name"].as_str().unwrap().contains("trial")));

    let refused = panel.get("/api/demo/preflight?namespace=Not+A+Name");
    assert_eq!((refused.status, &refused.json()["code"]), (400, &Value::from("bad_request")));
    let posted = panel.post("preflight", "");
    assert_eq!(posted.status, 405, "{}", posted.text);
}

#[test]
fn a_namespace_that_declines_sidecars_is_named() {
    if real::left_out("labels the namespace, which the panel's user may not there") {
        return;
    }
    let panel = TestPanel::start();
    let ns = panel.namespace.as_str().to_owned();
    let label = |label: &str| kubectl(&panel, &["label", "namespace", &ns, label]).must();
    panel.ask("deploy", "");
    panel.until_true("Deployed");
    label("istio-injection=disabled");
    panel.ask("inject", r#"{"inject": true}"#);
    let status = panel.until("why there is no sidecar is told", |s| {
        message(s, "Injected").contains("the namespace is labelled istio-injection=disabled")
    });
    assert_eq!(common::reason(&status, "Injected"), "InjectionIgnored", "{status}");
    let told = panel.get(&panel.path("preflight")).json();
    for (id, status, code) in [
        ("webhook", "fail", "WebhookLeavesOut"),
        ("trial-pod", "fail", "TrialLeftOut"),
        ("control-plane", "ok", "IstiodElsewhere"),
    ] {
        let check = check(&told, id);
        assert_eq!((&check["status"], &check["code"]), (&Value::from(status), &Value::from(code)), "{check}");
    }
    label("istio-injection-");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_reason("Injected", "Injected");
}
