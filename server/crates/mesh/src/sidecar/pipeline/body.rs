//! A request's body on its way up: streamed, and kept as far as it may have to be sent again or copied.

use super::attempts::Extent;
use super::stall::Stall;
use crate::sidecar::budget::{Budget, Charge};
use crate::sidecar::buffer::Buffer;
use http1::Framing;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// What is done with a whole request beside sending it.
pub(crate) type Copying<'c> = &'c (dyn Fn(&[u8]) + Send + Sync);

/// How far a request's body is. Shared by what reads it and what waits for the answer, in one task.
pub(crate) struct Body {
    whole: AtomicBool,
    /// All of it that was read is in `out`.
    kept: AtomicBool,
    /// Bytes; of chunks with their sizes.
    received: AtomicU64,
    /// Most bytes that are kept, the head's included.
    most: usize,
    /// For what is kept of a body that did not come with its head.
    charge: Mutex<Option<Charge>>,
}

impl Body {
    /// A body of which `taken` bytes came with its head and `framing` is to come. Of a longer one `most` bytes are kept.
    pub(crate) fn new(taken: usize, framing: &Framing, most: usize) -> Body {
        let whole = framing.is_done();
        Body {
            whole: AtomicBool::new(whole),
            kept: AtomicBool::new(whole || most > 0),
            received: AtomicU64::new(taken as u64),
            most,
            charge: Mutex::default(),
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Relaxed)
    }

    fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    pub(crate) fn extent(&self) -> Extent {
        Extent { whole: self.is_whole(), kept: self.is_kept() }
    }

    /// Counts what was read, and says whether it is kept behind the `kept` bytes that are.
    fn takes(&self, taken: usize, kept: usize, budget: &Arc<Budget>) -> bool {
        self.received.fetch_add(taken as u64, Ordering::Relaxed);
        let charged = |bytes| {
            self.charge
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_with(|| budget.charge())
                .grow_to(bytes)
        };
        let keep = self.is_kept() && kept + taken <= self.most && charged(kept + taken);
        self.kept.store(keep, Ordering::Relaxed);
        keep
    }
}

/// How an upload ended, where it did before the answer.
pub(crate) enum UploadEnd {
    ClientGone,
    UpstreamGone,
    BadChunk,
}

/// What an upload goes by.
pub(crate) struct Upload<'a> {
    pub(crate) body: &'a Body,
    /// For what is kept.
    pub(crate) budget: &'a Arc<Budget>,
    /// Who gets a copy of the request once all of it is there.
    pub(crate) copy: Option<Copying<'a>>,
    pub(crate) stall: &'a Stall,
}

/// Pumps the rest of the body, then watches for the client to leave. Never ends well: it is the answer that ends an exchange.
pub(crate) async fn upload<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    from: &mut R,
    buffer: &mut Buffer,
    out: &mut Vec<u8>,
    to: &mut W,
    framing: &mut Framing,
    by: Upload<'_>,
) -> UploadEnd {
    let Upload { body, budget, copy, stall } = by;
    let streams = !framing.is_done();
    while !framing.is_done() {
        if buffer.is_empty()
            && !matches!(stall.read(body.received(), buffer.fill(from, 16 * 1024)).await, Ok(n) if n > 0)
        {
            return UploadEnd::ClientGone;
        }
        let Ok(taken) = framing.take(buffer.bytes()) else { return UploadEnd::BadChunk };
        let written = if body.takes(taken, out.len(), budget) {
            // Kept before it is written: whatever becomes of this try, the next one has it.
            let at = out.len();
            out.extend_from_slice(&buffer.bytes()[..taken]);
            buffer.consume(taken);
            to.write_all(&out[at..]).await
        } else {
            let written = to.write_all(&buffer.bytes()[..taken]).await;
            buffer.consume(taken);
            written
        };
        if written.is_err() {
            return UploadEnd::UpstreamGone;
        }
    }
    if streams {
        body.whole.store(true, Ordering::Relaxed);
        if let Some(copy) = copy.filter(|_| body.is_kept()) {
            copy(out);
        }
    }
    // What comes now is the next request; let it wait in the kernel once there is some.
    while buffer.bytes().len() < 4096 {
        if !matches!(buffer.fill(from, 1).await, Ok(n) if n > 0) {
            return UploadEnd::ClientGone;
        }
    }
    std::future::pending().await
}
