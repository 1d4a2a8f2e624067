//! The whole program under test: started on a folder of its own, spoken to over HTTP, gone without a trace at the end.
// The environment says where the programs and the cluster of the tests are.
#![allow(clippy::disallowed_methods)]
#![allow(dead_code)]

pub mod programs;
pub mod prometheus;
pub mod real;

use real::OwnNamespace;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest wait for anything. On a real cluster every pod has a real Envoy to start, and the machine's two cores do all of it.
pub fn patience() -> Duration {
    Duration::from_secs(if real::kubeconfig().is_some() { 240 } else { 120 })
}

/// An HTTP answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

/// Sends bytes, reads until the other side closes.
pub fn raw(address: &str, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    // The other side may answer and close before it has read all.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let text = if chunked { unchunk(body) } else { body.to_owned() };
    Answer { status, head: head.to_owned(), text }
}

fn unchunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}

/// One running panel.
pub struct TestPanel {
    child: Child,
    pub address: String,
    pub kubeconfig: PathBuf,
    pub dir: Arc<tempfile::TempDir>,
    /// Where the demo is. On a real cluster every test has one of its own.
    pub namespace: String,
    own: Option<OwnNamespace>,
    log: Arc<Mutex<String>>,
    expects_end: bool,
}

/// A panel's command line on a folder.
pub fn command(dir: &Path) -> Command {
    command_at(dir, "127.0.0.1:0")
}

fn command_at(dir: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-panel"));
    command
        .arg("--state-dir")
        .arg(dir)
        .args(["--listen", listen])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command line that shall not come up; gives its end and what it said.
pub fn refused(mut command: Command) -> (ExitStatus, String) {
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + patience();
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it started: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

impl TestPanel {
    /// On a new folder; in the run on a real cluster there, in a namespace of its own.
    pub fn start() -> TestPanel {
        match real::kubeconfig() {
            Some(kubeconfig) => TestPanel::real(&kubeconfig, OwnNamespace::new()),
            None => TestPanel::on(Arc::new(tempfile::tempdir().unwrap())),
        }
    }

    /// The same, about the namespace `istio-app`, which manifests name: no two tests of a run may want it.
    pub fn start_in_istio_app() -> TestPanel {
        match real::kubeconfig() {
            Some(kubeconfig) => TestPanel::real(&kubeconfig, OwnNamespace::named("istio-app")),
            None => TestPanel::start(),
        }
    }

    /// On the real cluster, in a namespace that goes at the end.
    pub fn real(kubeconfig: &Path, own: OwnNamespace) -> TestPanel {
        let mut panel = TestPanel::driving(kubeconfig);
        kubeconfig.clone_into(&mut panel.kubeconfig);
        panel.namespace.clone_from(&own.name);
        panel.own = Some(own);
        panel
    }

    /// Another panel on the same cluster and namespace, by its kubeconfig.
    pub fn beside(&self) -> TestPanel {
        let mut panel = TestPanel::driving(&self.kubeconfig);
        panel.namespace.clone_from(&self.namespace);
        panel
    }

    /// On a folder that another one may have used.
    pub fn on(dir: Arc<tempfile::TempDir>) -> TestPanel {
        TestPanel::on_address(dir, "127.0.0.1:0")
    }

    /// On such a folder and at a known address.
    pub fn on_address(dir: Arc<tempfile::TempDir>, listen: &str) -> TestPanel {
        TestPanel::run(command_at(&dir.path().join("state"), listen), dir)
    }

    /// On the cluster that a kubeconfig names.
    pub fn driving(kubeconfig: &Path) -> TestPanel {
        let mut line = Command::new(env!("CARGO_BIN_EXE_demo-panel"));
        line.arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        TestPanel::run(line, Arc::new(tempfile::tempdir().unwrap()))
    }

    /// With a token that people must give.
    pub fn guarded(token: &Path) -> TestPanel {
        TestPanel::with(&["--token-file", token.to_str().unwrap()])
    }

    /// The same on a folder and at an address that another one has used.
    pub fn guarded_at(dir: Arc<tempfile::TempDir>, token: &Path, listen: &str) -> TestPanel {
        let mut line = command_at(&dir.path().join("state"), listen);
        line.arg("--token-file").arg(token);
        TestPanel::run(line, dir)
    }

    /// On a new folder, with more words on its command line.
    pub fn with(words: &[&str]) -> TestPanel {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let mut line = command_at(&dir.path().join("state"), "127.0.0.1:0");
        line.args(words);
        TestPanel::run(line, dir)
    }

    fn run(mut line: Command, dir: Arc<tempfile::TempDir>) -> TestPanel {
        let mut child = line.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, kept) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = |prefix: &str| {
            loop {
                let line = lines.next().unwrap_or_else(|| panic!("it ended: {}", log.lock().unwrap())).unwrap();
                if let Some(rest) = line.strip_prefix(prefix) {
                    return rest.to_owned();
                }
            }
        };
        let address = next("panel: http").trim_start_matches('s').trim_start_matches("://").to_owned();
        let embedded = next("cluster: ").starts_with("embedded, state");
        let kubeconfig = if embedded { next("kubectl: export KUBECONFIG=").into() } else { PathBuf::new() };
        TestPanel {
            child,
            address,
            kubeconfig,
            dir,
            namespace: "istio-app".to_owned(),
            own: None,
            log,
            expects_end: false,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// Path of a verb, about this test's namespace.
    pub fn path(&self, verb: &str) -> String {
        if self.namespace == "istio-app" {
            format!("/api/demo/{verb}")
        } else {
            format!("/api/demo/{verb}?namespace={}", self.namespace)
        }
    }

    /// Address of the page, about this test's namespace.
    pub fn url(&self) -> String {
        self.page("")
    }

    /// The same of another page: `preflight`.
    pub fn page(&self, name: &str) -> String {
        format!("http://{}{}", self.address, self.path(name).replacen("/api/demo/", "/", 1))
    }

    /// A verb with a JSON body; without a body where that is empty.
    pub fn post(&self, verb: &str, body: &str) -> Answer {
        let kind = if body.is_empty() { vec![] } else { vec![("Content-Type", "application/json")] };
        self.send("POST", &self.path(verb), &kind, body)
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(body);
        raw(&self.address, request.as_bytes())
    }

    /// A verb that must be accepted.
    pub fn ask(&self, verb: &str, body: &str) -> Value {
        let answer = self.post(verb, body);
        assert!(answer.status < 300, "{verb}: {} {}\n{}", answer.status, answer.text, self.log());
        answer.json()
    }

    /// Moves the weights, and gives the answer that every client-side proxy has them. Istio, and a busy machine, may take longer than the
    /// second that the verb waits, and are asked again.
    pub fn shift(&self, v1: u32, v2: u32) -> Value {
        let (body, deadline) = (format!(r#"{{"v1": {v1}, "v2": {v2}}}"#), Instant::now() + patience());
        loop {
            let answer = self.ask("weights", &body);
            let again = Instant::now() < deadline && answer["pending"] != serde_json::json!([]);
            if answer["acknowledged"] == true || !again {
                assert_eq!(answer["acknowledged"], true, "{answer}\n{}", self.log());
                return answer;
            }
        }
    }

    pub fn status(&self) -> Value {
        self.get(&self.path("status")).json()
    }

    /// Waits until a status is as desired; tells the last one where it never is.
    pub fn until(&self, what: &str, desired: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + patience();
        loop {
            let status = self.status();
            if desired(&status) {
                return status;
            }
            if Instant::now() > deadline {
                panic!("never: {what}\n{}\n{}", serde_json::to_string_pretty(&status).unwrap(), self.log());
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until a condition has this reason.
    pub fn until_reason(&self, kind: &str, reason: &str) -> Value {
        self.until(&format!("{kind} {reason}"), |s| self::reason(s, kind) == reason && s["operation"].is_null())
    }

    /// The next frame of the live stream that fits.
    pub fn until_frame(&self, what: &str, desired: impl Fn(&Value) -> bool) -> Value {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        write!(&stream, "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.path("live"), self.address).unwrap();
        let (deadline, mut event, mut last) = (Instant::now() + patience(), String::new(), Value::Null);
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(name) = line.strip_prefix("event: ") {
                event = name.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ")
                && event == "traffic"
            {
                last = serde_json::from_str(data).unwrap();
                if desired(&last) {
                    return last;
                }
            }
            if Instant::now() > deadline {
                break;
            }
        }
        panic!(
            "never: {what}\nlast frame {last}\n{}\n{}",
            serde_json::to_string_pretty(&self.status()).unwrap(),
            self.log()
        );
    }

    /// The frames that a page which is opened now gets for its chart, oldest first.
    pub fn history(&self) -> Vec<Value> {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        write!(&stream, "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.path("live"), self.address).unwrap();
        let mut lines =
            BufReader::new(stream).lines().map_while(Result::ok).skip_while(|line| line != "event: history");
        let frames = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).expect("a history");
        serde_json::from_str(&frames).unwrap()
    }

    /// Waits until a condition is True.
    pub fn until_true(&self, kind: &str) -> Value {
        self.until(&format!("{kind} is True"), |s| self::holds(s, kind))
    }

    /// Processes that belong to this panel's pods.
    pub fn children(&self) -> Vec<(u32, String)> {
        processes_of(self.dir.path())
    }

    /// Ends it as a crash would, and gives the folder for the next one.
    pub fn kill(mut self) -> Arc<tempfile::TempDir> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.expects_end = true;
        self.dir.clone()
    }

    /// Ends it as a person would; gives how it ended.
    pub fn stop(mut self) -> (ExitStatus, Arc<tempfile::TempDir>) {
        let ended = self.end();
        (ended, self.dir.clone())
    }

    fn end(&mut self) -> ExitStatus {
        self.expects_end = true;
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + patience();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("it does not end: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for TestPanel {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            return;
        }
        if !self.expects_end {
            self.end();
        }
        no_process_left(self.dir.path());
    }
}

/// Waits until no pod's process of a folder is left.
pub fn no_process_left(dir: &Path) {
    let deadline = Instant::now() + patience();
    loop {
        let left = processes_of(dir);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "processes are left: {left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Pids and command lines of processes whose environment names the folder.
fn processes_of(dir: &Path) -> Vec<(u32, String)> {
    processes_with("environ", dir)
}

/// Processes whose command line names the folder.
pub fn processes_started_with(dir: &Path) -> Vec<u32> {
    processes_with("cmdline", dir).into_iter().map(|(pid, _)| pid).collect()
}

fn processes_with(file: &str, dir: &Path) -> Vec<(u32, String)> {
    let wanted = dir.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let text = std::fs::read(entry.path().join(file)).unwrap_or_default();
        if text.windows(wanted.len()).any(|w| w == wanted) {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}

/// The reason of a status's condition.
pub fn reason(status: &Value, kind: &str) -> String {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let found =
        conditions.iter().find(|c| c["type"] == kind).map(|c| c["reason"].as_str().unwrap_or_default().to_owned());
    found.unwrap_or_default()
}

/// The sentence of a status's condition.
pub fn message(status: &Value, kind: &str) -> String {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().find(|c| c["type"] == kind).and_then(|c| c["message"].as_str()).unwrap_or_default().to_owned()
}

/// Whether a status's condition is True.
pub fn holds(status: &Value, kind: &str) -> bool {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|c| c["type"] == kind && c["status"] == "True")
}

/// Requests a version has answered, of a frame.
pub fn count(frame: &Value, version: &str) -> u64 {
    frame["counts"][version].as_u64().unwrap_or(0)
}
