//! Tells a pod's proxy whether a connection to a loopback address would reach a pod: only the node can look into other processes.
//!
//! A question is an IPv4 address and a port (six bytes, network order) on a connection of its own; the answer is one byte, 1 for yes.
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use listen::{Guarded, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::listening::{is_local, is_unicast, listener};
use super::shared::Shared;

/// Name of the node's socket, beside the pods' private folders.
pub const NODE_SOCKET: &str = "node.sock";
/// Longest time for one question.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions at once. A proxy whose question is refused does not connect.
const AT_ONCE: usize = 256;
/// Addresses whose answer a proxy remembers.
const REMEMBERED: usize = 4096;

/// Limits of the node's socket. All proxies are one peer: they run as this user.
pub fn limits() -> Limits {
    Limits { connections: AT_ONCE, per_peer: AT_ONCE, waiting: AT_ONCE, head: PATIENCE, ..Limits::default() }
}

/// Answers until stopped.
pub async fn serve(shared: Arc<Shared>, stop: CancellationToken) {
    let path = shared.run.join(NODE_SOCKET);
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "The node cannot listen on {}: sidecars will refuse connections to pods", path.display());
            return;
        }
    };
    let policy = shared.policies.questions.clone();
    policy
        .run(listener, stop, |io, _| {
            let shared = shared.clone();
            // A proxy that went away needs no answer.
            async move { drop(tokio::time::timeout(PATIENCE, answer(&shared, io)).await) }
        })
        .await;
}

async fn answer(shared: &Shared, mut stream: Guarded<UnixStream>) -> io::Result<()> {
    let mut question = [0; 6];
    stream.read_exact(&mut question).await?;
    let [a, b, c, d, high, low] = question;
    let listens = shared.pod_listens(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).await;
    stream.write_all(&[u8::from(listens)]).await
}

/// A proxy's side. It asks once for each socket that it would reach, so a request costs no question.
#[derive(Debug)]
pub struct Reach {
    socket: PathBuf,
    /// Inode of the listening socket that the node has called a pod's.
    known: Mutex<HashMap<SocketAddr, u32>>,
}

impl Reach {
    /// Asks the node at this socket.
    pub fn new(socket: PathBuf) -> Reach {
        Reach { socket, known: Mutex::default() }
    }

    /// Whether a pod's proxy may connect there. Loopback addresses must be a pod's; if the node does not answer, none is.
    pub async fn allows(&self, to: SocketAddr) -> bool {
        match to.ip().to_canonical() {
            IpAddr::V4(ip) if ip.is_loopback() => self.is_pod(ip, to.port()).await,
            ip if is_local(ip) => false,
            _ => is_unicast(to),
        }
    }

    async fn is_pod(&self, ip: Ipv4Addr, port: u16) -> bool {
        let key = SocketAddr::from((ip, port));
        let inode = listener(ip, port).ok().flatten();
        if inode.is_some() && self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) == inode.as_ref() {
            return true;
        }
        let listens = tokio::time::timeout(PATIENCE, self.ask(ip, port))
            .await
            .is_ok_and(|answer| answer.is_ok_and(|byte| byte == 1));
        if let (true, Some(inode)) = (listens, inode) {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(key, inode);
        }
        listens
    }

    async fn ask(&self, ip: Ipv4Addr, port: u16) -> io::Result<u8> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        let mut question = [0; 6];
        question[..4].copy_from_slice(&ip.octets());
        question[4..].copy_from_slice(&port.to_be_bytes());
        stream.write_all(&question).await?;
        stream.read_u8().await
    }
}
