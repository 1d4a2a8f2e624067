//! `/openapi/v3`: an index, and a document for each group and version.
//!
//! kubectl reads three things in it: which PATCH takes `fieldValidation` (or it validates nothing), which schema a kind
//! has (`explain`), and which patches a path takes. Request bodies are left out on purpose: with them kubectl would work
//! out strategic patches from our schemas instead of from its own types.
mod schemas;

use super::discovery::group_versions;
use super::respond::{self, Answer};
use super::route::no_such_path;
use super::{crds, negotiate};
use crate::kinds::{Kind, Kinds};
use crate::status::Status;
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

pub(super) fn index(kinds: &Kinds) -> Answer {
    let paths: Map<String, Value> = group_versions(kinds)
        .iter()
        .map(|(group, version)| {
            let path = root(group, version);
            // The hash lets clients cache a document for ever; the program's version changes it.
            let url = format!("/openapi/v3/{path}?hash={}", env!("CARGO_PKG_VERSION"));
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    respond::json(StatusCode::OK, &json!({"paths": paths}))
}

/// `/openapi/v2` without a single type: kubectl reads it for one thing that this server does by itself, the validation of a manifest
/// of `kind: List`. A type that is not in it is not validated, and each of the List's objects is, once it arrives here.
pub(super) fn old(headers: &HeaderMap) -> Answer {
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    let (title, version) = ("Kubernetes", format!("v1.{}.0", super::discovery::MINOR));
    let wants_json =
        headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("json"));
    if wants_json {
        return respond::json(
            StatusCode::OK,
            &json!({"swagger": "2.0", "info": {"title": title, "version": version}, "paths": {}}),
        );
    }
    let field = |number: u8, value: &[u8]| [&[number << 3 | 2, value.len() as u8], value].concat();
    let info = [field(1, title.as_bytes()), field(2, version.as_bytes())].concat();
    respond::whole(StatusCode::OK, PROTOBUF, [field(1, b"2.0"), field(2, &info)].concat())
}

fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// # Errors
/// 404 for a group or version that is not served, 406 where only protobuf is accepted.
pub(super) fn document(kinds: &Kinds, group: &str, version: &str, headers: &HeaderMap) -> Result<Answer, Status> {
    negotiate::form(headers)?;
    let crd = crds::kind();
    let known = kinds.iter().map(|kind| &**kind).chain([&crd]);
    let own: Vec<&Kind> =
        known.filter(|kind| kind.group == group && kind.versions.iter().any(|v| v == version)).collect();
    if own.is_empty() && !group_versions(kinds).iter().any(|(g, v)| g == group && v == version) {
        return Err(no_such_path());
    }
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for kind in own {
        add_paths(&mut paths, kind, version);
        schemas::add(&mut schemas, kind, version);
    }
    Ok(respond::json(
        StatusCode::OK,
        &json!({
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": format!("v1.{}.0", super::discovery::MINOR)},
            "paths": paths,
            "components": {"schemas": schemas},
        }),
    ))
}

fn add_paths(paths: &mut Map<String, Value>, kind: &Kind, version: &str) {
    let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("/{}{scope}/{}", root(&kind.group, version), kind.plural);
    let object = format!("{collection}/{{name}}");
    let operation = |action: &str, parameters: Value| {
        json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk(kind, version), "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schemas::reference(&schemas::name(kind, version))}}}},
        })
    };
    let writing = json!([parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")]);
    let patching =
        json!([parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation"), parameter("force")]);
    let deleting = json!([parameter("dryRun"), parameter("gracePeriodSeconds"), parameter("propagationPolicy")]);
    paths.insert(collection, json!({"get": operation("list", json!([])), "post": operation("post", writing.clone())}));
    paths.insert(
        object.clone(),
        json!({
            "get": operation("get", json!([])), "put": operation("put", writing.clone()),
            "patch": operation("patch", patching.clone()), "delete": operation("delete", deleting),
        }),
    );
    if kind.has("status") {
        paths.insert(
            format!("{object}/status"),
            json!({"put": operation("put", writing), "patch": operation("patch", patching)}),
        );
    }
}

fn parameter(name: &str) -> Value {
    let r#type = match name {
        "force" => "boolean",
        "gracePeriodSeconds" => "integer",
        _ => "string",
    };
    json!({"name": name, "in": "query", "schema": {"type": r#type, "uniqueItems": true}})
}

fn gvk(kind: &Kind, version: &str) -> Value {
    json!({"group": kind.group, "version": version, "kind": kind.kind})
}
