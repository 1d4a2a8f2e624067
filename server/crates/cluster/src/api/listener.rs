//! Accepts TLS connections and serves each until it ends or the API stops.
//!
//! Bounds: a handshake and a first request within 10 s, an idle connection for two minutes, so many connections at once.
use super::respond::Answer;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// From the connection's start to a whole first request head; against clients that only hold connections open.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// Longer than the 90 s for which HTTP clients keep idle connections, so that we never close one that is being reused.
const IDLE: Duration = Duration::from_secs(120);
/// What a stop waits for: watches end at once, writes in flight take a few milliseconds.
const DRAIN: Duration = Duration::from_millis(700);
/// Each is a file handle and some 30 KiB.
const MAX_CONNECTIONS: usize = 4096;
/// client-go puts all its watches on one connection.
const MAX_STREAMS: u32 = 1000;
const MAX_HEAD: usize = 64 * 1024;

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

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, work: F) {
        self.spawn(async move {
            work.await;
        });
    }
}

/// Answers one request.
pub(super) trait Handler: Send + Sync + 'static {
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Answer> + Send;
}

/// Serves until `stop`, then lets requests in flight end, for less than a second.
pub(super) async fn run<H: Handler>(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    stop: CancellationToken,
    make: impl FnOnce(Tasks) -> Arc<H>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let tasks = Tasks { tracker: TaskTracker::new(), kill: CancellationToken::new() };
    let handler = make(tasks.clone());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // Out of file handles, most likely: trying again at once would only burn the processor.
                tracing::warn!("the API could not accept a connection: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connection = connection(stream, acceptor.clone(), handler.clone(), tasks.clone(), stop.clone());
        tasks.spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    tasks.tracker.close();
    if tokio::time::timeout(DRAIN, tasks.tracker.wait()).await.is_err() {
        tasks.kill.cancel();
        tasks.tracker.wait().await;
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn connection<H: Handler>(stream: TcpStream, acceptor: TlsAcceptor, handler: Arc<H>, tasks: Tasks, stop: CancellationToken) {
    // Watch events are small and must not wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let handshake = tokio::time::timeout(FIRST_REQUEST, acceptor.accept(stream));
    let stream = tokio::select! {
        () = stop.cancelled() => return,
        done = handshake => match done {
            Ok(Ok(stream)) => stream,
            // A port scan, or somebody who speaks plain HTTP: not ours to report.
            Ok(Err(_)) | Err(_) => return,
        },
    };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let asked = Arc::new(AtomicBool::new(false));
    let seen = asked.clone();
    let service = service_fn(move |request| {
        seen.store(true, Ordering::Relaxed);
        // Boxed, or every connection would hold the room of the largest verb for as long as it is open.
        let answer = Box::pin(handler.clone().handle(request));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    if is_h2 {
        let mut http = http2::Builder::new(tasks);
        http.timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD as u32)
            .max_send_buf_size(64 * 1024)
            .keep_alive_interval(Duration::from_secs(30));
        drive(http.serve_connection(io, service), |c| c.graceful_shutdown(), &asked, &stop).await;
    } else {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(MAX_HEAD).half_close(false);
        drive(http.serve_connection(io, service).with_upgrades(), |c| c.graceful_shutdown(), &asked, &stop).await;
    }
}

async fn drive<C: Future>(connection: C, shut_down: impl Fn(Pin<&mut C>), asked: &AtomicBool, stop: &CancellationToken) {
    let mut connection = pin!(connection);
    let mut first_request = pin!(tokio::time::sleep(FIRST_REQUEST));
    let (mut waiting, mut stopping) = (true, false);
    loop {
        tokio::select! {
            // Clients leave as they like; what failed inside a request has been answered and logged there.
            _ = connection.as_mut() => return,
            () = &mut first_request, if waiting => {
                waiting = false;
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                shut_down(connection.as_mut());
            }
        }
    }
}
