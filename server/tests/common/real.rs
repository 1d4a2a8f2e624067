//! The real cluster that `DEMO_PANEL_TEST_KUBECONFIG` names, on which the suite runs a second time.
use super::programs::{Ran, workspace};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Its kubeconfig; nothing in the run on the embedded cluster.
pub fn kubeconfig() -> Option<PathBuf> {
    std::env::var_os("DEMO_PANEL_TEST_KUBECONFIG").map(PathBuf::from)
}

/// Whether this is the run on the real cluster, where the calling test cannot run. Why is told by name at the run's end.
pub fn left_out(reason: &str) -> bool {
    if kubeconfig().is_none() {
        return false;
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    println!("left out on the real cluster: {test}: {reason}");
    if let Some(list) = std::env::var_os("DEMO_PANEL_TEST_LEFT_OUT") {
        let mut list = std::fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
        // In one piece: other tests write, too.
        list.write_all(format!("{test}: {reason}\n").as_bytes()).unwrap();
    }
    true
}

/// kubectl on the real cluster.
pub fn kubectl(kubeconfig: &Path, args: &[&str]) -> Ran {
    let program = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
    Ran::of(
        Command::new(program).arg("--kubeconfig").arg(kubeconfig).args(args).current_dir(super::programs::workspace()),
    )
}

/// A namespace of one test. It goes with all that is in it, however the test ends.
pub struct OwnNamespace {
    pub name: String,
}

impl OwnNamespace {
    /// A name that no other test has. The panel makes the namespace itself.
    pub fn new() -> OwnNamespace {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        OwnNamespace { name: format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    /// One that a test needs by its name. Where it is there already it is somebody's: then the test fails and touches nothing.
    pub fn named(name: &str) -> OwnNamespace {
        let kubeconfig = kubeconfig().expect("a real cluster");
        let there = kubectl(&kubeconfig, &["get", "namespace", name, "--ignore-not-found", "-o", "name"]).must();
        assert_eq!(there, "", "the cluster has a namespace {name} already");
        OwnNamespace { name: name.to_owned() }
    }
}

impl Drop for OwnNamespace {
    fn drop(&mut self) {
        let Some(kubeconfig) = kubeconfig() else { return };
        // A test may have made neighbours.
        let names = [self.name.clone(), format!("{}-one", self.name), format!("{}-two", self.name)];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let args = [&["delete", "namespace", "--ignore-not-found", "--timeout=120s"][..], &names].concat();
        let gone = kubectl(&kubeconfig, &args);
        if !gone.ok && !std::thread::panicking() {
            panic!("the test's namespace stays: {gone:?}");
        }
    }
}

/// Who runs the real cluster, and does there what people and their tools do.
pub struct Admin {
    pub kubeconfig: PathBuf,
    /// What is not in a test's namespace, and so would stay.
    made: Mutex<Vec<String>>,
}

impl Admin {
    /// Nothing in the run on the embedded cluster, which has nothing of the kind.
    pub fn here() -> Option<Admin> {
        let Some(kubeconfig) = kubeconfig() else {
            println!("left out: it needs a real cluster; `cargo xtask test` boots one");
            return None;
        };
        Some(Admin { kubeconfig, made: Mutex::default() })
    }

    pub fn kubectl(&self, args: &[&str]) -> Ran {
        kubectl(&self.kubeconfig, args)
    }

    /// Makes an object; one that is in no namespace goes with this.
    pub fn make(&self, object: &Value) {
        self.make_text(&object.to_string());
        if object["metadata"]["namespace"].is_null() && object["kind"] != "Namespace" {
            let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
            self.made.lock().unwrap().push(format!("{kind}/{name}"));
        }
    }

    fn make_text(&self, manifest: &str) {
        let program = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let mut create = Command::new(program);
        create
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["create", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = create.spawn().unwrap();
        child.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{}\n{manifest}", String::from_utf8_lossy(&out.stderr));
    }

    /// Takes such an object away before the test's end.
    pub fn unmake(&self, what: &str) {
        self.kubectl(&["delete", what]).must();
        self.made.lock().unwrap().retain(|made| made != what);
    }

    /// Makes a namespace, as somebody else would.
    pub fn namespace(&self, own: &OwnNamespace, labels: &Value) {
        self.make(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": own.name, "labels": labels}}));
    }

    /// A kubeconfig of a ServiceAccount in this namespace, with the rights of `kubernetes/panel/role.yaml` as `change` leaves them.
    pub fn account(&self, own: &OwnNamespace, dir: &Path, change: impl Fn(String) -> String) -> PathBuf {
        let ns = &own.name;
        let role = std::fs::read_to_string(workspace().join("kubernetes/panel/role.yaml")).unwrap();
        let role = role
            .replace("namespace: istio-app", &format!("namespace: {ns}"))
            .replace("namespace: demo-panel", &format!("namespace: {ns}"));
        self.make_text(&change(role.replace("[\"istio-app\"]", &format!("[\"{ns}\"]"))));
        let token = self.kubectl(&["-n", ns, "create", "token", "demo-panel"]).must();
        let view = self.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]).must();
        let mut config: Value = serde_json::from_str(&view).unwrap();
        config["users"][0]["user"] = json!({"token": token.trim()});
        let file = dir.join("kubeconfig");
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        let made = std::mem::take(self.made.get_mut().unwrap_or_else(PoisonError::into_inner));
        for what in made {
            let gone = self.kubectl(&["delete", &what, "--ignore-not-found"]);
            assert!(gone.ok || std::thread::panicking(), "{what} stays: {gone:?}");
        }
    }
}
