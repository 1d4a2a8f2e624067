//! The verbs. Everything that reads or changes an object, in this process or over HTTP, goes through [`Registry`].
//!
//! **Invariants:** a verb knows kinds only by their data; a write is stored only if the state it was decided on is still the newest,
//! and is on disk before it is answered; reads hand out shared objects and never copies.
mod delete;
mod options;
mod prepare;
mod read;
mod request;
mod scale;
mod watch;
mod write;

pub use options::{
    AdmissionHook, AdmissionRequest, DeleteOptions, Deleted, FieldValidation, ListOptions, ObjectList, Operation,
    Patch, Propagation, Subresource, VersionMatch, WatchOptions, WriteOptions, Written,
};
pub(crate) use scale::of as scale_of;
pub use watch::{Watch, WatchEvent, WatchKind};

pub(crate) use prepare::now;

use crate::kinds::{Kind, Kinds};
use crate::status::Status;
use crate::store::{Key, Store, StoreError};
use std::sync::Arc;

/// The way to the cluster's objects. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    store: Store,
    kinds: Kinds,
    admission: Arc<Vec<AdmissionHook>>,
}

impl Registry {
    /// Serves what is in `store`. Hooks run in order, on every create and on every update of the main resource.
    /// Errors: none today; the store has reported its own when it was opened.
    pub fn open(store: Store, kinds: Kinds, admission: Vec<AdmissionHook>) -> Result<Registry, StoreError> {
        Ok(Registry { store, kinds, admission: Arc::new(admission) })
    }

    /// The kinds it serves.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Resolves when the store has ended by itself, with the reason; from then on every write fails.
    pub fn store_ended(&self) -> impl Future<Output = String> + Send + use<> {
        self.store.ended()
    }

    /// Does work over a client's data where it holds up nobody else: `bytes` is how much there is of it.
    /// Errors: 500 where it panicked or the program ends.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        bytes: usize,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        self.store.work().run(bytes, f).await
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.store.revision()
    }

    /// Creates namespaces that are missing, such as `default` and `kube-system`.
    pub async fn ensure_namespaces(&self, names: &[&str]) -> Result<(), Status> {
        let Some(kind) = self.kinds.find("", "namespaces").cloned() else { return Ok(()) };
        for name in names {
            let object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            match self.create(&kind, None, object, &WriteOptions::default()).await {
                Err(status) if status.reason != "AlreadyExists" => return Err(status),
                _ => {}
            }
        }
        Ok(())
    }

    /// The kind as another thread may keep it.
    fn shared(&self, kind: &Kind) -> Arc<Kind> {
        self.kinds.find(&kind.group, &kind.plural).cloned().unwrap_or_else(|| Arc::new(kind.clone()))
    }
}

/// The store's key of an object. Errors: a namespace is missing where the kind needs one.
fn key(kind: &Kind, namespace: Option<&str>, name: &str) -> Result<Key, Status> {
    let namespace = match (kind.namespaced, namespace) {
        (false, _) => "",
        (true, Some(namespace)) if !namespace.is_empty() => namespace,
        (true, _) => return Err(Status::bad_request("an empty namespace may not be set during creation")),
    };
    Ok(Key::new(&kind.resource(), namespace, name))
}

#[cfg(test)]
mod tests;
