//! Server-side apply: merges what was applied, removes what its manager no longer applies, refuses to take from others.
//!
//! Source: Kubernetes "Server-Side Apply": "Conflicts", "Merge strategy", "Managers".
use super::compare::Difference;
use super::managed::{self, Manager};
use super::owned::{Owned, Step, granular, step_of};
use crate::Object;
use crate::kinds::Kind;
use crate::kinds::schema::Shape;
use crate::status::Status;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The object after the apply, its managedFields included. Errors: 409 with every field that others own.
pub(crate) fn apply(
    kind: &Kind,
    live: Option<&Object>,
    config: &Object,
    manager: &str,
    sub: &str,
    force: bool,
) -> Result<Object, Status> {
    if config["metadata"].get("managedFields").is_some_and(|f| f.as_array().is_some_and(|f| !f.is_empty())) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let shape = Shape::of(kind);
    let config = applicable(kind, config, sub);
    check_keys(&config, &shape, "")?;
    let mut set = Owned::of(&config, &shape);
    managed::strip(&mut set);
    let writer = Manager::new(kind, manager, "Apply", sub).owning(set);

    let empty = Value::Object(Map::new());
    let base = live.unwrap_or(&empty);
    let mut before = managed::read(base);
    if let Some(live) = live.filter(|_| before.is_empty()) {
        let mut all = Owned::of_added(live, &shape);
        managed::strip(&mut all);
        before.push(Manager::new(kind, "before-first-apply", "Update", "").owning(all));
    }
    let last = before.iter().find(|m| m.is(&writer)).map(|m| m.owned.clone()).unwrap_or_default();
    let mut others = Owned::default();
    before.iter().filter(|m| !m.is(&writer)).for_each(|m| others.union(&m.owned));

    let mut new = merge(base, &config, &shape);
    prune(&mut new, &shape, &last, &writer.owned, &others);

    let mut difference = Difference::between(base, &new, &shape);
    managed::strip(&mut difference.written);
    managed::strip(&mut difference.removed);
    let conflicts: Vec<(&Manager, Owned)> = before
        .iter()
        .filter(|m| !m.is(&writer))
        .map(|m| (m, m.owned.intersection(&difference.written)))
        .filter(|(_, fields)| !fields.is_empty())
        .collect();
    if !conflicts.is_empty() && !force {
        return Err(refused(&conflicts));
    }
    let mut managers = Vec::with_capacity(before.len() + 1);
    let mut applied = Some(writer);
    for old in &before {
        if let Some(writer) = applied.take_if(|writer| writer.is(old)) {
            managers.push(writer);
        } else {
            let mut kept = old.clone();
            kept.owned.subtract(&difference.written);
            kept.owned.subtract(&difference.removed);
            managers.push(kept);
        }
    }
    managers.extend(applied);
    managed::write(&mut new, managers, &before);
    Ok(new)
}

/// What of the configuration this endpoint takes: not the status in the main resource, and nothing else in `status`.
fn applicable(kind: &Kind, config: &Object, sub: &str) -> Object {
    let mut config = config.clone();
    if let Some(map) = config.as_object_mut() {
        if sub == "status" {
            map.retain(|field, _| matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
            if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.retain(|field, _| matches!(field.as_str(), "name" | "namespace" | "uid" | "resourceVersion"));
            }
        } else if kind.has("status") {
            map.shift_remove("status");
        }
    }
    config
}

/// Errors: 400 where an element of a keyed list lacks a key, or two share one.
fn check_keys(value: &Value, shape: &Shape, at: &str) -> Result<(), Status> {
    match value {
        Value::Object(map) => map.iter().try_for_each(|(name, below)| {
            check_keys(below, shape.field(name).unwrap_or(&Shape::Any), &format!("{at}.{name}"))
        }),
        Value::Array(list) if granular(shape) => {
            let mut seen = BTreeSet::new();
            for (i, element) in list.iter().enumerate() {
                let bad =
                    |why: String| Status::bad_request(format!("failed to create typed patch object: {at}: {why}"));
                let Some(step) = step_of(element, shape) else {
                    let keys = shape.merge().apply_keys().unwrap_or_default().join(", ");
                    return Err(bad(format!(
                        "element {i}: associative list with keys has an element that omits key field ({keys})"
                    )));
                };
                if !seen.insert(step) {
                    return Err(bad(format!("duplicate entries for key {element}")));
                }
                check_keys(element, shape.element(), &format!("{at}[{i}]"))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn merge(live: &Value, config: &Value, shape: &Shape) -> Value {
    match (live, config) {
        (Value::Object(before), Value::Object(applied)) if !shape.atomic() => {
            let mut merged = before.clone();
            for (name, value) in applied {
                let below = shape.field(name).unwrap_or(&Shape::Any);
                let value = before.get(name).map_or_else(|| value.clone(), |old| merge(old, value, below));
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(before), Value::Array(applied)) if granular(shape) => {
            Value::Array(merge_lists(before, applied, shape))
        }
        _ => config.clone(),
    }
}

/// Applied elements in their order; the live ones that were not applied keep their place before what they preceded.
fn merge_lists(before: &[Value], applied: &[Value], shape: &Shape) -> Vec<Value> {
    let names: Vec<Option<Step>> = applied.iter().map(|element| step_of(element, shape)).collect();
    let is_applied: BTreeSet<&Option<Step>> = names.iter().collect();
    let live: Vec<(Option<Step>, &Value)> = before.iter().map(|element| (step_of(element, shape), element)).collect();
    let mut first: BTreeMap<&Option<Step>, &Value> = BTreeMap::new();
    for (step, element) in &live {
        first.entry(step).or_insert(element);
    }
    let mut merged = Vec::with_capacity(before.len() + applied.len());
    let mut rest = live.iter().peekable();
    for (element, step) in applied.iter().zip(&names) {
        while let Some((_, other)) = rest.next_if(|(other, _)| !is_applied.contains(other)) {
            merged.push((*other).clone());
        }
        rest.next_if(|(other, _)| other == step);
        match first.get(step) {
            Some(old) => merged.push(merge(old, element, shape.element())),
            None => merged.push(element.clone()),
        }
    }
    merged.extend(rest.filter(|(other, _)| !is_applied.contains(other)).map(|(_, other)| (*other).clone()));
    merged
}

/// Removes what this manager applied the last time, applies no longer, and nobody else owns.
fn prune(value: &mut Value, shape: &Shape, last: &Owned, applied: &Owned, others: &Owned) {
    let nothing = Owned::default();
    // What a step leads to stays or goes; where it stays, the same is asked of what is below.
    let stays = |step: &Step, value: &mut Value, shape: &Shape| {
        let Some(branch) = last.below.get(step) else { return true };
        let (applied, others) = (applied.below.get(step), others.below.get(step));
        if applied.is_none() && others.is_none() {
            return false;
        }
        prune(value, shape, branch, applied.unwrap_or(&nothing), others.unwrap_or(&nothing));
        true
    };
    match value {
        _ if last.below.is_empty() => {}
        Value::Object(map) => {
            map.retain(|name, value| stays(&Step::Field(name.clone()), value, shape.field(name).unwrap_or(&Shape::Any)))
        }
        Value::Array(list) => list.retain_mut(|element| match step_of(element, shape) {
            Some(step) => stays(&step, element, shape.element()),
            None => true,
        }),
        _ => {}
    }
}

/// Bytes of paths that one refusal names; a long name may stand in many of them.
const MOST_PATH_BYTES: usize = 256 * 1024;

fn refused(conflicts: &[(&Manager, Owned)]) -> Status {
    let (mut room, mut count) = (MOST_PATH_BYTES, 0);
    let mut by_manager: Vec<(String, Vec<String>)> = Vec::with_capacity(conflicts.len());
    for (manager, fields) in conflicts {
        let (paths, all) = fields.paths_within(&mut room);
        by_manager.push((manager.words(), paths));
        count += all;
    }
    by_manager.sort();
    let message = match &by_manager[..] {
        [(manager, paths)] if count == 1 => {
            format!("Apply failed with 1 conflict: conflict with {manager}: {}", paths.join(""))
        }
        _ => {
            let lines = by_manager.iter().flat_map(|(manager, paths)| {
                std::iter::once(format!("conflicts with {manager}:"))
                    .chain(paths.iter().map(|path| format!("- {path}")))
            });
            format!("Apply failed with {count} conflicts: {}", lines.collect::<Vec<_>>().join("\n"))
        }
    };
    let causes: Vec<Value> = by_manager
        .iter()
        .flat_map(|(manager, paths)| {
            paths.iter().map(move |path| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": path})
        })
        })
        .collect();
    Status::new(409, "Conflict", message).with_details(json!({"causes": causes}))
}
