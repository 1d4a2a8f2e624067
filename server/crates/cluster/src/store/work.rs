//! Where the work of a request is done: on threads of their own, few at a time, so that neither the async runtime nor the writer
//! waits for it.
use crate::status::Status;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// Bytes from which a piece of work counts as large.
const LARGE: usize = 32 * 1024;
/// Small pieces at the same time: a thread each, for well under a millisecond.
const SMALL_AT_ONCE: usize = 8;

/// Bounds the work done at the same time. Large pieces wait for large ones only, so a small one never waits long. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Work {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    waiting: TaskTracker,
}

impl Work {
    pub(super) fn new() -> Work {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Work {
            small: Arc::new(Semaphore::new(SMALL_AT_ONCE)),
            large: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: TaskTracker::new(),
        }
    }

    /// Runs `f`, whose input has so many bytes. Errors: 500 where it panicked or the program ends.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let work = self.clone();
        self.apart(async move { work.run_here(bytes, f).await }).await
    }

    /// Lets a task of its own wait for turns: a caller that is not polled while it awaits something else would keep a turn that it was
    /// given, and everybody behind it would wait for ever. Dropping the future gives the turn up. Errors: 500 where the program ends.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        waiting: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        let task = AbortOnDropHandle::new(self.waiting.spawn(waiting));
        task.await.map_err(|_| Status::internal("the server is ending"))?
    }

    /// [`Work::run`] for a task that awaits nothing else.
    pub(super) async fn run_here<T: Send + 'static>(
        &self,
        bytes: usize,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let gate = if bytes < LARGE { &self.small } else { &self.large };
        let ended = |_| Status::internal("the server is ending");
        let permit = gate.clone().acquire_owned().await.map_err(ended)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = f();
            drop(permit);
            done
        });
        done.await.map_err(|_| Status::internal("the request failed unexpectedly"))
    }

    /// Large pieces that could begin now.
    #[cfg(test)]
    pub(super) fn large_left(&self) -> usize {
        self.large.available_permits()
    }
}
