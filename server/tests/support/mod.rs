//! One panel on a free port and a state folder of its own, with its whole embedded cluster; nothing is left when it is dropped.
#![allow(dead_code, reason = "each test file uses its own part")]
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything the cluster does.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running panel.
pub struct Panel {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    state: tempfile::TempDir,
}

impl Panel {
    /// Starts the program under test with nothing.
    pub fn start() -> Panel {
        let state = tempfile::tempdir().expect("a state folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_demo-panel"))
            .args(["--listen", "127.0.0.1:0", "--state-dir"])
            .arg(state.path().join("state"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the panel starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned))
            .expect("the panel says its address");
        std::thread::spawn(move || lines.for_each(drop));
        Panel { child, url: url.trim_end_matches('/').to_owned(), state }
    }

    /// Its state folder.
    pub fn state_dir(&self) -> PathBuf {
        self.state.path().join("state")
    }

    /// Its kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state_dir().join("kubeconfig")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An unmodified kubectl, pointed at the embedded cluster.
    pub fn kubectl(&self, args: &[&str]) -> Ran {
        let program = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let mut command = Command::new(program);
        // Kubectl caches discovery in its home folder: each panel gets its own.
        command.env_clear().env("KUBECONFIG", self.kubeconfig()).env("HOME", self.state.path()).args(args);
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace"));
        Ran::of(&mut command)
    }

    /// `GET /api/demo/status`, by curl.
    pub fn status(&self) -> Value {
        let ran = Ran::of(Command::new("curl").args(["-sS", "--fail-with-body", &format!("{}/api/demo/status", self.url)]));
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("the status is not JSON: {e}: {ran:?}"))
    }

    /// `POST /api/demo/{verb}`, by curl.
    pub fn post(&self, verb: &str, body: &str) -> Value {
        let ran = Ran::of(Command::new("curl").args(["-sS", "--fail-with-body", "--json", body, &format!("{}/api/demo/{verb}", self.url)]));
        assert!(ran.ok, "{verb} {body}: {ran:?}");
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("the answer to {verb} is not JSON: {e}: {ran:?}"))
    }

    /// Waits until the status is so; says the last one when it does not come.
    pub fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if so(&status) {
                return status;
            }
            assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}\n{status:#}");
            // Each look is a whole process; more often would slow what is waited for.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the condition of this kind is True.
    pub fn until_true(&self, kind: &str) -> Value {
        self.until(&format!("{kind} is True"), |status| condition(status, kind) == "True")
    }
}

/// Status of the condition of this kind; empty where there is none.
pub fn condition<'a>(status: &'a Value, kind: &str) -> &'a str {
    let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().find(|c| c["type"] == kind).and_then(|c| c["status"].as_str()).unwrap_or_default()
}

impl Drop for Panel {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().expect("a process id"));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let left = processes_mentioning(&self.state_dir());
            assert!(left.is_empty(), "processes outlived the panel: {left:?}");
        }
    }
}

/// Processes whose environment names this folder: the pods of a panel.
pub fn processes_mentioning(folder: &Path) -> Vec<u32> {
    processes_with("environ", folder)
}

/// Processes whose command line names this folder.
pub fn processes_started_with(folder: &Path) -> Vec<u32> {
    processes_with("cmdline", folder)
}

fn processes_with(file: &str, folder: &Path) -> Vec<u32> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let entries = std::fs::read_dir("/proc").expect("/proc is readable");
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok())
        .filter(|pid| {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            text.windows(needle.len()).any(|window| window == needle)
        })
        .collect()
}

/// What a program said.
#[derive(Debug)]
pub struct Ran {
    /// Whether it ended with 0.
    pub ok: bool,
    /// Its standard output.
    pub out: String,
    /// Its errors.
    pub err: String,
}

impl Ran {
    /// Runs to the end.
    pub fn of(command: &mut Command) -> Ran {
        let out = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        Ran {
            ok: out.status.success(),
            out: String::from_utf8_lossy(&out.stdout).into_owned(),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }

    /// Fails the test unless it ended with 0; returns its output.
    pub fn must(self) -> String {
        assert!(self.ok, "{self:?}");
        self.out
    }
}
