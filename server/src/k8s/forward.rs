//! Ways into a pod through the API server: port-forward and exec. The same on either kind of cluster.
use super::client::Cluster;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use std::time::Duration;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::task::JoinSet;

/// Largest answer read from a pod: a sidecar's `config_dump` of a large mesh.
const ANSWER_LIMIT: usize = 32 << 20;

/// Opens a stream to a pod's port. It ends when dropped.
pub async fn open(cluster: &Cluster, ns: &str, pod: &str, port: u16) -> Result<DuplexStream, String> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), ns);
    let opening = async {
        let mut forward = pods.portforward(pod, &[port]).await.map_err(|e| e.to_string())?;
        forward.take_stream(port).ok_or_else(|| format!("no stream to port {port}"))
    };
    tokio::time::timeout(Duration::from_secs(5), opening)
        .await
        .map_err(|_| "port-forward took longer than 5 s".to_owned())?
}

/// A kept-alive HTTP connection to a pod's port.
pub struct Forwarded {
    sender: SendRequest<Empty<Bytes>>,
    /// Drives the connection; dropping it closes that.
    _driver: JoinSet<()>,
}

impl Forwarded {
    /// Connects. Errors are the cluster's words.
    pub async fn connect(cluster: &Cluster, ns: &str, pod: &str, port: u16) -> Result<Forwarded, String> {
        let stream = open(cluster, ns, pod, port).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // How it ended is told by the request that was under way.
            let _ = connection.await;
        });
        Ok(Forwarded { sender, _driver: driver })
    }

    /// GETs a path. After an error the connection is of no use any more.
    pub async fn get(&mut self, path: &str) -> Result<Bytes, String> {
        let asking = async {
            self.sender.ready().await.map_err(|e| e.to_string())?;
            let request = http::Request::get(path)
                .header(http::header::HOST, "localhost")
                .body(Empty::new())
                .map_err(|e| e.to_string())?;
            let response = self.sender.send_request(request).await.map_err(|e| e.to_string())?;
            let status = response.status();
            let body =
                Limited::new(response.into_body(), ANSWER_LIMIT).collect().await.map_err(|e| e.to_string())?.to_bytes();
            if status.is_success() { Ok(body) } else { Err(format!("{path} answered {status}")) }
        };
        tokio::time::timeout(Duration::from_secs(2), asking)
            .await
            .map_err(|_| format!("{path} did not answer within 2 s"))?
    }
}

/// What a command in a pod said.
pub struct Said {
    /// Its output.
    pub stdout: String,
    /// Its errors, and why it could not run.
    pub stderr: String,
    /// Whether it ended with 0.
    pub success: bool,
}

/// Runs a command in a container and waits for its end, at most 10 s.
pub async fn exec(
    cluster: &Cluster,
    ns: &str,
    pod: &str,
    container: &str,
    command: &[&str],
) -> Result<Said, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), ns);
    let params = AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
    let running = async {
        let mut process = pods.exec(pod, command.iter().copied(), &params).await?;
        let (out, err, status) = (process.stdout(), process.stderr(), process.take_status());
        let (mut stdout, mut stderr) = (String::new(), String::new());
        // What a command says that is cut short is shown as far as it came.
        let reading_out = async {
            if let Some(pipe) = out {
                let _ = pipe.take(1 << 20).read_to_string(&mut stdout).await;
            }
        };
        let reading_err = async {
            if let Some(pipe) = err {
                let _ = pipe.take(1 << 20).read_to_string(&mut stderr).await;
            }
        };
        let ending = async {
            match status {
                Some(status) => status.await,
                None => None,
            }
        };
        let ((), (), ended) = tokio::join!(reading_out, reading_err, ending);
        let success = ended.as_ref().is_none_or(|s| s.status.as_deref() == Some("Success"));
        if let Some(message) = ended.filter(|_| !success).map(|s| s.message.unwrap_or_default()) {
            if !stderr.is_empty() {
                stderr.push('\n');
            }
            stderr.push_str(&message);
        }
        Ok(Said { stdout, stderr, success })
    };
    match tokio::time::timeout(Duration::from_secs(10), running).await {
        Ok(said) => said,
        Err(_) => Ok(Said { stdout: String::new(), stderr: "it took longer than 10 s".to_owned(), success: false }),
    }
}
