//! The store's end of a watcher's queue. Bounded: a watcher that does not keep up is cut off and has to begin anew.
use super::Event;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Events a watcher may be behind.
const QUEUE: usize = 4096;
/// Bytes of JSON a watcher may be behind: they are kept alive for it alone.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// One watcher.
pub(super) struct Subscriber {
    namespace: Option<String>,
    queue: mpsc::Sender<Arc<Event>>,
    behind: Arc<AtomicUsize>,
}

impl Subscriber {
    /// A watcher of a namespace, or of all; the other end of its queue, and how many bytes of JSON are in it.
    pub(super) fn new(namespace: Option<&str>) -> (Subscriber, mpsc::Receiver<Arc<Event>>, Arc<AtomicUsize>) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let behind = Arc::new(AtomicUsize::new(0));
        (Subscriber { namespace: namespace.map(str::to_owned), queue: sender, behind: behind.clone() }, queue, behind)
    }

    /// False where the watcher is gone or too slow: it is to be forgotten.
    pub(super) fn offer(&self, event: &Arc<Event>) -> bool {
        if self.namespace.as_deref().is_some_and(|namespace| namespace != event.key.namespace) {
            return !self.is_gone();
        }
        let bytes = event.after.len();
        if self.behind.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > QUEUE_BYTES {
            return false;
        }
        self.queue.try_send(event.clone()).is_ok()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.queue.is_closed()
    }
}
