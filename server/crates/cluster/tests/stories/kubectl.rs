//! An unmodified kubectl on the whole cluster. `KUBECTL` names another one than the PATH's; without any, this says so and passes.
use crate::fixture::{NAMESPACE, TestCluster, deployment, name, service};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

struct Kubectl<'a> {
    program: PathBuf,
    cluster: &'a TestCluster,
    home: tempfile::TempDir,
}

impl Kubectl<'_> {
    fn find(cluster: &TestCluster) -> Option<Kubectl<'_>> {
        let value = |wanted: &str| std::env::vars_os().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let on_path = || {
            std::env::split_paths(&value("PATH").unwrap_or_default())
                .map(|dir| dir.join("kubectl"))
                .find(|p| p.exists())
        };
        let program = value("KUBECTL").map(PathBuf::from).or_else(on_path)?;
        Some(Kubectl { program, cluster, home: tempfile::tempdir().unwrap() })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("KUBECONFIG", &self.cluster.kubeconfig).env("HOME", self.home.path()).kill_on_drop(true);
        command.env_remove("http_proxy").env_remove("https_proxy").env_remove("HTTP_PROXY").env_remove("HTTPS_PROXY");
        command
    }

    /// Runs it; its output. Panics with what it said where it fails.
    async fn run(&self, line: &str) -> String {
        let args: Vec<&str> = line.split_whitespace().collect();
        let output = tokio::time::timeout(Duration::from_secs(120), self.command(&args).output()).await;
        let output = output.unwrap_or_else(|_| panic!("kubectl {line} hangs")).unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {line}: {out}{err}");
        format!("{out}{err}")
    }

    async fn apply(&self, file: &Path) -> String {
        self.run(&format!("apply -f {}", file.display())).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_walks_from_apply_to_delete() {
    let t = TestCluster::start().await;
    let Some(kubectl) = Kubectl::find(&t) else {
        eprintln!("no kubectl on the PATH and none in KUBECTL: not tested");
        return drop(t.stop().await);
    };
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("web.yaml");
    let write = |version: &str| {
        std::fs::write(&manifest, format!("---\n{}\n---\n{}\n", service("web"), deployment("web", 2, version)))
            .unwrap();
    };
    write("v1");
    let applied = kubectl.apply(&manifest).await;
    assert!(applied.contains("deployment.apps/web created") && applied.contains("service/web created"), "{applied}");
    let status = kubectl.run("rollout status deployment/web --timeout=40s").await;
    assert!(status.contains("deployment \"web\" successfully rolled out"), "{status}");
    let again = kubectl.apply(&manifest).await;
    assert!(again.contains("deployment.apps/web unchanged") && again.contains("service/web unchanged"), "{again}");

    let all = kubectl.run("get all").await;
    for shown in ["pod/web-", "service/web", "deployment.apps/web", "replicaset.apps/web-", "1/1", "2/2"] {
        assert!(all.contains(shown), "{shown} in {all}");
    }
    let pod = name(&t.ready_pods()[0]).to_owned();
    let described = kubectl.run(&format!("describe pod {pod}")).await;
    for shown in [
        "Successfully assigned stories/web-",
        "Container started",
        "Controlled By:  ReplicaSet/web-",
        "Status:           Running",
    ] {
        assert!(described.contains(shown), "{shown} in {described}");
    }
    let described = kubectl.run("describe deployment web").await;
    for shown in [
        "NewReplicaSetAvailable",
        "MinimumReplicasAvailable",
        "Scaled up replica set web-",
        "2 desired | 2 updated | 2 total | 2 available | 0 unavailable",
    ] {
        assert!(described.contains(shown), "{shown} in {described}");
    }

    let mut logs = kubectl.command(&["logs", "-f", &pod]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(logs.stdout.take().unwrap()).lines();
    let first =
        tokio::time::timeout(Duration::from_secs(120), lines.next_line()).await.expect("a log line").unwrap().unwrap();
    assert!(first.contains("serving on"), "{first}");
    logs.kill().await.unwrap();

    assert!(kubectl.run(&format!("exec {pod} -- env")).await.contains("version=v1"));
    let mut cat = kubectl
        .command(&["exec", "-i", &pod, "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = cat.stdin.take().unwrap();
    stdin.write_all(b"through and back\n").await.unwrap();
    drop(stdin);
    let output =
        tokio::time::timeout(Duration::from_secs(120), cat.wait_with_output()).await.expect("cat ends").unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "through and back\n");

    write("v2");
    kubectl.apply(&manifest).await;
    kubectl.run("rollout status deployment/web --timeout=40s").await;
    assert!(
        kubectl.run("rollout history deployment/web").await.lines().filter(|l| l.starts_with(['1', '2'])).count() == 2
    );
    kubectl.run("rollout undo deployment/web").await;
    kubectl.run("rollout status deployment/web --timeout=40s").await;
    assert!(
        kubectl.run("get deployment web -o jsonpath={.spec.template.spec.containers[0].env[0].value}").await == "v1"
    );
    kubectl.run("rollout restart deployment/web").await;
    kubectl.run("rollout status deployment/web --timeout=40s").await;
    kubectl.run("rollout pause deployment/web").await;
    kubectl.run("set env deployment/web version=v3").await;
    kubectl.run("wait --for=jsonpath={.status.conditions[?(@.type==\"Progressing\")].reason}=DeploymentPaused deployment/web --timeout=40s").await;
    assert!(
        !kubectl.run("get pods -o jsonpath={.items[*].spec.containers[*].env[*].value}").await.contains("v3"),
        "it rolled while paused"
    );
    kubectl.run("rollout resume deployment/web").await;
    kubectl.run("rollout status deployment/web --timeout=40s").await;
    t.until("only v3 is left", || {
        t.pods().iter().all(|p| p["spec"]["containers"][0]["env"][0]["value"] == "v3").then_some(())
    })
    .await;
    kubectl.run("scale deployment web --replicas=1").await;
    kubectl.run("wait --for=condition=Available deployment/web --timeout=40s").await;
    let slices = kubectl.run("get endpointslices").await;
    assert!(slices.contains("web-") && slices.contains("7777"), "{slices}");

    let deleted = kubectl.run(&format!("delete -f {} --wait", manifest.display())).await;
    assert!(deleted.contains("deleted"), "{deleted}");
    t.until("nothing is left", || {
        (t.pods().is_empty() && t.processes().is_empty() && t.list("discovery.k8s.io", "endpointslices").is_empty())
            .then_some(())
    })
    .await;
    kubectl.run(&format!("delete namespace {NAMESPACE} --timeout=40s")).await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_a_list_and_deletes_a_namespace_together_with_what_is_in_it() {
    let t = TestCluster::start().await;
    let Some(kubectl) = Kubectl::find(&t) else {
        eprintln!("no kubectl on the PATH and none in KUBECTL: not tested");
        return drop(t.stop().await);
    };
    let folder = tempfile::tempdir().unwrap();
    let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    std::fs::write(folder.path().join("0-namespace.json"), namespace.to_string()).unwrap();
    let list =
        serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [service("web"), deployment("web", 1, "v1")]});
    std::fs::write(folder.path().join("1-web.json"), list.to_string()).unwrap();
    let applied = kubectl.apply(folder.path()).await;
    assert!(applied.contains("deployment.apps/web created") && applied.contains("service/web created"), "{applied}");
    kubectl.run("rollout status deployment/web --timeout=40s").await;
    // The namespace goes first and takes the rest along; the rest must still be there to be deleted.
    let deleted = kubectl.run(&format!("delete -f {}", folder.path().display())).await;
    assert!(deleted.contains("deployment.apps \"web\" deleted"), "{deleted}");
    t.until("nothing is left", || (t.pods().is_empty() && t.processes().is_empty()).then_some(())).await;
    t.stop().await;
}
