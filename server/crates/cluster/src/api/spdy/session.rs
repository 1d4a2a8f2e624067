//! A SPDY connection of forwarded ports: a pair of streams (error, data) is one connection to the pod.
//!
//! Source: k8s.io/kubelet, "portforward", `httpStreamHandler`: the streams' headers name port and request.
use super::frame::{self, Frame, Malformed};
use super::headers::{Reader, Writer};
use crate::api::portforward::{CHUNK, Pod};
use crate::api::ws::{self, Socket};
use bytes::{Bytes, BytesMut};
use futures::stream::{FuturesUnordered, SplitStream};
use futures::{FutureExt, SinkExt, StreamExt, future::BoxFuture};
use std::collections::HashMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// Connections at once through one kubectl; each is a socket to the pod.
const MAX_PAIRS: usize = 128;
const REFUSED: u32 = 3;

/// Forwards until the client leaves.
pub(in crate::api) async fn run(socket: Socket, pod: Pod) {
    let (mut sink, source) = socket.split();
    let (out, mut queue) = mpsc::channel::<Bytes>(8);
    let send = async move {
        while let Some(bytes) = queue.recv().await {
            if sink.send(Message::Binary(bytes)).await.is_err() {
                return;
            }
        }
        ws::close(&mut sink).await;
    };
    let session = Session { pod, out, reader: Reader::new(), writer: Writer::new(), pairs: HashMap::new(), inputs: HashMap::new() };
    let receive = async move {
        if let Err(e) = session.run(source).await {
            tracing::debug!("a port-forward was cut off: {e}");
        }
    };
    // The sender goes on until the session, which holds the queue's other end, is gone.
    tokio::join!(send, receive);
}

/// What is known of a request's two streams.
#[derive(Default)]
struct Pair {
    error: Option<u32>,
    data: Option<Data>,
}

/// A data stream, seen from the connection it becomes.
struct Data {
    id: u32,
    input: mpsc::Receiver<Bytes>,
    reset: CancellationToken,
}

struct Session {
    pod: Pod,
    out: mpsc::Sender<Bytes>,
    reader: Reader,
    writer: Writer,
    /// Requests of which only one stream is open, by their id.
    pairs: HashMap<String, Pair>,
    /// Where a data stream's bytes go.
    inputs: HashMap<u32, Input>,
}

/// The client's half of a data stream.
struct Input {
    bytes: mpsc::Sender<Bytes>,
    /// Ends the connection whatever the pod still has to say.
    reset: CancellationToken,
}

impl Session {
    async fn run(mut self, mut source: SplitStream<Socket>) -> Result<(), Malformed> {
        let mut connections = FuturesUnordered::<BoxFuture<'static, u32>>::new();
        let mut buffer = BytesMut::new();
        loop {
            let message = tokio::select! {
                message = source.next() => message,
                Some(ended) = connections.next() => {
                    self.inputs.remove(&ended);
                    continue;
                }
            };
            let bytes = match message {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => continue,
            };
            buffer.extend_from_slice(&bytes);
            while let Some(frame) = frame::read(&mut buffer)? {
                // Polled beside the frame's own work: that may wait for a connection to take bytes.
                let handled = self.frame(frame, connections.len());
                let mut ended = Vec::new();
                let next = {
                    let mut handled = std::pin::pin!(handled);
                    loop {
                        tokio::select! {
                            next = &mut handled => break next?,
                            Some(id) = connections.next() => ended.push(id),
                        }
                    }
                };
                self.inputs.retain(|id, _| !ended.contains(id));
                if let Some(connection) = next {
                    connections.push(connection);
                }
            }
            if buffer.is_empty() {
                // A big transfer must not leave its buffer to an idle connection.
                buffer = BytesMut::new();
            }
        }
    }

    /// Handles a frame; a request that became complete is returned as the work of its connection.
    async fn frame(&mut self, frame: Frame, open: usize) -> Result<Option<BoxFuture<'static, u32>>, Malformed> {
        match frame {
            Frame::SynStream { id, fin, headers } => return self.stream(id, fin, headers, open).await,
            Frame::Headers { headers } => {
                self.reader.read(headers)?;
            }
            Frame::Data { id, fin, bytes } => {
                if let Some(input) = self.inputs.get(&id) {
                    // An error is a connection that has ended.
                    if !bytes.is_empty() {
                        let _ = input.bytes.send(bytes).await;
                    }
                    if fin {
                        self.inputs.remove(&id);
                    }
                }
            }
            Frame::Reset { id, .. } => {
                if let Some(input) = self.inputs.remove(&id) {
                    input.reset.cancel();
                }
            }
            // Pings with odd numbers are the client's own; it gets the same back.
            Frame::Ping { id } if !id.is_multiple_of(2) => self.send(&Frame::Ping { id }).await,
            Frame::Ping { .. } | Frame::SynReply { .. } | Frame::GoAway | Frame::Ignored => {}
        }
        Ok(None)
    }

    async fn stream(&mut self, id: u32, fin: bool, headers: Bytes, open: usize) -> Result<Option<BoxFuture<'static, u32>>, Malformed> {
        let headers = self.reader.read(headers)?;
        let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let port = header("port").and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
        let kind = header("streamtype").filter(|kind| ["error", "data"].contains(kind));
        let (Some(port), Some(kind), true) = (port, kind, open + self.pairs.len() < MAX_PAIRS) else {
            self.send(&Frame::Reset { id, status: REFUSED }).await;
            return Ok(None);
        };
        // Clients before Kubernetes 1.3 sent no request id: their data stream's number follows the error stream's.
        let request = header("requestid").map_or_else(|| if kind == "error" { id } else { id.saturating_sub(2) }.to_string(), str::to_owned);
        let reply = Frame::SynReply { id, headers: self.writer.write(&[])? };
        self.send(&reply).await;
        let pair = self.pairs.entry(request.clone()).or_default();
        if kind == "error" {
            pair.error = Some(id);
        } else {
            let (bytes, input) = mpsc::channel(4);
            let reset = CancellationToken::new();
            pair.data = Some(Data { id, input, reset: reset.clone() });
            if !fin {
                self.inputs.insert(id, Input { bytes, reset });
            }
        }
        match self.pairs.remove(&request) {
            Some(Pair { error: Some(error), data: Some(data) }) => {
                Ok(Some(forward(self.pod.clone(), port, error, data, self.out.clone()).boxed()))
            }
            Some(half) => {
                self.pairs.insert(request, half);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    async fn send(&self, frame: &Frame) {
        // An error is a client that left; the reading side sees it too.
        let _ = self.out.send(frame::write(frame)).await;
    }
}

/// One connection to the pod, until the pod closes it or the client is done with it. Returns the data stream's number.
async fn forward(pod: Pod, port: u16, error: u32, data: Data, out: mpsc::Sender<Bytes>) -> u32 {
    let Data { id: data, input, reset } = data;
    let send = async |id, fin, bytes| out.send(frame::write(&Frame::Data { id, fin, bytes })).await.is_ok();
    match pod.kubelet.port_forward(&pod.namespace, &pod.name, port).await {
        Ok(stream) => {
            tokio::select! {
                () = copy(stream, data, input, &out) => {}
                () = reset.cancelled() => {}
            }
        }
        Err(status) => {
            let words = format!("an error occurred forwarding {port} -> {port}: {}", status.message);
            send(error, false, Bytes::from(words)).await;
        }
    }
    // kubectl waits for the end of both.
    send(data, true, Bytes::new()).await;
    send(error, true, Bytes::new()).await;
    data
}

async fn copy(stream: Box<dyn crate::kubelet::Duplex>, data: u32, mut input: mpsc::Receiver<Bytes>, out: &mpsc::Sender<Bytes>) {
    let (mut from_pod, mut to_pod) = tokio::io::split(stream);
    let write = async {
        while let Some(bytes) = input.recv().await {
            if to_pod.write_all(&bytes).await.is_err() || to_pod.flush().await.is_err() {
                return;
            }
        }
        // The client's end of file; the pod may still have to answer.
        let _ = to_pod.shutdown().await;
    };
    let read = async {
        loop {
            let mut bytes = BytesMut::with_capacity(CHUNK);
            match from_pod.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let frame = Frame::Data { id: data, fin: false, bytes: bytes.freeze() };
                    if out.send(frame::write(&frame)).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let mut read = std::pin::pin!(read);
    tokio::select! {
        () = &mut read => {}
        () = write => read.await,
    }
}
