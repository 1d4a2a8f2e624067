//! What goes wrong on a real cluster, provoked there: quotas, rights, tokens, limits of the API, webhooks. The panel says it in its
//! own words, with the cluster's in them. Runs where `DEMO_PANEL_TEST_KUBECONFIG` names a cluster.
mod common;
#[path = "browser/driver.rs"]
mod driver;

use common::real::{Admin, OwnNamespace};
use common::{TestPanel, count, holds, message, reason};
use driver::Driver;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Keeps the API busy as the user of a kubeconfig, until it is dropped: lists that wait 3 s for a version that never comes.
fn busy(kubeconfig: &Path, ns: &str) -> tokio::runtime::Runtime {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let read = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = runtime.block_on(kube::Config::from_custom_kubeconfig(read, &Default::default())).unwrap();
    config.default_retry = false;
    let waits = format!("/api/v1/namespaces/{ns}/pods?resourceVersion=9000000000000&resourceVersionMatch=NotOlderThan");
    let client = runtime.block_on(async { kube::Client::try_from(config).unwrap() });
    runtime.spawn(async move {
        loop {
            let _ = client.request_text(http::Request::get(&waits).body(Vec::new()).unwrap()).await;
        }
    });
    runtime
}

/// A panel as the cluster's administrator, in a namespace that it makes itself.
fn driven(admin: &Admin) -> TestPanel {
    TestPanel::real(&admin.kubeconfig, OwnNamespace::new())
}

fn deployed(panel: &TestPanel) {
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
}

/// Deployed, with sidecars and a route.
fn routed(panel: &TestPanel) {
    deployed(panel);
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_reason("Injected", "Injected");
    panel.ask("route", r#"{"present": true}"#);
    panel.until_reason("RouteAcknowledged", "Acknowledged");
}

fn delete_a_pod(admin: &Admin, ns: &str, labels: &str) {
    admin.kubectl(&["-n", ns, "delete", "pod", "-l", labels, "--wait=false"]).must();
}

/// A webhook whose Service nobody answers for, about what is made in one namespace.
fn webhook_without_a_backend(kind: &str, name: &str, ns: &str, group: &str, resources: &str) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": [{
        "name": "nobody.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail", "timeoutSeconds": 3,
        "clientConfig": {"service": {"name": "nobody", "namespace": ns, "path": "/"}},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}},
        "rules": [{"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [resources]}],
    }]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_and_one_that_wants_requests_are_named() {
    let Some(admin) = Admin::here() else { return };
    let own = OwnNamespace::new();
    admin.namespace(&own, &json!({}));
    let ns = own.name.clone();
    admin.make(&json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small", "namespace": ns}, "spec": {"hard": {"pods": "2"}}}));
    let hard = |hard: &str| {
        admin
            .kubectl(&[
                "-n",
                &ns,
                "patch",
                "resourcequota",
                "small",
                "--type",
                "merge",
                "-p",
                &format!(r#"{{"spec": {{"hard": {hard}}}}}"#),
            ])
            .must()
    };
    let panel = TestPanel::real(&admin.kubeconfig, own);
    panel.ask("deploy", "");
    let status = panel.until("the quota is named", |s| reason(s, "PodsRun") == "QuotaExceeded");
    let said = message(&status, "PodsRun");
    assert!(
        said.contains("exceeded quota: small") && said.contains("limited: pods=2") && said.contains("Raise the quota"),
        "{said}"
    );
    let told = panel.get(&panel.path("preflight")).json();
    let line = told["checks"].as_array().unwrap().iter().find(|c| c["id"] == "quota").unwrap().clone();
    assert!(line["status"] != "ok" && line.to_string().contains("small"), "{line}");

    let driver = Driver::start();
    let browser = driver.open(&panel.url()).await;
    browser
        .until("the quota is told on the page", || async {
            browser.script("return document.body.innerText").await.to_string().contains("exceeded quota")
        })
        .await;
    browser.screenshots("30-quota-used-up").await;

    hard(r#"{"pods": "9"}"#);
    panel.until("there is room", |s| holds(s, "PodsRun") && holds(s, "Deployed"));

    hard(r#"{"pods": "9", "requests.cpu": "1"}"#);
    delete_a_pod(&admin, &ns, "version=v2,app=flaskapp");
    let status = panel.until("what the quota wants is named", |s| reason(s, "PodsRun") == "QuotaWantsFigures");
    let said = message(&status, "PodsRun");
    assert!(said.contains("flaskapp-v2 gets no pod") && said.contains("must specify requests.cpu"), "{said}");
    // A range of limits that gives what a pod does not say.
    admin.make(&json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "usual", "namespace": ns}, "spec": {"limits": [{"type": "Container", "defaultRequest": {"cpu": "10m"}}]}}));
    panel.until("there is room again", |s| holds(s, "PodsRun") && holds(s, "Deployed"));
}

#[test]
fn a_pod_that_no_node_takes_is_named() {
    let Some(admin) = Admin::here() else { return };
    let panel = driven(&admin);
    deployed(&panel);
    let select = |node: &str| {
        let patch = format!(r#"{{"spec": {{"template": {{"spec": {{"nodeSelector": {node}}}}}}}}}"#);
        admin.kubectl(&["-n", &panel.namespace, "patch", "deployment", "flaskapp-v2", "-p", &patch]).must();
    };
    select(r#"{"x": "y"}"#);
    let status = panel.until("no node takes it", |s| reason(s, "PodsRun") == "Unschedulable");
    let said = message(&status, "PodsRun");
    assert!(
        said.contains("No node takes flaskapp-v2-") && said.contains("didn't match Pod's node affinity/selector"),
        "{said}"
    );
    select("null");
    panel.until("a node takes it", |s| holds(s, "PodsRun") && holds(s, "Deployed"));
}

#[test]
fn a_right_that_is_missing_is_named_with_what_is_off() {
    let Some(admin) = Admin::here() else { return };
    let own = OwnNamespace::new();
    admin.namespace(&own, &json!({}));
    let (ns, dir) = (own.name.clone(), tempfile::tempdir().unwrap());
    let account = admin.account(&own, dir.path(), |role| {
        let (before, after) = role.split_once("resources: [\"deployments\"]\n").unwrap();
        format!("{before}resources: [\"deployments\"]\n{}", after.replacen("\"patch\", ", "", 1))
    });
    let panel = TestPanel::real(&account, own);
    let status = panel.until("the right is named", |s| reason(s, "Permitted") == "Forbidden");
    let said = message(&status, "Permitted");
    assert!(
        said.starts_with("The panel may not patch deployments.apps; off until it may:")
            && said.contains("deploy")
            && said.contains("inject"),
        "{said}"
    );
    assert!(!said.contains("weights"), "what does not need it stays on: {said}");
    // Asked all the same, the cluster's refusal names verb and resource.
    panel.ask("deploy", "");
    let status = panel.until("it is refused", |s| s["operation"]["error"]["code"] == "forbidden");
    let refusal = status["operation"]["error"]["message"].as_str().unwrap().to_owned();
    assert!(refusal.contains("cannot patch resource \"deployments\" in API group \"apps\""), "{refusal}");
    // The preflight's own command mends it.
    let told = panel.get(&panel.path("preflight")).json();
    let line = told["checks"].as_array().unwrap().iter().find(|c| c["id"] == "rights-deployments").unwrap().clone();
    let mend = line["mend"].as_str().unwrap().to_owned();
    for command in mend.split(" && ") {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        admin.kubectl(&words).must();
    }
    panel.ask("deploy", "");
    panel.until("it works", |s| holds(s, "Deployed") && s["operation"].is_null());
    panel.until("nothing is off", |s| reason(s, "Permitted") == "Permitted");
    admin.kubectl(&["-n", &ns, "get", "deployment", "flaskapp-v1"]).must();
}

#[test]
fn a_token_that_ends_while_the_panel_runs_is_named() {
    let Some(admin) = Admin::here() else { return };
    let own = OwnNamespace::new();
    admin.namespace(&own, &json!({}));
    let (ns, dir) = (own.name.clone(), tempfile::tempdir().unwrap());
    let account = admin.account(&own, dir.path(), |role| role);
    let panel = TestPanel::real(&account, own);
    let user = format!("system:serviceaccount:{ns}:demo-panel");
    deployed(&panel);
    panel.until("who it is", |s| s["cluster"]["user"] == user);
    admin.kubectl(&["-n", &ns, "delete", "serviceaccount", "demo-panel"]).must();
    let status = panel.until("the credentials are refused", |s| reason(s, "ClusterReachable") == "CredentialsRefused");
    assert!(message(&status, "ClusterReachable").contains("401"), "{status}");
    assert_eq!(reason(&status, "Deployed"), "Deployed", "what was seen last is kept");
    let refused = panel.post("weights", r#"{"v1": 10, "v2": 90}"#);
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(refused.text.contains("credentials are not accepted"), "{}", refused.text);
}

#[test]
fn a_cluster_that_asks_to_slow_down_is_waited_for() {
    let Some(admin) = Admin::here() else { return };
    let own = OwnNamespace::new();
    admin.namespace(&own, &json!({}));
    let (ns, dir) = (own.name.clone(), tempfile::tempdir().unwrap());
    let account = admin.account(&own, dir.path(), |role| role);
    let panel = TestPanel::real(&account, own);
    deployed(&panel);
    // No place for this account. One request is let through all the same where no other of it runs, so one always does.
    let api = "flowcontrol.apiserver.k8s.io/v1";
    let none = json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}});
    admin.make(
        &json!({"apiVersion": api, "kind": "PriorityLevelConfiguration", "metadata": {"name": ns}, "spec": none}),
    );
    let all = json!({
        "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"namespace": ns, "name": "demo-panel"}}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    });
    admin.make(&json!({"apiVersion": api, "kind": "FlowSchema", "metadata": {"name": ns},
        "spec": {"priorityLevelConfiguration": {"name": ns}, "matchingPrecedence": 10, "rules": [all]}}));
    let busy = busy(&account, &ns);
    let status = panel.until("the cluster asks to slow down", |s| reason(s, "ClusterReachable") == "SlowedDown");
    assert!(message(&status, "ClusterReachable").contains("429"), "{status}");
    assert_eq!(reason(&status, "Deployed"), "Deployed", "what was seen last is kept");
    // Rarely a request is there at the moment between two of the others.
    panel.until("a request is given up", |s| {
        assert_ne!(reason(s, "ClusterReachable"), "Unreachable", "it does answer");
        let answer = panel.post("weights", r#"{"v1": 10, "v2": 90}"#);
        assert!(answer.status == 200 || answer.json()["code"] == "too_many_requests", "{}", answer.text);
        answer.status == 429
    });

    admin.unmake(&format!("FlowSchema/{ns}"));
    busy.shutdown_background();
    panel.until("it is over", |s| reason(s, "ClusterReachable") == "Reachable");
    panel.ask("weights", r#"{"v1": 10, "v2": 90}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_the_cluster_refuses_are_refused_in_its_words() {
    let Some(admin) = Admin::here() else { return };
    let panel = driven(&admin);
    routed(&panel);
    let ns = panel.namespace.clone();
    let api = "admissionregistration.k8s.io/v1";
    // Refused as invalid, and as forbidden: neither is about the panel's rights.
    for (weight, reason) in [(13, "Invalid"), (14, "Forbidden")] {
        let name = format!("{ns}-{weight}");
        admin.make(&json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": ["networking.istio.io"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["virtualservices"]}]},
            "validations": [{"expression": format!("!object.spec.http.exists(h, h.route.exists(r, has(r.weight) && r.weight == {weight}))"), "message": format!("{weight} % brings bad luck"), "reason": reason}],
        }}));
        admin.make(
            &json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {
                "policyName": name, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}}},
            }}),
        );
    }
    for weight in [13, 14] {
        let body = format!(r#"{{"v1": {}, "v2": {weight}}}"#, 100 - weight);
        // The API server takes up a policy in its own time.
        let deadline = Instant::now() + Duration::from_secs(60);
        let refused = loop {
            let answer = panel.post("weights", &body);
            if answer.status >= 400 {
                break answer;
            }
            assert!(Instant::now() < deadline, "the policy does not act");
        };
        panel.ask("weights", r#"{"v1": 50, "v2": 50}"#);
        let told = refused.json();
        assert_eq!((refused.status, told["code"].as_str()), (422, Some("refused")), "{weight}: {}", refused.text);
        assert!(told["message"].as_str().unwrap().contains(&format!("{weight} % brings bad luck")), "{told}");
        assert!(told["hint"].as_str().unwrap().contains("its words are above"), "{told}");
    }

    let driver = Driver::start();
    let browser = driver.open(&panel.url()).await;
    browser.says("share-v1", "50").await;
    browser.type_into("weight-v2", "13").await;
    browser
        .until("the refusal is on the page", || async {
            browser.script("return document.body.innerText").await.to_string().contains("13 % brings bad luck")
        })
        .await;
    browser.screenshots("31-weights-refused").await;
    assert_eq!(panel.status()["desired"]["v2"], 50, "nothing has moved");
    browser.says("share-v1", "50").await;

    // A webhook that cannot be asked: the cluster runs, and says which it is.
    admin.make(&webhook_without_a_backend(
        "ValidatingWebhookConfiguration",
        &ns,
        &ns,
        "networking.istio.io",
        "virtualservices",
    ));
    let refused = loop {
        let answer = panel.post("weights", r#"{"v1": 40, "v2": 60}"#);
        if answer.status >= 400 {
            break answer;
        }
        panel.ask("weights", r#"{"v1": 50, "v2": 50}"#);
    };
    let told = refused.json();
    assert_eq!((refused.status, told["code"].as_str()), (422, Some("refused")), "{}", refused.text);
    assert!(told["message"].as_str().unwrap().contains("failed calling webhook \"nobody.example.com\""), "{told}");
    assert!(told["hint"].as_str().unwrap().contains("webhook"), "{told}");
    assert!(holds(&panel.status(), "ClusterReachable"), "the cluster itself answers");
    admin.unmake(&format!("ValidatingWebhookConfiguration/{ns}"));
    panel.until("it can be done again", |_| panel.post("weights", r#"{"v1": 40, "v2": 60}"#).status == 200);
}

#[test]
fn a_webhook_that_does_not_answer_keeps_pods_from_being_made() {
    let Some(admin) = Admin::here() else { return };
    let panel = driven(&admin);
    deployed(&panel);
    let ns = panel.namespace.clone();
    admin.make(&webhook_without_a_backend("MutatingWebhookConfiguration", &ns, &ns, "", "pods"));
    // Until the API server has taken it up, pods are made.
    panel.until("the webhook is named", |s| {
        delete_a_pod(&admin, &ns, "version=v2,app=flaskapp");
        reason(s, "PodsRun") == "WebhookRefuses"
    });
    let said = message(&panel.status(), "PodsRun");
    assert!(
        said.contains("flaskapp-v2 gets no pod")
            && said.contains("failed calling webhook \"nobody.example.com\"")
            && said.contains("whether the webhook's backend runs"),
        "{said}"
    );
    admin.unmake(&format!("MutatingWebhookConfiguration/{ns}"));
    panel.until("pods are made", |s| holds(s, "PodsRun") && holds(s, "Deployed"));
}

#[test]
fn pods_that_no_webhook_acts_on_say_why() {
    let Some(admin) = Admin::here() else { return };
    let own = OwnNamespace::new();
    admin.namespace(&own, &json!({"istio.io/rev": "canary"}));
    let ns = own.name.clone();
    let panel = TestPanel::real(&admin.kubeconfig, own);
    let told = panel.get(&panel.path("preflight")).json();
    let line = told["checks"].as_array().unwrap().iter().find(|c| c["id"] == "webhook").unwrap().clone();
    assert_eq!((line["status"].as_str(), line["code"].as_str()), (Some("fail"), Some("WebhookNoRevision")), "{line}");
    deployed(&panel);
    panel.ask("inject", r#"{"inject": true}"#);
    let why = "no webhook matches revision `canary`";
    let status = panel.until("it is told why", |s| {
        reason(s, "Injected") == "InjectionIgnored" && message(s, "Injected").contains(why)
    });
    let plain = |p: &Value| p["ready"] == "1/1" && p["sidecar"] == false;
    assert!(status["pods"].as_array().unwrap().iter().any(plain), "{status}");

    admin.kubectl(&["label", "namespace", &ns, "istio.io/rev-"]).must();
    panel.until("the pods are all there", |s| s["operation"].is_null());
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_reason("Injected", "Injected");
}

#[test]
fn a_client_that_is_replaced_under_load_goes_on_and_leaves_a_gap() {
    let Some(admin) = Admin::here() else { return };
    let panel = driven(&admin);
    routed(&panel);
    panel.ask("load", r#"{"rate": 100}"#);
    let before = panel.until_frame("requests are counted", |f| count(f, "v1") > 100);
    let client = |s: &Value| {
        s["pods"]
            .as_array()
            .unwrap()
            .iter()
            .find(|p| p["workload"] == "simple-flask-app-client" && p["phase"] == "Running")
            .map(|p| p["name"].clone())
    };
    let old = client(&panel.status()).unwrap();
    admin.kubectl(&["-n", &panel.namespace, "delete", "pod", old.as_str().unwrap(), "--grace-period=1"]).must();
    let after = panel.until_frame("it is counted anew", |f| {
        f["run"] != before["run"] && count(f, "v1") > 20 && f["target_rate"] == 100.0
    });
    assert_ne!(client(&panel.status()), Some(old), "another pod sends them");
    assert!(
        count(&after, "v1") < count(&before, "v1") + 200,
        "no request is made up for the time between: {before} {after}"
    );
    // The chart draws a gap where two frames are further apart than they come.
    let times: Vec<u64> = panel.history().iter().map(|f| f["at_ms"].as_u64().unwrap()).collect();
    let gap = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0);
    assert!(gap > 1_000, "frames {gap} ms apart at most: {times:?}");
}
