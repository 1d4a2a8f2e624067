//! `pods/portforward` in its channel form, as kube-rs speaks it: of the i-th port, channel 2i carries data, 2i+1 an error.
//!
//! Source: k8s.io/kubelet, "portforward" over `v4.channel.k8s.io`; each channel opens with its port, little-endian.
use super::backpressure::offer;
use super::query::Query;
use super::ws::{self, Socket};
use crate::kubelet::Kubelet;
use crate::status::Status;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// kubectl's tunnel and kube-rs' channels; kubectl offers only the first, kube-rs only the second.
pub(super) const PROTOCOLS: [&str; 2] = [super::spdy::PROTOCOL, "v4.channel.k8s.io"];
/// For kubectl 1.30 and older.
pub(super) const CURE: &str = "KUBECTL_PORT_FORWARD_WEBSOCKETS";
/// Of one message; also what waits in memory for a slow client, a few times over.
pub(super) const CHUNK: usize = 16 * 1024;
/// Messages that wait for a connection to the pod to take them.
pub(super) const INPUT: usize = 32;
/// How long one connection may hold up all others of the same client; then it is cut off.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Channel numbers are bytes.
const MAX_PORTS: usize = 32;

/// Whose ports: where to connect to.
#[derive(Clone)]
pub(super) struct Pod {
    pub kubelet: Arc<dyn Kubelet>,
    pub namespace: String,
    pub name: String,
}

/// The ports of the query, `ports=1&ports=2` or `ports=1,2`.
///
/// # Errors
/// 400 where there is none, or too many, or one is no port.
pub(super) fn ports(query: &Query) -> Result<Vec<u16>, Status> {
    let words = query.all("ports").flat_map(|value| value.split(','));
    let ports: Option<Vec<u16>> = words.map(|word| word.parse().ok().filter(|port| *port > 0)).collect();
    match ports {
        Some(ports) if !ports.is_empty() && ports.len() <= MAX_PORTS => Ok(ports),
        _ => Err(Status::bad_request(format!("ports: between 1 and {MAX_PORTS} port numbers are needed"))),
    }
}

/// Forwards until every port's connection has ended or the client leaves.
pub(super) async fn run(socket: Socket, pod: Pod, ports: Vec<u16>) {
    let (mut sink, mut source) = socket.split();
    let (out, mut queue) = mpsc::channel::<Bytes>(4);
    let send = async move {
        while let Some(message) = queue.recv().await {
            if sink.send(Message::Binary(message)).await.is_err() {
                return;
            }
        }
        // The only way to tell this client that the pod has closed its end.
        ws::close(&mut sink).await;
    };
    let (inputs, receivers): (Vec<_>, Vec<_>) = ports.iter().map(|_| mpsc::channel::<Bytes>(INPUT)).unzip();
    let mut inputs: Vec<_> = inputs.into_iter().map(|queue| Some((queue, CancellationToken::new()))).collect();
    let resets: Vec<CancellationToken> = inputs.iter().flatten().map(|(_, reset)| reset.clone()).collect();
    let to_client = out.downgrade();
    let connections = ports.iter().zip(receivers).zip(resets).enumerate();
    let connections =
        connections.map(|(i, ((port, input), reset))| forward(&pod, *port, 2 * i as u8, input, reset, out.clone()));
    let connections = futures::future::join_all(connections);
    drop(out);
    let receive = async move {
        while let Some(Ok(message)) = source.next().await {
            let Message::Binary(mut message) = message else { continue };
            if message.len() < 2 {
                continue;
            }
            let channel = message.split_to(1)[0];
            let Some(input) = inputs.get_mut(usize::from(channel / 2)).filter(|_| channel.is_multiple_of(2)) else {
                continue;
            };
            if let Some((queue, reset)) = input
                && !offer(queue, message, &to_client, PATIENCE).await
            {
                reset.cancel();
                *input = None;
            }
        }
    };
    tokio::select! {
        _ = async { tokio::join!(connections, send) } => {}
        () = receive => {}
    }
}

async fn forward(
    pod: &Pod,
    port: u16,
    channel: u8,
    mut input: mpsc::Receiver<Bytes>,
    reset: CancellationToken,
    out: mpsc::Sender<Bytes>,
) {
    for channel in [channel, channel + 1] {
        if out.send(framed(channel, &port.to_le_bytes())).await.is_err() {
            return;
        }
    }
    let stream = match pod.kubelet.port_forward(&pod.namespace, &pod.name, port).await {
        Ok(stream) => stream,
        Err(status) => {
            let _ = out.send(framed(channel + 1, status.message.as_bytes())).await;
            return;
        }
    };
    let (mut from_pod, mut to_pod) = tokio::io::split(stream);
    let write = async {
        while let Some(bytes) = input.recv().await {
            if to_pod.write_all(&bytes).await.is_err() || to_pod.flush().await.is_err() {
                break;
            }
        }
        // Left open: the client goes on reading what the pod still has to say.
        futures::future::pending::<()>().await;
    };
    let read = async {
        loop {
            let mut message = BytesMut::with_capacity(CHUNK);
            message.put_u8(channel);
            match from_pod.read_buf(&mut message).await {
                Ok(0) | Err(_) => return,
                Ok(_) if out.send(message.freeze()).await.is_err() => return,
                Ok(_) => {}
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
        () = reset.cancelled() => {
            let _ = out.send(framed(channel + 1, b"the pod took nothing for too long: the connection is cut off")).await;
        }
    }
}

fn framed(channel: u8, bytes: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.put_u8(channel);
    message.put_slice(bytes);
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_a_query() {
        for (query, expected) in [
            ("ports=80&ports=7777", Some(vec![80, 7777])),
            ("ports=80,81", Some(vec![80, 81])),
            ("", None),
            ("ports=0", None),
            ("ports=70000", None),
            ("ports=x", None),
        ] {
            assert_eq!(ports(&Query::parse(query).unwrap()).ok(), expected, "{query}");
        }
    }
}
