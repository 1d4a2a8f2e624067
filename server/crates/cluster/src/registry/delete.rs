//! delete and deletecollection. Source: Kubernetes "Pod termination", "Finalizers", "Garbage Collection".
use super::request::Request;
use super::{DeleteOptions, Deleted, ListOptions, Propagation, Registry, Subresource, WriteOptions, prepare};
use crate::Object;
use crate::kinds::Kind;
use crate::status::Status;
use crate::store::{Change, Txn};
use serde_json::{Value, json};
use std::sync::PoisonError;

/// Namespaces that a real API server does not delete either.
const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

impl Registry {
    /// Deletes an object: at once, after a pod's grace period, or when its finalizers are gone. Errors: 404, 409.
    pub async fn delete(
        &self,
        kind: &Kind,
        ns: Option<&str>,
        name: &str,
        o: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let write = WriteOptions { dry_run: o.dry_run, ..WriteOptions::default() };
        let request = self.request(kind, ns, name, Subresource::None, &write)?;
        let options = o.clone();
        let object = self.store_decision(&request, 0, move |txn, request| decide(txn, request, &options)).await?;
        let deleted = request.outcome.lock().unwrap_or_else(PoisonError::into_inner).deleted;
        Ok(if deleted { Deleted::Gone(object) } else { Deleted::Terminating(object) })
    }

    /// Deletes all that fit, one after the other. Errors: those of `list`; one that is gone already is no error.
    pub async fn delete_collection(
        &self,
        kind: &Kind,
        ns: Option<&str>,
        list: &ListOptions,
        o: &DeleteOptions,
    ) -> Result<Vec<Deleted>, Status> {
        let found = self.list(kind, ns, list)?.items;
        let each = found.iter().map(|object| {
            let of = |field: &str| object["metadata"][field].as_str();
            self.delete(kind, of("namespace"), of("name").unwrap_or_default(), o)
        });
        // Together, so that they share an fsync.
        let mut deleted = Vec::with_capacity(found.len());
        for result in futures::future::join_all(each).await {
            match result {
                Ok(one) => deleted.push(one),
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status),
            }
        }
        Ok(deleted)
    }
}

fn decide(txn: &Txn<'_>, request: Request, o: &DeleteOptions) -> Result<Change, Status> {
    let (resource, name) = (request.kind.resource(), request.key.name.clone());
    let old = txn.get(&request.key).ok_or_else(|| Status::not_found(&resource, &name))?;
    if request.kind.has("finalize") && PROTECTED.contains(&name.as_str()) {
        return Err(Status::forbidden(format!(
            "{resource} \"{name}\" is forbidden: this namespace may not be deleted"
        )));
    }
    let preconditions =
        [("UID", "uid", &o.precondition_uid), ("ResourceVersion", "resourceVersion", &o.precondition_rv)];
    for (word, field, wanted) in preconditions {
        let found = old["metadata"][field].as_str().unwrap_or_default();
        if let Some(wanted) = wanted
            && wanted != found
        {
            let why = format!("Precondition failed: {word} in precondition: {wanted}, {word} in object meta: {found}");
            return Err(Status::conflict(&resource, &name, &why));
        }
    }
    let grace = grace(&request.kind, &old, o.grace_period_s);
    let mut new = (*old).clone();
    propagate(&mut new["metadata"], o.propagation);
    let metadata = &mut new["metadata"];
    let running = metadata["deletionGracePeriodSeconds"].as_u64();
    if metadata["deletionTimestamp"].is_null() || running.is_some_and(|running| grace < running) {
        metadata["deletionTimestamp"] =
            prepare::at(jiff::Timestamp::now().as_second() + i64::try_from(grace).unwrap_or(0)).into();
        metadata["deletionGracePeriodSeconds"] = grace.into();
        if request.kind.generation && old["metadata"]["deletionTimestamp"].is_null() {
            metadata["generation"] = (metadata["generation"].as_i64().unwrap_or(0) + 1).into();
        }
        if request.kind.has("finalize") {
            new["status"]["phase"] = "Terminating".into();
        }
    }
    if prepare::may_go(&request.kind, &new) {
        return Ok(request.remove(new));
    }
    if new == *old {
        return Ok(Change::None(old));
    }
    request.store(new)
}

/// Seconds until the object may go. Only pods have time; one that never ran or has ended needs none.
fn grace(kind: &Kind, pod: &Object, asked: Option<u64>) -> u64 {
    if kind.kind != "Pod" || !kind.group.is_empty() {
        return 0;
    }
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let unbound = pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    if ended || unbound {
        return 0;
    }
    asked.unwrap_or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30))
}

fn propagate(metadata: &mut Value, propagation: Propagation) {
    let finalizer = match propagation {
        Propagation::Background => return,
        Propagation::Foreground => "foregroundDeletion",
        Propagation::Orphan => "orphan",
    };
    if !metadata["finalizers"].is_array() {
        metadata["finalizers"] = json!([]);
    }
    if let Some(list) = metadata["finalizers"].as_array_mut()
        && !list.iter().any(|f| f == finalizer)
    {
        list.push(finalizer.into());
    }
}
