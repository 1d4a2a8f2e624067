//! A connection's bytes, with a deadline for writes and a close that lingers.
use crate::Conn;
use crate::counts::Reason;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A stream under the policy of its [`crate::Listener`]; its place in the table is given back when this is dropped.
#[derive(Debug)]
pub struct Guarded<T> {
    io: T,
    conn: Conn,
    /// When a write that waits is given up.
    stalled: Option<Instant>,
    closing: Option<Closing>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Makes the kernel reset the connection when it is closed.
    reset: fn(&T),
    /// The peer does not read: what is queued for it would stay in the kernel until it does.
    is_stuck: bool,
}

/// A close that reads on.
#[derive(Debug)]
struct Closing {
    until: Instant,
    left: usize,
}

impl<T> Guarded<T> {
    pub(crate) fn new(io: T, conn: Conn, reset: fn(&T)) -> Guarded<T> {
        Guarded { io, conn, stalled: None, closing: None, timer: None, reset, is_stuck: false }
    }

    /// The stream itself.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// The stream itself, for code that bounds its waits by itself.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    fn timer(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx)
    }

    fn progress(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        if self.conn.0.activity.has_ended() {
            self.is_stuck = true;
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let stall = self.conn.0.stall();
        let until = *self.stalled.get_or_insert_with(|| Instant::now() + stall);
        ready!(self.timer(until, cx));
        self.conn.0.refuse(Reason::Stalled);
        self.is_stuck = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.conn.0.activity.has_ended() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.progress(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.progress(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            let limits = self.conn.limits();
            let (linger, left) = (limits.linger, limits.linger_bytes);
            let until = if self.conn.0.lingers() { Instant::now() + linger } else { Instant::now() };
            self.closing = Some(Closing { until, left });
        }
        // A socket that is closed with unread bytes sends a reset, and with it the peer may lose the answer that it has not read yet.
        let mut waste = [0; 4096];
        loop {
            let Some(Closing { until, left }) = self.closing.as_ref().map(|c| Closing { until: c.until, left: c.left })
            else {
                return Poll::Ready(Ok(()));
            };
            if left == 0 || Instant::now() >= until || self.conn.0.activity.has_ended() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut waste);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    self.closing = Some(Closing { until, left: left.saturating_sub(buf.filled().len()) });
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(self.timer(until, cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if self.is_stuck {
            (self.reset)(&self.io);
        }
        self.conn.closed();
    }
}
