//! A client and an app that speak HTTP/2 with prior knowledge.

use super::harness::LOCAL;
use super::service;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh::MeshInput;
use serde_json::json;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub type Sender = hyper::client::conn::http2::SendRequest<Full<bytes::Bytes>>;

/// A client of HTTP/2 with prior knowledge.
pub async fn http2(to: SocketAddr, tasks: &mut JoinSet<()>) -> Sender {
    http2_with(to, tasks).await
}

/// The same for any kind of body.
pub async fn http2_with<B>(to: SocketAddr, tasks: &mut JoinSet<()>) -> hyper::client::conn::http2::SendRequest<B>
where
    B: hyper::body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tasks.spawn(async move { drop(connection.await) });
    sender
}

/// A text that comes a while after its head.
pub struct Late {
    text: bytes::Bytes,
    after: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Late {
    pub fn new(text: &str, after: std::time::Duration) -> Late {
        let after = (!after.is_zero()).then(|| Box::pin(tokio::time::sleep(after)));
        Late { text: bytes::Bytes::copy_from_slice(text.as_bytes()), after }
    }
}

impl hyper::body::Body for Late {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, std::convert::Infallible>>> {
        if let Some(after) = &mut self.after {
            std::task::ready!(after.as_mut().poll(cx));
        }
        let text = std::mem::take(&mut self.text);
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_empty()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.text.len() as u64)
    }
}

/// An app that speaks HTTP/2 alone: answers what it saw, with a trailer, as gRPC does.
pub async fn http2_app(tasks: &mut JoinSet<()>) -> SocketAddr {
    telling_app(tasks).await.0
}

/// The same, which also tells here what it saw.
pub async fn telling_app(tasks: &mut JoinSet<()>) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            connections.spawn(async move {
                let answer = |request: http::Request<hyper::body::Incoming>, tell: mpsc::UnboundedSender<String>| async move {
                    let mut text = format!("{:?} {} {}", request.version(), request.method(), request.uri());
                    for (name, value) in request.headers() {
                        text += &format!("\n{name}: {}", value.to_str().unwrap());
                    }
                    let body = request.into_body().collect().await?.to_bytes();
                    text += &format!("\nbody {}", String::from_utf8_lossy(&body));
                    // Who does not look has dropped the other end.
                    let _ = tell.send(text.clone());
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                    Ok::<_, hyper::Error>(http::Response::new(WithTrailer(vec![
                        Frame::trailers(trailers),
                        Frame::data(text.into()),
                    ])))
                };
                let service = hyper::service::service_fn(|request| answer(request, tell.clone()));
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, told)
}

/// A text, then a trailer.
struct WithTrailer(Vec<Frame<bytes::Bytes>>);

impl hyper::body::Body for WithTrailer {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, hyper::Error>>> {
        Poll::Ready(self.0.pop().map(Ok))
    }
}

/// Service `grpc` on port 50051, which speaks HTTP/2, with one endpoint.
pub fn grpc(revision: u64, at: SocketAddr) -> MeshInput {
    MeshInput {
        services: vec![service("istio-app", "grpc", json!([{"name": "http2", "port": 50051}]))],
        endpoint_slices: vec![Arc::new(
            json!({"metadata": {"name": "grpc-0", "namespace": "istio-app", "labels": {"kubernetes.io/service-name": "grpc"}},
            "endpoints": [{"addresses": [at.ip().to_string()]}], "ports": [{"name": "http2", "port": at.port()}]}),
        )],
        revision,
        ..MeshInput::default()
    }
}

/// An app of HTTP/2 whose path says what it does in the first tries: `/503/2` answers 503 twice, `/grpc-14/1` this status of gRPC once,
/// `/reset/1` breaks the stream off and `/slow/1` never answers.
pub async fn flaky_app(tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let service = hyper::service::service_fn(flaky);
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

async fn flaky(
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<Full<bytes::Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let attempt: u32 = request.headers()["x-envoy-attempt-count"].to_str()?.parse()?;
    let path = request.uri().path().to_string();
    let (what, times) = path.strip_prefix("/once").unwrap_or(&path)[1..].split_once('/').unwrap_or_default();
    let body = request.into_body().collect().await?.to_bytes();
    let answer = http::Response::builder();
    let text = Full::from(format!("try {attempt} body {}", body.len()));
    if attempt > times.parse().unwrap_or(0) {
        return Ok(answer.body(text)?);
    }
    match what.strip_prefix("grpc-") {
        Some(code) => Ok(answer.header("grpc-status", code).body(Full::default())?),
        None if what == "reset" => Err("broken off".into()),
        None if what == "slow" => std::future::pending().await,
        None => Ok(answer.status(what).body(text)?),
    }
}

/// A frame's type, flags and payload.
pub type RawFrame = (u8, u8, &'static [u8]);

/// An app that answers every stream with these frames, or closes the connection where there are none. It tells when a stream has ended:
/// reset by either side, or with its connection.
pub async fn raw_app(
    tasks: &mut JoinSet<()>,
    frames: &'static [RawFrame],
) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ended, ends) = mpsc::unbounded_channel();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let ended = ended.clone();
            connections.spawn(async move {
                let mut open = 0;
                let _ = answer_raw(&mut stream, frames, &mut open, &ended).await;
                drop(stream);
                for _ in 0..open {
                    let _ = ended.send(());
                }
            });
        }
    });
    (address, ends)
}

/// RST_STREAM.
const RESET: u8 = 3;

/// Counts the streams that are `open`.
async fn answer_raw(
    stream: &mut TcpStream,
    frames: &[RawFrame],
    open: &mut usize,
    ended: &mpsc::UnboundedSender<()>,
) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    // Empty settings.
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
    loop {
        let head = read_frame(stream).await?;
        let mut resets = head[3] == RESET;
        // HEADERS.
        if head[3] == 1 {
            *open += 1;
            if frames.is_empty() {
                return Ok(());
            }
            for (kind, flags, payload) in frames {
                // GOAWAY is about the connection, anything else about the stream.
                let about = if *kind == 7 { &[0; 4] } else { &head[5..] };
                let frame = [&[0, 0, payload.len() as u8, *kind, *flags], about, payload].concat();
                stream.write_all(&frame).await?;
                resets |= *kind == RESET;
            }
        }
        // Both sides may reset one.
        if resets && *open > 0 {
            *open -= 1;
            let _ = ended.send(());
        }
    }
}

/// Reads a frame. Returns its head.
async fn read_frame(stream: &mut TcpStream) -> std::io::Result<[u8; 9]> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    stream.read_exact(&mut payload).await?;
    Ok(head)
}

/// Reads a client's connection from its preface until the client resets a stream, or ends.
pub async fn until_reset(stream: &mut TcpStream) {
    if stream.read_exact(&mut [0; 24]).await.is_ok() {
        while matches!(read_frame(stream).await, Ok(head) if head[3] != RESET) {}
    }
}
