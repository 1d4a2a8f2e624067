//! Endpoints and the connections kept to them.

use super::multiplex::{Attempt, Lease, Multiplexed};
use super::pool::{Counted, Place, Pool};
use crate::sidecar::buffer::Buffer;
use crate::sidecar::config::Reach;
use crate::sidecar::tasks::Tasks;
use crate::table::Endpoint;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// An endpoint as a sidecar uses it. Outlives tables as long as one of them has it, and its connections with it.
pub(crate) struct Upstream {
    pub(crate) endpoint: Endpoint,
    /// Connections of HTTP/1.1 that nobody uses.
    idle: Mutex<Vec<Connection>>,
    /// Connections of HTTP/2.
    multiplexed: Arc<Multiplexed>,
    /// Requests under way, for least-request balancing.
    active: AtomicU32,
    /// Requests so far.
    pub(crate) total: AtomicU64,
    /// No table has it any more: its connections are not kept.
    gone: AtomicBool,
    /// The limits of the cluster it is in, where that has any: then it is in no other.
    pool: Option<Arc<Pool>>,
    /// Says whether the address may be connected to.
    reach: Option<Reach>,
    /// Connections that are open; counted only where there are limits.
    open: Arc<AtomicU32>,
    /// Requests that wait for one of them, and how they hear of it.
    waiting: Arc<AtomicU32>,
    freed: Arc<Notify>,
}

/// Under which terms a request wants a connection.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// A kept one will not do.
    pub(crate) fresh: bool,
    /// Longest time to make one.
    pub(crate) connect: Duration,
    /// The request's own end.
    pub(crate) deadline: Option<Instant>,
}

impl Terms {
    /// For a connection of its own.
    pub(crate) fn fresh(connect: Duration, deadline: Instant) -> Terms {
        Terms { fresh: true, connect, deadline: Some(deadline) }
    }
}

/// A connection to an endpoint.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Buffer,
    /// It has carried a request before, so the other side may have closed it meanwhile.
    pub(crate) reused: bool,
    idle_since: Instant,
    /// Only where there are limits.
    pub(crate) counted: Option<Counted>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoConnection {
    /// A limit of the cluster is reached.
    #[error("a limit of the connection pool is reached")]
    Overflow,
    /// The request's time was over before there was one.
    #[error("too late")]
    TooLate,
    /// The client left before there was one.
    #[error("the client left")]
    ClientLeft,
    /// It could not be made.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Istio's default (`connectTimeout`).
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Kept this long without use; less than servers usually keep theirs, so that we are the first to close.
const KEEP_IDLE: Duration = Duration::from_secs(15);
/// Kept to one endpoint at most.
const MAX_IDLE: usize = 512;

/// Counts a request as under way until dropped.
pub(crate) struct InFlight(Arc<Upstream>);

impl InFlight {
    pub(crate) fn begin(upstream: &Arc<Upstream>) -> InFlight {
        upstream.active.fetch_add(1, Ordering::Relaxed);
        upstream.total.fetch_add(1, Ordering::Relaxed);
        InFlight(upstream.clone())
    }

    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upstream {
    pub(crate) fn new(endpoint: Endpoint, reach: Option<Reach>) -> Upstream {
        Upstream::pooled(endpoint, None, reach)
    }

    /// An endpoint under a cluster's limits.
    pub(crate) fn pooled(endpoint: Endpoint, pool: Option<Arc<Pool>>, reach: Option<Reach>) -> Upstream {
        let freed: Arc<Notify> = Arc::default();
        Upstream {
            endpoint,
            idle: Mutex::default(),
            multiplexed: Multiplexed::new(freed.clone()),
            active: AtomicU32::new(0),
            total: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            pool,
            reach,
            open: Arc::default(),
            waiting: Arc::default(),
            freed,
        }
    }

    /// The limits that it is under.
    pub(crate) fn pool(&self) -> Option<&Arc<Pool>> {
        self.pool.as_ref()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    pub(crate) fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// A connection for one request of HTTP/1.1: a kept one or a new one; where there are limits it may have to wait for one.
    pub(crate) async fn acquire(&self, terms: Terms) -> Result<Connection, NoConnection> {
        let Some(pool) = &self.pool else {
            return match if terms.fresh { None } else { self.checkout() } {
                Some(kept) => Ok(kept),
                None => {
                    let left = terms.deadline.map(|d| d.saturating_duration_since(Instant::now()));
                    let stream = self.connect(left.map_or(terms.connect, |left| left.min(terms.connect))).await?;
                    Ok(Connection::new(stream, None))
                }
            };
        };
        let under_way = pool.request().ok_or(NoConnection::Overflow)?;
        let mut connection = before(terms.deadline, || NoConnection::TooLate, self.limited(pool, terms)).await?;
        if let Some(counted) = &mut connection.counted {
            counted.request = Some(under_way);
            counted.requests += 1;
        }
        Ok(connection)
    }

    /// As Envoy's pools do: who comes when others wait, waits behind them.
    async fn limited(&self, pool: &Pool, terms: Terms) -> Result<Connection, NoConnection> {
        let kept = || if terms.fresh { None } else { self.checkout() };
        if self.waiting.load(Ordering::Acquire) == 0
            && let Some(connection) = kept()
        {
            return Ok(connection);
        }
        let _pending = pool.pending().ok_or(NoConnection::Overflow)?;
        let _waiting = Place::take(&self.waiting, None);
        loop {
            let freed = self.freed.notified();
            if let Some(connection) = kept() {
                return Ok(connection);
            }
            if terms.fresh {
                // Kept connections hold places, and this request cannot use them.
                self.idle().clear();
            }
            if let Some(counted) = self.place_of_connection(pool) {
                return Ok(Connection::new(self.connect(terms.connect).await?, Some(counted)));
            }
            freed.await;
        }
    }

    /// A new connection's places; `None` where a limit is reached.
    fn place_of_connection(&self, pool: &Pool) -> Option<Counted> {
        let here = Place::take(&self.open, None)?;
        let place = pool.connection(self.open.load(Ordering::Acquire) == 1)?;
        let places = Some((place, here));
        Some(Counted { since: Instant::now(), requests: 0, request: None, freed: self.freed.clone(), places })
    }

    /// A stream's place on a connection of HTTP/2: of an open one that has room, or a new one; where there are limits it may have to wait.
    pub(crate) async fn stream(self: &Arc<Upstream>, tasks: &Tasks, terms: Terms) -> Result<Lease, NoConnection> {
        let request = match &self.pool {
            Some(pool) => Some(pool.request().ok_or(NoConnection::Overflow)?),
            None => None,
        };
        let late = || match self.pool {
            Some(_) => NoConnection::TooLate,
            // It is the connection that was too late.
            None => io::Error::from(io::ErrorKind::TimedOut).into(),
        };
        let mut lease = before(terms.deadline, late, self.leased(tasks, terms)).await?;
        lease.request = request;
        Ok(lease)
    }

    async fn leased(self: &Arc<Upstream>, tasks: &Tasks, terms: Terms) -> Result<Lease, NoConnection> {
        let open = || self.multiplexed.lease(self.keep(), self.pool.as_deref());
        if let Some(lease) = open().filter(|_| !terms.fresh) {
            return Ok(lease);
        }
        let _pending = match &self.pool {
            Some(pool) => Some(pool.pending().ok_or(NoConnection::Overflow)?),
            None => None,
        };
        loop {
            let freed = self.freed.notified();
            match self.begin_connection(tasks, terms.connect) {
                Attempt::Own(own) => {
                    let made = own.await.unwrap_or_else(|_| Err(io::ErrorKind::ConnectionAborted.into()));
                    return Ok(made?);
                }
                Attempt::Other(mut made) => {
                    let made = made.wait_for(Option::is_some).await.ok().and_then(|made| *made);
                    made.unwrap_or(Err(io::ErrorKind::ConnectionAborted)).map_err(io::Error::from)?;
                }
                Attempt::Limit => freed.await,
            }
            if let Some(lease) = open() {
                return Ok(lease);
            }
        }
    }

    /// Joins the attempt to make a connection of HTTP/2, or begins one.
    fn begin_connection(self: &Arc<Upstream>, tasks: &Tasks, timeout: Duration) -> Attempt {
        let places = || match &self.pool {
            Some(pool) => self.place_of_connection(pool).map(Some),
            None => Some(None),
        };
        let connect = || {
            let upstream = self.clone();
            async move { upstream.connect(timeout).await }
        };
        self.multiplexed.join_or_begin(tasks, places, connect)
    }

    /// A kept connection that the other side has not closed; the one used last, because it is the least likely to be.
    fn checkout(&self) -> Option<Connection> {
        loop {
            let connection = self.idle().pop()?;
            if connection.is_fresh(self.keep()) {
                return Some(connection);
            }
        }
    }

    /// Opens a connection. A service of the host that has the address as well is nobody.
    async fn connect(&self, timeout: Duration) -> io::Result<TcpStream> {
        let connecting = async {
            match &self.reach {
                Some(reach) if !reach.allows(self.address()).await => Err(io::ErrorKind::ConnectionRefused.into()),
                _ => TcpStream::connect(self.address()).await,
            }
        };
        let stream =
            tokio::time::timeout(timeout, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Keeps a connection whose last response was read to its end.
    pub(crate) fn checkin(&self, mut connection: Connection) {
        if self.gone.load(Ordering::Relaxed) || !connection.buffer.is_empty() {
            return;
        }
        if let Some((counted, pool)) = connection.counted.as_mut().zip(self.pool.as_ref()) {
            counted.request = None;
            if pool.is_worn(counted.requests, counted.since.elapsed()) {
                return;
            }
        }
        connection.buffer.shrink(32 * 1024);
        connection.reused = true;
        connection.idle_since = Instant::now();
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        drop(idle);
        if self.pool.is_some() {
            self.freed.notify_one();
        }
    }

    /// Closes what is not used; requests under way are let go on.
    pub(crate) fn retire(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.idle().clear();
        self.multiplexed.retire();
    }

    /// Closes what has been idle for long.
    pub(crate) fn sweep(&self) {
        let longest = self.keep();
        self.idle().retain(|c| c.idle_since.elapsed() < longest);
        self.multiplexed.sweep(longest);
    }

    /// How long a connection is kept without use.
    fn keep(&self) -> Duration {
        self.pool.as_ref().and_then(|p| p.idle()).map_or(KEEP_IDLE, |idle| idle.min(KEEP_IDLE))
    }

    /// Connections that are kept.
    pub(crate) fn kept(&self) -> usize {
        self.idle().len() + self.multiplexed.idle()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a connection until the request's own end.
async fn before<T>(
    deadline: Option<Instant>,
    late: impl FnOnce() -> NoConnection,
    connecting: impl Future<Output = Result<T, NoConnection>>,
) -> Result<T, NoConnection> {
    match deadline {
        Some(at) => tokio::time::timeout_at(at.into(), connecting).await.map_err(|_| late())?,
        None => connecting.await,
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, counted: Option<Counted>) -> Connection {
        Connection { stream, buffer: Buffer::default(), reused: false, idle_since: Instant::now(), counted }
    }

    /// Asks the kernel, not the runtime: its event may not have been looked at yet. Anything readable on an idle connection, its end
    /// or unasked bytes, makes it useless.
    fn is_fresh(&self, longest: Duration) -> bool {
        use nix::sys::socket::{MsgFlags, recv};
        let mut byte = [0];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        self.idle_since.elapsed() < longest
            && recv(self.stream.as_raw_fd(), &mut byte, flags) == Err(nix::errno::Errno::EAGAIN)
    }
}
