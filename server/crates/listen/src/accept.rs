//! The accept loop.
use crate::{Conn, Guarded, Limits, Listener, Peer, system};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use socket2::{SockAddr, SockRef};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// First and longest wait after the system had no room for a connection.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));
/// Connections that the kernel completes before they are accepted; it takes its own `somaxconn` where that is less.
const BACKLOG: i32 = 4096;
/// How often it is looked whether a flood has ended.
const LOOK: Duration = Duration::from_secs(5);

/// A socket that [`Listener::run`] accepts from. Until a connection is admitted, the runtime does not know it: one that is refused
/// costs an accept and a close.
pub trait Socket: Send + Sync {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + AsFd + AsRawFd + Unpin + Send + 'static;
    /// Applies the limits that the kernel holds. Connections inherit them from the listening socket.
    fn tune(&self, limits: &Limits);
    /// The listening socket, taken out of the runtime.
    ///
    /// # Errors
    /// The system's.
    fn into_descriptor(self) -> io::Result<OwnedFd>;
    /// Who a connection is from. `None`: the system does not say.
    fn peer(connection: &socket2::Socket, address: &SockAddr) -> Option<Peer>;
    /// Hands a connection, which does not block, to the runtime.
    ///
    /// # Errors
    /// The system's.
    fn register(connection: OwnedFd) -> io::Result<Self::Io>;
}

impl Socket for TcpListener {
    type Io = TcpStream;

    fn tune(&self, limits: &Limits) {
        let socket = SockRef::from(self);
        // With std's 128 a flood fills the queue, and a connection of anybody else waits a second for its second SYN.
        let _ = socket.listen(BACKLOG);
        // An option that the system refuses leaves a listener that works, less tightly bounded.
        let _ = socket.set_tcp_nodelay(true);
        // What was sent and is not acknowledged for so long ends the connection: the peer's machine is gone.
        let _ = socket.set_tcp_user_timeout(Some(limits.tunnel_stall.max(limits.write_stall)));
        if let Some(bytes) = limits.send_buffer {
            let _ = socket.set_send_buffer_size(bytes);
            let _ = socket.set_tcp_notsent_lowat(u32::try_from(bytes / 2).unwrap_or(u32::MAX));
        }
    }

    fn into_descriptor(self) -> io::Result<OwnedFd> {
        Ok(self.into_std()?.into())
    }

    fn peer(_: &socket2::Socket, address: &SockAddr) -> Option<Peer> {
        address.as_socket().map(|address| Peer::from(address.ip()))
    }

    fn register(connection: OwnedFd) -> io::Result<TcpStream> {
        TcpStream::from_std(connection.into())
    }
}

impl Socket for UnixListener {
    type Io = UnixStream;

    fn tune(&self, _: &Limits) {}

    fn into_descriptor(self) -> io::Result<OwnedFd> {
        Ok(self.into_std()?.into())
    }

    fn peer(connection: &socket2::Socket, _: &SockAddr) -> Option<Peer> {
        getsockopt(connection, PeerCredentials).ok().map(|credentials| Peer::User(credentials.uid()))
    }

    fn register(connection: OwnedFd) -> io::Result<UnixStream> {
        UnixStream::from_std(connection.into())
    }
}

/// A close then drops what is queued and tells the peer at once; otherwise the kernel keeps it until the peer reads.
fn reset_on_close<T: AsFd>(io: &T) {
    // Refused: the kernel gives up later, by the user timeout.
    let _ = SockRef::from(io).set_linger(Some(Duration::ZERO));
}

/// What the system could not do for want of something that comes back, as descriptors do.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

impl Listener {
    /// Accepts connections and calls `serve` for each until `stop` is cancelled; then closes the socket and waits for open connections,
    /// [`Limits::drain`] at most. `serve` has to end idle connections on `stop` by itself, as [`crate::serve_http1`] does.
    /// A connection that is refused is closed at once.
    pub async fn run<S, F>(&self, socket: S, stop: CancellationToken, serve: impl FnMut(Guarded<S::Io>, Conn) -> F)
    where
        S: Socket,
        F: Future<Output = ()> + Send + 'static,
    {
        // A flood is accepted or refused in large steps: who comes behind it does not wait for each of its requests.
        tokio::task::unconstrained(self.accept(socket, stop, serve)).await;
    }

    async fn accept<S, F>(&self, socket: S, stop: CancellationToken, mut serve: impl FnMut(Guarded<S::Io>, Conn) -> F)
    where
        S: Socket,
        F: Future<Output = ()> + Send + 'static,
    {
        socket.tune(self.limits());
        let accepting = socket.into_descriptor().and_then(|fd| system::watch_descriptor(fd, Interest::READABLE));
        let accepting = match accepting {
            Ok(accepting) => accepting,
            // The caller sees that it has ended, as after a panic.
            Err(error) => return tracing::error!(%error, listener = self.0.stats.name, "Cannot wait for connections"),
        };
        let mut connections = JoinSet::new();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut wait = BACK_OFF.0;
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                // Without a flood no timer runs: there are hundreds of listeners.
                _ = look.tick(), if self.has_flooded() => {
                    if self.flood_ended() {
                        connections.spawn_blocking(system::trim);
                    }
                    continue;
                }
                accepted = accepting.async_io(Interest::READABLE, |fd| SockRef::from(fd).accept()) => accepted,
            };
            match accepted {
                Ok((raw, address)) => {
                    wait = BACK_OFF.0;
                    let Ok(conn) = self.admit(S::peer(&raw, &address), raw.as_raw_fd()) else { continue };
                    let io = match raw.set_nonblocking(true).and_then(|()| S::register(raw.into())) {
                        Ok(io) => io,
                        Err(error) => {
                            tracing::debug!(%error, listener = self.0.stats.name, "Cannot serve a connection");
                            conn.closed();
                            continue;
                        }
                    };
                    let serving = serve(Guarded::new(io, conn.clone(), reset_on_close), conn.clone());
                    connections.spawn(async move {
                        tokio::select! {
                            () = conn.evicted() => {}
                            () = serving => {}
                        }
                    });
                    // As many wait for their first head as may: those that have come are read before the next one is admitted. Until
                    // then the queue goes first, so that who stands behind a crowd waits for its accepts alone. What is refused
                    // leaves no work behind.
                    if self.is_crowded() {
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) if is_shortage(&error) => {
                    tracing::debug!(%error, listener = self.0.stats.name, "Cannot accept a connection");
                    self.relieve();
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(BACK_OFF.1),
                    }
                }
                // The peer was gone before it was accepted.
                Err(error) => {
                    tracing::debug!(%error, listener = self.0.stats.name, "Cannot accept a connection");
                    tokio::task::yield_now().await;
                }
            }
        }
        drop(accepting);
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.limits().drain, ended).await.is_err() {
            connections.shutdown().await;
        }
    }
}
