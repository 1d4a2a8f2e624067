//! What goes wrong on a cluster, provoked: the panel says it where it matters, in the cluster's own words.
mod common;

use common::{TestPanel, holds, message, reason};
use serde_json::{Value, json};

/// Changes an object through the cluster's API, as another manager would.
fn change(panel: &TestPanel, method: &str, path: &str, kind: &str, body: &Value) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let read = kube::config::Kubeconfig::read_from(&panel.kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(read, &Default::default()).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(serde_json::to_vec(body).unwrap())
            .unwrap();
        client.request::<Value>(request).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    })
}

#[test]
fn an_image_that_is_not_there_is_named() {
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    let path =
        &format!("/apis/apps/v1/namespaces/{}/deployments/flaskapp-v2?fieldManager=kubectl-set", panel.namespace);
    let before = change(&panel, "GET", path, "application/json", &json!({}))["spec"]["template"]["spec"]["containers"]
        [0]["image"]
        .clone();
    let set_image = |image: &str| {
        let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "flaskapp", "image": image}]}}}});
        change(&panel, "PATCH", path, "application/strategic-merge-patch+json", &patch);
    };
    set_image("registry.example/none:9");
    let status = panel.until("the image is named", |s| reason(s, "PodsRun") == "ImageNotPulled");
    let said = message(&status, "PodsRun");
    assert!(said.contains("registry.example/none:9") && said.contains("--image"), "{said}");
    // What somebody else has set is not written over by deploying again: that says whose it is.
    panel.ask("deploy", "");
    panel.until("whose it is", |s| s.to_string().contains("kubectl-set changed the same fields"));
    set_image(before.as_str().unwrap());
    panel.until("it is well again", |s| holds(s, "PodsRun") && holds(s, "Deployed"));
}

#[test]
fn a_namespace_that_does_not_go_says_what_holds_it() {
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    change(&panel, "POST", &format!("/api/v1/namespaces/{}/configmaps", panel.namespace), "application/json", &held);
    change(&panel, "DELETE", &format!("/api/v1/namespaces/{}", panel.namespace), "application/json", &json!({}));
    let status = panel.until("it is told", |s| {
        reason(s, "NamespaceFree") == "NamespaceTerminating" && message(s, "NamespaceFree").contains("configmaps")
    });
    assert!(message(&status, "NamespaceFree").contains("remaining"), "{status}");
    let release = json!({"metadata": {"finalizers": null}});
    change(
        &panel,
        "PATCH",
        &format!("/api/v1/namespaces/{}/configmaps/held", panel.namespace),
        "application/merge-patch+json",
        &release,
    );
    panel.until("it is gone", |s| holds(s, "NamespaceFree"));
}

#[test]
fn a_user_who_only_looks_on_is_told_what_is_off() {
    if common::real::left_out(
        "takes the viewer's kubeconfig that the embedded cluster writes; real_troubles.rs does it with a Role",
    ) {
        return;
    }
    let cluster = TestPanel::start();
    cluster.ask("deploy", "");
    cluster.until_reason("Deployed", "Deployed");
    let looking = TestPanel::driving(&cluster.kubeconfig.with_file_name("kubeconfig-viewer"));
    let status = looking.until("rights are told", |s| reason(s, "Permitted") == "Forbidden");
    let said = message(&status, "Permitted");
    assert!(said.contains("patch deployments.apps") && said.contains("deploy") && said.contains("teardown"), "{said}");
    assert_eq!(status["cluster"]["user"], "viewer", "{status}");
    assert_eq!(reason(&status, "Deployed"), "Deployed", "what may be read is shown");
    // Asked all the same, the cluster's refusal names verb and resource.
    looking.ask("inject", r#"{"inject": true}"#);
    let status = looking.until("it is refused", |s| s["operation"]["error"]["code"] == "forbidden");
    let refusal = status["operation"]["error"]["message"].as_str().unwrap().to_owned();
    assert!(refusal.contains("cannot patch resource \"deployments\""), "{refusal}");
    let told = looking.get("/api/demo/preflight").json();
    let line = told["checks"].as_array().unwrap().iter().find(|c| c["id"] == "rights-deployments").unwrap().clone();
    assert_eq!(
        (&line["status"], line["mend"].as_str().unwrap().contains("--user=viewer")),
        (&json!("fail"), true),
        "{line}"
    );
}

#[test]
fn credentials_that_end_while_the_panel_runs_are_named_and_nothing_else_is_tried() {
    if common::real::left_out(
        "makes the embedded cluster's tokens anew, on its state folder; real_troubles.rs removes a ServiceAccount",
    ) {
        return;
    }
    let cluster = TestPanel::start();
    cluster.ask("deploy", "");
    cluster.until_reason("Deployed", "Deployed");
    let driving = TestPanel::driving(&cluster.kubeconfig);
    driving.until_reason("Deployed", "Deployed");
    // The tokens are made anew with the state folder's table: after a restart the old ones are worth nothing.
    let address = cluster.address.clone();
    let dir = cluster.kill();
    let tokens = std::fs::read_dir(dir.path().join("state"))
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().contains("token")));
    std::fs::remove_file(tokens.unwrap()).unwrap();
    let again = TestPanel::on_address(dir, &address);
    let status =
        driving.until("the credentials are refused", |s| reason(s, "ClusterReachable") == "CredentialsRefused");
    assert!(message(&status, "ClusterReachable").contains("401"), "{status}");
    assert_eq!(reason(&status, "Deployed"), "Deployed", "what was seen last is kept");
    let refused = driving.post("weights", r#"{"v1": 10, "v2": 90}"#);
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(refused.text.contains("credentials are not accepted"), "{}", refused.text);
    drop(driving);
    drop(again);
}

#[test]
fn a_sidecar_of_the_classic_form_is_known_and_goes_and_comes_back() {
    let panel = TestPanel::start();
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    let ns = &panel.namespace;
    let classic =
        json!({"spec": {"template": {"metadata": {"annotations": {"sidecar.istio.io/nativeSidecar": "false"}}}}});
    for workload in ["flaskapp-v1", "flaskapp-v2", "simple-flask-app-client"] {
        let path = format!("/apis/apps/v1/namespaces/{ns}/deployments/{workload}?fieldManager=kubectl-patch");
        change(&panel, "PATCH", &path, "application/merge-patch+json", &classic);
    }
    let all = |s: &Value, ready: &str| {
        s["pods"].as_array().is_some_and(|pods| pods.len() == 3 && pods.iter().all(|p| p["ready"] == ready))
    };
    let inject = |yes: bool| {
        panel.ask("inject", &json!({"inject": yes}).to_string());
        let (told, ready) = if yes { ("Injected", "2/2") } else { ("NotInjected", "1/1") };
        panel.until(told, |s| reason(s, "Injected") == told && s["operation"].is_null() && all(s, ready));
    };
    inject(true);
    let pods = change(
        &panel,
        "GET",
        &format!("/api/v1/namespaces/{ns}/pods?labelSelector=app%3Dflaskapp"),
        "application/json",
        &json!({}),
    );
    for pod in pods["items"].as_array().unwrap() {
        assert_eq!(pod["spec"]["containers"][1]["name"], "istio-proxy", "{pod}");
    }
    // It does what the other form does.
    panel.ask("route", r#"{"present": true}"#);
    panel.until_reason("RouteAcknowledged", "Acknowledged");
    panel.shift(30, 70);
    inject(false);
    inject(true);
    panel.until_reason("RouteAcknowledged", "Acknowledged");
}
