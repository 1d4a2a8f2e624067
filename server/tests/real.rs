//! What only a real cluster can show: the panel inside it, as its manifests install it. Runs where `DEMO_PANEL_TEST_KUBECONFIG` names one.
mod common;

use common::programs::{Following, Ran, workspace};
use common::real::{self, OwnNamespace};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// `kubernetes/panel` as it stands, and a port-forward to it.
struct InCluster {
    kubeconfig: PathBuf,
    /// The demo's namespace.
    demo: OwnNamespace,
    /// The panel's own.
    panel: OwnNamespace,
    forward: Option<(Following, String)>,
}

impl InCluster {
    /// As people install it: the token, `apply -k`, a port-forward.
    fn install(kubeconfig: &Path) -> InCluster {
        let (demo, panel) = (OwnNamespace::named("istio-app"), OwnNamespace::named("demo-panel"));
        let mut cluster = InCluster { kubeconfig: kubeconfig.to_owned(), demo, panel, forward: None };
        let own = cluster.panel.name.clone();
        cluster.kubectl(&["create", "namespace", &own]).must();
        cluster.kubectl(&["-n", &own, "create", "secret", "generic", "demo-panel-token", &format!("--from-literal=token={TOKEN}")]).must();
        // A trial makes no namespace, and what is to be in it needs one.
        cluster.kubectl(&["apply", "-f", "kubernetes/panel/namespaces.yaml"]).must();
        for folder in ["kubernetes/panel", "kubernetes/panel-preflight"] {
            let tried = cluster.kubectl(&["apply", "-k", folder, "--dry-run=server"]).must();
            assert!(tried.lines().count() > 1 && tried.lines().all(|line| line.ends_with("(server dry run)")), "{tried}");
        }
        cluster.kubectl(&["apply", "-k", "kubernetes/panel"]).must();
        cluster.kubectl(&["-n", &own, "rollout", "status", "deployment/demo-panel", "--timeout=180s"]).must();
        cluster.forward();
        cluster
    }

    fn kubectl(&self, args: &[&str]) -> Ran {
        real::kubectl(&self.kubeconfig, args)
    }

    fn forward(&mut self) {
        let program = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let mut command = Command::new(program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["-n", &self.panel.name, "port-forward", "service/demo-panel", ":443"]);
        let mut following = Following::of(command.stdin(Stdio::null()));
        let line = following.until("a port", |line| line.starts_with("Forwarding from 127.0.0.1:"));
        let port = line.split(':').nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
        self.forward = Some((following, format!("https://localhost:{port}")));
    }

    /// curl through the port-forward: status and body.
    fn curl(&self, path: &str, extra: &[&str]) -> (String, String) {
        let base = &self.forward.as_ref().unwrap().1;
        let mut command = Command::new("curl");
        command.args(["-sk", "--max-time", "30", "-w", "\n%{http_code}"]).args(extra).arg(format!("{base}{path}")).current_dir(workspace());
        let said = Ran::of(&mut command).out;
        let (body, status) = said.rsplit_once('\n').unwrap_or_default();
        (status.to_owned(), body.to_owned())
    }

    fn verb(&self, verb: &str, body: &str) -> Value {
        let bearer = format!("Authorization: Bearer {TOKEN}");
        let path = format!("/api/demo/{verb}?namespace={}", self.demo.name);
        let posted = ["-H", &bearer, "-H", "Content-Type: application/json", "-d", body];
        let (status, said) = self.curl(&path, if body.is_empty() { &posted[..2] } else { &posted });
        assert!(status.starts_with('2'), "{verb}: {status} {said}\n{}", self.log());
        serde_json::from_str(&said).unwrap()
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
            assert!(Instant::now() < deadline, "never: {what}\n{}\n{}", serde_json::to_string_pretty(&status).unwrap(), self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn the_panel_in_the_cluster_drives_the_demo_with_its_role_alone() {
    let Some(kubeconfig) = real::kubeconfig() else {
        println!("left out: it needs a real cluster; `cargo xtask test` boots one");
        return;
    };
    let cluster = InCluster::install(&kubeconfig);
    assert_eq!(cluster.curl("/readyz", &[]).0, "200");
    assert_eq!(cluster.curl("/api/demo/status", &[]).0, "401", "nothing without the token");
    let status = cluster.verb("status", "");
    assert_eq!(status["cluster"]["kind"], "in-cluster", "{status}");
    assert!(status["cluster"]["version"].as_str().is_some_and(|v| v.starts_with("v1.")), "{status}");

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

    // Its account may do that in the demo's namespace, and nothing else.
    let account = format!("--as=system:serviceaccount:{}:demo-panel", cluster.panel.name);
    let may = |args: &[&str]| cluster.kubectl(&[&["auth", "can-i", &account], args].concat()).out.trim().to_owned();
    let demo = cluster.demo.name.as_str();
    assert_eq!(may(&["create", "deployments.apps", "-n", demo]), "yes");
    for refused in [["get", "secrets", "-n", demo], ["create", "deployments.apps", "-n", "default"], ["delete", "namespaces", "-n", demo]] {
        assert_eq!(may(&refused), "no", "{refused:?}");
    }

    // The demo goes, the namespace that others made stays.
    cluster.verb("teardown", "{}");
    let status = cluster.until("cleaned up", |s| s["pods"] == json!([]) && s["operation"].is_null());
    let left = cluster.kubectl(&["-n", demo, "get", "all,vs,dr", "-l", "app.kubernetes.io/managed-by=demo-panel", "-o", "name"]).must();
    assert_eq!(left, "", "{status}");
    assert!(cluster.kubectl(&["get", "namespace", demo]).ok);
}
