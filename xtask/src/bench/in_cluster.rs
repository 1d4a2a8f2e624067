//! The panel inside the cluster, as `kubernetes/panel` installs it and with the image that is released.
use super::kubectl::{Forward, Kubectl};
use super::results::Results;
use crate::sh::{Context, Result, cmd, error, output, workspace};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The panel's namespace.
const NAMESPACE: &str = "demo-panel";
/// How often the weights are changed before its memory is read.
const CHANGES: usize = 50;

/// Its memory while it drives a demo with sidecars, under load and after weight changes.
pub fn measure(kubectl: &Kubectl, results: &mut Results) -> Result<()> {
    let folder = workspace().join("kubernetes/panel");
    let folder = folder.to_str().ok_or_else(|| error("the project's path is not UTF-8"))?;
    kubectl.run_on_all(&["apply", "-k", folder])?;
    let measured = drive(kubectl, results);
    let removed = kubectl.run_on_all(&["delete", "-k", folder, "--timeout=120s"]).map(drop);
    measured.and(removed)
}

fn drive(kubectl: &Kubectl, results: &mut Results) -> Result<()> {
    kubectl.run_in(NAMESPACE, &["rollout", "status", "deployment/demo-panel", "--timeout=120s"])?;
    let token = kubectl.run_in(NAMESPACE, &["exec", "deploy/demo-panel", "--", "demo-panel", "token"])?;
    let panel = InCluster {
        forward: kubectl.forward_in(NAMESPACE, "service/demo-panel", 443)?,
        token: token.trim().to_owned(),
    };
    panel.verb("deploy", Some(json!({})))?;
    panel.until("Deployed")?;
    panel.verb("inject", Some(json!({"inject": true})))?;
    panel.until("Injected")?;
    panel.verb("load", Some(json!({"rate": 200})))?;
    for change in 0..CHANGES {
        let v2 = change * 2;
        panel.verb("weights", Some(json!({"v1": 100 - v2, "v2": v2})))?;
    }
    panel.until("RouteAcknowledged")?;
    // All of it, the pages of the program as well, which go when the node needs them.
    results.at_most("real_panel_in_cluster_mb", panel.resident_mb()?, "MiB", 40.0);
    results.note("real_panel_in_cluster_working_set_mb", working_set_mb(kubectl)?, "MiB");
    panel.verb("teardown", Some(json!({})))?;
    panel.until("Clean")
}

struct InCluster {
    forward: Forward,
    token: String,
}

impl InCluster {
    /// A verb with its body; a GET where there is none.
    fn verb(&self, verb: &str, body: Option<Value>) -> Result<Value> {
        let said = self.curl(&format!("/api/demo/{verb}"), body)?;
        serde_json::from_str(&said).context(format!("read the answer to {verb}"))
    }

    /// By curl, which is told in one word that the certificate is the panel's own.
    fn curl(&self, path: &str, body: Option<Value>) -> Result<String> {
        let mut curl = cmd("curl");
        curl.args([
            "-sSk",
            "--fail-with-body",
            "--max-time",
            "60",
            "-H",
            &format!("Authorization: Bearer {}", self.token),
        ]);
        if let Some(body) = body {
            curl.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
        }
        output(curl.arg(format!("https://{}{path}", self.forward.address())))
    }

    fn resident_mb(&self) -> Result<f64> {
        let metrics = self.curl("/metrics", None)?;
        let bytes =
            metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")?.parse::<f64>().ok());
        Ok(bytes.ok_or_else(|| error("the panel does not tell its memory"))? / f64::from(1 << 20))
    }

    fn until(&self, kind: &str) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let status = self.verb("status", None)?;
            if status["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == kind && c["status"] == "True")
            {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(error(format!("not within two minutes: {kind}\n{status}")));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Working set of the panel's container in MiB, as the kubelet measured it after now.
fn working_set_mb(kubectl: &Kubectl) -> Result<f64> {
    let node = kubectl.run_in(
        NAMESPACE,
        &["get", "pods", "-l", "app.kubernetes.io/name=demo-panel", "-o", "jsonpath={.items[0].spec.nodeName}"],
    )?;
    let path = format!("/api/v1/nodes/{}/proxy/stats/summary", node.trim());
    let measured = || -> Result<(String, f64)> {
        let summary: Value =
            serde_json::from_str(&kubectl.run(&["get", "--raw", &path])?).context("read the node's statistics")?;
        let pods = summary["pods"].as_array().cloned().unwrap_or_default();
        let container = pods
            .iter()
            .filter(|pod| pod["podRef"]["namespace"] == NAMESPACE)
            .find_map(|pod| pod["containers"].get(0))
            .cloned()
            .unwrap_or_default();
        let bytes = container["memory"]["workingSetBytes"].as_f64().unwrap_or(f64::NAN);
        Ok((container["memory"]["time"].as_str().unwrap_or_default().to_owned(), bytes / f64::from(1 << 20)))
    };
    // The kubelet looks every few seconds: its second look from now on is all after now.
    let (mut seen, mut looks, end) = (measured()?.0, 0, Instant::now() + Duration::from_secs(120));
    loop {
        let (at, working_set) = measured()?;
        if at != seen {
            (seen, looks) = (at, looks + 1);
        }
        if looks == 2 {
            return Ok(working_set);
        }
        if Instant::now() > end {
            return Err(error("the kubelet measures no memory"));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
