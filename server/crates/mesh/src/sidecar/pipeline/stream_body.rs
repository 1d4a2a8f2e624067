//! The body of a stream's request on its way up: streamed, and kept as far as it may have to be sent again or copied.

use super::attempts::Extent;
use crate::sidecar::budget::Charge;
use crate::sidecar::upstream::multiplex::BoxError;
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::sync::Notify;

/// A request's body, whoever sends it at present.
pub(crate) struct StreamBody {
    source: Mutex<Source>,
    whole: AtomicBool,
    /// Told once it is whole.
    ended: Notify,
    /// Bytes.
    received: AtomicU64,
    /// Most bytes that are kept.
    most: usize,
}

struct Source {
    body: Incoming,
    /// What was read so far: copied, because a client's small frames would each hold the buffer that they came in.
    kept: Vec<u8>,
    /// For what is kept.
    charge: Charge,
    trailers: Option<HeaderMap>,
    is_kept: bool,
    /// Since when the client is waited for; `None` while it is not, and once there is an answer.
    waits_since: Option<Instant>,
    answered: bool,
    /// The client did not send it to its end.
    broken: bool,
    /// The present try; an earlier one reads nothing more.
    turn: u32,
    /// Gets the body once all of it is there, if it is kept.
    copy: Option<Copying>,
}

/// What is done with a whole body beside sending it.
pub(crate) type Copying = Box<dyn FnOnce(&[u8]) + Send>;

impl StreamBody {
    /// A request's body, of which `most` bytes are kept.
    pub(crate) fn new(body: Incoming, most: usize, charge: Charge, copy: Option<Copying>) -> Arc<StreamBody> {
        let whole = AtomicBool::new(body.is_end_stream());
        let copy = match copy {
            Some(copy) if body.is_end_stream() => {
                copy(&[]);
                None
            }
            copy => copy,
        };
        let source = Source {
            body,
            kept: Vec::new(),
            charge,
            trailers: None,
            is_kept: true,
            waits_since: None,
            answered: false,
            broken: false,
            turn: 0,
            copy,
        };
        Arc::new(StreamBody {
            source: Mutex::new(source),
            whole,
            ended: Notify::new(),
            received: AtomicU64::new(0),
            most,
        })
    }

    /// The body for one more try, from its beginning; only the first may follow what is not kept.
    pub(crate) fn send(self: &Arc<StreamBody>) -> Sending {
        let mut source = self.source();
        source.turn += 1;
        Sending { upload: self.clone(), turn: source.turn, next: 0, told_trailers: false }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    pub(crate) fn extent(&self) -> Extent {
        Extent { whole: self.is_whole(), kept: self.source().is_kept }
    }

    /// There is an answer: there will be no other try, and the client may take its time. What is kept goes with the next piece.
    pub(crate) fn answered(&self) {
        let mut source = self.source();
        // A copy still needs what is kept.
        source.is_kept &= source.copy.is_some();
        (source.answered, source.waits_since) = (true, None);
    }

    /// Since when the client is waited for, before there is an answer.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.source().waits_since
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.source().broken
    }

    /// Waits until all of it is there.
    pub(crate) async fn until_whole(&self) {
        let ended = self.ended.notified();
        if !self.is_whole() {
            ended.await;
        }
    }

    fn end(&self, source: &mut Source) {
        self.whole.store(true, Ordering::Release);
        self.ended.notify_waiters();
        if let Some(copy) = source.copy.take().filter(|_| source.is_kept) {
            copy(&source.kept);
        }
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A try's way through the body.
pub(crate) struct Sending {
    upload: Arc<StreamBody>,
    turn: u32,
    /// Bytes of what is kept that this try has sent.
    next: usize,
    told_trailers: bool,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let upload = self.upload.clone();
        let mut source = upload.source();
        if source.turn != self.turn {
            return Poll::Ready(Some(Err("the try is over".into())));
        }
        if let Some(again) = source.kept.get(self.next..).filter(|rest| !rest.is_empty()) {
            let again = Bytes::copy_from_slice(again);
            self.next += again.len();
            return Poll::Ready(Some(Ok(Frame::data(again))));
        }
        if !upload.is_whole() {
            let polled = Pin::new(&mut source.body).poll_frame(cx);
            source.waits_since = if polled.is_ready() || source.answered {
                None
            } else {
                source.waits_since.or_else(|| Some(Instant::now()))
            };
            match ready!(polled) {
                Some(Err(error)) => {
                    source.broken = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => upload.end(&mut source),
                Some(Ok(frame)) => {
                    match frame.into_data() {
                        Ok(data) => {
                            upload.received.fetch_add(data.len() as u64, Ordering::Relaxed);
                            let sum = source.kept.len() + data.len();
                            source.is_kept = source.is_kept && sum <= upload.most && source.charge.grow_to(sum);
                            if source.is_kept {
                                source.kept.extend_from_slice(&data);
                                self.next += data.len();
                            } else {
                                source.kept = Vec::new();
                                source.charge.clear();
                            }
                            if source.body.is_end_stream() {
                                upload.end(&mut source);
                            }
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                        Err(frame) => source.trailers = frame.into_trailers().ok(),
                    }
                    upload.end(&mut source);
                }
            }
        }
        let told = std::mem::replace(&mut self.told_trailers, true);
        Poll::Ready(source.trailers.clone().filter(|_| !told).map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        let source = self.upload.source();
        self.upload.is_whole() && self.next >= source.kept.len() && (self.told_trailers || source.trailers.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        // hyper would say `content-length: 0` of a body that is none, which the client did not.
        if self.is_end_stream() {
            return SizeHint::default();
        }
        let source = self.upload.source();
        let kept = source.kept.len().saturating_sub(self.next) as u64;
        let rest = if self.upload.is_whole() { SizeHint::with_exact(0) } else { source.body.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(kept + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(kept + upper);
        }
        hint
    }
}
