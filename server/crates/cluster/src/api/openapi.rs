//! `/openapi/v3`: an index, and a document for each group and version.
//!
//! kubectl reads three things in it: which PATCH takes `fieldValidation` (or it validates nothing), which schema a kind
//! has (`explain`), and which patches a path takes. Request bodies are left out on purpose: with them kubectl would work
//! out strategic patches from our schemas instead of from its own types.
use super::discovery::{group_version, group_versions};
use super::respond::{self, Answer};
use super::route::no_such_path;
use super::{crds, negotiate};
use crate::kinds::{Kind, Kinds};
use crate::status::Status;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

pub(super) fn index(kinds: &Kinds) -> Answer {
    let paths: Map<String, Value> = group_versions(kinds).iter().map(|(group, version)| {
        let path = root(group, version);
        // The hash lets clients cache a document for ever; the program's version changes it.
        let url = format!("/openapi/v3/{path}?hash={}", env!("CARGO_PKG_VERSION"));
        (path, json!({"serverRelativeURL": url}))
    }).collect();
    respond::json(StatusCode::OK, &json!({"paths": paths}))
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
    let own: Vec<&Kind> = known.filter(|kind| kind.group == group && kind.versions.iter().any(|v| v == version)).collect();
    if own.is_empty() && !group_versions(kinds).iter().any(|(g, v)| g == group && v == version) {
        return Err(no_such_path());
    }
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for kind in own {
        add_paths(&mut paths, kind, version);
        schemas.insert(schema_name(kind, version), schema(kind, version));
    }
    schemas.insert("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta".to_owned(), object_meta());
    Ok(respond::json(StatusCode::OK, &json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": format!("v1.{}.0", super::discovery::MINOR)},
        "paths": paths,
        "components": {"schemas": schemas},
    })))
}

fn add_paths(paths: &mut Map<String, Value>, kind: &Kind, version: &str) {
    let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("/{}{scope}/{}", root(&kind.group, version), kind.plural);
    let object = format!("{collection}/{{name}}");
    let operation = |action: &str, parameters: Value| {
        json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk(kind, version), "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference(&schema_name(kind, version))}}}},
        })
    };
    let writing = json!([parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")]);
    let patching = json!([parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation"), parameter("force")]);
    let deleting = json!([parameter("dryRun"), parameter("gracePeriodSeconds"), parameter("propagationPolicy")]);
    paths.insert(collection, json!({"get": operation("list", json!([])), "post": operation("post", writing.clone())}));
    paths.insert(object.clone(), json!({
        "get": operation("get", json!([])), "put": operation("put", writing.clone()),
        "patch": operation("patch", patching.clone()), "delete": operation("delete", deleting),
    }));
    if kind.has("status") {
        paths.insert(format!("{object}/status"), json!({"put": operation("put", writing), "patch": operation("patch", patching)}));
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

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn schema_name(kind: &Kind, version: &str) -> String {
    match kind.group.split('.').next().unwrap_or_default() {
        _ if kind.custom => format!("{}.{version}.{}", kind.group.split('.').rev().collect::<Vec<_>>().join("."), kind.kind),
        "" => format!("io.k8s.api.core.{version}.{}", kind.kind),
        first => format!("io.k8s.api.{first}.{version}.{}", kind.kind),
    }
}

fn schema(kind: &Kind, version: &str) -> Value {
    let mut schema = json!({
        "type": "object",
        "description": format!("{} of {}.", kind.kind, group_version(&kind.group, version)),
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of the schema of this representation of the object."},
            "kind": {"type": "string", "description": "The REST resource that this object represents."},
            "metadata": {"description": "Standard object's metadata.", "allOf": [reference("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")]},
        },
        "x-kubernetes-group-version-kind": [gvk(kind, version)],
    });
    if !matches!(kind.plural.as_str(), "configmaps" | "secrets" | "events" | "endpointslices" | "endpoints") {
        let any = |description: &str| json!({"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": true});
        schema["properties"]["spec"] = any("What is wanted.");
        if kind.has("status") {
            schema["properties"]["status"] = any("What is; written by the cluster.");
        }
    }
    schema
}

fn object_meta() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let map = |description: &str| json!({"type": "object", "description": description, "additionalProperties": {"type": "string"}});
    json!({
        "type": "object",
        "description": "Metadata that all persisted resources have.",
        "properties": {
            "name": text("Unique within a namespace."),
            "generateName": text("Prefix from which the server makes a unique name where name is not given."),
            "namespace": text("The space within which the name is unique."),
            "labels": map("Keys and values by which objects are organised and selected."),
            "annotations": map("Keys and values that tools keep with the object."),
            "uid": text("Unique in time and space; set by the server."),
            "resourceVersion": text("Version of the object; for watches and optimistic concurrency."),
            "generation": {"type": "integer", "format": "int64", "description": "Counts changes of the spec."},
            "creationTimestamp": text("When the object was created."),
            "deletionTimestamp": text("When the object goes, once deletion was asked for."),
            "finalizers": {"type": "array", "items": {"type": "string"}, "description": "Must be empty before the object goes."},
        },
    })
}
