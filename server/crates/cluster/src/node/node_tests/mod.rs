//! The node with real child processes: `examples/testpod.rs` stands for the panel's binary.
mod life;
mod streams;
mod traffic;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::kubelet::{Exec, ExecOptions, Kubelet, LogOptions};
use crate::registry::{DeleteOptions, Registry, WriteOptions};
use crate::{Kinds, Object, Store, WatchOptions, events};
use futures::StreamExt;
use tokio::io::AsyncReadExt;

/// Longest wait for anything. A named condition that is not met by then fails the test.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program that pods run.
fn testpod() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let folder = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
            let program = folder.join("examples/testpod");
            let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/testpod.rs");
            let written = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).ok();
            // `cargo test` has built it; with `--lib` alone it may be missing.
            if written(&program) < written(&source) {
                let mut cargo = std::process::Command::new(env!("CARGO"));
                cargo.args(["build", "--quiet", "--package", "cluster", "--example", "testpod", "--target-dir"]);
                let built = cargo.arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR")).status();
                assert!(built.unwrap().success(), "the test's pod program does not build");
            }
            program
        })
        .clone()
}

fn images() -> Vec<Image> {
    let applets = ["serve", "sleep", "env", "echo", "fail", "cat", "tty", "stubborn", "socket", "hog", "crash", "spam"];
    let app = Image {
        names: vec!["test".into()],
        entrypoint: vec!["serve".into(), "7777".into()],
        applets: applets.iter().map(|name| (*name).to_owned()).collect(),
        ..Image::default()
    };
    let proxy = Image {
        names: vec!["istio/proxyv2".into()],
        entrypoint: vec!["proxy".into()],
        applets: vec!["proxy".into()],
        proxy: true,
        env: vec![("MESH_SOCKET".into(), "/mesh".into())],
    };
    vec![app, proxy]
}

/// A running node with a registry of its own. Dropping it kills what runs.
struct Bed {
    registry: Registry,
    node: NodeHandle,
    network: Arc<Network>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    state: Arc<tempfile::TempDir>,
}

impl Bed {
    async fn start() -> Bed {
        Bed::start_in(Arc::new(tempfile::tempdir().unwrap())).await
    }

    async fn start_in(state: Arc<tempfile::TempDir>) -> Bed {
        let program = tokio::task::spawn_blocking(testpod).await.unwrap();
        let network = Network::claim(state.path()).unwrap();
        let store = Store::open(state.path().join("store")).unwrap();
        let registry = Registry::open(
            store,
            Kinds::builtin(),
            vec![ignored_fields_admission(), service_ip_admission(network.clone())],
        )
        .unwrap();
        registry.ensure_namespaces(&["default"]).await.unwrap();
        let (recorder, writer) = events(registry.clone());
        let config = NodeConfig {
            name: "node".into(),
            state_dir: state.path().to_owned(),
            images: images(),
            program: Some(program),
            allow_host_exec: false,
            routed: None,
            listeners: listen::Books::default(),
            max_pods: None,
        };
        let node = Node::new(config, registry.clone(), &recorder, network.clone()).unwrap();
        let (handle, stop) = (node.handle(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let (running, writing) = (stop.clone(), stop.clone());
        tasks.spawn(async move { node.run(running).await.unwrap() });
        tasks.spawn(writer.run(writing));
        Bed { registry, node: handle, network, stop, tasks, state }
    }

    /// Stops the node in order and gives the folder for the next one.
    async fn stop(mut self) -> Arc<tempfile::TempDir> {
        self.stop.cancel();
        while let Some(ended) = tokio::time::timeout(PATIENCE, self.tasks.join_next()).await.expect("the node stops") {
            ended.unwrap();
        }
        self.state
    }

    async fn create(&self, group: &str, plural: &str, object: Value) -> Arc<Object> {
        let kind = self.registry.kinds().find(group, plural).unwrap();
        self.registry.create(kind, Some("default"), object, &WriteOptions::by("test")).await.unwrap().object
    }

    /// Creates a pod bound to the node; `spec` is its spec.
    async fn pod(&self, name: &str, mut spec: Value) -> Arc<Object> {
        spec["nodeName"] = "node".into();
        let metadata = json!({"name": name, "labels": {"app": name, "version": "v1"}});
        self.create("", "pods", json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})).await
    }

    /// A pod with one container that serves HTTP.
    async fn serving(&self, name: &str) -> Arc<Object> {
        // On a busy machine an answer may take longer than the second that is the default.
        let probe = json!({"httpGet": {"path": "/healthz", "port": 7777}, "periodSeconds": 1, "timeoutSeconds": 60, "failureThreshold": 1});
        let ports = json!([{"containerPort": 7777}]);
        self.pod(
            name,
            json!({"containers": [{"name": "app", "image": "test", "ports": ports, "readinessProbe": probe}]}),
        )
        .await;
        self.until(name, "ready", is_ready).await
    }

    /// Waits until the pod is so; `what` is for the message.
    #[track_caller]
    fn until(&self, name: &str, what: &str, is: impl Fn(&Object) -> bool) -> impl Future<Output = Arc<Object>> {
        let kind = self.registry.kinds().find("", "pods").unwrap();
        let options = WatchOptions { fields: crate::FieldSelector::name(name), ..WatchOptions::default() };
        let mut watch = self.registry.watch(kind, None, &options).unwrap();
        let place = std::panic::Location::caller();
        async move {
            let mut last = None;
            let met = tokio::time::timeout(PATIENCE, async {
                while let Some(event) = watch.next().await {
                    let event = event.unwrap();
                    if event.kind != crate::WatchKind::Deleted && is(&event.object) {
                        return event.object;
                    }
                    last = Some(event.object);
                }
                panic!("the watch ended");
            })
            .await;
            met.unwrap_or_else(|_| {
                panic!(
                    "{place}: pod {name} is not {what}:\n{:#}",
                    last.map_or(Value::Null, |pod| pod["status"].clone())
                )
            })
        }
    }

    async fn delete(&self, name: &str, grace: Option<u64>) {
        let kind = self.registry.kinds().find("", "pods").unwrap();
        let options = DeleteOptions { grace_period_s: grace, ..DeleteOptions::default() };
        self.registry.delete(kind, Some("default"), name, &options).await.unwrap();
    }

    /// Waits until the pod's object is gone.
    async fn gone(&self, name: &str) {
        let kind = self.registry.kinds().find("", "pods").unwrap();
        let mut watch = self.registry.watch(kind, None, &WatchOptions::default()).unwrap();
        let wait = async {
            while self.registry.get(kind, Some("default"), name).is_ok() {
                watch.next().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("pod {name} is not gone"));
    }

    async fn exec(&self, pod: &str, command: &[&str]) -> (i32, String, String) {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let options = ExecOptions { command, ..ExecOptions::default() };
        drain(self.node.exec("default", pod, options).await.unwrap()).await
    }

    async fn logs(&self, pod: &str, options: LogOptions) -> String {
        let mut stream = self.node.logs("default", pod, options).await.unwrap();
        let mut text = String::new();
        while let Some(chunk) = stream.next().await {
            text.push_str(&String::from_utf8_lossy(&chunk.unwrap()));
        }
        text
    }

    /// Asks a pod at its own address.
    async fn get(&self, pod: &Object, path: &str) -> String {
        let ip = pod["status"]["podIP"].as_str().unwrap();
        http_get(&format!("{ip}:7777"), &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
    }

    /// Reasons of the events about a pod.
    fn event_reasons(&self, pod: &str) -> Vec<String> {
        let kind = self.registry.kinds().find("", "events").unwrap();
        let all = self.registry.list(kind, Some("default"), &Default::default()).unwrap().items;
        let about = all.iter().filter(|event| event["involvedObject"]["name"] == pod);
        about.map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
    }

    /// Process ids of the node's children that run.
    fn children(&self) -> Vec<i32> {
        let entries = std::fs::read_dir(self.state.path().join("children")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.map(|name| name.split('-').next().unwrap().parse().unwrap()).collect()
    }
}

async fn drain(mut exec: Exec) -> (i32, String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    let (code, _, _) =
        tokio::join!(exec.exit, exec.stdout.read_to_string(&mut out), exec.stderr.read_to_string(&mut err));
    (code, out, err)
}

/// Sends a request and gives the body of the answer.
async fn http_get(to: &str, request: &str) -> String {
    use tokio::io::AsyncWriteExt;
    let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 65536];
    let mut length = 0;
    loop {
        let count = stream.read(&mut answer[length..]).await.unwrap_or(0);
        length += count;
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if count == 0 {
                return text;
            }
            continue;
        };
        let wanted = head
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.lines().next().unwrap().trim().parse().unwrap());
        if body.len() >= wanted || count == 0 {
            return body.to_owned();
        }
    }
}

fn is_ready(pod: &Object) -> bool {
    condition(pod, "Ready") == "True"
}

fn condition<'a>(pod: &'a Object, kind: &str) -> &'a str {
    let all = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|one| one["type"] == kind).and_then(|one| one["status"].as_str()).unwrap_or_default()
}

/// `state` of the first app container: `running`, or the waiting or terminated reason.
fn state(pod: &Object) -> String {
    let state = &pod["status"]["containerStatuses"][0]["state"];
    match state.as_object().and_then(|state| state.iter().next()) {
        Some((key, value)) => value["reason"].as_str().unwrap_or(key).to_owned(),
        None => String::new(),
    }
}

fn restarts(pod: &Object) -> u64 {
    pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0)
}
