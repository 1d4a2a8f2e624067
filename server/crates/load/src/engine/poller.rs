//! Waits for sockets and for a moment, whichever comes first: epoll with a timeout in nanoseconds, where tokio's and mio's are whole milliseconds.
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rustix::event::epoll;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Most events taken at once.
const BATCH: usize = 256;

/// What happened to a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// As given to [`Poller::add`].
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// The other side has ended its half or the connection is gone: read until the end.
    pub ended: bool,
}

impl Event {
    fn new(flags: EpollFlags, token: u64) -> Event {
        let ended = flags.intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        Event {
            token,
            readable: flags.contains(EpollFlags::EPOLLIN) || ended,
            writable: flags.contains(EpollFlags::EPOLLOUT) || ended,
            ended,
        }
    }
}

/// What is waited for: input, output and the other side's end, each change once.
const ALL: EpollFlags =
    EpollFlags::EPOLLIN.union(EpollFlags::EPOLLOUT).union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLET);

/// An epoll instance with room for its events.
pub(crate) struct Poller {
    epoll: Epoll,
    events: Vec<Event>,
    /// Cleared where the kernel or a container's filter has no `epoll_pwait2`.
    precise: AtomicBool,
}

impl Poller {
    /// Errors: the process has no descriptors left.
    pub fn new() -> io::Result<Poller> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Poller { epoll, events: Vec::with_capacity(BATCH), precise: AtomicBool::new(true) })
    }

    /// Reports each change of `fd` once (edge-triggered), until it is closed.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(ALL, token))?)
    }

    /// Waits until something happens or `timeout` has passed. A signal ends it early, with no event.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.events.clear();
        let ts = timespec(timeout);
        if self.precise.load(Ordering::Relaxed) {
            let mut batch = [const { MaybeUninit::uninit() }; BATCH];
            match epoll::wait(&self.epoll.0, &mut batch, Some(&ts)) {
                Ok((found, _)) => {
                    self.events.extend(found.iter().map(|&epoll::Event { flags, data }| {
                        Event::new(EpollFlags::from_bits_retain(flags.bits().cast_signed()), data.u64())
                    }));
                    return Ok(());
                }
                Err(Errno::INTR) => return Ok(()),
                Err(Errno::NOSYS | Errno::PERM) => self.precise.store(false, Ordering::Relaxed),
                Err(other) => return Err(other.into()),
            }
        }
        // Older kernels: `poll` the epoll descriptor itself, which does take nanoseconds.
        if poll(&mut [PollFd::new(&self.epoll.0, PollFlags::IN)], Some(&ts)).is_ok_and(|ready| ready > 0) {
            let mut batch = [EpollEvent::empty(); BATCH];
            let count = self.epoll.wait(&mut batch, EpollTimeout::ZERO).unwrap_or(0);
            self.events.extend(batch[..count].iter().map(|event| Event::new(event.events(), event.data())));
        }
        Ok(())
    }

    /// How many events the last wait brought.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// One of them.
    pub fn event(&self, i: usize) -> Event {
        self.events[i]
    }
}

/// Lets this thread's timers fire on time: by default Linux adds up to 50 µs to save power. A failure leaves that.
pub(crate) fn precise_timers() {
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

fn timespec(d: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX), tv_nsec: d.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    #[test]
    fn it_reports_what_happened_and_when_nothing_did_with_or_without_the_newer_call() {
        for precise in [true, false] {
            let mut poller = Poller::new().unwrap();
            poller.precise.store(precise, Ordering::Relaxed);
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            poller.add(ours.as_fd(), 7).unwrap();
            poller.wait(Duration::from_secs(10)).unwrap();
            assert!(poller.len() == 1 && poller.event(0).writable && !poller.event(0).readable);
            let began = Instant::now();
            poller.wait(Duration::from_micros(300)).unwrap();
            assert!(poller.len() == 0 && began.elapsed() >= Duration::from_micros(300));
            theirs.write_all(b"x").unwrap();
            poller.wait(Duration::from_secs(10)).unwrap();
            assert!(poller.event(0).token == 7 && poller.event(0).readable && !poller.event(0).ended);
            ours.read_exact(&mut [0]).unwrap();
            drop(theirs);
            poller.wait(Duration::from_secs(10)).unwrap();
            assert!(poller.event(0).ended);
        }
    }
}
