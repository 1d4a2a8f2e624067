//! kubectl beside a panel under measurement, in the demo's namespace, and a port-forward of its own.
use crate::sh::{Context, Result, cmd, error, output};
use crate::tools;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// An unmodified kubectl on one cluster.
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// Errors: no kubectl can be had.
    pub fn new(kubeconfig: &Path) -> Result<Kubectl> {
        Ok(Kubectl { program: tools::kubectl()?, kubeconfig: kubeconfig.to_owned() })
    }

    /// One that was not started yet.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = cmd(&self.program);
        // Its cache of what the API serves goes beside the kubeconfig.
        let cache = self.kubeconfig.with_file_name("kubectl-cache");
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(cache).args(words);
        command
    }

    /// Runs it to the end in the demo's namespace; gives its output.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        self.run_in("istio-app", words)
    }

    /// The same in another namespace.
    pub fn run_in(&self, namespace: &str, words: &[&str]) -> Result<String> {
        self.run_on_all(&[&["-n", namespace], words].concat())
    }

    /// The same of what says itself in which namespaces it is.
    pub fn run_on_all(&self, words: &[&str]) -> Result<String> {
        output(&mut self.command(words))
    }

    /// Leads to a port of a pod: `deploy/simple-flask-app-client`.
    pub fn forward(&self, to: &str, port: u16) -> Result<Forward> {
        self.forward_in("istio-app", to, port)
    }

    /// The same in another namespace.
    pub fn forward_in(&self, namespace: &str, to: &str, port: u16) -> Result<Forward> {
        let mut child = self
            .command(&["-n", namespace, "port-forward", to, &format!(":{port}")])
            .stdout(Stdio::piped())
            .spawn()
            .context("start kubectl port-forward")?;
        let out = child.stdout.take().ok_or_else(|| error("kubectl has no output"))?;
        let mut lines = BufReader::new(out).lines();
        let said = lines
            .by_ref()
            .map_while(std::io::Result::ok)
            .find_map(|line| Some(line.strip_prefix("Forwarding from ")?.split(' ').next()?.to_owned()));
        // Whatever it says later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Forward { child, address: said.ok_or_else(|| error("kubectl port-forward ended"))? })
    }
}

/// A port-forward; it ends when dropped.
pub struct Forward {
    child: Child,
    address: String,
}

impl Forward {
    /// Its end here: `127.0.0.1:41234`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What a GET of a path answers.
    pub fn get(&self, path: &str) -> Result<Value> {
        let mut answer = ureq::get(format!("http://{}{path}", self.address)).call().context(format!("GET {path}"))?;
        answer.body_mut().read_json().context(format!("read the answer to GET {path}"))
    }

    /// What a PUT answers.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value> {
        let mut answer =
            ureq::put(format!("http://{}{path}", self.address)).send_json(body).context(format!("PUT {path}"))?;
        answer.body_mut().read_json().context(format!("read the answer to PUT {path}"))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
