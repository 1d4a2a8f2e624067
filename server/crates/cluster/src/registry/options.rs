//! What the verbs take and give.
use crate::kinds::Kind;
use crate::select::{FieldSelector, LabelSelector};
use crate::{Object, status::Status};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// Which part of an object a write is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subresource {
    /// Everything but the status, where the kind keeps that apart.
    #[default]
    None,
    /// `status` alone.
    Status,
    /// `autoscaling/v1 Scale` of a workload: `spec.replicas`.
    Scale,
    /// `Binding` of a pod: `{"target": {"name": node}}`.
    Binding,
    /// `spec.finalizers` of a namespace.
    Finalize,
}

impl Subresource {
    /// As managedFields name it; empty for the main resource.
    pub fn name(self) -> &'static str {
        match self {
            Subresource::None => "",
            Subresource::Status => "status",
            Subresource::Scale => "scale",
            Subresource::Binding => "binding",
            Subresource::Finalize => "finalize",
        }
    }
}

/// What to do with fields that the schema does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them in silence.
    Ignore,
    /// Drop them and say so in [`Written::warnings`].
    #[default]
    Warn,
    /// Refuse with 400.
    Strict,
}

/// How a write is to be done.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Who writes, for managedFields.
    pub field_manager: String,
    /// Do everything but store.
    pub dry_run: bool,
    /// Apply takes fields over from others.
    pub force: bool,
    /// What to do with unknown fields.
    pub validation: FieldValidation,
}

impl Default for WriteOptions {
    fn default() -> WriteOptions {
        WriteOptions {
            field_manager: "unknown".to_owned(),
            dry_run: false,
            force: false,
            validation: FieldValidation::Ignore,
        }
    }
}

impl WriteOptions {
    /// For a writer in this process.
    pub fn by(field_manager: &str) -> WriteOptions {
        WriteOptions { field_manager: field_manager.to_owned(), ..WriteOptions::default() }
    }
}

/// What a write has done.
#[derive(Clone, Debug)]
pub struct Written {
    /// As stored; of a dry run as it would be.
    pub object: Arc<Object>,
    /// Whether this made it.
    pub created: bool,
    /// False where nothing was different, and for dry runs.
    pub changed: bool,
    /// For `Warning` headers.
    pub warnings: Vec<String>,
}

/// A change to an object.
#[derive(Clone, Debug)]
pub enum Patch {
    /// `application/json-patch+json`.
    Json(Value),
    /// `application/merge-patch+json`.
    Merge(Value),
    /// `application/strategic-merge-patch+json`; built-in kinds only.
    Strategic(Value),
    /// `application/apply-patch+yaml`.
    Apply(Value),
}

/// What happens to objects that the deleted one owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They go afterwards.
    #[default]
    Background,
    /// They go first: finalizer `foregroundDeletion`.
    Foreground,
    /// They stay: finalizer `orphan`.
    Orphan,
}

/// How to delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds a pod has to end; `None` is the pod's own, 0 is at once.
    pub grace_period_s: Option<u64>,
    /// What happens to owned objects.
    pub propagation: Propagation,
    /// Only if the object has this uid.
    pub precondition_uid: Option<String>,
    /// Only if the object has this resourceVersion.
    pub precondition_rv: Option<String>,
    /// Do everything but store.
    pub dry_run: bool,
}

/// What a deletion has done.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// Removed; its last state.
    Gone(Arc<Object>),
    /// Marked: a grace period runs, or finalizers hold it.
    Terminating(Arc<Object>),
}

impl Deleted {
    /// The object, gone or not.
    pub fn object(&self) -> &Arc<Object> {
        match self {
            Deleted::Gone(object) | Deleted::Terminating(object) => object,
        }
    }
}

/// How `resource_version` of a list is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// Exactly that state.
    Exact,
    /// That state or a later one.
    NotOlderThan,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Only objects with these labels.
    pub labels: LabelSelector,
    /// Only objects with these fields.
    pub fields: FieldSelector,
    /// At most so many; the rest by `continue_token`.
    pub limit: Option<usize>,
    /// `continue` of the previous answer.
    pub continue_token: Option<String>,
    /// `None` and 0 are the newest state.
    pub resource_version: Option<u64>,
    /// How to take it.
    pub version_match: Option<VersionMatch>,
}

/// A list as it was at one revision.
#[derive(Clone, Debug)]
pub struct ObjectList {
    /// In order of namespace and name.
    pub items: Vec<Arc<Object>>,
    /// The list's resourceVersion.
    pub revision: u64,
    /// Token for the rest.
    pub next: Option<String>,
    /// How many are in the rest, where that is known without reading it.
    pub remaining: Option<u64>,
}

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Only objects with these labels.
    pub labels: LabelSelector,
    /// Only objects with these fields.
    pub fields: FieldSelector,
    /// Strictly after this revision. `None` and 0: first everything there is as Added.
    pub from: Option<u64>,
    /// Send bookmarks: once a minute, and after the initial events.
    pub bookmarks: bool,
    /// First everything there is as Added, then a bookmark that says so.
    pub send_initial_events: bool,
}

/// What a hook is asked about.
pub struct AdmissionRequest<'a> {
    /// The object's kind.
    pub kind: &'a Kind,
    /// Create or update.
    pub operation: Operation,
    /// The Namespace object, for kinds that live in one.
    pub namespace: Option<Arc<Object>>,
    /// Before the update.
    pub old: Option<&'a Object>,
    /// Nothing will be stored.
    pub dry_run: bool,
    pub(super) undo: &'a Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl AdmissionRequest<'_> {
    /// Has `undo` run where the object is not stored after all: another hook refuses it, or the write has to be decided again.
    /// For hooks that take something outside of the object, such as an address.
    pub fn on_failure(&self, undo: impl FnOnce() + Send + 'static) {
        self.undo.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(undo));
    }
}

/// Which verb asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed one.
    Update,
}

/// Called before an object is stored; may change it, may warn. `Err` denies.
///
/// Runs on a thread of its own, several at a time, and again where the write has to be decided again: no waiting, no writes. Reading
/// the registry is fine. What it takes outside of the object it gives back by [`AdmissionRequest::on_failure`].
pub type AdmissionHook = Arc<dyn Fn(&AdmissionRequest<'_>, &mut Object) -> Result<Vec<String>, Status> + Send + Sync>;
