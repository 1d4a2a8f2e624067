//! The embedded cluster's API, by `kubectl proxy`: plain HTTP on this side, so that one keep-alive connection can be timed.
use crate::bench::kubectl::Kubectl;
use crate::sh::{Context, Result, error};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

/// A running `kubectl proxy`; it ends when dropped.
pub struct Api {
    child: Child,
    url: String,
    agent: ureq::Agent,
}

impl Api {
    /// Errors: kubectl cannot be had, or does not serve.
    pub fn open(kubectl: &Kubectl) -> Result<Api> {
        let mut child =
            kubectl.command(&["proxy", "--port=0"]).stdout(Stdio::piped()).spawn().context("start kubectl proxy")?;
        let out = child.stdout.take().ok_or_else(|| error("kubectl has no output"))?;
        let mut lines = BufReader::new(out).lines().map_while(std::io::Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("Starting to serve on ").map(str::to_owned));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .into();
        Ok(Api { child, url: format!("http://{}", address.ok_or_else(|| error("kubectl proxy ended"))?), agent })
    }

    /// Sends a body and returns the answer's status; the answer itself is read and dropped.
    pub fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<u16> {
        let url = format!("{}{path}", self.url);
        let request = match method {
            "PATCH" => self.agent.patch(url),
            "PUT" => self.agent.put(url),
            _ => self.agent.post(url),
        };
        let mut answer = request.header("content-type", content_type).send(body).context(format!("{method} {path}"))?;
        let status = answer.status().as_u16();
        std::io::copy(&mut answer.body_mut().as_reader(), &mut std::io::sink())
            .context(format!("read the answer to {method} {path}"))?;
        Ok(status)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
