//! One write: from what was sent to what is to be stored. It may be decided more than once, each time on the newest state.
use super::prepare::{self, part_of};
use super::{AdmissionHook, AdmissionRequest, Operation, Subresource, WriteOptions};
use crate::Object;
use crate::kinds::{Cause, Kind, validate_metadata};
use crate::patch::{MAX_DEPTH, Size, managed};
use crate::status::Status;
use crate::store::{Change, Key, Txn};
use std::sync::{Arc, Mutex, PoisonError};

/// Of an object as JSON. Source: etcd's default limit of a request.
const MAX_BYTES: usize = 1536 * 1024;

/// Warnings of one write, each a header of the answer. Source: kube-apiserver bounds them, too.
const MOST_WARNINGS: usize = 64;
/// Bytes of one warning.
const MOST_OF_A_WARNING: usize = 512;

/// What the verb tells besides the object.
#[derive(Clone, Default)]
pub(super) struct Outcome {
    pub(super) created: bool,
    pub(super) changed: bool,
    pub(super) deleted: bool,
    pub(super) warnings: Vec<String>,
}

/// Undoes what an admission hook did outside of the object; run where the object is not stored after all.
type Undo = Box<dyn FnOnce() + Send>;

/// A write's circumstances; shared with the thread that decides it.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) kind: Arc<Kind>,
    pub(super) key: Key,
    pub(super) sub: Subresource,
    pub(super) admission: Arc<Vec<AdmissionHook>>,
    pub(super) options: WriteOptions,
    /// Applied fields rather than a whole object: ownership is worked out by the apply itself.
    pub(super) applied: bool,
    pub(super) outcome: Arc<Mutex<Outcome>>,
    /// What the last attempt is to undo where it comes to nothing.
    pub(super) undo: Arc<Mutex<Vec<Undo>>>,
}

impl Request {
    /// Forgets what an earlier attempt noted and undoes what it did; `first` is what was known before the first one.
    pub(super) fn begin_again(&self, first: &Outcome) {
        self.undo_attempt();
        self.note(|outcome| outcome.clone_from(first));
    }

    /// Undoes what hooks did for an object that is not stored.
    pub(super) fn undo_attempt(&self) {
        let undo = std::mem::take(&mut *self.undo.lock().unwrap_or_else(PoisonError::into_inner));
        undo.into_iter().for_each(|undo| undo());
    }

    /// The object is stored: nothing is to be undone.
    pub(super) fn keep_attempt(&self) {
        self.undo.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn note(&self, f: impl FnOnce(&mut Outcome)) {
        f(&mut self.outcome.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn warn(&self, warnings: Vec<String>) {
        self.note(|outcome| {
            let room = MOST_WARNINGS.saturating_sub(outcome.warnings.len());
            outcome.warnings.extend(
                warnings.into_iter().take(room).map(|warning| crate::patch::shortened(warning, MOST_OF_A_WARNING)),
            );
        });
    }

    /// Whether it tells of an object that is there, as controllers and the node do.
    pub(super) fn reports(&self) -> bool {
        matches!(self.sub, Subresource::Status | Subresource::Binding | Subresource::Finalize)
    }

    fn invalid(&self, object: &Object, causes: &[Cause]) -> Result<(), Status> {
        if causes.is_empty() {
            return Ok(());
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        Err(Status::invalid(&self.kind.kind, &self.kind.group, name, causes))
    }

    fn admit(&self, txn: &Txn<'_>, object: &mut Object, old: Option<&Object>) -> Result<(), Status> {
        let operation = if old.is_some() { Operation::Update } else { Operation::Create };
        let namespace = if self.key.namespace.is_empty() {
            None
        } else {
            txn.get(&Key::new("namespaces", "", &self.key.namespace))
        };
        let request = AdmissionRequest {
            kind: &self.kind,
            operation,
            namespace,
            old,
            dry_run: self.options.dry_run,
            undo: &self.undo,
        };
        for hook in self.admission.iter() {
            self.warn(hook(&request, object)?);
        }
        Ok(())
    }

    /// Decides a create: `object` has been read, its name may still be missing.
    pub(super) fn create(mut self, txn: &Txn<'_>, mut object: Object) -> Result<Change, Status> {
        self.namespace_takes_more(txn, &object)?;
        if self.key.name.is_empty() {
            self.key.name = prepare::generate_name(&object, |name| {
                txn.get(&Key { name: name.to_owned(), ..self.key.clone() }).is_some()
            })?;
            object["metadata"]["name"] = self.key.name.clone().into();
        }
        if txn.get(&self.key).is_some() {
            return Err(Status::already_exists(&self.kind.resource(), &self.key.name));
        }
        self.fits_quota(txn)?;
        prepare::new_object(&self.kind, &mut object);
        (self.kind.defaults)(&mut object);
        (self.kind.prepare)(&mut object);
        self.admit(txn, &mut object, None)?;
        (self.kind.defaults)(&mut object);
        let mut causes = validate_metadata(&self.kind.kind, &object);
        causes.extend((self.kind.validate)(&object));
        self.invalid(&object, &causes)?;
        if !self.applied {
            managed::written(&self.kind, None, &mut object, &self.options.field_manager, self.sub.name());
        }
        self.note(|outcome| outcome.created = true);
        self.store(object)
    }

    /// Decides an update from `old` to `new`, where `new` may be whatever the caller sent.
    pub(super) fn update(self, txn: &Txn<'_>, old: &Arc<Object>, mut new: Object) -> Result<Change, Status> {
        prepare::check_identity(&self.kind, &self.key, old, &new)?;
        let sent = new["metadata"]["managedFields"].take();
        let mut new = part_of(&self.kind, self.sub, old, new)?;
        let main = matches!(self.sub, Subresource::None | Subresource::Scale);
        let fields = if self.applied { Some(sent) } else { managed::sent(sent).filter(|_| main) };
        prepare::carry_over(old, &mut new, fields);
        if main {
            (self.kind.prepare_update)(old, &mut new);
            (self.kind.defaults)(&mut new);
            if self.sub == Subresource::None {
                self.admit(txn, &mut new, Some(old))?;
                (self.kind.defaults)(&mut new);
            }
            let mut causes = validate_metadata(&self.kind.kind, &new);
            causes.extend(prepare::finalizers_while_deleting(old, &new));
            causes.extend((self.kind.validate)(&new));
            causes.extend((self.kind.validate_update)(old, &new));
            self.invalid(&new, &causes)?;
        }
        if !self.applied {
            managed::written(&self.kind, Some(old), &mut new, &self.options.field_manager, self.sub.name());
        }
        if self.kind.generation && self.sub != Subresource::Binding && prepare::spec_differs(&self.kind, old, &new) {
            new["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
        }
        if **old == new {
            return Ok(Change::None(old.clone()));
        }
        if prepare::may_go(&self.kind, &new) {
            return Ok(self.remove(new));
        }
        self.store(new)
    }

    /// Stores it, or pretends to. Errors: 413 or 400 where it could not be stored or not be read again.
    pub(super) fn store(self, mut object: Object) -> Result<Change, Status> {
        check_size(&object)?;
        if self.options.dry_run {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.retain(|field, value| field != "resourceVersion" || value != "");
            }
            return Ok(Change::None(Arc::new(object)));
        }
        self.note(|outcome| outcome.changed = true);
        Ok(Change::Put(self.key, object))
    }

    /// Removes it, or pretends to.
    pub(super) fn remove(self, last: Object) -> Change {
        self.note(|outcome| outcome.deleted = true);
        if self.options.dry_run {
            return Change::None(Arc::new(last));
        }
        self.note(|outcome| outcome.changed = true);
        Change::Delete(self.key, last)
    }

    fn fits_quota(&self, txn: &Txn<'_>) -> Result<(), Status> {
        let (resource, name) = (self.kind.resource(), &self.key.name);
        let Some(most) = self.kind.most else { return Ok(()) };
        let Err(used) = txn.below(&resource, most) else { return Ok(()) };
        let words = format!(
            "exceeded quota: cluster, requested: {resource}=1, used: {resource}={used}, limited: {resource}={most}"
        );
        Err(Status::forbidden(format!("{resource} \"{name}\" is forbidden: {words}")))
    }

    fn namespace_takes_more(&self, txn: &Txn<'_>, object: &Object) -> Result<(), Status> {
        let namespace = &self.key.namespace;
        if namespace.is_empty() {
            return Ok(());
        }
        let Some(found) = txn.get(&Key::new("namespaces", "", namespace)) else {
            return Err(Status::not_found("namespaces", namespace));
        };
        if found["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let resource = self.kind.resource();
        let message = format!(
            "{resource} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
        );
        let cause = serde_json::json!({
            "reason": "NamespaceTerminating", "field": "metadata.namespace",
            "message": format!("namespace {namespace} is being terminated"),
        });
        Err(Status::forbidden(message)
            .with_details(serde_json::json!({"name": name, "kind": resource, "causes": [cause]})))
    }
}

/// The object is shallower than its managedFields, which name every field once more; those are bounded by it.
fn check_size(object: &Object) -> Result<(), Status> {
    let (mut bytes, mut depth) = (0, 0);
    let metadata = &object["metadata"];
    let parts =
        object.as_object().into_iter().flatten().filter(|(field, _)| *field != "metadata").map(|(_, value)| (value, 1));
    let of_metadata = metadata
        .as_object()
        .into_iter()
        .flatten()
        .map(|(field, value)| (value, if field == "managedFields" { 0 } else { 2 }));
    for (part, above) in parts.chain(of_metadata) {
        let size = Size::of(part);
        bytes += size.bytes;
        depth = depth.max(if above == 0 { 0 } else { size.depth + above });
    }
    if bytes > MAX_BYTES {
        return Err(Status::too_large(format!("the object would be larger than the limit of {MAX_BYTES} bytes")));
    }
    if depth > MAX_DEPTH {
        return Err(Status::bad_request(format!("the object would be nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(())
}
