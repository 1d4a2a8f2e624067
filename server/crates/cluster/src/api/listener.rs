//! Serves TLS connections with HTTP/1.1 and HTTP/2, under the connection policy of [`listen`].
use super::respond::Answer;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use listen::{Conn, Guarded, Limits, Listener, Paced, Reserve, run_stream, serve_http1, track_stream};
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A silent HTTP/2 connection is asked so often whether its other end is there, which also bounds the time for half a frame.
const PING: Duration = Duration::from_secs(4);
/// Longest wait for the answer: a client on a busy machine takes a second.
const PONG: Duration = Duration::from_secs(6);
/// What a stop waits for: watches end at once, writes in flight take a few milliseconds.
const DRAIN: Duration = Duration::from_millis(700);
/// client-go puts all its watches on one connection.
const MAX_STREAMS: u32 = 1000;
/// Places for the panel's own client, which opens a connection for each watch or one for all.
const OWN: usize = 128;

/// The API's limits. A TLS connection costs some 45 KiB, so fewer than the default may wait for their first request; watches are many on
/// one HTTP/2 connection, so more of them are allowed than there may be connections.
pub fn limits(own_client: Option<IpAddr>) -> Limits {
    let mut limits = Limits {
        waiting: 640,
        streams: 4_000,
        streams_per_peer: 3_000,
        idle_unknown: Duration::from_secs(10),
        ..Limits::default()
    };
    // Lists of a MiB: with a small buffer each would cost many wake-ups.
    limits.send_buffer = Some(64 * 1024);
    limits.drain = DRAIN;
    limits = limits.fitted(listen::descriptor_limit(), 25, 1);
    limits.reserve = own_client.map(|ip| Reserve { peer: ip.into(), connections: OWN });
    limits
}

/// Tasks of one server. They end on their own when the API stops, or are dropped when it has waited long enough.
#[derive(Clone)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    kill: CancellationToken,
}

impl Tasks {
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let kill = self.kill.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = kill.cancelled() => {}
                () = work => {}
            }
        });
    }
}

/// Runs the streams of one HTTP/2 connection.
#[derive(Clone)]
struct Streams {
    tasks: Tasks,
    conn: Conn,
}

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, work: F) {
        self.tasks.spawn(run_stream(self.conn.clone(), work));
    }
}

/// Answers one request.
pub(super) trait Handler: Send + Sync + 'static {
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Answer> + Send;
}

/// Serves until `stop`, then lets requests in flight end, for less than a second.
pub(super) async fn run<H: Handler>(
    listener: TcpListener,
    policy: Listener,
    tls: Arc<rustls::ServerConfig>,
    stop: CancellationToken,
    make: impl FnOnce(Tasks) -> Arc<H>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let tasks = Tasks { tracker: TaskTracker::new(), kill: CancellationToken::new() };
    let handler = make(tasks.clone());
    let serve = |io, conn| connection(io, conn, acceptor.clone(), handler.clone(), tasks.clone(), stop.clone());
    policy.run(listener, stop.clone(), serve).await;
    tasks.tracker.close();
    if tokio::time::timeout(DRAIN, tasks.tracker.wait()).await.is_err() {
        tasks.kill.cancel();
        tasks.tracker.wait().await;
    }
}

async fn connection<H: Handler>(
    io: Guarded<TcpStream>,
    conn: Conn,
    acceptor: TlsAcceptor,
    handler: Arc<H>,
    tasks: Tasks,
    stop: CancellationToken,
) {
    let stream = tokio::select! {
        () = stop.cancelled() => return,
        // An error is a port scan, or somebody who speaks plain HTTP: not ours to report.
        done = conn.within_head(acceptor.accept(io)) => match done {
            Ok(stream) => stream,
            Err(_) => return,
        },
    };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let answer = move |request| {
        // Boxed, or every connection would hold the room of the largest verb for as long as it is open.
        let answer = Box::pin(handler.clone().handle(request));
        async move { Ok::<_, Infallible>(answer.await) }
    };
    // How a connection ends is its client's business; what failed inside a request has been answered and logged there.
    if !is_h2 {
        let _ = serve_http1(stream, &conn, answer, &stop).await;
        return;
    }
    conn.multiplexed();
    let mut http = http2::Builder::new(Streams { tasks, conn: conn.clone() });
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(conn.limits().head_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    let tracked = service_fn(|request| track_stream(conn.clone(), request, answer.clone()));
    let mut connection = pin!(http.serve_connection(TokioIo::new(Paced::new(stream, &conn)), tracked));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
