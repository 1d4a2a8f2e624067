//! What stops for everybody: a real cluster's API server, and the mesh's control plane. The panel says so within seconds, keeps what it
//! saw last, and goes on by itself when they are back. Last of the tests on a real cluster, one at a time: nothing else works meanwhile.
// The environment says where the programs and the cluster of the tests are.
#![allow(clippy::disallowed_methods)]
mod common;
#[path = "browser/driver.rs"]
mod driver;

use common::programs::Ran;
use common::real::{Admin, OwnNamespace, left_out};
use common::{TestPanel, holds, message, reason};
use driver::Driver;
use serde_json::json;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One outage at a time, also where the file is run by itself.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn routed(admin: &Admin) -> TestPanel {
    let panel = TestPanel::real(&admin.kubeconfig, OwnNamespace::new());
    panel.ask("deploy", "");
    panel.until_reason("Deployed", "Deployed");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_reason("Injected", "Injected");
    panel.ask("route", r#"{"present": true}"#);
    panel.until_reason("RouteAcknowledged", "Acknowledged");
    panel
}

/// The API server, stopped. It runs again at the latest when this is dropped.
struct Stopped<'a> {
    admin: &'a Admin,
    command: String,
    again: bool,
}

impl<'a> Stopped<'a> {
    fn now(admin: &'a Admin, command: &str) -> Stopped<'a> {
        Ran::of(Command::new("sh").args(["-c", &format!("{command} stop")])).must();
        Stopped { admin, command: command.to_owned(), again: false }
    }

    /// Starts it and waits until it answers.
    fn start(&mut self) {
        self.again = true;
        Ran::of(Command::new("sh").args(["-c", &format!("{} start", self.command)])).must();
        let deadline = Instant::now() + Duration::from_secs(90);
        while self.admin.kubectl(&["get", "--raw", "/readyz", "--request-timeout=2s"]).out != "ok" {
            assert!(Instant::now() < deadline, "the API server does not come back");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if !self.again {
            self.start();
        }
    }
}

// The lock keeps the tests of this file apart; nothing else waits for it.
#[allow(clippy::await_holding_lock)]
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_stops_is_told_and_comes_back_by_itself() {
    let Some(admin) = Admin::here() else { return };
    let Some(command) = std::env::var("DEMO_PANEL_TEST_API").ok().filter(|c| !c.is_empty()) else {
        left_out(
            "stops the API server, which can be done with a cluster that `cargo xtask test` has booted itself (DEMO_PANEL_TEST_API)",
        );
        return;
    };
    let _turn = turn();
    let panel = routed(&admin);
    panel.shift(80, 20);
    panel.ask("load", r#"{"rate": 50}"#);
    let driver = Driver::start();
    let browser = driver.open(&panel.url()).await;
    browser.says("share-v1", "80").await;
    let pods = panel.status()["pods"].clone();

    let mut stopped = Stopped::now(&admin, &command);
    let status = panel.until("it is told", |s| reason(s, "ClusterReachable") == "Unreachable");
    assert_eq!(
        (&status["pods"], &status["desired"]),
        (&pods, &json!({"v1": 80, "v2": 20})),
        "what was seen last is kept"
    );
    assert_eq!(panel.get("/readyz").status, 503);
    let refused = panel.post("weights", r#"{"v1": 10, "v2": 90}"#);
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (503, Some("cluster_unreachable")),
        "{}",
        refused.text
    );
    browser.says("banner", "does not answer").await;
    browser
        .until("controls are off", || async { !browser.find("cleanup").await.is_enabled().await.unwrap_or(true) })
        .await;
    browser.says("share-v1", "80").await;
    browser.screenshots("32-api-server-stopped").await;

    stopped.start();
    panel.until("it is back", |s| holds(s, "ClusterReachable"));
    browser.until("the banner is gone", || async { !browser.has("banner").await }).await;
    panel.shift(10, 90);
    browser.says("share-v1", "10").await;
    panel.until_frame("load goes on", |f| f["target_rate"] == 50.0 && f["achieved_rate"].as_f64() > Some(0.0));
}

/// The mesh's control plane, scaled to nothing. It is back at the latest when this is dropped.
struct NoIstiod<'a>(&'a Admin);

impl<'a> NoIstiod<'a> {
    fn now(admin: &'a Admin) -> NoIstiod<'a> {
        admin.kubectl(&["-n", "istio-system", "scale", "deployment/istiod", "--replicas=0"]).must();
        let none = NoIstiod(admin);
        admin
            .kubectl(&["-n", "istio-system", "wait", "--for=delete", "pod", "-l", "app=istiod", "--timeout=120s"])
            .must();
        none
    }

    fn start(&self) -> Ran {
        let scaled = self.0.kubectl(&["-n", "istio-system", "scale", "deployment/istiod", "--replicas=1"]);
        if scaled.ok {
            self.0.kubectl(&["-n", "istio-system", "rollout", "status", "deployment/istiod", "--timeout=120s"])
        } else {
            scaled
        }
    }
}

impl Drop for NoIstiod<'_> {
    fn drop(&mut self) {
        let back = self.start();
        assert!(back.ok || std::thread::panicking(), "{back:?}");
    }
}

#[test]
fn a_control_plane_that_stops_is_named_where_it_matters() {
    let Some(admin) = Admin::here() else { return };
    let _turn = turn();
    let panel = routed(&admin);
    panel.shift(80, 20);
    let ns = panel.namespace.clone();
    let none = NoIstiod::now(&admin);

    // Weights: its validation is asked for every route, and does not answer.
    let refused = panel.post("weights", r#"{"v1": 10, "v2": 90}"#);
    let told = refused.json();
    assert_eq!((refused.status, told["code"].as_str()), (422, Some("refused")), "{}", refused.text);
    assert!(
        told["message"].as_str().unwrap().contains("failed calling webhook")
            && told["message"].as_str().unwrap().contains("istiod"),
        "{told}"
    );
    // Pods that ask for a sidecar cannot be made.
    admin.kubectl(&["-n", &ns, "delete", "pod", "-l", "version=v2,app=flaskapp", "--wait=false"]).must();
    let status = panel.until("pods are not made", |s| reason(s, "PodsRun") == "WebhookRefuses");
    assert!(message(&status, "PodsRun").contains("istiod"), "{status}");
    assert_eq!(status["desired"], json!({"v1": 80, "v2": 20}));
    let checks = panel.get(&panel.path("preflight")).json()["checks"].clone();
    let check = |id: &str| checks.as_array().unwrap().iter().find(|c| c["id"] == id).unwrap().clone();
    assert_eq!(
        (check("control-plane")["code"].as_str(), check("webhook")["code"].as_str()),
        (Some("IstiodDown"), Some("WebhookNoBackend")),
        "{checks}"
    );

    // Where validation lets everything pass, the route is written and no proxy has it.
    let pass = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]).to_string();
    let validators =
        admin.kubectl(&["get", "validatingwebhookconfigurations", "-l", "app=istiod", "-o", "name"]).must();
    for validator in validators.lines() {
        admin.kubectl(&["patch", validator, "--type", "json", "-p", &pass]).must();
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let written = loop {
        let answer = panel.post("weights", r#"{"v1": 10, "v2": 90}"#);
        if answer.status == 200 {
            break answer.json();
        }
        assert!(Instant::now() < deadline, "{}", answer.text);
    };
    assert_eq!(written["acknowledged"], false, "{written}");
    assert!(written["pending"][0].as_str().is_some_and(|pod| pod.starts_with("simple-flask-app-client-")), "{written}");
    panel.until("the proxy is waited for", |s| reason(s, "RouteAcknowledged") == "Pending");

    // Back, it brings everything into order by itself.
    none.start().must();
    panel.until_reason("RouteAcknowledged", "Acknowledged");
    panel.until("pods are made", |s| holds(s, "PodsRun") && holds(s, "Deployed") && holds(s, "Injected"));
    panel.shift(60, 40);
}

/// Lets pods pass while the injector does not answer, as an installation may be set; back to refusing them when dropped.
struct FailsOpen<'a>(&'a Admin);

impl<'a> FailsOpen<'a> {
    fn now(admin: &'a Admin) -> FailsOpen<'a> {
        let open = FailsOpen(admin);
        open.all("Ignore").must();
        open
    }

    /// Sets it in each of Istio's configurations; gives the first answer that was none, else the last.
    fn all(&self, policy: &str) -> Ran {
        let get = |words: &[&str]| self.0.kubectl(&[&["get", "mutatingwebhookconfigurations"], words].concat());
        let mut last = get(&["-l", "app=sidecar-injector", "-o", "jsonpath={.items[*].metadata.name}"]);
        let names = last.out.clone();
        for name in names.split_whitespace() {
            if !last.ok {
                break;
            }
            let webhooks = get(&[name, "-o", "jsonpath={.webhooks[*].name}"]).out.split_whitespace().count();
            let patch: Vec<_> = (0..webhooks)
                .map(|i| json!({"op": "replace", "path": format!("/webhooks/{i}/failurePolicy"), "value": policy}))
                .collect();
            last = self.0.kubectl(&[
                "patch",
                "mutatingwebhookconfiguration",
                name,
                "--type",
                "json",
                "-p",
                &json!(patch).to_string(),
            ]);
        }
        last
    }
}

impl Drop for FailsOpen<'_> {
    fn drop(&mut self) {
        let back = self.all("Fail");
        assert!(back.ok || std::thread::panicking(), "{back:?}");
    }
}

#[test]
fn a_webhook_that_lets_pods_pass_while_nobody_answers_is_told_from_the_pods() {
    let Some(admin) = Admin::here() else { return };
    let _turn = turn();
    let panel = routed(&admin);
    panel.shift(80, 20);
    let _open = FailsOpen::now(&admin);
    let none = NoIstiod::now(&admin);
    admin.kubectl(&["-n", &panel.namespace, "delete", "pod", "-l", "app=sleep", "--wait=false"]).must();
    let why = "istio-sidecar-injector has no one to ask: istio-system/istiod has no ready endpoint.";
    let status = panel.until("the pod without a sidecar is told, and why", |s| {
        reason(s, "Injected") == "InjectionIgnored" && message(s, "Injected").ends_with(why)
    });
    assert!(message(&status, "Injected").starts_with("simple-flask-app-client-"), "{status}");
    let plain = |p: &serde_json::Value| p["sidecar"] == false && p["ready"] == "1/1";
    panel.until("it runs by itself, and the weights do not act", |s| {
        s["pods"].as_array().unwrap().iter().any(plain) && reason(s, "WeightsApply") == "ClientHasNoSidecar"
    });

    // Nothing adds a sidecar to a pod that runs: it is told, and one click makes it anew.
    none.start().must();
    let why = "it was made while no webhook acted; one does now, so inject again";
    panel.until("the way out is told", |s| message(s, "Injected").contains(why));
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_reason("Injected", "Injected");
    panel.shift(30, 70);
}
