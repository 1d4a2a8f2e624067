//! Endpoints and the connections kept to them.

use super::http1::Buffer;
use crate::table::Endpoint;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

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
}

/// A connection to an endpoint.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Buffer,
    /// It has carried a request before, so the other side may have closed it meanwhile.
    pub(crate) reused: bool,
    idle_since: Instant,
}

/// Kept this long without use; less than servers usually keep theirs, so that we are the first to close.
const KEEP_IDLE: Duration = Duration::from_secs(15);
/// Kept to one endpoint at most.
const MAX_IDLE: usize = 512;

/// Counts a request as under way until dropped.
pub(crate) struct InFlight<'u>(&'u Upstream);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upstream {
    pub(crate) fn new(endpoint: Endpoint) -> Upstream {
        Upstream { endpoint, idle: Mutex::default(), active: AtomicU32::new(0), total: AtomicU64::new(0), gone: AtomicBool::new(false) }
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

    /// A kept connection that the other side has not closed; the one used last, because it is the least likely to be.
    pub(crate) fn checkout(&self) -> Option<Connection> {
        loop {
            let connection = self.idle().pop()?;
            if connection.is_fresh() {
                return Some(connection);
            }
        }
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self, timeout: Duration) -> io::Result<Connection> {
        let stream = tokio::time::timeout(timeout, TcpStream::connect(self.address())).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Buffer::default(), reused: false, idle_since: Instant::now() })
    }

    /// Keeps a connection whose last response was read to its end.
    pub(crate) fn checkin(&self, mut connection: Connection) {
        if self.gone.load(Ordering::Relaxed) || !connection.buffer.is_empty() {
            return;
        }
        connection.buffer.shrink();
        connection.reused = true;
        connection.idle_since = Instant::now();
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// Closes what is not used; requests under way are let go on.
    pub(crate) fn retire(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.idle().clear();
    }

    /// Closes what has been idle for long.
    pub(crate) fn sweep(&self) {
        self.idle().retain(|c| c.idle_since.elapsed() < KEEP_IDLE);
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
    fn is_fresh(&self) -> bool {
        use nix::sys::socket::{MsgFlags, recv};
        let mut byte = [0];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        self.idle_since.elapsed() < KEEP_IDLE && recv(self.stream.as_raw_fd(), &mut byte, flags) == Err(nix::errno::Errno::EAGAIN)
    }
}
