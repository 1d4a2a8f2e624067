//! Descriptors and freed memory: what the operating system is asked for.
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Raises the soft limit on open descriptors to the hard one. Returns the limit that holds from then on; where it cannot be raised, the old.
pub fn raise_descriptors() -> usize {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // A refusal leaves the soft limit as it was, and all caps follow from that.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    descriptor_limit()
}

/// The soft limit on open descriptors; 1,024 where it cannot be read.
pub fn descriptor_limit() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// Registers a descriptor with the runtime, for as long as the answer lives.
///
/// # Errors
/// The system's: the descriptor cannot be waited for.
pub fn watch_descriptor(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the `AsyncFd` owns the descriptor, and gives it back only after it has deregistered it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest)? })
}

/// Gives freed memory back to the system. glibc keeps what was freed, so a flood would be seen in the resident memory for ever.
pub(crate) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes the allocator's own locks and has no other precondition.
    unsafe {
        libc::malloc_trim(0);
    }
}
