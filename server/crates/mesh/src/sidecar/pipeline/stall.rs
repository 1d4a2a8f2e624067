//! How long a client may keep an exchange waiting: for the rest of its body, and for room to write the answer into. The deadlines are
//! kept as numbers; only while the client is waited for, the connection's one timer is set to the nearer of them.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::AsyncWrite;

/// The waits of one exchange. Shared by the futures that read and write, in one task.
pub(crate) struct Stall {
    began: Instant,
    /// Longest time that a write makes no progress.
    write_time: Duration,
    /// Longest time that a body may be waited for, to which every KiB that came adds a second.
    body_time: Duration,
    /// Milliseconds since the beginning at which the write under way is too late, plus one; 0 while none waits.
    write: AtomicU64,
    /// The same for reading the body.
    body: AtomicU64,
    /// Milliseconds that the body was waited for so far. Time in which the upstream took nothing is not the client's.
    waited: AtomicU64,
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    Body,
    Write,
}

/// Slowest body in bytes a second, once the time that every body has is over.
const SLOWEST: u64 = 1024;

impl Stall {
    pub(crate) fn new(began: Instant, body_time: Duration, write_time: Duration) -> Stall {
        let [write, body, waited] = [const { AtomicU64::new(0) }; 3];
        Stall { began, write_time, body_time, write, body, waited }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits for more of a body, of which `received` bytes came so far.
    pub(crate) async fn read<T>(&self, received: u64, read: impl Future<Output = T>) -> T {
        let mut read = pin!(read);
        let mut since = None;
        poll_fn(|cx| {
            let polled = read.as_mut().poll(cx);
            if polled.is_pending() && since.is_none() {
                let now = self.now();
                let allowed = ms(self.body_time).saturating_add(received.saturating_mul(1000) / SLOWEST);
                self.body
                    .store(now + allowed.saturating_sub(self.waited.load(Ordering::Relaxed)) + 1, Ordering::Relaxed);
                since = Some(now);
            } else if let Some(since) = since.take_if(|_| polled.is_ready()) {
                self.body.store(0, Ordering::Relaxed);
                self.waited.fetch_add(self.now() - since, Ordering::Relaxed);
            }
            polled
        })
        .await
    }

    /// Writes all of it.
    pub(crate) async fn write_all<W: AsyncWrite + Unpin>(&self, to: &mut W, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| {
                let polled = Pin::new(&mut *to).poll_write(cx, bytes);
                match polled {
                    Poll::Pending if self.write.load(Ordering::Relaxed) == 0 => {
                        self.write.store(self.now() + ms(self.write_time) + 1, Ordering::Relaxed)
                    }
                    Poll::Pending => {}
                    Poll::Ready(_) => self.write.store(0, Ordering::Relaxed),
                }
                polled
            })
            .await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// The nearest time at which the client is too late, and with what; `None` while it is not waited for.
    pub(crate) fn deadline(&self) -> Option<(Instant, Late)> {
        let (write, body) = (self.write.load(Ordering::Relaxed), self.body.load(Ordering::Relaxed));
        let all = [(write, Late::Write), (body, Late::Body)].into_iter().filter(|(at, _)| *at > 0);
        let (at, late) = all.min_by_key(|(at, _)| *at)?;
        Some((self.began + Duration::from_millis(at), late))
    }

    /// The answer has begun: from here on the two sides may talk as they like, and the body's time is over.
    pub(crate) fn write_deadline(&self) -> Option<Instant> {
        let at = self.write.load(Ordering::Relaxed);
        (at > 0).then(|| self.began + Duration::from_millis(at))
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4)
}
