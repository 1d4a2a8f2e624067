//! Connections of HTTP/2 to one endpoint, each shared by many streams.

use super::pool::{Counted, Place, Pool};
use crate::sidecar::tasks::Tasks;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http1::MAX_HEAD;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot, watch};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A body on its way to an upstream, or back to the client.
pub(crate) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// Most streams of one connection at once, whatever the other side allows; then another one is opened.
const MOST_STREAMS: usize = 256;
/// Bytes of an answer that wait for its client, for each stream. hyper's own are 2 MiB.
const WINDOW: u32 = 64 * 1024;

/// The connections to one endpoint.
#[derive(Default)]
pub(crate) struct Multiplexed {
    state: Mutex<State>,
    /// No table has the endpoint any more: a connection ends with its last stream.
    gone: AtomicBool,
    /// Whoever waits for a place hears of one here.
    freed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    open: Vec<Arc<Open>>,
    /// The one that is being made, for all who need one.
    connecting: Option<Made>,
}

/// Whether a connection was made; `None` until it is known.
type MadeOrNot = Option<Result<(), io::ErrorKind>>;
type Made = watch::Receiver<MadeOrNot>;

/// A connection that is open.
struct Open {
    sender: SendRequest<AnyBody>,
    local: Option<SocketAddr>,
    since: Instant,
    /// Streams that the other side allows at once.
    allowed: AtomicUsize,
    /// Streams under way, and all so far.
    streams: AtomicUsize,
    begun: AtomicU32,
    /// Milliseconds from its beginning to the end of the last stream.
    rests: AtomicU64,
}

/// A stream's place on a connection, until dropped.
pub(crate) struct Lease {
    open: Arc<Open>,
    of: Arc<Multiplexed>,
    /// The connection has carried another stream, so the other side may have closed it meanwhile.
    pub(crate) reused: bool,
    /// Of the request, under its cluster's limits.
    pub(crate) request: Option<Place>,
}

/// How a new connection is had.
pub(crate) enum Attempt {
    /// By who asks, with a place on it.
    Own(oneshot::Receiver<io::Result<Lease>>),
    /// By somebody else.
    Other(Made),
    /// Not at all: a limit is reached.
    Limit,
}

impl Multiplexed {
    /// One whose waiters hear of a free place by `freed`.
    pub(crate) fn new(freed: Arc<Notify>) -> Arc<Multiplexed> {
        Arc::new(Multiplexed { freed, ..Multiplexed::default() })
    }

    /// A place on an open connection, if one has room. Those that rested too long or are worn out take no more streams.
    pub(crate) fn lease(self: &Arc<Multiplexed>, longest_rest: Duration, pool: Option<&Pool>) -> Option<Lease> {
        let mut state = self.state();
        state.open.retain(|open| open.is_usable(longest_rest, pool));
        let open = state.open.iter().find(|open| open.has_room())?;
        Some(Lease::on(open, self))
    }

    /// Joins the attempt that is under way, or begins one: `places` under the cluster's limits, `connect` makes the connection.
    pub(crate) fn join_or_begin<C>(
        self: &Arc<Multiplexed>,
        tasks: &Tasks,
        places: impl FnOnce() -> Option<Option<Counted>>,
        connect: impl FnOnce() -> C,
    ) -> Attempt
    where
        C: Future<Output = io::Result<TcpStream>> + Send + 'static,
    {
        let mut state = self.state();
        if let Some(other) = &state.connecting {
            return Attempt::Other(other.clone());
        }
        let Some(counted) = places() else { return Attempt::Limit };
        let (tell_all, made) = watch::channel(None);
        let (tell, own) = oneshot::channel();
        state.connecting = Some(made);
        let (connecting, of, with) = (connect(), self.clone(), tasks.clone());
        tasks.spawn(async move {
            let connected = connecting.await;
            if of.gives_up(&tell, &tell_all) {
                return;
            }
            let result = match connected {
                Ok(stream) => of.open(stream, counted, &with).await,
                Err(error) => Err(error),
            };
            of.state().connecting = None;
            let told = result.as_ref().map(|_| ()).map_err(io::Error::kind);
            // Who asked may be gone.
            let _ = tell.send(result);
            let _ = tell_all.send(Some(told));
        });
        Attempt::Own(own)
    }

    /// Whether nobody waits for the connection any more: then nothing is said on it.
    fn gives_up(&self, own: &oneshot::Sender<io::Result<Lease>>, others: &watch::Sender<MadeOrNot>) -> bool {
        let mut state = self.state();
        // One receiver is kept here, for who may still join.
        let given_up = own.is_closed() && others.receiver_count() <= 1;
        if given_up {
            state.connecting = None;
        }
        given_up
    }

    /// Speaks HTTP/2 on a connection.
    async fn open(
        self: &Arc<Multiplexed>,
        stream: TcpStream,
        counted: Option<Counted>,
        tasks: &Tasks,
    ) -> io::Result<Lease> {
        let local = stream.local_addr().ok();
        let mut builder = Builder::new(tasks.clone());
        builder
            .initial_stream_window_size(WINDOW)
            // The connection's own never stops a stream because another one's client does not read.
            .initial_connection_window_size(WINDOW * MOST_STREAMS as u32)
            .max_send_buf_size(WINDOW as usize)
            .max_header_list_size(MAX_HEAD as u32)
            // An upstream that is gone without a word does not answer pings.
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let open = Arc::new(Open {
            sender,
            local,
            since: Instant::now(),
            allowed: AtomicUsize::new(connection.current_max_send_streams()),
            streams: AtomicUsize::new(0),
            begun: AtomicU32::new(0),
            rests: AtomicU64::new(0),
        });
        let lease = Lease::on(&open, self);
        self.state().open.push(open.clone());
        tasks.spawn(drive(connection, Arc::downgrade(&open), self.clone(), tasks.clone(), counted));
        Ok(lease)
    }

    /// Takes no more streams on a connection.
    fn forget(&self, which: &Weak<Open>) {
        self.state().open.retain(|open| !std::ptr::eq(Arc::as_ptr(open), which.as_ptr()));
    }

    /// No table has the endpoint any more: its connections end with their streams.
    pub(crate) fn retire(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.state().open.clear();
    }

    /// Closes what has been idle for long.
    pub(crate) fn sweep(&self, longest_rest: Duration) {
        self.state().open.retain(|open| open.is_usable(longest_rest, None));
    }

    /// Connections that carry no stream.
    pub(crate) fn idle(&self) -> usize {
        self.state().open.iter().filter(|open| open.streams.load(Ordering::Relaxed) == 0).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves a connection's bytes until it ends.
async fn drive(
    mut connection: Connection<TokioIo<TcpStream>, AnyBody, Tasks>,
    open: Weak<Open>,
    of: Arc<Multiplexed>,
    tasks: Tasks,
    counted: Option<Counted>,
) {
    let mut closing = pin!(tasks.closing.cancelled());
    let mut closes = false;
    poll_fn(|cx| {
        if !closes && closing.as_mut().poll(cx).is_ready() {
            closes = true;
            of.forget(&open);
        }
        let polled = Pin::new(&mut connection).poll(cx);
        if let Some(open) = open.upgrade() {
            open.allowed.store(connection.current_max_send_streams(), Ordering::Relaxed);
        }
        // An error is told to the streams that it concerns.
        polled.map(drop)
    })
    .await;
    of.forget(&open);
    drop(counted);
}

impl Open {
    fn has_room(&self) -> bool {
        // One that is allowed none takes one, which waits: a new connection would not be allowed more.
        let most = self.allowed.load(Ordering::Relaxed).clamp(1, MOST_STREAMS);
        self.streams.load(Ordering::Relaxed) < most
    }

    fn is_usable(&self, longest_rest: Duration, pool: Option<&Pool>) -> bool {
        let (age, begun) = (self.since.elapsed(), self.begun.load(Ordering::Relaxed));
        let rest = age.saturating_sub(Duration::from_millis(self.rests.load(Ordering::Relaxed)));
        let rested_too_long = self.streams.load(Ordering::Relaxed) == 0 && rest >= longest_rest;
        !self.sender.is_closed() && !rested_too_long && !pool.is_some_and(|pool| pool.is_worn(begun, age))
    }
}

impl Lease {
    fn on(open: &Arc<Open>, of: &Arc<Multiplexed>) -> Lease {
        open.streams.fetch_add(1, Ordering::Relaxed);
        let reused = open.begun.fetch_add(1, Ordering::Relaxed) > 0;
        Lease { open: open.clone(), of: of.clone(), reused, request: None }
    }

    pub(crate) fn sender(&self) -> SendRequest<AnyBody> {
        self.open.sender.clone()
    }

    /// Our end of the connection.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.open.local
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let age = u64::try_from(self.open.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.open.rests.store(age, Ordering::Relaxed);
        let last = self.open.streams.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && self.of.gone.load(Ordering::Relaxed) {
            self.of.forget(&Arc::downgrade(&self.open));
        }
        self.request = None;
        self.of.freed.notify_one();
    }
}
