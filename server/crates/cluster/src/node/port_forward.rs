//! Connects to a pod's port: the role's own socket, else the app's address, else the pod's.
use std::net::SocketAddr;

use tokio::net::{TcpStream, UnixStream};

use super::shared::{Ips, PodEntry};
use crate::kubelet::Duplex;

/// Connects, if a container listens on the port: what else listens at the pod's address is a service of the host. The error is the text that `kubectl port-forward` shows.
pub async fn connect(entry: &PodEntry, ips: Ips, port: u16) -> Result<Box<dyn Duplex>, String> {
    // "Loopback only" ports are sockets in the pod's private folder, so that no other user of the machine reaches them.
    if let Ok(stream) = UnixStream::connect(entry.run_dir.join("ports").join(format!("{port}.sock"))).await {
        return Ok(Box::new(stream));
    }
    let mut why = "Connection refused (os error 111)".to_owned();
    for ip in [ips.app, ips.pod].into_iter().filter(|ip| entry.listens(*ip, port)) {
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
