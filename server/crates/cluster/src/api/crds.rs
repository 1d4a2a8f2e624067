//! CustomResourceDefinitions, made up from the custom kinds there are. They are only read: a kind is part of the program.
use super::request::api_version;
use super::respond::{self, Answer};
use super::route::Target;
use super::table::Shape;
use super::{Call, negotiate};
use crate::Object;
use crate::kinds::{Column, Kind, Kinds};
use crate::registry::{ListOptions, ObjectList};
use crate::select::{FieldSelector, LabelSelector};
use crate::status::Status;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;

/// CustomResourceDefinition as a kind.
pub(super) fn kind() -> Kind {
    Kind {
        namespaced: false,
        short_names: vec!["crd".to_owned(), "crds".to_owned()],
        categories: vec!["api-extensions".to_owned()],
        subresources: Vec::new(),
        columns: vec![
            Column::new("Name", "string", |object| object["metadata"]["name"].clone()),
            Column::new("Created At", "date", |object| object["metadata"]["creationTimestamp"].clone()),
        ],
        ..Kind::custom("apiextensions.k8s.io", &["v1"], "CustomResourceDefinition", "customresourcedefinitions")
    }
}

pub(super) fn serves(target: &Target) -> bool {
    (target.group.as_str(), target.resource.as_str(), target.version.as_str())
        == ("apiextensions.k8s.io", "customresourcedefinitions", "v1")
}

pub(super) fn answer(call: &Call) -> Result<Answer, Status> {
    let kind = Arc::new(kind());
    if *call.method() != Method::GET || call.target.subresource.is_some() {
        return Err(Status::method_not_allowed(
            "the embedded cluster's CustomResourceDefinitions are built in: they can only be read",
        ));
    }
    let shape = Shape::new(kind, api_version(&call.target), negotiate::form(call.headers())?, &call.query)?;
    let revision = call.api.registry.revision();
    let all = definitions(call.api.registry.kinds());
    if let Some(name) = call.target.name.as_deref().filter(|_| call.query.get("watch").is_none()) {
        let found = all.iter().find(|d| d["metadata"]["name"] == name);
        return found
            .map(|d| shape.answer(StatusCode::OK, d))
            .ok_or_else(|| Status::not_found("customresourcedefinitions.apiextensions.k8s.io", name));
    }
    let list = ListOptions {
        labels: LabelSelector::parse(call.query.get("labelSelector").unwrap_or_default())?,
        fields: FieldSelector::parse(call.query.get("fieldSelector").unwrap_or_default())?,
        ..ListOptions::default()
    };
    let items: Vec<Arc<Object>> =
        all.into_iter().filter(|d| list.labels.matches(d) && list.fields.matches(d)).collect();
    if !call.query.flag("watch")? {
        return Ok(shape.list(ObjectList { items, revision, next: None, remaining: None }));
    }
    // They never change: what is there, where that is asked for, and then silence.
    let initial = call.query.flag("sendInitialEvents")?;
    let fresh = initial || matches!(call.query.get("resourceVersion"), None | Some("0"));
    let mut lines: Vec<Value> = if fresh {
        items.iter().map(|d| json!({"type": "ADDED", "object": &*shape.object(d)})).collect()
    } else {
        Vec::new()
    };
    if initial {
        let end =
            json!({"resourceVersion": revision.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}});
        let bookmark = Arc::new(json!({"kind": shape.kind.kind, "apiVersion": shape.api_version, "metadata": end}));
        lines.push(json!({"type": "BOOKMARK", "object": &*shape.bookmark(&bookmark)}));
    }
    let lines = stream::iter(lines).map(|line| Ok(Bytes::from(format!("{line}\n")))).chain(stream::pending());
    let seconds: Option<u64> = call.query.number("timeoutSeconds")?;
    let longest = seconds.filter(|s| *s > 0).map_or(super::watch::LONGEST, std::time::Duration::from_secs);
    let stop = call.api.stop.clone();
    let end = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(longest) => {}
        }
    };
    Ok(respond::stream("application/json", lines.take_until(Box::pin(end))))
}

fn definitions(kinds: &Kinds) -> Vec<Arc<Object>> {
    kinds.iter().filter(|kind| kind.custom).map(|kind| Arc::new(definition(kind))).collect()
}

fn definition(kind: &Kind) -> Object {
    let name = format!("{}.{}", kind.plural, kind.group);
    let names = json!({
        "plural": kind.plural, "singular": kind.singular, "kind": kind.kind, "listKind": format!("{}List", kind.kind),
        "shortNames": kind.short_names, "categories": kind.categories,
    });
    let versions: Vec<Value> = kind
        .versions
        .iter()
        .enumerate()
        .map(|(i, version)| {
            json!({
                "name": version, "served": true, "storage": i == 0,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                "subresources": if kind.has("status") { json!({"status": {}}) } else { json!({}) },
            })
        })
        .collect();
    // Part of the program, so as old as the epoch; a real one has a date.
    let created = "1970-01-01T00:00:00Z";
    let condition = |r#type: &str, reason: &str, message: &str| json!({"type": r#type, "status": "True", "lastTransitionTime": created, "reason": reason, "message": message});
    json!({
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"name": name, "uid": format!("00000000-0000-0000-0000-{:012x}", name.bytes().fold(0_u64, |h, b| (h * 31 + u64::from(b)) & 0xffff_ffff_ffff)),
            "resourceVersion": "1", "generation": 1, "creationTimestamp": created},
        "spec": {"group": kind.group, "names": names, "scope": if kind.namespaced { "Namespaced" } else { "Cluster" }, "versions": versions,
            "conversion": {"strategy": "None"}},
        "status": {
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ],
            "acceptedNames": names, "storedVersions": [kind.versions.first()],
        },
    })
}
