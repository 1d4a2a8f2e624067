//! Waits for sockets and for a moment, whichever comes first: epoll with a timeout in nanoseconds, where tokio's and mio's are whole milliseconds.
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
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

/// An epoll instance with room for its events.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    /// Cleared where the kernel or a container's filter has no `epoll_pwait2`.
    precise: AtomicBool,
}

impl Poller {
    /// Errors: the process has no descriptors left.
    pub fn new() -> io::Result<Poller> {
        // SAFETY: no pointers; a returned descriptor is new and ours alone.
        let epoll = unsafe {
            let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Poller { epoll, events: Vec::with_capacity(BATCH), precise: AtomicBool::new(true) })
    }

    /// Reports each change of `fd` once (edge-triggered), until it is closed.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let flags = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: flags.cast_unsigned(), u64: token };
        // SAFETY: both descriptors are open for the length of the call and `event` lives through it.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until something happens or `timeout` has passed. A signal ends it early, with no event.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.events.clear();
        if self.precise.load(Ordering::Relaxed) {
            match self.wait_precisely(timeout) {
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.precise.store(false, Ordering::Relaxed)
                }
                other => return other,
            }
        }
        // Older kernels: `poll` the epoll descriptor itself, which does take nanoseconds.
        let mut poll = libc::pollfd { fd: self.epoll.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let ts = timespec(timeout);
        // SAFETY: one pollfd and one timespec, both alive through the call; no signal mask.
        let ready = unsafe { libc::ppoll(&raw mut poll, 1, &raw const ts, std::ptr::null()) };
        if ready <= 0 {
            return Ok(());
        }
        // SAFETY: the vector has room for BATCH events, and exactly the returned number of them is initialised.
        unsafe {
            let n = libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), BATCH as i32, 0);
            self.events.set_len(usize::try_from(n).unwrap_or(0));
        }
        Ok(())
    }

    fn wait_precisely(&mut self, timeout: Duration) -> io::Result<()> {
        let ts = timespec(timeout);
        // SAFETY: as above; the sixth argument, the mask's size, is ignored where the mask is null.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                BATCH as i32,
                &raw const ts,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        if n < 0 {
            let e = io::Error::last_os_error();
            return if e.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(e) };
        }
        // SAFETY: the kernel has initialised the first `n` of BATCH events.
        unsafe { self.events.set_len(usize::try_from(n).unwrap_or(0)) };
        Ok(())
    }

    /// How many events the last wait brought.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// One of them.
    pub fn event(&self, i: usize) -> Event {
        let event = self.events[i];
        let bits = event.events.cast_signed();
        let ended = bits & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0;
        Event {
            token: event.u64,
            readable: bits & libc::EPOLLIN != 0 || ended,
            writable: bits & libc::EPOLLOUT != 0 || ended,
            ended,
        }
    }
}

/// Lets this thread's timers fire on time: by default Linux adds up to 50 µs to save power.
pub(crate) fn precise_timers() {
    // SAFETY: plain integers; concerns this thread alone.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_usize, 0, 0, 0) };
}

fn timespec(d: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(d.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: d.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
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
