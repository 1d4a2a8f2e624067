//! A panel under measurement: its process, its address, and the verbs as curl would send them.
use crate::sh::{Context, Result, cmd, error};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ends in order when dropped.
pub struct Panel {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    address: SocketAddr,
    /// When it was started.
    pub started: Instant,
}

/// A state folder that goes with the run.
pub struct StateDir(PathBuf);

impl StateDir {
    /// A new one in the system's temporary folder.
    pub fn new() -> Result<StateDir> {
        let folder = std::env::temp_dir().join(format!("demo-panel-bench-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).context("make a state folder")?;
        Ok(StateDir(folder))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Panel {
    /// Starts the program on a free port and waits until it says its address.
    pub fn start(program: &Path, state: &StateDir) -> Result<Panel> {
        Panel::run(cmd(program).arg("--state-dir").arg(state.path()))
    }

    /// One that drives the cluster of a kubeconfig.
    pub fn on_cluster(program: &Path, kubeconfig: &Path) -> Result<Panel> {
        Panel::run(cmd(program).arg("--kubeconfig").arg(kubeconfig))
    }

    fn run(command: &mut Command) -> Result<Panel> {
        let started = Instant::now();
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start the panel")?;
        let out = child.stdout.take().ok_or_else(|| error("the panel has no output"))?;
        let mut lines = BufReader::new(out).lines();
        let url = lines
            .by_ref()
            .map_while(std::io::Result::ok)
            .find_map(|line| line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned))
            .ok_or_else(|| error("the panel ended before it said its address"))?;
        // Whatever it says later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        let url = url.trim_end_matches('/').to_owned();
        let address = url.trim_start_matches("http://").parse().context("read the panel's address")?;
        Ok(Panel { child, url, address, started })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the answer to a GET; errors where it is none of success.
    pub fn get(&self, path: &str) -> Result<String> {
        let mut answer = agent().get(format!("{}{path}", self.url)).call().context(format!("GET {path}"))?;
        let text = answer.body_mut().read_to_string().context(format!("read the answer to GET {path}"))?;
        if answer.status().is_success() {
            Ok(text)
        } else {
            Err(error(format!("GET {path}: {}: {text}", answer.status())))
        }
    }

    /// `POST /api/demo/{verb}`.
    pub fn post(&self, verb: &str, body: &Value) -> Result<Value> {
        self.post_in("istio-app", verb, body)
    }

    /// The same in another namespace.
    pub fn post_in(&self, namespace: &str, verb: &str, body: &Value) -> Result<Value> {
        let mut answer = agent()
            .post(format!("{}/api/demo/{verb}?namespace={namespace}", self.url))
            .send_json(body)
            .context(format!("POST {verb}"))?;
        let status = answer.status();
        let text = answer.body_mut().read_to_string().context(format!("read the answer to {verb}"))?;
        if !status.is_success() {
            return Err(error(format!("POST {verb}: {status}: {text}")));
        }
        serde_json::from_str(&text).context(format!("read the answer to {verb}"))
    }

    /// `GET /api/demo/status`.
    pub fn status(&self) -> Result<Value> {
        self.status_in("istio-app")
    }

    /// The same of another namespace.
    pub fn status_in(&self, namespace: &str) -> Result<Value> {
        let mut answer =
            agent().get(format!("{}/api/demo/status?namespace={namespace}", self.url)).call().context("GET status")?;
        answer.body_mut().read_json().context("read the status")
    }

    /// Its calls to the cluster's API so far, from `/metrics`.
    pub fn calls(&self) -> Result<Vec<Calls>> {
        let mut answer = agent().get(format!("{}/metrics", self.url)).call().context("GET metrics")?;
        let text = answer.body_mut().read_to_string().context("read the metrics")?;
        Ok(text.lines().filter_map(Calls::read).collect())
    }

    /// Whether `kind` is True.
    pub fn is(&self, kind: &str) -> Result<bool> {
        self.is_in("istio-app", kind)
    }

    /// The same in another namespace.
    pub fn is_in(&self, namespace: &str, kind: &str) -> Result<bool> {
        let status = self.status_in(namespace)?;
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions.iter().any(|c| c["type"] == kind && c["status"] == "True"))
    }

    /// Waits until it is so, at most a minute.
    pub fn until(&self, what: &str, mut so: impl FnMut(&Panel) -> Result<bool>) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let last = so(self);
            match last {
                Ok(true) => return Ok(()),
                _ if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
                Ok(false) => return Err(error(format!("not within a minute: {what}\n{}", self.status()?))),
                Err(why) => return Err(error(format!("not within a minute: {what}: {why:#}"))),
            }
        }
    }

    /// Deployed, injected, with a route at 50/50.
    pub fn demo(&self) -> Result<()> {
        self.until("the panel is ready", |p| p.status().map(|_| true))?;
        self.post("deploy", &json!({}))?;
        self.until("deployed", |p| p.is("Deployed"))?;
        self.post("inject", &json!({"inject": true}))?;
        self.until("injected", |p| p.is("Injected"))?;
        self.post("weights", &json!({"v1": 50, "v2": 50}))?;
        self.until("acknowledged", |p| p.is("RouteAcknowledged"))
    }

    /// The next `traffic` events, until one satisfies `enough`.
    pub fn frames(&self, mut enough: impl FnMut(&Value) -> bool) -> Result<()> {
        let answer = agent().get(format!("{}/api/demo/live", self.url)).call().context("GET live")?;
        let mut event = String::new();
        for line in BufReader::new(answer.into_body().into_reader()).lines() {
            let line = line.context("read the live stream")?;
            if let Some(name) = line.strip_prefix("event:") {
                event = name.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data:").filter(|_| event == "traffic")
                && enough(&serde_json::from_str(data).context("read a frame")?)
            {
                return Ok(());
            }
        }
        Err(error("the live stream ended"))
    }
}

/// How often the panel has asked the API for something.
pub struct Calls {
    /// `get`, `list`, `watch`, `patch` …
    pub verb: String,
    /// `pods`, `virtualservices` …
    pub resource: String,
    /// The answer's status.
    pub code: String,
    /// How often.
    pub count: f64,
}

impl Calls {
    fn read(line: &str) -> Option<Calls> {
        let (labels, count) = line.strip_prefix("demo_panel_cluster_requests_total{")?.split_once("} ")?;
        let label = |name: &str| {
            let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"').to_owned()).next()
        };
        Some(Calls {
            verb: label("verb")?,
            resource: label("resource")?,
            code: label("code")?,
            count: count.parse().ok()?,
        })
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

impl Drop for Panel {
    fn drop(&mut self) {
        let _ = crate::sh::output(cmd("kill").arg(self.child.id().to_string()));
        let _ = self.child.wait();
    }
}
