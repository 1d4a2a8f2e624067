//! Runs one probe. The error is the text of the `Unhealthy` event, in the kubelet's words.
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::spec::{ProbeAction, ProbeSpec};

/// Runs a probe against a pod. `listens` says whether a pod's container listens at an address: no other is connected to. `exec` runs a command in the container and gives its exit code and output.
pub async fn run<L, Listens, F, Fut>(probe: &ProbeSpec, pod_ip: Ipv4Addr, listens: L, exec: F) -> Result<(), String>
where
    L: FnOnce(Ipv4Addr, u16) -> Listens + Send,
    Listens: Future<Output = bool> + Send,
    F: FnOnce(Vec<String>) -> Fut + Send,
    Fut: Future<Output = Result<(i32, String), String>> + Send,
{
    let attempt = async {
        if let ProbeAction::Http { host, port, .. } | ProbeAction::Tcp { host, port } = &probe.action {
            let ip = host.unwrap_or(pod_ip);
            if !listens(ip, *port).await {
                return Err(not_listening(&probe.action, SocketAddr::from((ip, *port))));
            }
        }
        match &probe.action {
            ProbeAction::Http { host, port, path, headers } => {
                http_get(host.unwrap_or(pod_ip), *port, path, headers).await
            }
            ProbeAction::Tcp { host, port } => {
                let to = SocketAddr::from((host.unwrap_or(pod_ip), *port));
                TcpStream::connect(to).await.map(drop).map_err(|error| dial(to, &error))
            }
            ProbeAction::Exec(command) => match exec(command.clone()).await? {
                (0, _) => Ok(()),
                (code, output) if output.trim().is_empty() => Err(format!("command exited with code {code}")),
                (_, output) => Err(output.trim().chars().take(1024).collect()),
            },
            ProbeAction::Unsupported(why) => Err(why.clone()),
        }
    };
    match tokio::time::timeout(probe.timeout, attempt).await {
        Ok(result) => result,
        Err(_) => Err(too_late(probe, pod_ip)),
    }
}

fn too_late(probe: &ProbeSpec, pod_ip: Ipv4Addr) -> String {
    match &probe.action {
        ProbeAction::Http { port, path, .. } => format!(
            "Get \"http://{pod_ip}:{port}{path}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        ),
        ProbeAction::Tcp { port, .. } => format!("dial tcp {pod_ip}:{port}: i/o timeout"),
        _ => format!("command timed out after {}s", probe.timeout.as_secs()),
    }
}

/// As if the connection had been refused.
fn not_listening(action: &ProbeAction, to: SocketAddr) -> String {
    let dialled = dial(to, &std::io::ErrorKind::ConnectionRefused.into());
    match action {
        ProbeAction::Http { path, .. } => format!("Get \"http://{to}{path}\": {dialled}"),
        _ => dialled,
    }
}

async fn http_get(ip: Ipv4Addr, port: u16, path: &str, headers: &[(String, String)]) -> Result<(), String> {
    let to = SocketAddr::from((ip, port));
    let url = format!("http://{to}{path}");
    let stream = TcpStream::connect(to).await.map_err(|error| format!("Get \"{url}\": {}", dial(to, &error)))?;
    let broken = |error: hyper::Error| format!("Get \"{url}\": {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut request = Request::get(path)
        .header("user-agent", "kube-probe/1.36")
        // By this header a sidecar knows its callers. Without it probes look like requests of a client that has no sidecar.
        .header("x-envoy-peer-metadata", "kubelet~~kubelet~")
        .header("accept", "*/*")
        .header("connection", "close");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", to.to_string());
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|error| format!("the probe's headers are malformed: {error}"))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        // Source: kubelet, prober: 2xx and 3xx are success.
        if status.is_success() || status.is_redirection() {
            Ok(())
        } else {
            Err(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
        }
    };
    tokio::pin!(answer);
    tokio::select! {
        result = &mut answer => result,
        // The connection may end in the same moment in which it has given the answer away.
        _ = connection => answer.await,
    }
}

fn dial(to: SocketAddr, error: &std::io::Error) -> String {
    let why = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {to}: {why}")
}
