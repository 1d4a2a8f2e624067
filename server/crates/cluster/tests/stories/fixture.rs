//! A cluster in a temporary folder, on port 0. Waits on conditions, explains a time-out, and checks at its end that no process is left.
use cluster::{Cluster, Config, Image, ListOptions, Registry};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything: passed on a hang, not on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
pub const NAMESPACE: &str = "stories";

pub struct TestCluster {
    pub client: Client,
    /// The owner's, with namespace `stories`.
    pub kubeconfig: PathBuf,
    pub api: SocketAddr,
    registry: Registry,
    cluster: Cluster,
    tasks: JoinSet<(&'static str, Result<(), String>)>,
    stop_node: CancellationToken,
    stop_api: CancellationToken,
    folder: TempDir,
}

impl TestCluster {
    /// A new one.
    pub async fn start() -> TestCluster {
        TestCluster::start_in(tempfile::tempdir().unwrap()).await
    }

    /// On the state of an earlier one.
    pub async fn start_in(folder: TempDir) -> TestCluster {
        TestCluster::start_with(folder, |config| config).await
    }

    /// With other settings than [`config`]'s.
    pub async fn start_with(folder: TempDir, change: impl FnOnce(Config) -> Config) -> TestCluster {
        // A second test of this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = Cluster::open(change(config(folder.path()))).unwrap();
        let listener = cluster.bind_api("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let api = listener.local_addr().unwrap();
        let (stop_node, stop_api) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let serve = cluster.serve_api(listener, stop_api.clone());
        let controllers = cluster.run_controllers(stop_node.clone());
        let node = cluster.run_node(stop_node.clone());
        tasks.spawn(async move { ("api", serve.await) });
        tasks.spawn(async move { ("controllers", controllers.await) });
        tasks.spawn(async move { ("node", node.await) });
        let kubeconfig = cluster.kubeconfig_path();
        let client = client(&kubeconfig).await;
        let test = TestCluster {
            client,
            kubeconfig,
            api,
            registry: cluster.registry(),
            cluster,
            tasks,
            stop_node,
            stop_api,
            folder,
        };
        test.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})).await;
        test.until("the namespace has its account", || test.get("", "serviceaccounts", "default")).await;
        test
    }

    /// What another instance on the same state is told.
    pub fn open_again(&self) -> cluster::OpenError {
        match Cluster::open(config(self.folder.path())) {
            Ok(_) => panic!("a second instance was let in"),
            Err(why) => why,
        }
    }

    /// Server-side apply.
    pub async fn apply(&self, object: Value) -> DynamicObject {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let types = object.types.clone().unwrap();
        let (group, version) = types.api_version.rsplit_once('/').unwrap_or(("", &types.api_version));
        let plural = format!("{}s", types.kind.to_lowercase());
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: types.api_version.clone(),
            kind: types.kind.clone(),
            plural,
        };
        let api: Api<DynamicObject> = match types.kind.as_str() {
            "Namespace" => Api::all_with(self.client.clone(), &resource),
            _ => Api::namespaced_with(self.client.clone(), NAMESPACE, &resource),
        };
        let name = object.metadata.name.clone().unwrap();
        api.patch(&name, &PatchParams::apply("stories").force(), &Patch::Apply(&object)).await.unwrap()
    }

    /// An object of the namespace, as the registry has it.
    pub fn get(&self, group: &str, plural: &str, name: &str) -> Option<Arc<Value>> {
        let kind = self.registry.kinds().find(group, plural).unwrap();
        self.registry.get(kind, kind.namespaced.then_some(NAMESPACE), name).ok()
    }

    /// All of a kind in another namespace.
    pub fn list_in(&self, namespace: &str, group: &str, plural: &str) -> Vec<Arc<Value>> {
        let kind = self.registry.kinds().find(group, plural).unwrap();
        self.registry.list(kind, Some(namespace), &ListOptions::default()).unwrap().items
    }

    /// All of a kind in the namespace.
    pub fn list(&self, group: &str, plural: &str) -> Vec<Arc<Value>> {
        let kind = self.registry.kinds().find(group, plural).unwrap();
        self.registry.list(kind, Some(NAMESPACE), &ListOptions::default()).unwrap().items
    }

    pub fn pods(&self) -> Vec<Arc<Value>> {
        self.list("", "pods")
    }

    /// The pods that are ready and stay.
    pub fn ready_pods(&self) -> Vec<Arc<Value>> {
        let mut pods = self.pods();
        pods.retain(|p| is_ready(p) && p["metadata"]["deletionTimestamp"].is_null());
        pods
    }

    /// Whether a Deployment's rollout has ended well, as `kubectl rollout status` judges it.
    pub fn is_rolled_out(&self, name: &str) -> bool {
        let Some(deployment) = self.get("apps", "deployments", name) else { return false };
        let status = &deployment["status"];
        let count = |field: &str| status[field].as_i64().unwrap_or(0);
        let wanted = deployment["spec"]["replicas"].as_i64().unwrap();
        status["observedGeneration"] == deployment["metadata"]["generation"]
            && [count("updatedReplicas"), count("replicas"), count("availableReplicas")].iter().all(|n| *n == wanted)
    }

    /// The newest write's.
    pub fn revision(&self) -> u64 {
        self.registry.revision()
    }

    /// The objects that were written last, as lines.
    pub fn newest(&self, count: usize) -> Vec<String> {
        let kinds = self.registry.kinds().iter();
        let mut all: Vec<_> =
            kinds.flat_map(|k| self.registry.list(k, None, &ListOptions::default()).unwrap().items).collect();
        all.sort_by_key(|o| {
            std::cmp::Reverse(o["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse::<u64>().ok()))
        });
        all.iter().take(count).map(|o| o.to_string()).collect()
    }

    /// Waits until `check` gives something.
    pub async fn until<T>(&self, what: &str, check: impl Fn() -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = check() {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => panic!("not within {PATIENCE:?}: {what}\n{}", self.explain()),
        }
    }

    pub async fn rolled_out(&self, name: &str) {
        self.until(&format!("{name} is rolled out"), || self.is_rolled_out(name).then_some(())).await;
    }

    fn explain(&self) -> String {
        let mut lines = Vec::new();
        for deployment in self.list("apps", "deployments") {
            lines.push(format!("deployment {} {}", deployment["metadata"]["name"], deployment["status"]));
        }
        for pod in self.pods() {
            lines.push(format!(
                "pod {} deleted at {} {}",
                pod["metadata"]["name"], pod["metadata"]["deletionTimestamp"], pod["status"]
            ));
        }
        for event in self.list("", "events") {
            lines.push(format!("event {} {} {}", event["involvedObject"]["name"], event["reason"], event["message"]));
        }
        lines.join("\n")
    }

    /// Ids of the processes that run in this cluster's pods.
    pub fn processes(&self) -> Vec<i32> {
        let mark = format!("RUN_DIR={}", self.folder.path().canonicalize().unwrap().display());
        let pids = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|b| *b == 0).any(|v| v.starts_with(mark.as_bytes()))
        })
        .collect()
    }

    /// Ends it in order and checks that no process is left; gives the folder for another start.
    pub async fn stop(mut self) -> TempDir {
        self.stop_node.cancel();
        while self.tasks.len() > 1 {
            self.ended().await;
        }
        assert_eq!(self.processes(), Vec::<i32>::new(), "processes are left");
        self.stop_api.cancel();
        self.ended().await;
        let TestCluster { folder, cluster, registry, .. } = self;
        drop((cluster, registry));
        folder
    }

    async fn ended(&mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.tasks.join_next()).await;
        let (name, result) = ended.expect("a part does not end").unwrap().unwrap();
        assert_eq!(result, Ok(()), "{name}");
    }
}

pub fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

pub fn config(folder: &Path) -> Config {
    let image = Image {
        names: vec!["web".into()],
        entrypoint: vec!["serve".into(), "7777".into()],
        applets: ["serve", "sleep", "env", "echo", "fail", "cat"].map(str::to_owned).into(),
        ..Image::default()
    };
    Config {
        state_dir: folder.join("state"),
        images: vec![image],
        program: Some(program()),
        namespace: NAMESPACE.to_owned(),
        ..Config::default()
    }
}

/// The containers' program: the example `testpod`, which `cargo test` builds beside the tests; with `--test` alone it may be missing.
fn program() -> PathBuf {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let find = || {
        let own = std::env::current_exe().unwrap();
        let folder = own.parent().and_then(Path::parent).unwrap();
        let program = folder.join("examples/testpod");
        if !program.exists() {
            let mut cargo = std::process::Command::new(env!("CARGO"));
            cargo
                .args(["build", "--quiet", "--package", "cluster", "--example", "testpod", "--target-dir"])
                .arg(folder.parent().unwrap());
            if folder.ends_with("release") {
                cargo.arg("--release");
            }
            assert!(
                cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success(),
                "the tests' pod program does not build"
            );
        }
        program
    };
    BUILT.get_or_init(find).clone()
}

async fn client(kubeconfig: &Path) -> Client {
    let config = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// A Deployment of `serve` pods with a readiness probe.
pub fn deployment(name: &str, replicas: u32, version: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 2, "containers": [{
                    "name": "web", "image": "web", "env": [{"name": "version", "value": version}], "ports": [{"name": "http", "containerPort": 7777}],
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 60},
                }]},
            },
        },
    })
}

pub fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 7777, "targetPort": "http"}]}})
}
