//! How long a client is waited for. One timer a connection, moved only when it fires too early: to set and clear one for each read costs
//! more than the read's parsing.

use crate::sidecar::shared::Shared;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

/// A connection's timer, and its ear for the sidecar's end.
pub(crate) struct ClientTimeout {
    alarm: Pin<Box<Sleep>>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    listens: bool,
}

/// How a wait ended.
pub(crate) enum Waited<T> {
    Done(T),
    TooLong,
    /// The sidecar closes.
    Closing,
}

impl ClientTimeout {
    /// Of a new connection, whose first wait lasts until `limit` at most.
    pub(crate) fn new(shared: &Shared, limit: Instant) -> ClientTimeout {
        let closing = Box::pin(shared.tasks.closing.clone().cancelled_owned());
        ClientTimeout { alarm: Box::pin(tokio::time::sleep_until(limit.into())), closing, listens: false }
    }

    /// Waits for `work` until `limit`; where it `may_close`, also no longer than the sidecar lasts. To be polled by the connection's own
    /// task alone, because what wakes it is not asked again at each poll.
    pub(crate) async fn wait<T>(
        &mut self,
        shared: &Shared,
        limit: Instant,
        may_close: bool,
        work: impl Future<Output = T>,
    ) -> Waited<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Waited::Done(done));
            }
            if may_close && self.is_closing(shared, cx) {
                return Poll::Ready(Waited::Closing);
            }
            if self.is_over(limit, cx) { Poll::Ready(Waited::TooLong) } else { Poll::Pending }
        })
        .await
    }

    /// Whether `limit` has passed; if not, the task is woken then.
    pub(crate) fn is_over(&mut self, limit: Instant, cx: &mut Context<'_>) -> bool {
        if self.alarm.deadline() > limit.into() {
            self.alarm.as_mut().reset(limit.into());
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= limit {
                return true;
            }
            // It rang for an earlier wait.
            self.alarm.as_mut().reset(limit.into());
        }
        false
    }

    /// Asked once, it wakes this task at the end; `draining` is set before that and is cheaper to look at.
    fn is_closing(&mut self, shared: &Shared, cx: &mut Context<'_>) -> bool {
        let first = !std::mem::replace(&mut self.listens, true);
        (first || shared.is_draining()) && self.closing.as_mut().poll(cx).is_ready()
    }
}
