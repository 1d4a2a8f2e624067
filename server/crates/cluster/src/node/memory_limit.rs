//! Holds a process to its memory limit.
use super::process::{Exit, Process};
use nix::sys::signal::Signal;
use std::time::Duration;

/// How often a container's memory is compared with its limit.
const MEASURE: Duration = Duration::from_secs(2);

/// Waits for a process's end; ends it where it has more memory than its limit.
pub(super) async fn within(process: &Process, limit: Option<u64>) -> (Exit, bool) {
    let mut oom = false;
    let wait = process.wait();
    tokio::pin!(wait);
    loop {
        tokio::select! {
            exit = &mut wait => return (exit.unwrap_or(Exit { code: 255, signal: None }), oom),
            () = tokio::time::sleep(MEASURE), if limit.is_some() && !oom => {
                oom = process.memory() > limit;
                if oom {
                    process.signal(Signal::SIGKILL);
                }
            }
        }
    }
}
