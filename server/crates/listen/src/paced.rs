//! Deadlines for heads and for idle connections. Above TLS, where a head can be seen.
use crate::Conn;
use crate::strict::HeadScan;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A stream whose reads end (as if the peer had closed) when a head or an idle connection takes too long.
#[derive(Debug)]
pub struct Paced<T> {
    io: T,
    conn: Conn,
    timer: Option<Pin<Box<Sleep>>>,
    expired: bool,
    /// For HTTP/1 that somebody else parses.
    heads: Option<HeadScan>,
}

impl<T> Paced<T> {
    /// Reads of the connection's bytes go through it from the first head on.
    pub fn new(io: T, conn: &Conn) -> Paced<T> {
        Paced { io, conn: conn.clone(), timer: None, expired: false, heads: None }
    }

    /// The same for bytes of HTTP/1 that a lenient parser reads: a bare line feed in a head becomes a NUL, which every parser answers
    /// with 400.
    pub(crate) fn strict(io: T, conn: &Conn) -> Paced<T> {
        Paced { heads: Some(HeadScan::default()), ..Paced::new(io, conn) }
    }

    /// The stream itself.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Ready when the deadline that holds now has passed. The timer is left alone where it fires earlier: it then looks again, which is
    /// cheaper than to set it anew for every request.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some((at, reason)) = self.conn.0.deadline() {
            if Instant::now() >= at {
                self.expired = true;
                if let Some(reason) = reason {
                    self.conn.0.refuse(reason);
                }
                return Poll::Ready(());
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if timer.deadline() > at || timer.is_elapsed() {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.expired {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let new = &mut buf.filled_mut()[before..];
                if !new.is_empty() {
                    let this = &mut *self;
                    if let Some(scan) = this.heads.as_mut().filter(|_| this.conn.0.activity.is_in_head())
                        && let Some(at) = scan.bare_line_feed(this.conn.0.activity.heads(), new)
                    {
                        new[at] = 0;
                    }
                    this.conn.0.came(new);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => self.poll_expired(cx).map(Ok),
            error => error,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
