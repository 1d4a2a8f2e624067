//! Ports that a pod's proxy is to take over: an app may listen on more of them than its pod declares, and only the node sees on which.
//!
//! A request is three bytes on a connection of its own, what to do and a port (network order); the answer is one byte, 1 if the proxy
//! listens on the port then.
use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

use listen::{Limits, Listener};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// Name of the proxy's socket in its pod's private folder.
const SOCKET: &str = "inbound.sock";
/// Longest time for one request.
const PATIENCE: Duration = Duration::from_secs(2);
/// Requests at once. The node is the only one who asks.
const AT_ONCE: usize = 32;

/// What the node asks of a pod's proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// Take this port of the app over.
    Open(u16),
    /// Nothing listens behind this port any more.
    Close(u16),
}

impl Inbound {
    fn bytes(self) -> [u8; 3] {
        let (what, port) = match self {
            Inbound::Open(port) => (b'+', port),
            Inbound::Close(port) => (b'-', port),
        };
        let [high, low] = port.to_be_bytes();
        [what, high, low]
    }

    fn read(bytes: [u8; 3]) -> Option<Inbound> {
        let [what, high, low] = bytes;
        let port = u16::from_be_bytes([high, low]);
        match what {
            b'+' => Some(Inbound::Open(port)),
            b'-' => Some(Inbound::Close(port)),
            _ => None,
        }
    }
}

/// Asks the proxy of the pod whose private folder this is. Returns whether it listens on the port then; false if it does not answer.
pub(super) async fn ask(run_dir: &Path, what: Inbound) -> bool {
    let asked = async {
        let mut stream = UnixStream::connect(run_dir.join(SOCKET)).await?;
        stream.write_all(&what.bytes()).await?;
        stream.read_u8().await
    };
    tokio::time::timeout(PATIENCE, asked).await.is_ok_and(|answer| answer.is_ok_and(|byte| byte == 1))
}

/// The proxy's side: carries out what the node asks until stopped. `act` returns whether the proxy listens on the port.
///
/// # Errors
/// The socket cannot be made.
pub async fn serve_inbound<F>(
    run_dir: &Path,
    act: impl Fn(Inbound) -> F + Clone + Send + 'static,
    stop: CancellationToken,
) -> io::Result<()>
where
    F: Future<Output = bool> + Send + 'static,
{
    let path = run_dir.join(SOCKET);
    // An earlier run of the container may have left one.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    let limits =
        Limits { connections: AT_ONCE, per_peer: AT_ONCE, waiting: AT_ONCE, head: PATIENCE, ..Limits::default() };
    Listener::new("inbound-ports", limits, &listen::Books::default())
        .run(listener, stop, |io, _| {
            let act = act.clone();
            // A node that went away needs no answer.
            async move { drop(tokio::time::timeout(PATIENCE, answer(io, act)).await) }
        })
        .await;
    Ok(())
}

async fn answer<F: Future<Output = bool>>(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    act: impl Fn(Inbound) -> F,
) -> io::Result<()> {
    let mut request = [0; 3];
    stream.read_exact(&mut request).await?;
    let listens = match Inbound::read(request) {
        Some(what) => act(what).await,
        None => false,
    };
    stream.write_all(&[u8::from(listens)]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn the_node_is_answered_what_the_proxy_did() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!ask(folder.path(), Inbound::Open(80)).await, "there is no proxy yet");
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (noted, ends, run_dir) = (seen.clone(), stop.clone(), folder.path().to_owned());
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move {
            let act = move |what| {
                noted.lock().unwrap().push(what);
                std::future::ready(what == Inbound::Open(7777))
            };
            serve_inbound(&run_dir, act, ends).await.unwrap();
        });
        while !folder.path().join(SOCKET).exists() {
            tokio::task::yield_now().await;
        }
        for (what, listens) in
            [(Inbound::Open(7777), true), (Inbound::Open(65535), false), (Inbound::Close(7777), false)]
        {
            assert_eq!(ask(folder.path(), what).await, listens, "{what:?}");
        }
        assert_eq!(*seen.lock().unwrap(), [Inbound::Open(7777), Inbound::Open(65535), Inbound::Close(7777)]);
        let mut odd = UnixStream::connect(folder.path().join(SOCKET)).await.unwrap();
        odd.write_all(b"?ab").await.unwrap();
        assert_eq!(odd.read_u8().await.unwrap(), 0);
        stop.cancel();
        serving.join_next().await.unwrap().unwrap();
    }
}
