//! When a role ends: on a signal in order, and at once when the panel is gone.
use std::fs::File;
use std::io::Read;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Where the node has handed over one end of a pipe (`LIFELINE_FD`), ends the process when the other end closes: then the panel is
/// gone, however it went. A thread of its own does it, so a busy or stuck runtime cannot keep the process alive.
pub fn end_with_the_panel() {
    let Some(fd) = std::env::var("LIFELINE_FD").ok().and_then(|fd| fd.parse::<RawFd>().ok()).filter(|fd| *fd > 2)
    else {
        return;
    };
    // A command that `exec` runs may inherit the name without the descriptor.
    if !std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok_and(|to| to.to_string_lossy().starts_with("pipe:")) {
        return;
    }
    // SAFETY: a pipe is open under this number, as was just seen; nothing else in the process uses it, and it is never closed.
    let mut pipe = ManuallyDrop::new(File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
    let watch = move || {
        loop {
            match pipe.read(&mut [0]) {
                Ok(0) => std::process::exit(0),
                Err(e) if !matches!(e.kind(), std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock) => {
                    return;
                }
                // A non-blocking pipe is looked at again soon enough.
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(50)),
                Ok(_) => {}
            }
        }
    };
    // Without the thread there is still the signal that the kernel sends when the panel ends.
    let _ = std::thread::Builder::new().name("lifeline".to_owned()).stack_size(64 * 1024).spawn(watch);
}

/// Returns when the process is asked to end (SIGTERM, SIGINT). Must first be polled before the signal comes, or it ends the process.
pub async fn asked_to_end() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }
        // Without handlers the signals end the process by themselves.
        _ => std::future::pending().await,
    }
}

/// Runs `work` with a token that is cancelled when the process is asked to end, until `work` returns.
pub async fn until_asked_to_end<T>(work: impl AsyncFnOnce(CancellationToken) -> T) -> T {
    let stop = CancellationToken::new();
    let working = work(stop.clone());
    tokio::pin!(working);
    tokio::select! {
        biased;
        () = asked_to_end() => {}
        done = &mut working => return done,
    }
    stop.cancel();
    working.await
}
