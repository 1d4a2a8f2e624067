//! Reads a request's body: bounded in bytes and in time.
use crate::Conn;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

/// Bytes that a body which is passed on must bring in each window.
const LEAST: usize = 1024;

/// Bounds of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Most bytes.
    pub bytes: usize,
    /// From the head to the body's end.
    pub whole: Duration,
    /// Longest time in which nothing comes.
    pub stall: Duration,
}

impl Default for BodyLimits {
    /// 1 MiB within 10 s, and something every 5 s.
    fn default() -> BodyLimits {
        BodyLimits { bytes: 1 << 20, whole: Duration::from_secs(10), stall: Duration::from_secs(5) }
    }
}

/// Why a body could not be read.
#[derive(Debug)]
pub enum BodyError {
    /// More bytes than allowed: 413.
    TooLarge,
    /// It came too slowly: 408.
    TooSlow,
    /// The connection broke, or the framing was wrong.
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

/// Reads a whole body. `conn`, where known, is told: a connection that only sends may be evicted.
///
/// # Errors
/// See [`BodyError`].
pub async fn collect<B>(body: B, conn: Option<&Conn>, limits: BodyLimits) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // A length that is announced need not be read to be refused.
    if body.size_hint().lower() > limits.bytes as u64 {
        return Err(BodyError::TooLarge);
    }
    let _reading = (!body.is_end_stream()).then(|| conn.map(Conn::reading)).flatten();
    let end = Instant::now() + limits.whole;
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    loop {
        let until = end.min(Instant::now() + limits.stall);
        let frame = match timeout_at(until, body.frame()).await {
            Err(_) => return Err(BodyError::TooSlow),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(BodyError::Broken(error.into())),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + more.len() + data.len() > limits.bytes {
            return Err(BodyError::TooLarge);
        }
        // Most bodies are one frame, which is not copied.
        if first.is_empty() && more.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&data);
        }
    }
    if let Some(conn) = conn {
        conn.sending(false);
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

pin_project_lite::pin_project! {
    /// A body that is passed on as it comes: it fails when less than 1 KiB came in a window of time and it has not ended.
    #[derive(Debug)]
    pub struct Steady<B> {
        #[pin]
        body: B,
        window: Duration,
        came: usize,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<B> Steady<B> {
    /// Of a body, with the length of the window.
    pub fn new(body: B, window: Duration) -> Steady<B> {
        Steady { body, window, came: 0, timer: None }
    }
}

impl<B: Body<Data = Bytes>> Body for Steady<B>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.project();
        match this.body.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                *this.came += frame.data_ref().map_or(0, Bytes::len);
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(*this.window)));
        while timer.as_mut().poll(cx).is_ready() {
            if *this.came < LEAST {
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            }
            *this.came = 0;
            timer.as_mut().reset(Instant::now() + *this.window);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
