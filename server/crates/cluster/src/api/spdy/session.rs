//! A SPDY connection of forwarded ports: a pair of streams (error, data) is one connection to the pod.
//!
//! Source: k8s.io/kubelet, "portforward", `httpStreamHandler`: the streams' headers name port and request.
use super::frame::{self, Frame, Malformed};
use super::headers::{Reader, Writer};
use crate::api::backpressure::offer;
use crate::api::portforward::{CHUNK, INPUT, PATIENCE, Pod};
use crate::api::ws::{self, Socket};
use bytes::{Bytes, BytesMut};
use futures::stream::{FuturesUnordered, SplitStream};
use futures::{FutureExt, SinkExt, StreamExt, future::BoxFuture};
use std::collections::HashMap;
use std::time::{Duration, Instant};
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
    let session = Session {
        pod,
        out,
        reader: Reader::new(),
        writer: Writer::new(),
        pairs: HashMap::new(),
        inputs: HashMap::new(),
    };
    let receive = async move {
        if let Err(e) = session.run(source).await {
            tracing::debug!("a port-forward was cut off: {e}");
        }
    };
    // The sender goes on until the session, which holds the queue's other end, is gone.
    tokio::join!(send, receive);
}

/// How long one stream of a pair may be without the other. Source: k8s.io/kubelet, `streamCreationTimeout`.
const HALF_OPEN: Duration = Duration::from_secs(30);

/// What is known of a request's two streams.
struct Pair {
    error: Option<u32>,
    data: Option<Data>,
    since: Instant,
}

impl Pair {
    fn has(&self, id: u32) -> bool {
        self.error == Some(id) || self.data.as_ref().is_some_and(|data| data.id == id)
    }
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
                    let taken = bytes.is_empty() || offer(&input.bytes, bytes, &self.out.downgrade(), PATIENCE).await;
                    if !taken {
                        input.reset.cancel();
                    }
                    if fin || !taken {
                        self.inputs.remove(&id);
                    }
                }
            }
            Frame::Reset { id, .. } => {
                self.pairs.retain(|_, pair| !pair.has(id));
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

    async fn stream(
        &mut self,
        id: u32,
        fin: bool,
        headers: Bytes,
        open: usize,
    ) -> Result<Option<BoxFuture<'static, u32>>, Malformed> {
        let headers = self.reader.read(headers)?;
        self.forget_half_open();
        let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let port = header("port").and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
        let kind = header("streamtype").filter(|kind| ["error", "data"].contains(kind));
        let (Some(port), Some(kind), true) = (port, kind, open + self.pairs.len() < MAX_PAIRS) else {
            self.send(&Frame::Reset { id, status: REFUSED }).await;
            return Ok(None);
        };
        // Clients before Kubernetes 1.3 sent no request id: their data stream's number follows the error stream's.
        let request = header("requestid")
            .map_or_else(|| if kind == "error" { id } else { id.saturating_sub(2) }.to_string(), str::to_owned);
        let reply = Frame::SynReply { id, headers: self.writer.write(&[])? };
        self.send(&reply).await;
        let new = || Pair { error: None, data: None, since: Instant::now() };
        let pair = self.pairs.entry(request.clone()).or_insert_with(new);
        if kind == "error" {
            pair.error = Some(id);
        } else {
            let (bytes, input) = mpsc::channel(INPUT);
            let reset = CancellationToken::new();
            pair.data = Some(Data { id, input, reset: reset.clone() });
            if !fin {
                self.inputs.insert(id, Input { bytes, reset });
            }
        }
        match self.pairs.remove(&request) {
            Some(Pair { error: Some(error), data: Some(data), .. }) => {
                Ok(Some(forward(self.pod.clone(), port, error, data, self.out.clone()).boxed()))
            }
            Some(half) => {
                self.pairs.insert(request, half);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// A client that gave up on a pair need not say so.
    fn forget_half_open(&mut self) {
        let old: Vec<Pair> =
            self.pairs.extract_if(|_, pair| pair.since.elapsed() >= HALF_OPEN).map(|(_, pair)| pair).collect();
        for data in old.into_iter().filter_map(|pair| pair.data) {
            self.inputs.remove(&data.id);
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

async fn copy(
    stream: Box<dyn crate::kubelet::Duplex>,
    data: u32,
    mut input: mpsc::Receiver<Bytes>,
    out: &mpsc::Sender<Bytes>,
) {
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

#[cfg(test)]
mod tests {
    use super::*;

    struct NoNode;

    #[async_trait::async_trait]
    impl crate::kubelet::Kubelet for NoNode {
        async fn logs(
            &self,
            _: &str,
            _: &str,
            _: crate::kubelet::LogOptions,
        ) -> Result<crate::kubelet::LogStream, crate::Status> {
            Err(crate::Status::internal("none"))
        }
        async fn exec(
            &self,
            _: &str,
            _: &str,
            _: crate::kubelet::ExecOptions,
        ) -> Result<crate::kubelet::Exec, crate::Status> {
            Err(crate::Status::internal("none"))
        }
        async fn port_forward(
            &self,
            _: &str,
            _: &str,
            _: u16,
        ) -> Result<Box<dyn crate::kubelet::Duplex>, crate::Status> {
            Err(crate::Status::internal("none"))
        }
    }

    #[tokio::test]
    async fn pairs_that_never_came_about_make_room_for_others() {
        let pod = Pod { kubelet: std::sync::Arc::new(NoNode), namespace: "n".to_owned(), name: "p".to_owned() };
        let (out, mut sent) = mpsc::channel(8);
        let mut session = Session {
            pod,
            out,
            reader: Reader::new(),
            writer: Writer::new(),
            pairs: HashMap::new(),
            inputs: HashMap::new(),
        };
        let mut client = Writer::new();
        let mut answers = Vec::new();
        for i in 0..3 * MAX_PAIRS as u32 {
            let (id, request) = (2 * i + 1, i.to_string());
            let headers = client.write(&[("port", "80"), ("streamtype", "error"), ("requestid", &request)]).unwrap();
            session.frame(Frame::SynStream { id, fin: false, headers }, 0).await.unwrap();
            let mut bytes = BytesMut::from(&sent.recv().await.unwrap()[..]);
            answers.push(matches!(frame::read(&mut bytes).unwrap(), Some(Frame::SynReply { .. })));
            // Half of the clients say that they gave up, the others just do.
            if i.is_multiple_of(2) {
                session.frame(Frame::Reset { id, status: 5 }, 0).await.unwrap();
            } else if let Some(pair) = session.pairs.get_mut(&request) {
                pair.since = Instant::now().checked_sub(HALF_OPEN).unwrap();
            }
        }
        assert!(answers.iter().all(|accepted| *accepted));
    }
}
