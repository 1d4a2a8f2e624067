//! What only a real cluster can show: the panel inside it, as its manifests install it. Runs where `DEMO_PANEL_TEST_KUBECONFIG` names one.
// The environment says where the programs and the cluster of the tests are.
#![allow(clippy::disallowed_methods)]
mod common;

use common::programs::{Following, Ran, workspace};
use common::real::{self, Admin, OwnNamespace};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// `kubernetes/panel` as it stands, and a port-forward to it.
struct InCluster {
    kubeconfig: PathBuf,
    /// The demo's namespace.
    demo: OwnNamespace,
    /// The panel's own.
    panel: OwnNamespace,
    /// What the panel has made for those who sign in.
    token: String,
    forward: Option<(Following, String)>,
}

impl InCluster {
    /// As people install it: `apply -k`, the token, a port-forward; nothing else.
    fn install(kubeconfig: &Path) -> InCluster {
        let (demo, panel) = (OwnNamespace::named("istio-app"), OwnNamespace::named("demo-panel"));
        let mut cluster =
            InCluster { kubeconfig: kubeconfig.to_owned(), demo, panel, token: String::new(), forward: None };
        let own = cluster.panel.name.clone();
        cluster.kubectl(&["apply", "-k", "kubernetes/panel"]).must();
        cluster.kubectl(&["-n", &own, "rollout", "status", "deployment/demo-panel", "--timeout=180s"]).must();
        // A trial makes no namespace, and what is to be in it needs one: so this comes after.
        for folder in ["kubernetes/panel", "kubernetes/panel-preflight"] {
            let tried = cluster.kubectl(&["apply", "-k", folder, "--dry-run=server"]).must();
            assert!(
                tried.lines().count() > 1 && tried.lines().all(|line| line.ends_with("(server dry run)")),
                "{tried}"
            );
        }
        let token = cluster.kubectl(&["-n", &own, "exec", "deploy/demo-panel", "--", "demo-panel", "token"]).must();
        token.trim().clone_into(&mut cluster.token);
        assert!(cluster.token.len() >= 32, "{token}");
        cluster.forward();
        cluster
    }

    fn kubectl(&self, args: &[&str]) -> Ran {
        real::kubectl(&self.kubeconfig, args)
    }

    fn forward(&mut self) {
        let program = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let mut command = Command::new(program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args([
            "-n",
            &self.panel.name,
            "port-forward",
            "service/demo-panel",
            ":443",
        ]);
        let mut following = Following::of(command.stdin(Stdio::null()));
        let line = following.until("a port", |line| line.starts_with("Forwarding from 127.0.0.1:"));
        let port = line.split(':').nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
        self.forward = Some((following, format!("https://localhost:{port}")));
    }

    /// curl through the port-forward: status and body.
    fn curl(&self, path: &str, extra: &[&str]) -> (String, String) {
        let base = &self.forward.as_ref().unwrap().1;
        let mut command = Command::new("curl");
        command
            .args(["-sk", "--max-time", "30", "-w", "\n%{http_code}"])
            .args(extra)
            .arg(format!("{base}{path}"))
            .current_dir(workspace());
        let said = Ran::of(&mut command).out;
        let (body, status) = said.rsplit_once('\n').unwrap_or_default();
        (status.to_owned(), body.to_owned())
    }

    fn verb(&self, verb: &str, body: &str) -> Value {
        let bearer = format!("Authorization: Bearer {}", self.token);
        let path = format!("/api/demo/{verb}?namespace={}", self.demo.name);
        let posted = ["-H", &bearer, "-H", "Content-Type: application/json", "-d", body];
        let (status, said) = self.curl(&path, if body.is_empty() { &posted[..2] } else { &posted });
        assert!(status.starts_with('2'), "{verb}: {status} {said}\n{}", self.log());
        serde_json::from_str(&said).unwrap()
    }

    /// The lines of the preflight.
    fn preflight(&self) -> Vec<Value> {
        let bearer = format!("Authorization: Bearer {}", self.token);
        let (status, said) = self.curl(&format!("/api/demo/preflight?namespace={}", self.demo.name), &["-H", &bearer]);
        assert_eq!(status, "200", "{said}\n{}", self.log());
        serde_json::from_str::<Value>(&said).unwrap()["checks"].as_array().unwrap().clone()
    }

    fn log(&self) -> String {
        self.kubectl(&["-n", &self.panel.name, "logs", "deployment/demo-panel", "--tail=60"]).out
    }

    fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(240);
        loop {
            let status = self.verb("status", "");
            if so(&status) {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "never: {what}\n{}\n{}",
                serde_json::to_string_pretty(&status).unwrap(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// What lies outside the demo's namespace can be told with the optional rights alone; the demo needs none of it.
fn preflight_tells_what_it_may_see(cluster: &InCluster, admin: &Admin) {
    let ids = |checks: &[Value], status: &str| {
        checks
            .iter()
            .filter(|c| c["status"] == status)
            .map(|c| c["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let without = cluster.preflight();
    assert_eq!(ids(&without, "unknown"), ["control-plane", "webhook", "nodes"], "{without:?}");
    assert_eq!(ids(&without, "fail"), Vec::<String>::new(), "{without:?}");
    for line in without.iter().filter(|c| c["status"] == "unknown") {
        assert!(line["code"] == "CannotTell" && line["stops"].as_array().is_none_or(Vec::is_empty), "{line}");
        let (why, mend) = (line["reason"].as_str().unwrap(), line["mend"].as_str().unwrap());
        assert!(why.contains("the panel may not list"), "{line}");
        // As somebody who may, the command answers.
        admin.kubectl(&mend.split(' ').skip(1).collect::<Vec<_>>()).must();
    }
    admin.kubectl(&["apply", "-k", "kubernetes/panel-preflight"]).must();
    // Answers are shared for a second, and rights take a moment to be known everywhere.
    let deadline = Instant::now() + Duration::from_secs(60);
    let with = loop {
        let with = cluster.preflight();
        if ids(&with, "ok").len() == with.len() || Instant::now() > deadline {
            break with;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    admin.kubectl(&["delete", "-k", "kubernetes/panel-preflight"]).must();
    assert_eq!(ids(&with, "ok").len(), with.len(), "{with:?}");
}

#[test]
fn the_panel_in_the_cluster_drives_the_demo_with_its_role_alone() {
    let Some(admin) = Admin::here() else { return };
    let cluster = InCluster::install(&admin.kubeconfig);
    assert_eq!(cluster.curl("/readyz", &[]).0, "200");
    assert_eq!(cluster.curl("/api/demo/status", &[]).0, "401", "nothing without the token");
    let status = cluster.verb("status", "");
    assert_eq!(status["cluster"]["kind"], "in-cluster", "{status}");
    assert!(status["cluster"]["version"].as_str().is_some_and(|v| v.starts_with("v1.")), "{status}");

    preflight_tells_what_it_may_see(&cluster, &admin);

    cluster.verb("deploy", "{}");
    cluster.until("deployed", |s| common::reason(s, "Deployed") == "Deployed" && s["operation"].is_null());
    cluster.verb("inject", r#"{"inject": true}"#);
    cluster.until("injected", |s| common::reason(s, "Injected") == "Injected" && s["operation"].is_null());
    cluster.verb("weights", r#"{"v1": 20, "v2": 80}"#);
    cluster.until("the client's Envoy has the weights", |s| common::reason(s, "RouteAcknowledged") == "Acknowledged");
    cluster.verb("load", r#"{"rate": 50}"#);
    cluster.until("load runs", |s| s["load"]["rate"] == 50);
    cluster.verb("verify", "{}");
    cluster.until("verified", |s| common::reason(s, "Verified") == "Verified" && s["operation"].is_null());

    // Somebody scales the client to 0: one click brings it back, and the load goes on.
    admin.kubectl(&["-n", &cluster.demo.name, "scale", "deployment/simple-flask-app-client", "--replicas=0"]).must();
    cluster.until("the client is scaled to 0", |s| common::reason(s, "ClientReady") == "ClientScaledToZero");
    cluster.verb("client", "{}");
    let status = cluster.until("the client is back", |s| {
        s["operation"].is_null() && common::reason(s, "ClientReady") == "ClientReady"
            || !s["operation"]["error"].is_null()
    });
    assert!(status["operation"].is_null(), "{}", status["operation"]);

    // Its account may do that in the demo's namespace, and nothing else.
    let account = format!("--as=system:serviceaccount:{}:demo-panel", cluster.panel.name);
    let may = |args: &[&str]| cluster.kubectl(&[&["auth", "can-i", &account], args].concat()).out.trim().to_owned();
    let demo = cluster.demo.name.as_str();
    assert_eq!(may(&["create", "deployments.apps", "-n", demo]), "yes");
    for refused in [
        ["get", "secrets", "-n", demo],
        ["create", "deployments.apps", "-n", "default"],
        ["delete", "namespaces", "-n", demo],
    ] {
        assert_eq!(may(&refused), "no", "{refused:?}");
    }

    // The demo goes, the namespace that others made stays.
    cluster.verb("teardown", "{}");
    let status = cluster.until("cleaned up", |s| s["pods"] == json!([]) && s["operation"].is_null());
    let left = cluster
        .kubectl(&["-n", demo, "get", "all,vs,dr", "-l", "app.kubernetes.io/managed-by=demo-panel", "-o", "name"])
        .must();
    assert_eq!(left, "", "{status}");
    assert!(cluster.kubectl(&["get", "namespace", demo]).ok);
}
