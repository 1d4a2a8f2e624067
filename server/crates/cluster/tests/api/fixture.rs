//! A whole API in this process: temporary state folder, port 0, a node that is made up. Ends with the test.
use bytes::Bytes;
use cluster::{
    Auth, Duplex, Exec, ExecOptions, Hosts, Kind, Kinds, Kubelet, LogOptions, LogStream, Pki, Registry, Role, StateDir,
    Status, Store, Tokens, kubeconfig_file, render_kubeconfig, serve_api,
};
use futures::{FutureExt, StreamExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The API under test.
pub struct TestApi {
    /// Ready to use, as the owner, in the namespace `istio-app`, which exists.
    pub client: Client,
    pub addr: std::net::SocketAddr,
    pub tokens: Tokens,
    pub ca_pem: String,
    state: StateDir,
    stop: CancellationToken,
    served: Option<JoinHandle<()>>,
    _stop_on_drop: DropGuard,
    _temp: tempfile::TempDir,
}

impl TestApi {
    pub async fn start() -> TestApi {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::open(&temp.path().join("state"), false).unwrap();
        let pki = Pki::open(&state).unwrap();
        let ca_pem = pki.ca_pem().to_owned();
        let tokens = Tokens::open(&state).unwrap();
        let listener: TcpListener = state.bind_api("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        for role in [Role::Owner, Role::Presenter, Role::Viewer] {
            let (token, user) = tokens.of(role).unwrap();
            state
                .write(kubeconfig_file(role), &render_kubeconfig(addr, &ca_pem, token, &user.name, "istio-app"))
                .unwrap();
        }
        let store = Store::open(state.file("store")).unwrap();
        let mut route = Kind::custom("networking.istio.io", &["v1", "v1beta1"], "VirtualService", "virtualservices");
        route.short_names = vec!["vs".to_owned()];
        let registry = Registry::open(store, Kinds::builtin().with(vec![route]), Vec::new()).unwrap();
        registry.ensure_namespaces(&["default", "istio-app"]).await.unwrap();
        let stop = CancellationToken::new();
        let auth = Auth { tokens: tokens.clone(), hosts: Hosts::default(), audit: Some(state.file("audit.log")) };
        #[allow(clippy::disallowed_methods, reason = "a test may start the one task it is about")]
        let served = tokio::spawn(serve_api(
            listener,
            listen::Listener::new("api", cluster::api_limits(None), &listen::Books::default()),
            pki.server_config().unwrap(),
            registry.clone(),
            Arc::new(MadeUpNode),
            auth,
            stop.clone(),
        ));
        let client = client(&state.file("kubeconfig")).await;
        TestApi {
            client,
            addr,
            tokens,
            ca_pem,
            state,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
            served: Some(served),
            _temp: temp,
        }
    }

    /// A client with the rights of a role.
    pub async fn client_of(&self, role: Role) -> Client {
        client(&self.kubeconfig(role)).await
    }

    pub fn kubeconfig(&self, role: Role) -> PathBuf {
        self.state.file(kubeconfig_file(role))
    }

    /// What the audit log says so far.
    pub fn audit(&self) -> String {
        std::fs::read_to_string(self.state.file("audit.log")).unwrap_or_default()
    }

    /// Stops it; how long that took.
    pub async fn stop(&mut self) -> Duration {
        let began = std::time::Instant::now();
        self.stop.cancel();
        self.served.take().unwrap().await.unwrap();
        began.elapsed()
    }

    /// A pod that is running, as far as its status says.
    pub async fn running_pod(&self, name: &str) {
        let pods = kube::Api::<k8s_openapi::api::core::v1::Pod>::default_namespaced(self.client.clone());
        pods.create(&Default::default(), &serde_json::from_value(pod(name)).unwrap()).await.unwrap();
        let status = json!({"status": {"phase": "Running", "podIP": "127.64.0.9", "containerStatuses": [{
            "name": "app", "ready": true, "restartCount": 0, "image": "simple-flask-app:v1", "imageID": "",
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }]}});
        pods.patch_status(name, &Default::default(), &kube::api::Patch::Merge(status)).await.unwrap();
    }
}

async fn client(path: &std::path::Path) -> Client {
    let config = Kubeconfig::read_from(path).unwrap();
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

pub fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": "simple-flask-app:v1", "ports": [{"containerPort": 7777}]}]}})
}

pub fn deployment(name: &str, replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": "simple-flask-app:v1"}]}},
    }})
}

/// Waits until `happened` gives something; says what was waited for when it never does.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut happened: impl FnMut() -> F) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(120), async {
        loop {
            if let Some(it) = happened().await {
                return it;
            }
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never came true: {what}"))
}

/// Echoes: a port repeats what it is sent, port 1 refuses; a command's arguments are its output, `cat` repeats its input.
struct MadeUpNode;

#[async_trait::async_trait]
impl Kubelet for MadeUpNode {
    async fn logs(&self, namespace: &str, pod: &str, o: LogOptions) -> Result<LogStream, Status> {
        let first =
            Bytes::from(format!("{namespace}/{pod}/{} tail={:?}\n", o.container.unwrap_or_default(), o.tail_lines));
        let lines = futures::stream::iter([Ok(first)]);
        Ok(if o.follow { lines.chain(futures::stream::pending()).boxed() } else { lines.boxed() })
    }

    async fn exec(&self, _: &str, _: &str, o: ExecOptions) -> Result<Exec, Status> {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (mut stdin, mut out) = tokio::io::split(ours);
        let (out_reader, in_writer) = tokio::io::split(theirs);
        let (resize, mut sizes) = tokio::sync::mpsc::channel(4);
        let command = o.command;
        if command[0] == "nothing" {
            return Err(Status::bad_request("exec: \"nothing\": executable file not found in $PATH"));
        }
        let is_cat = command[0] == "cat";
        let exit = async move {
            let code = match command[0].as_str() {
                "cat" => tokio::io::copy(&mut stdin, &mut out).await.map(|_| 0).unwrap_or(1),
                "size" => {
                    let (columns, rows) = sizes.recv().await.unwrap();
                    out.write_all(format!("{columns}x{rows}").as_bytes()).await.unwrap();
                    0
                }
                "fail" => 7,
                _ => {
                    out.write_all(command.join(" ").as_bytes()).await.unwrap();
                    0
                }
            };
            out.shutdown().await.unwrap();
            code
        };
        let stdin: Option<Box<dyn tokio::io::AsyncWrite + Send + Unpin>> =
            if is_cat { Some(Box::new(in_writer)) } else { None };
        Ok(Exec {
            stdin,
            stdout: Box::new(out_reader),
            stderr: Box::new(tokio::io::empty()),
            resize,
            exit: exit.boxed(),
        })
    }

    async fn port_forward(&self, _: &str, pod: &str, port: u16) -> Result<Box<dyn Duplex>, Status> {
        if port == 1 {
            return Err(Status::internal(format!("connection to port 1 of {pod} was refused")));
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        #[allow(clippy::disallowed_methods, reason = "a made-up pod")]
        tokio::spawn(async move {
            let (mut input, mut output) = tokio::io::split(ours);
            let mut buffer = vec![0; 8192];
            while let Ok(n @ 1..) = input.read(&mut buffer).await {
                if output.write_all(&buffer[..n]).await.is_err() {
                    return;
                }
            }
            let _ = output.shutdown().await;
        });
        Ok(Box::new(theirs))
    }
}
