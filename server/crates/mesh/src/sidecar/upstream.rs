//! Endpoints and the connections kept to them.

use super::config::Reach;
use super::http1::Buffer;
use super::pool::{Place, Pool};
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
    idle: Mutex<Vec<Connection>>,
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

/// A connection to an endpoint.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Buffer,
    /// It has carried a request before, so the other side may have closed it meanwhile.
    pub(crate) reused: bool,
    idle_since: Instant,
    /// Only where there are limits.
    counted: Option<Counted>,
}

/// A connection's places under its cluster's limits.
struct Counted {
    since: Instant,
    requests: u32,
    /// Of the request that it carries.
    request: Option<Place>,
    freed: Arc<Notify>,
    /// The cluster's and the endpoint's, given back before anybody is told.
    places: Option<(Place, Place)>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.places = None;
        self.freed.notify_one();
    }
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

/// Counts a stream of HTTP/2 as under way until dropped, with its connection's places.
pub(crate) struct Held {
    upstream: Arc<Upstream>,
    _counted: Option<Counted>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.upstream.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request as under way until dropped.
pub(crate) struct InFlight<'u>(&'u Upstream);

impl Drop for InFlight<'_> {
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
        Upstream {
            endpoint,
            idle: Mutex::default(),
            active: AtomicU32::new(0),
            total: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            pool,
            reach,
            open: Arc::default(),
            waiting: Arc::default(),
            freed: Arc::default(),
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

    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// A connection for one request: a kept one unless `fresh`, else a new one, made within `timeout`; where there are limits it may have
    /// to wait for one, until `deadline`.
    pub(crate) async fn acquire(
        &self,
        fresh: bool,
        timeout: Duration,
        deadline: Option<Instant>,
    ) -> Result<Connection, NoConnection> {
        let Some(pool) = &self.pool else {
            return match if fresh { None } else { self.checkout() } {
                Some(kept) => Ok(kept),
                None => {
                    let left = deadline.map_or(timeout, |d| d.saturating_duration_since(Instant::now()).min(timeout));
                    Ok(self.connect(left).await?)
                }
            };
        };
        let under_way = pool.request().ok_or(NoConnection::Overflow)?;
        let limited = self.limited(pool, fresh, timeout);
        let mut connection = match deadline {
            Some(deadline) => {
                tokio::time::timeout_at(deadline.into(), limited).await.map_err(|_| NoConnection::TooLate)??
            }
            None => limited.await?,
        };
        if let Some(counted) = &mut connection.counted {
            counted.request = Some(under_way);
            counted.requests += 1;
        }
        Ok(connection)
    }

    /// As Envoy's pools do: who comes when others wait, waits behind them.
    async fn limited(&self, pool: &Pool, fresh: bool, timeout: Duration) -> Result<Connection, NoConnection> {
        let kept = || if fresh { None } else { self.checkout() };
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
            if fresh {
                // Kept connections hold places, and this request cannot use them.
                self.idle().clear();
            }
            if let Some(here) = Place::take(&self.open, None)
                && let Some(place) = pool.connection(self.open.load(Ordering::Acquire) == 1)
            {
                let mut connection = self.connect(timeout).await?;
                let places = Some((place, here));
                connection.counted = Some(Counted {
                    since: Instant::now(),
                    requests: 0,
                    request: None,
                    freed: self.freed.clone(),
                    places,
                });
                return Ok(connection);
            }
            freed.await;
        }
    }

    /// Takes a connection apart for one stream, which outlives the function that began it.
    pub(crate) fn hold(self: &Arc<Upstream>, connection: Connection) -> (TcpStream, Held) {
        self.active.fetch_add(1, Ordering::Relaxed);
        let Connection { stream, counted, .. } = connection;
        (stream, Held { upstream: self.clone(), _counted: counted })
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
    async fn connect(&self, timeout: Duration) -> io::Result<Connection> {
        let connecting = async {
            match &self.reach {
                Some(reach) if !reach.allows(self.address()).await => Err(io::ErrorKind::ConnectionRefused.into()),
                _ => TcpStream::connect(self.address()).await,
            }
        };
        let stream =
            tokio::time::timeout(timeout, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Buffer::default(), reused: false, idle_since: Instant::now(), counted: None })
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
    }

    /// Closes what has been idle for long.
    pub(crate) fn sweep(&self) {
        let longest = self.keep();
        self.idle().retain(|c| c.idle_since.elapsed() < longest);
    }

    /// How long a connection is kept without use.
    fn keep(&self) -> Duration {
        self.pool.as_ref().and_then(|p| p.idle()).map_or(KEEP_IDLE, |idle| idle.min(KEEP_IDLE))
    }

    /// Connections that are kept.
    pub(crate) fn kept(&self) -> usize {
        self.idle().len()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
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
