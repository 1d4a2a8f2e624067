//! Connects to a pod's port: the role's own socket, else the app's address, else the pod's.
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::net::{TcpStream, UnixStream};

use crate::kubelet::Duplex;

/// Connects. The error is the text that `kubectl port-forward` shows.
pub async fn connect(run_dir: &Path, app_ip: Ipv4Addr, pod_ip: Ipv4Addr, port: u16) -> Result<Box<dyn Duplex>, String> {
    // "Loopback only" ports are sockets in the pod's private folder, so that no other user of the machine reaches them.
    if let Ok(stream) = UnixStream::connect(run_dir.join("ports").join(format!("{port}.sock"))).await {
        return Ok(Box::new(stream));
    }
    let mut why = String::new();
    for ip in [app_ip, pod_ip] {
        match TcpStream::connect(SocketAddr::from((ip, port))).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(Box::new(stream));
            }
            Err(error) => why = error.to_string(),
        }
    }
    Err(format!("failed to connect to localhost:{port} inside the pod: {why}"))
}
