//! A port of the Service that speaks no HTTP: the weights have no effect, and the panel says so everywhere.
mod common;

use common::programs::{kubectl, shell};
use common::{TestPanel, count, message, real};
use serde_json::Value;

/// Requests per second that a version answers.
fn rate(frame: &Value, version: &str) -> f64 {
    frame["rates"][version].as_f64().unwrap_or(0.0)
}

#[test]
fn weights_have_no_effect_on_a_port_that_speaks_no_http_and_it_is_said() {
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_reason("Injected", "Injected");
    panel.ask("load", r#"{"rate": 100}"#);
    panel.shift(100, 0);
    panel.until_reason("WeightsApply", "WeightsApply");
    panel.until_frame("v1 answers alone", |f| rate(f, "v1") > 0.0 && rate(f, "v2") == 0.0);

    let ns = panel.namespace.as_str().to_owned();
    let name = r#"[{"op": "replace", "path": "/spec/ports/0/name", "value": "tcp-web"}]"#;
    kubectl(&panel, &["-n", &ns, "patch", "service", "flaskapp", "--type=json", "-p", name]).must();
    let status = panel.until_reason("WeightsApply", "PortNotHttp");
    let told = message(&status, "WeightsApply");
    assert!(told.contains("(its name is tcp-web)") && told.contains("spread evenly"), "{told}");
    panel.until_reason("RouteAcknowledged", "PortNotHttp");
    let frame = panel.until_frame("both versions answer", |f| rate(f, "v2") > 20.0);
    assert!(count(&frame, "v2") > 0, "{frame}");
    if real::kubeconfig().is_none() {
        // Istio itself has no word for it.
        panel.until_reason("RouteHonoured", "RouteInPart");
        let status = kubectl(&panel, &["-n", &ns, "get", "vs", "flaskapp-vs", "-o", "jsonpath={.status.conditions}"]);
        assert!(status.out.contains("PortNotHttp"), "{status:?}");
    }
    let told = panel.get(&panel.path("preflight")).json();
    let check = told["checks"].as_array().unwrap().iter().find(|c| c["id"] == "service-port");
    let check = check.unwrap_or_else(|| panic!("{told}"));
    assert_eq!((&check["status"], &check["code"]), (&Value::from("warn"), &Value::from("PortNotHttp")), "{check}");

    // What the preflight advises mends it.
    shell(&panel, check["mend"].as_str().unwrap()).must();
    panel.until_reason("WeightsApply", "WeightsApply");
    panel.until_true("RouteAcknowledged");
    panel.until_frame("v1 answers alone again", |f| rate(f, "v1") > 0.0 && rate(f, "v2") == 0.0);
}
