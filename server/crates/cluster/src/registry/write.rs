//! create, update and patch.
use super::request::{Outcome, Request};
use super::{Patch, Registry, Subresource, WriteOptions, Written, key, prepare, scale};
use crate::Object;
use crate::kinds::{Cause, Kind};
use crate::patch::{self, Size};
use crate::status::Status;
use crate::store::{Change, Key, Txn, WriteHow};
use serde_json::json;
use std::sync::{Arc, PoisonError};

impl Registry {
    /// Creates an object; its name may come from `generateName`. Errors: 400, 403, 404 (namespace), 409, 422.
    pub async fn create(
        &self,
        kind: &Kind,
        ns: Option<&str>,
        object: Object,
        o: &WriteOptions,
    ) -> Result<Written, Status> {
        let mut object = prepare::read(kind, ns, "", object)?;
        let request = self.request(kind, ns, "", Subresource::None, o)?;
        let key =
            Key { name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(), ..request.key.clone() };
        if object["metadata"]["resourceVersion"].as_str().is_some_and(|v| !v.is_empty() && v != "0") {
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
        }
        request.warn(patch::check_fields(kind, &mut object, o.validation)?);
        let request = Request { key, ..request };
        let bytes = Size::of(&object).bytes;
        self.decide(request, bytes, move |txn, request| request.create(txn, object.clone())).await
    }

    /// Replaces an object or a part of it. With a `metadata.resourceVersion` only if it still has that. Errors: 400, 403, 404, 409, 422.
    pub async fn update(
        &self,
        kind: &Kind,
        ns: Option<&str>,
        name: &str,
        sub: Subresource,
        object: Object,
        o: &WriteOptions,
    ) -> Result<Written, Status> {
        let request = self.request(kind, ns, name, sub, o)?;
        if matches!(sub, Subresource::Scale | Subresource::Binding) {
            let bytes = Size::of(&object).bytes;
            return self
                .decide(request, bytes, move |txn, request| {
                    let old = existing(txn, &request)?;
                    let new = if sub == Subresource::Scale {
                        scale::put(&old, &object)?
                    } else {
                        scale::bind(&old, &object)?
                    };
                    request.update(txn, &old, new)
                })
                .await;
        }
        let mut object = prepare::read(kind, ns, name, object)?;
        if kind.custom
            && sub == Subresource::None
            && object["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty)
        {
            let cause = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
            return Err(Status::invalid(&kind.kind, &kind.group, name, &[cause]));
        }
        request.warn(patch::check_fields(kind, &mut object, o.validation)?);
        let bytes = Size::of(&object).bytes;
        self.decide(request, bytes, move |txn, request| {
            let old = existing(txn, &request)?;
            request.update(txn, &old, object.clone())
        })
        .await
    }

    /// Changes an object or a part of it. Apply creates what is missing. Errors: 400, 403, 404, 409, 415, 422.
    pub async fn patch(
        &self,
        kind: &Kind,
        ns: Option<&str>,
        name: &str,
        sub: Subresource,
        patch: Patch,
        o: &WriteOptions,
    ) -> Result<Written, Status> {
        let mut request = self.request(kind, ns, name, sub, o)?;
        request.applied = matches!(patch, Patch::Apply(_)) && sub != Subresource::Scale;
        let ns = ns.map(str::to_owned);
        let (Patch::Json(changes) | Patch::Merge(changes) | Patch::Strategic(changes) | Patch::Apply(changes)) = &patch;
        let bytes = Size::of(changes).bytes;
        self.decide(request, bytes, move |txn, request| {
            let live = txn.get(&request.key);
            let Some(old) = live else {
                if let (Patch::Apply(config), Subresource::None) = (&patch, sub) {
                    return request.create_by_apply(txn, ns.as_deref(), config);
                }
                return Err(Status::not_found(&request.kind.resource(), &request.key.name));
            };
            let new = if sub == Subresource::Scale {
                scale::patch(&old, &patch)?
            } else {
                request.patched(&old, ns.as_deref(), &patch)?
            };
            request.update(txn, &old, new)
        })
        .await
    }

    pub(super) fn request(
        &self,
        kind: &Kind,
        ns: Option<&str>,
        name: &str,
        sub: Subresource,
        o: &WriteOptions,
    ) -> Result<Request, Status> {
        let known = matches!(sub, Subresource::None | Subresource::Binding) || kind.has(sub.name());
        if !known {
            return Err(Status::new(404, "NotFound", "the server could not find the requested resource"));
        }
        Ok(Request {
            kind: self.shared(kind),
            key: key(kind, ns, name)?,
            sub,
            admission: self.admission.clone(),
            options: o.clone(),
            applied: false,
            outcome: Arc::default(),
            undo: Arc::default(),
        })
    }

    /// Decides a write on the newest state, again where that changes meanwhile, and waits until the decision is on disk.
    /// `bytes` is the size of what was sent.
    pub(super) async fn decide<F>(&self, request: Request, bytes: usize, f: F) -> Result<Written, Status>
    where
        F: Fn(&Txn<'_>, Request) -> Result<Change, Status> + Send + Sync + 'static,
    {
        let object = self.store_decision(&request, bytes, f).await?;
        let Outcome { created, changed, warnings, .. } =
            request.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Written { object, created, changed, warnings })
    }

    pub(super) async fn store_decision<F>(&self, request: &Request, bytes: usize, f: F) -> Result<Arc<Object>, Status>
    where
        F: Fn(&Txn<'_>, Request) -> Result<Change, Status> + Send + Sync + 'static,
    {
        let bytes = bytes + self.store.bytes(&request.key);
        let how = WriteHow { key: request.key.clone(), bytes, may_use_reserve: request.reports() };
        let first = request.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let attempt = request.clone();
        let stored = self.store.write(how, move |txn| {
            attempt.begin_again(&first);
            f(txn, attempt.clone())
        });
        let stored = stored.await;
        match &stored {
            Ok(_) => request.keep_attempt(),
            Err(_) => request.undo_attempt(),
        }
        stored
    }
}

fn existing(txn: &Txn<'_>, request: &Request) -> Result<Arc<Object>, Status> {
    txn.get(&request.key).ok_or_else(|| Status::not_found(&request.kind.resource(), &request.key.name))
}

impl Request {
    /// The whole object after the patch.
    fn patched(&self, old: &Object, ns: Option<&str>, patch: &Patch) -> Result<Object, Status> {
        let kind = &self.kind;
        let new = match patch {
            Patch::Json(operations) => patch::json(old, operations)?,
            Patch::Merge(changes) => patch::merge(old, changes),
            Patch::Strategic(_) if kind.custom => {
                return Err(Status::unsupported_media_type(
                    "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                ));
            }
            Patch::Strategic(changes) => patch::strategic(kind, old, changes)?,
            Patch::Apply(config) => {
                let mut config = prepare::read(kind, ns, &self.key.name, config.clone())?;
                self.warn(patch::check_fields(kind, &mut config, self.options.validation)?);
                return patch::apply(
                    kind,
                    Some(old),
                    &config,
                    &self.options.field_manager,
                    self.sub.name(),
                    self.options.force,
                );
            }
        };
        let mut new = prepare::read(kind, ns, &self.key.name, new)?;
        self.warn(patch::check_fields(kind, &mut new, self.options.validation)?);
        Ok(new)
    }

    fn create_by_apply(self, txn: &Txn<'_>, ns: Option<&str>, config: &Object) -> Result<Change, Status> {
        let mut config = prepare::read(&self.kind, ns, &self.key.name, config.clone())?;
        if config["metadata"].get("resourceVersion").is_some_and(|v| v != "") {
            return Err(Status::conflict(
                &self.kind.resource(),
                &self.key.name,
                "the object has been deleted since it was read",
            ));
        }
        self.warn(patch::check_fields(&self.kind, &mut config, self.options.validation)?);
        let object =
            patch::apply(&self.kind, None, &config, &self.options.field_manager, self.sub.name(), self.options.force)?;
        self.create(txn, object)
    }
}
