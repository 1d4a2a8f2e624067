//! What a write does to an object's metadata, as pure functions.
use super::Subresource;
use crate::Object;
use crate::kinds::{Cause, Kind};
use crate::status::Status;
use crate::store::Key;
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// RFC 3339 in whole seconds, as metav1.Time has it.
pub(crate) fn now() -> String {
    at(jiff::Timestamp::now().as_second())
}

pub(super) fn at(second: i64) -> String {
    jiff::Timestamp::from_second(second).unwrap_or_default().to_string()
}

/// The object as the server reads it: an object of this kind, in this namespace, in the stored version, without nulls.
/// Errors: 400 where kind, version, namespace or name do not fit the request.
pub(super) fn read(kind: &Kind, ns: Option<&str>, name: &str, mut object: Object) -> Result<Object, Status> {
    let Some(map) = object.as_object_mut() else {
        return Err(Status::bad_request("the object provided is unrecognized: must be a JSON object"));
    };
    drop_nulls(map);
    match map.get("kind").and_then(Value::as_str) {
        Some(sent) if sent != kind.kind && !sent.is_empty() => {
            return Err(Status::bad_request(format!("the object provided is a {sent}; expected {}", kind.kind)));
        }
        _ => {}
    }
    match map.get("apiVersion").and_then(Value::as_str) {
        Some(sent) if !sent.is_empty() && !kind.serves(sent) => {
            return Err(Status::bad_request(format!(
                "the API version in the data ({sent}) does not match the expected API version ({})",
                kind.api_version()
            )));
        }
        _ => {}
    }
    if !map.get("metadata").is_some_and(Value::is_object) {
        map.insert("metadata".to_owned(), Value::Object(Map::new()));
    }
    let mut ordered = Map::new();
    ordered.insert("apiVersion".to_owned(), kind.api_version().into());
    ordered.insert("kind".to_owned(), kind.kind.clone().into());
    ordered.extend(std::mem::take(map).into_iter().filter(|(field, _)| field != "apiVersion" && field != "kind"));
    *map = ordered;
    let metadata = &mut object["metadata"];
    match (kind.namespaced, ns, metadata["namespace"].as_str().filter(|sent| !sent.is_empty())) {
        (true, Some(ns), Some(sent)) if sent != ns => {
            return Err(Status::bad_request(format!(
                "the namespace of the provided object does not match the namespace sent on the request ({ns})"
            )));
        }
        (true, Some(ns), _) => metadata["namespace"] = ns.into(),
        (true, None, _) => {}
        (false, ..) => {
            remove(metadata, "namespace");
        }
    }
    match metadata["name"].as_str().filter(|sent| !sent.is_empty()) {
        Some(sent) if !name.is_empty() && sent != name => Err(Status::bad_request(format!(
            "the name of the object ({sent}) does not match the name on the URL ({name})"
        ))),
        None if !name.is_empty() => {
            metadata["name"] = name.into();
            Ok(object)
        }
        _ => Ok(object),
    }
}

/// An explicit null is an absent field.
pub(super) fn drop_nulls(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
    map.values_mut().for_each(drop_nulls_below);
}

fn drop_nulls_below(value: &mut Value) {
    match value {
        Value::Object(map) => drop_nulls(map),
        Value::Array(list) => list.iter_mut().for_each(drop_nulls_below),
        _ => {}
    }
}

fn remove(value: &mut Value, field: &str) -> Option<Value> {
    value.as_object_mut().and_then(|map| map.shift_remove(field))
}

/// A name from `generateName`, not yet taken. Errors: 422 without either, 409 where five tries did not find a free one.
pub(super) fn generate_name(object: &Object, taken: impl Fn(&str) -> bool) -> Result<String, Status> {
    let base = object["metadata"]["generateName"].as_str().unwrap_or_default();
    if base.is_empty() {
        let kind = object["kind"].as_str().unwrap_or_default();
        return Err(Status::invalid(
            kind,
            "",
            "",
            &[Cause::required("metadata.name", "name or generateName is required")],
        ));
    }
    // No vowels and no look-alikes, so that no word comes out.
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let base: String = base.chars().take(58).collect();
    for _ in 0..8 {
        let suffix: String = random::<5>()?.iter().map(|b| LETTERS[usize::from(*b) % LETTERS.len()] as char).collect();
        let name = format!("{base}{suffix}");
        if !taken(&name) {
            return Ok(name);
        }
    }
    Err(Status::new(409, "AlreadyExists", format!("no free name was found for generateName \"{base}\"; try again")))
}

fn random<const N: usize>() -> Result<[u8; N], Status> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| Status::internal(format!("no random numbers: {e}")))?;
    Ok(bytes)
}

/// A random (version 4) UUID.
fn uid() -> String {
    let mut b = random::<16>().unwrap_or_default();
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let hex = HEXLOWER.encode(&b);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Takes what only the server sets from a new object and sets it.
pub(super) fn new_object(kind: &Kind, object: &mut Object) {
    if kind.has("status") && !kind.status_at_creation {
        if kind.custom {
            remove(object, "status");
        } else {
            object["status"] = json!({});
        }
    }
    let sent = object["metadata"].take();
    let mut metadata = Map::new();
    let server = [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ];
    for first in ["name", "generateName", "namespace"] {
        if let Some(value) = sent.get(first).filter(|value| *value != "") {
            metadata.insert(first.to_owned(), value.clone());
        }
    }
    metadata.insert("uid".to_owned(), uid().into());
    metadata.insert("resourceVersion".to_owned(), "".into());
    if kind.generation {
        metadata.insert("generation".to_owned(), 1.into());
    }
    metadata.insert("creationTimestamp".to_owned(), now().into());
    if let Value::Object(sent) = sent {
        for (field, value) in sent {
            if !server.contains(&field.as_str()) && !metadata.contains_key(&field) {
                metadata.insert(field, value);
            }
        }
    }
    object["metadata"] = Value::Object(metadata);
}

/// Errors: 409 where the caller's version or uid is not the object's.
pub(super) fn check_identity(kind: &Kind, key: &Key, old: &Object, new: &Object) -> Result<(), Status> {
    let (now, sent) = (&old["metadata"], &new["metadata"]);
    let given = |field: &str| sent[field].as_str().filter(|value| !value.is_empty() && *value != "0");
    if let Some(version) = given("resourceVersion")
        && now["resourceVersion"] != version
    {
        return Err(Status::conflict(
            &kind.resource(),
            &key.name,
            "the object has been modified; please apply your changes to the latest version and try again",
        ));
    }
    if let Some(uid) = given("uid")
        && now["uid"] != uid
    {
        let found = now["uid"].as_str().unwrap_or_default();
        return Err(Status::conflict(
            &kind.resource(),
            &key.name,
            &format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"),
        ));
    }
    Ok(())
}

/// The object that results when only the subresource's part of `new` counts.
pub(super) fn part_of(kind: &Kind, sub: Subresource, old: &Object, mut new: Object) -> Result<Object, Status> {
    match sub {
        Subresource::None => {
            if kind.has("status") {
                match old.get("status") {
                    Some(status) => new["status"] = status.clone(),
                    None => drop(remove(&mut new, "status")),
                }
            }
            if kind.has("finalize") {
                // Whatever was sent: without them the namespace would go before what is in it.
                if !new["spec"].is_object() {
                    new["spec"] = json!({});
                }
                new["spec"]["finalizers"] = old["spec"]["finalizers"].clone();
            }
            Ok(new)
        }
        Subresource::Status => {
            let mut merged = old.clone();
            match remove(&mut new, "status") {
                Some(status) => merged["status"] = status,
                None => drop(remove(&mut merged, "status")),
            }
            Ok(merged)
        }
        Subresource::Finalize => {
            let mut merged = old.clone();
            merged["spec"]["finalizers"] = new["spec"]["finalizers"].take();
            if merged["spec"]["finalizers"].is_null() {
                merged["spec"]["finalizers"] = json!([]);
            }
            Ok(merged)
        }
        // Both were turned into whole objects before.
        Subresource::Scale | Subresource::Binding => Ok(new),
    }
}

/// What an update cannot change; `managed` replaces managedFields, `None` keeps them.
pub(super) fn carry_over(old: &Object, new: &mut Object, managed: Option<Value>) {
    let (before, after) = (&old["metadata"], &mut new["metadata"]);
    let kept = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ];
    for field in kept {
        match before.get(field) {
            Some(value) => after[field] = value.clone(),
            None => drop(remove(after, field)),
        }
    }
    remove(after, "selfLink");
    match managed.unwrap_or_else(|| before["managedFields"].clone()) {
        Value::Null => drop(remove(after, "managedFields")),
        fields => after["managedFields"] = fields,
    }
}

/// Whether anything but metadata and (where it is apart) status differs.
pub(super) fn spec_differs(kind: &Kind, old: &Object, new: &Object) -> bool {
    let counts = |field: &str| field != "metadata" && !(field == "status" && kind.has("status"));
    let fields = |object: &'_ Object| -> Vec<String> {
        object.as_object().into_iter().flatten().map(|(field, _)| field.clone()).filter(|f| counts(f)).collect()
    };
    fields(old).iter().chain(&fields(new)).any(|field| old[field.as_str()] != new[field.as_str()])
}

fn list(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Refuses finalizers that are added while the object is being deleted.
pub(super) fn finalizers_while_deleting(old: &Object, new: &Object) -> Option<Cause> {
    let (before, after) = (&old["metadata"], &new["metadata"]);
    if before["deletionTimestamp"].is_null() {
        return None;
    }
    let known: HashSet<&str> = list(&before["finalizers"]).collect();
    let added: Vec<&str> = list(&after["finalizers"]).filter(|f| !known.contains(f)).collect();
    (!added.is_empty()).then(|| {
        Cause::forbidden(
            "metadata.finalizers",
            &format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{added:?}"
            ),
        )
    })
}

/// Whether nothing holds an object that is being deleted: no finalizers, no grace period.
pub(super) fn may_go(kind: &Kind, object: &Object) -> bool {
    let metadata = &object["metadata"];
    !metadata["deletionTimestamp"].is_null()
        && list(&metadata["finalizers"]).next().is_none()
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && !(kind.has("finalize") && list(&object["spec"]["finalizers"]).next().is_some())
}
