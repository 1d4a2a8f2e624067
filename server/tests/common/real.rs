//! The real cluster that `DEMO_PANEL_TEST_KUBECONFIG` names, on which the suite runs a second time.
use super::programs::Ran;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

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
        writeln!(list, "{test}: {reason}").unwrap();
    }
    true
}

/// kubectl on the real cluster.
pub fn kubectl(kubeconfig: &Path, args: &[&str]) -> Ran {
    let program = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
    Ran::of(Command::new(program).arg("--kubeconfig").arg(kubeconfig).args(args).current_dir(super::programs::workspace()))
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
