//! Tasks that outlive the function that began them: tunnels, streams of HTTP/2, the connections that carry them. The sidecar waits for
//! them before it ends.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A cheap handle; also what hyper runs its own tasks by.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    pub(crate) tracker: TaskTracker,
    /// Idle connections end now.
    pub(crate) closing: CancellationToken,
}

impl Tasks {
    pub(crate) fn spawn(&self, task: impl Future<Output: Send + 'static> + Send + 'static) {
        self.tracker.spawn(task);
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.tracker.spawn(task);
    }
}
