//! From method and path to the registry's verb.
use super::body;
use super::negotiate::{self, Form};
use super::request::{api_version, not_allowed, receive};
use super::respond::{self, Answer};
use super::route::{Target, no_such_path};
use super::table::Shape;
use super::{Call, crds, options, pods, reviews, text_body, watch};
use crate::kinds::Kind;
use crate::registry::{Deleted, ObjectList, Patch, Subresource, Written, scale_of};
use crate::status::Status;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;

const PATCHES: &str = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

pub(super) async fn answer(call: Call) -> Result<Answer, Status> {
    if reviews::serves(&call.target) {
        return reviews::answer(call).await;
    }
    if crds::serves(&call.target) {
        return crds::answer(&call);
    }
    let kind = kind_of(&call)?;
    if kind.namespaced && call.target.namespace.is_none() && call.target.name.is_some()
        || !kind.namespaced && call.target.namespace.is_some()
    {
        return Err(no_such_path());
    }
    match call.target.subresource.as_deref() {
        None => main(call, kind).await,
        Some(name) if !kind.has(name) && (kind.plural != "pods" || !pods::KNOWN.contains(&name)) => Err(no_such_path()),
        Some("status") => sub(call, kind, Subresource::Status).await,
        Some("scale") => sub(call, kind, Subresource::Scale).await,
        Some("finalize") => sub(call, kind, Subresource::Finalize).await,
        Some(_) => pods::answer(call, kind).await,
    }
}

fn kind_of(call: &Call) -> Result<Arc<Kind>, Status> {
    let Target { group, version, resource, .. } = &call.target;
    let kind =
        call.api.registry.kinds().find(group, resource).filter(|kind| kind.versions.iter().any(|v| v == version));
    kind.cloned().ok_or_else(no_such_path)
}

fn shape(call: &Call, kind: &Arc<Kind>) -> Result<Shape, Status> {
    Shape::new(kind.clone(), api_version(&call.target), negotiate::form(call.headers())?, &call.query)
}

async fn main(call: Call, kind: Arc<Kind>) -> Result<Answer, Status> {
    let shape = shape(&call, &kind)?;
    let (method, name) = (call.method().clone(), call.target.name.clone());
    let ns = call.target.namespace.clone();
    match (method, name) {
        (Method::GET, _) if call.query.flag("watch")? => watch::answer(&call, shape),
        (Method::GET, None) => {
            let (registry, options) = (call.api.registry.clone(), options::list(&call)?);
            // Writing out a long list takes a while, and others wait for their turn here.
            call.api.registry.work(0, move || Ok(shape.list(registry.list(&kind, ns.as_deref(), &options)?))).await?
        }
        (Method::GET, Some(name)) => {
            Ok(shape.answer(StatusCode::OK, &call.api.registry.get(&kind, ns.as_deref(), &name)?))
        }
        (Method::POST, None) if ns.is_some() || !kind.namespaced => {
            let options = options::write(&call.query, call.headers())?;
            let (api, headers, bytes) = receive(call).await?;
            let object = decode(&api, bytes, move |bytes| body::object(&headers, bytes)).await?;
            let written = api.registry.create(&kind, ns.as_deref(), object, &options).await?;
            Ok(answer_write(&shape, &written, Subresource::None))
        }
        (Method::PUT, Some(name)) => put(call, &shape, &name, Subresource::None).await,
        (Method::PATCH, Some(name)) => patch(call, &shape, &name, Subresource::None).await,
        (Method::DELETE, Some(name)) => {
            let query = call.query.clone();
            let (api, headers, bytes) = receive(call).await?;
            let options = options::delete(&body::optional_object(&headers, &bytes)?, &query)?;
            let deleted = api.registry.delete(&kind, ns.as_deref(), &name, &options).await?;
            Ok(answer_delete(&shape, &deleted))
        }
        (Method::DELETE, None) if ns.is_some() || !kind.namespaced => {
            let (list, query) = (options::list(&call)?, call.query.clone());
            let (api, headers, bytes) = receive(call).await?;
            let options = options::delete(&body::optional_object(&headers, &bytes)?, &query)?;
            let deleted = api.registry.delete_collection(&kind, ns.as_deref(), &list, &options).await?;
            let items = deleted.iter().map(|deleted| deleted.object().clone()).collect();
            Ok(shape.list(ObjectList { items, revision: api.registry.revision(), next: None, remaining: None }))
        }
        _ => Err(not_allowed()),
    }
}

async fn sub(call: Call, kind: Arc<Kind>, sub: Subresource) -> Result<Answer, Status> {
    let mut shape = shape(&call, &kind)?;
    let ns = call.target.namespace.clone();
    let Some(name) = call.target.name.clone() else { return Err(not_allowed()) };
    if sub == Subresource::Scale {
        // A Scale is of a group of its own, and has no columns.
        shape.form = Form::Object;
        shape.api_version = "autoscaling/v1".to_owned();
    }
    match *call.method() {
        Method::GET if sub == Subresource::Scale => {
            Ok(shape.answer(StatusCode::OK, &Arc::new(call.api.registry.scale(&kind, ns.as_deref(), &name)?)))
        }
        Method::GET if sub == Subresource::Status => {
            Ok(shape.answer(StatusCode::OK, &call.api.registry.get(&kind, ns.as_deref(), &name)?))
        }
        Method::PUT => put(call, &shape, &name, sub).await,
        Method::PATCH => patch(call, &shape, &name, sub).await,
        _ => Err(not_allowed()),
    }
}

async fn put(call: Call, shape: &Shape, name: &str, sub: Subresource) -> Result<Answer, Status> {
    let options = options::write(&call.query, call.headers())?;
    let ns = call.target.namespace.clone();
    let (api, headers, bytes) = receive(call).await?;
    let object = decode(&api, bytes, move |bytes| body::object(&headers, bytes)).await?;
    let written = api.registry.update(&shape.kind, ns.as_deref(), name, sub, object, &options).await?;
    Ok(answer_write(shape, &written, sub))
}

async fn patch(call: Call, shape: &Shape, name: &str, sub: Subresource) -> Result<Answer, Status> {
    let options = options::write(&call.query, call.headers())?;
    let (ns, has_manager) = (call.target.namespace.clone(), call.query.get("fieldManager").is_some());
    let (api, headers, bytes) = receive(call).await?;
    let patch = match negotiate::content_type(&headers) {
        "application/json-patch+json" => Patch::Json(decode(&api, bytes, |bytes| text_body::json(bytes)).await?),
        "application/merge-patch+json" => Patch::Merge(decode(&api, bytes, |bytes| text_body::json(bytes)).await?),
        "application/strategic-merge-patch+json" if !shape.kind.custom => {
            Patch::Strategic(decode(&api, bytes, |bytes| text_body::json(bytes)).await?)
        }
        "application/apply-patch+yaml" if !has_manager => {
            return Err(Status::new(
                422,
                "Invalid",
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ));
        }
        "application/apply-patch+yaml" => Patch::Apply(decode(&api, bytes, |bytes| text_body::yaml(bytes)).await?),
        other if shape.kind.custom => return Err(body::unsupported(other, PATCHES)),
        other => return Err(body::unsupported(other, &format!("{PATCHES}, application/strategic-merge-patch+json"))),
    };
    if options.force && !matches!(patch, Patch::Apply(_)) {
        return Err(Status::new(
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
        ));
    }
    let written = api.registry.patch(&shape.kind, ns.as_deref(), name, sub, patch, &options).await?;
    Ok(answer_write(shape, &written, sub))
}

/// Reads a body where that holds up nobody else.
async fn decode(
    api: &super::Api,
    bytes: bytes::Bytes,
    f: impl FnOnce(&bytes::Bytes) -> Result<Value, Status> + Send + 'static,
) -> Result<Value, Status> {
    api.registry.work(bytes.len(), move || f(&bytes)).await?
}

fn answer_write(shape: &Shape, written: &Written, sub: Subresource) -> Answer {
    let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let answer = match sub {
        Subresource::Scale => shape.answer(code, &Arc::new(scale_of(&written.object))),
        _ => shape.answer(code, &written.object),
    };
    respond::warn(answer, &written.warnings)
}

/// What is gone is a Status with the object's uid, what goes on ending is the object.
pub(super) fn answer_delete(shape: &Shape, deleted: &Deleted) -> Answer {
    match deleted {
        Deleted::Terminating(object) => shape.answer(StatusCode::OK, object),
        // As the real server does: a pod is always answered whole.
        Deleted::Gone(object) if shape.kind.plural == "pods" => shape.answer(StatusCode::OK, object),
        Deleted::Gone(object) => {
            let metadata = &object["metadata"];
            let mut details = json!({"name": metadata["name"], "kind": shape.kind.plural, "uid": metadata["uid"]});
            if !shape.kind.group.is_empty() {
                details["group"] = shape.kind.group.clone().into();
            }
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
            respond::object(StatusCode::OK, shape.syntax, &status)
        }
    }
}
