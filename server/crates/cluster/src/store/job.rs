//! Writes on their way from a decision to the disk.
use super::Key;
use super::version::Draft;
use crate::Object;
use crate::status::Status;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a write is to do.
pub enum Change {
    /// Store this; the store stamps `metadata.resourceVersion`.
    Put(Key, Object),
    /// Remove it; this is its last state.
    Delete(Key, Object),
    /// Nothing: the answer is this, as it stands.
    None(Arc<Object>),
}

/// What a write is answered.
pub(super) type Answer = Result<Arc<Object>, Status>;

/// Something to be answered, and to be written before where there is a write.
pub(super) struct Job {
    pub(super) answer: oneshot::Sender<Answer>,
    pub(super) result: Answer,
    pub(super) write: Option<Write>,
}

/// A decided write.
pub(super) struct Write {
    pub(super) revision: u64,
    pub(super) key: Key,
    pub(super) object: Arc<Object>,
    pub(super) draft: Draft,
    pub(super) deleted: bool,
}
