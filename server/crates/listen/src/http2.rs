//! HTTP/2 by hyper, under the policy: a stream is reset when its peer does not take the answer.
//!
//! A peer that grants no flow-control window leaves the TCP connection writable, so [`crate::Guarded`] does not see it stall. hyper polls a
//! body again when the window has room for the first byte of the last frame, so the time between two polls is the time that the peer grants
//! nothing. What hyper has taken is out of reach: the rest of that frame. [`Pieces`] keeps it small.
use crate::http1::track;
use crate::{Conn, Reason, Tracked};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, sleep_until};

/// Largest piece in bytes: a frame that every peer accepts (RFC 9113, 6.5.2).
const PIECE: usize = 16 * 1024;
/// Longest end of an answer that goes in one piece, bytes. The last byte of a longer one is a piece of its own: when hyper takes it, the
/// window has had room for everything before.
const SHORT: usize = 1024;

tokio::task_local! {
    static PROGRESS: Arc<Progress>;
}

/// Of the stream that the current task serves.
#[derive(Debug, Default)]
struct Progress {
    /// Since when a piece of the answer waits for the peer's window; `None` while no piece waits.
    waits_since: Mutex<Option<Instant>>,
}

impl Progress {
    fn get(&self) -> Option<Instant> {
        *self.waits_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.waits_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// Runs the work of one stream, as hyper hands it to its executor. Drops the work, which resets the stream, when the peer grants no window
/// for the answer for [`crate::Limits::write_stall`].
pub async fn run_stream(conn: Conn, work: impl Future) {
    let progress = Arc::new(Progress::default());
    let stall = conn.limits().write_stall;
    let mut work = pin!(PROGRESS.scope(progress.clone(), work));
    let mut timer = pin!(sleep_until(Instant::now() + stall));
    poll_fn(|cx| {
        if work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = progress.get() else {
            return Poll::Pending;
        };
        if timer.deadline() != since + stall {
            timer.as_mut().reset(since + stall);
        }
        ready!(timer.as_mut().poll(cx));
        conn.refuse(Reason::Stalled);
        Poll::Ready(())
    })
    .await;
}

/// Answers a request of an HTTP/2 connection, tracked as [`crate::serve_http1`] does it. Its stream's work runs in [`run_stream`].
///
/// # Errors
/// Those of `answer`.
pub async fn track_stream<B, E, F>(
    conn: Conn,
    request: Request<Incoming>,
    answer: impl FnOnce(Request<Incoming>) -> F,
) -> Result<Response<Pieces<Tracked<B>>>, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    let response = track(conn, request, answer).await?;
    Ok(response.map(|body| Pieces { body, rest: Bytes::new(), progress: PROGRESS.try_with(Arc::clone).ok() }))
}

pin_project_lite::pin_project! {
    /// A body in pieces that are small enough to be taken back when the peer does not read.
    #[derive(Debug)]
    pub struct Pieces<B> {
        #[pin]
        body: B,
        rest: Bytes,
        progress: Option<Arc<Progress>>,
    }
}

impl<B: Body<Data = Bytes>> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let progress = this.progress.as_ref();
        let note = |since| {
            if let Some(progress) = progress {
                progress.set(since);
            }
        };
        note(None);
        if this.rest.is_empty() {
            let frame = match ready!(this.body.poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => *this.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        note(Some(Instant::now()));
        let size = this.rest.len();
        let piece = this.rest.split_to(if size <= SHORT { size } else { PIECE.min(size - 1) });
        // A copy, or the piece would keep the whole answer in memory.
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
