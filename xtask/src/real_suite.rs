//! The second run of `cargo xtask test`: the server's integration tests on a real Kubernetes with Istio.
//!
//! On the one that `DEMO_PANEL_TEST_KUBECONFIG` names, else on one that is booted for it. What does not run there is told by name.
use crate::sh::{Context, Result, run, target_dir, workspace};
use crate::steps::Steps;
use crate::test_programs::Programs;
use crate::{image, real_cluster};
use std::path::{Path, PathBuf};

/// Files of `server/tests` that run there.
const HERE: [&str; 10] =
    ["journey", "outside", "kubectl", "commands", "real", "browser", "lease", "preflight", "troubles", "real_troubles"];
/// Those that disturb the whole cluster: after all others, one test at a time.
const LAST: [&str; 1] = ["outages"];
/// Those that do not, and why.
const NOT_HERE: [(&str, &str); 13] = [
    ("ill_cluster", "puts a relay that breaks in front of an API, the embedded cluster's"),
    ("load", "asks of our own engine, sidecars and cluster that a hundred thousand requests are answered"),
    ("history", "is about a Prometheus, before any cluster"),
    ("kubeconfig", "is about kubeconfigs that do not work, each made from the embedded cluster's"),
    ("sign_in", "is about the panel's own door, before any cluster"),
    ("zero_failed", "asks of our own sidecar that no request is lost; there the sidecars are Envoy's"),
    ("roles", "starts the program's roles by themselves: no cluster takes part"),
    ("bad_input", "is about requests and state folders that are refused before a cluster is asked"),
    ("docs", "runs the lines of docs/api.md, which are about the embedded cluster"),
    ("host", "is about what the embedded cluster's pods reach of the host"),
    ("listeners", "floods the listeners of the panel and of the embedded cluster"),
    ("live", "is about the panel's own stream"),
    ("spaces", "stops all load of the cluster, that of the other tests among it"),
];
/// Pods with real proxies start slowly beside others on two cores.
const AT_ONCE: &str = "--test-threads=2";
/// The cluster that is booted for the tests.
const NAME: &str = "test";

/// Where it runs.
pub enum RealSuite {
    /// On a cluster that is there. Its nodes must be able to fetch the demo's image (`DEMO_PANEL_IMAGE`).
    Given(PathBuf),
    /// On one of our own.
    Boot,
    /// Nowhere, and why.
    Nowhere(String),
}

impl RealSuite {
    /// As the environment says, and as far as this machine can.
    pub fn choose() -> RealSuite {
        match std::env::var_os("DEMO_PANEL_TEST_KUBECONFIG").filter(|file| !file.is_empty()) {
            Some(file) => RealSuite::Given(file.into()),
            None => real_cluster::cannot().map_or(RealSuite::Boot, RealSuite::Nowhere),
        }
    }

    /// How many steps [`RealSuite::run`] takes.
    pub fn steps(&self) -> usize {
        match self {
            RealSuite::Given(_) => 1,
            RealSuite::Boot => real_cluster::UP_STEPS + 2,
            RealSuite::Nowhere(_) => 0,
        }
    }

    /// Runs it, and ends the cluster that was booted for it.
    pub fn run(self, steps: &mut Steps, programs: &Programs) -> Result<()> {
        let kubeconfig = match self {
            RealSuite::Nowhere(why) => {
                println!("    not run on a real cluster: {why}");
                return Ok(());
            }
            RealSuite::Given(kubeconfig) => {
                return steps.step("Tests on the given cluster", || tests(programs, &kubeconfig, None));
            }
            // No network, most likely. That the cluster does not boot is another matter: a failure.
            RealSuite::Boot => match real_cluster::Parts::ready(steps) {
                Ok(parts) => real_cluster::up(steps, NAME, &parts)?,
                Err(why) => {
                    return RealSuite::Nowhere(format!("its programs cannot be had: {why:#}")).run(steps, programs);
                }
            },
        };
        let done = steps
            .step("Demo's image, of the tests' own program", || {
                run(programs.cargo_test().args(selected(&[&HERE[..], &LAST].concat())).arg("--no-run"))?;
                real_cluster::load(NAME, &image::debug_archive_of(&target_dir().join("debug/demo-panel"))?)
            })
            .and_then(|()| {
                steps.step("Tests on a real Kubernetes with Istio", || tests(programs, &kubeconfig, Some(NAME)))
            });
        // However they went.
        let ended = real_cluster::down(NAME);
        done.and(ended.map(drop))
    }
}

/// The whole workspace is named, so that cargo builds nothing otherwise than for the first run.
fn selected(files: &[&'static str]) -> Vec<&'static str> {
    let mut words = vec!["--workspace", "--no-fail-fast"];
    words.extend(files.iter().flat_map(|name| ["--test", name]));
    words
}

/// `booted`: the name of the cluster where it is one of ours, whose API server can be stopped.
fn tests(programs: &Programs, kubeconfig: &Path, booted: Option<&str>) -> Result<()> {
    let list = target_dir().join("left-out-on-the-real-cluster.txt");
    // Only the last run's is of interest.
    let _ = std::fs::remove_file(&list);
    let these = |files: &[&'static str], at_once: &str| {
        let mut command = programs.cargo_test();
        command.args(selected(files)).args(["--", at_once]);
        command.env("DEMO_PANEL_TEST_KUBECONFIG", kubeconfig).env("DEMO_PANEL_TEST_LEFT_OUT", &list);
        if let Some(name) = booted {
            let this = std::env::current_exe().context("find this program")?;
            command.env("DEMO_PANEL_TEST_API", format!("'{}' cluster api --name {name}", this.display()));
        }
        run(&mut command)
    };
    let (most, last) = (these(&HERE, AT_ONCE), these(&LAST, "--test-threads=1"));
    let done = most.and(last);
    println!("    not run on the real cluster:");
    println!("        units and crates: no cluster takes part, or the embedded one is what they are about");
    for (file, why) in NOT_HERE {
        println!("        server/tests/{file}.rs: {why}");
    }
    for file in unnamed()? {
        println!("        server/tests/{file}.rs: nobody has said in xtask/src/real_suite.rs whether it can");
    }
    for line in std::fs::read_to_string(&list).unwrap_or_default().lines() {
        println!("        {line}");
    }
    done
}

/// Files of tests that neither list names.
fn unnamed() -> Result<Vec<String>> {
    let folder = workspace().join("server/tests");
    let files =
        std::fs::read_dir(&folder).context(format!("list {}", folder.display()))?.flatten().map(|entry| entry.path());
    let names = files
        .filter(|file| file.extension().is_some_and(|ext| ext == "rs"))
        .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()));
    let mut left: Vec<String> = names
        .filter(|name| {
            !HERE.contains(&name.as_str())
                && !LAST.contains(&name.as_str())
                && !NOT_HERE.iter().any(|(known, _)| known == name)
        })
        .collect();
    left.sort();
    Ok(left)
}
