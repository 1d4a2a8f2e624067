//! A child process from its start until it is reaped. Dropping it kills its whole group.
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::io::Interest;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; 128 + signal where one ended it.
    pub code: i32,
    /// The signal, where one ended it.
    pub signal: Option<i32>,
}

/// A child of ours. Cheap to clone; the last one dropped kills the group and reaps.
#[derive(Clone, Debug)]
pub struct Process(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pid: i32,
    pidfd: OwnedFd,
    /// How it ended, once it is reaped. While this is none, the pid is certainly ours.
    exit: Mutex<Option<Exit>>,
    record: Option<PathBuf>,
}

impl Process {
    /// Takes over a child just forked, leader of its own group.
    pub(super) fn adopt(pid: i32, record: Option<PathBuf>) -> io::Result<Process> {
        let pidfd = pidfd_open(pid).inspect_err(|_| {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(Pid::from_raw(pid), None);
        })?;
        Ok(Process(Arc::new(Inner { pid, pidfd, exit: Mutex::new(None), record })))
    }

    /// Its process id, which is its group's as well.
    pub fn pid(&self) -> i32 {
        self.0.pid
    }

    /// Bytes of memory that it has for itself; none once it has ended.
    pub fn memory(&self) -> Option<u64> {
        let exit = self.0.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if exit.is_some() { None } else { super::memory::anonymous(self.0.pid) }
    }

    /// Signals the whole group; does nothing once it has ended.
    pub fn signal(&self, signal: Signal) {
        self.0.signal(signal);
    }

    /// Waits for the end, ends what is left of the group, and reaps.
    pub async fn wait(&self) -> io::Result<Exit> {
        let ready = listen::watch_descriptor(self.0.pidfd.try_clone()?, Interest::READABLE)?;
        loop {
            let mut guard = ready.readable().await?;
            if let Some(exit) = self.0.reap(WaitPidFlag::WNOHANG)? {
                return Ok(exit);
            }
            guard.clear_ready();
        }
    }
}

impl Inner {
    fn signal(&self, signal: Signal) {
        let exit = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if exit.is_none() {
            let _ = killpg(Pid::from_raw(self.pid), signal);
        }
    }

    fn reap(&self, block: WaitPidFlag) -> io::Result<Option<Exit>> {
        let mut exit = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if exit.is_some() {
            return Ok(*exit);
        }
        let id = || Id::PIDFd(self.pidfd.as_fd());
        if waitid(id(), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | block)? == WaitStatus::StillAlive {
            return Ok(None);
        }
        // Not reaped yet, so the pid, and with it the group's id, cannot be anybody else's.
        let _ = killpg(Pid::from_raw(self.pid), Signal::SIGKILL);
        *exit = match waitid(id(), WaitPidFlag::WEXITED)? {
            WaitStatus::Exited(_, code) => Some(Exit { code, signal: None }),
            WaitStatus::Signaled(_, signal, _) => Some(Exit { code: 128 + signal as i32, signal: Some(signal as i32) }),
            _ => Some(Exit { code: 255, signal: None }),
        };
        if let Some(record) = &self.record {
            let _ = std::fs::remove_file(record);
        }
        Ok(*exit)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        // Blocks for as long as the kernel needs to end a killed process: well under a millisecond.
        let _ = self.reap(WaitPidFlag::empty());
    }
}

/// A `pidfd` for a process: readable once it has ended.
fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}
