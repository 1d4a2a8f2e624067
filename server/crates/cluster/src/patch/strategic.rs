//! Strategic merge patch. Source: Kubernetes community document "Strategic Merge Patch", with its directives
//! `$patch: replace|delete|merge`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…` and `$retainKeys`.
use crate::Object;
use crate::kinds::Kind;
use crate::kinds::schema::{Merge, Shape};
use crate::status::Status;
use serde_json::{Map, Value};

const ORDER: &str = "$setElementOrder/";
const REMOVE: &str = "$deleteFromPrimitiveList/";

/// The object after the patch. Errors: 400 where the patch is malformed.
pub(crate) fn strategic(kind: &Kind, object: &Object, changes: &Value) -> Result<Object, Status> {
    let (Value::Object(target), Value::Object(patch)) = (object, changes) else {
        return Err(Status::bad_request("a strategic merge patch must be an object"));
    };
    let mut merged = target.clone();
    merge_map(&mut merged, patch, &Shape::of(kind))?;
    Ok(Value::Object(merged))
}

fn merge_map(target: &mut Map<String, Value>, patch: &Map<String, Value>, shape: &Shape) -> Result<(), Status> {
    match patch.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => target.clear(),
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some(other) => return Err(Status::bad_request(format!("unknown patch type {other:?} in strategic merge patch"))),
    }
    for (field, change) in patch {
        let below = shape.field(field).unwrap_or(&Shape::Any);
        match change {
            _ if field.starts_with('$') => {}
            Value::Null => drop(target.shift_remove(field)),
            Value::Object(change) => {
                let slot = target.entry(field.clone()).or_insert_with(|| Value::Object(Map::new()));
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(slot) = slot {
                    merge_map(slot, change, below)?;
                }
            }
            Value::Array(change) => {
                let slot = target.entry(field.clone()).or_insert_with(|| Value::Array(Vec::new()));
                let before = slot.as_array().cloned().unwrap_or_default();
                let order = patch.get(&format!("{ORDER}{field}")).and_then(Value::as_array);
                *slot = Value::Array(merge_list(before, change, order, below)?);
            }
            plain => drop(target.insert(field.clone(), plain.clone())),
        }
    }
    // Directives about lists that the patch itself does not contain.
    for (directive, values) in patch {
        let Some(values) = values.as_array() else { continue };
        if let Some(field) = directive.strip_prefix(REMOVE) {
            if let Some(list) = target.get_mut(field).and_then(Value::as_array_mut) {
                list.retain(|element| !values.contains(element));
            }
        } else if let Some(field) = directive.strip_prefix(ORDER) {
            if !patch.contains_key(field)
                && let Some(list) = target.get_mut(field).and_then(Value::as_array_mut)
            {
                let merge = shape.field(field).map_or(&Merge::Atomic, Shape::merge);
                let before = std::mem::take(list);
                *list = in_order(&before, before.clone(), Some(values), merge.strategic_key());
            }
        } else if directive == "$retainKeys" {
            target.retain(|field, _| values.iter().any(|kept| kept == field.as_str()));
        }
    }
    Ok(())
}

fn merge_list(before: Vec<Value>, change: &[Value], order: Option<&Vec<Value>>, shape: &Shape) -> Result<Vec<Value>, Status> {
    let merge = shape.merge();
    let Some(key) = merge.strategic_key() else {
        let mut list = if *merge == Merge::Set { before.clone() } else { Vec::new() };
        for element in change {
            let element = plain(element, shape.element())?;
            if *merge != Merge::Set || !list.contains(&element) {
                list.push(element);
            }
        }
        return Ok(if *merge == Merge::Set { in_order(&before, list, order, None) } else { list });
    };
    let replaces = |element: &&Value| element["$patch"] == "replace" && element.get(key).is_none();
    let whole = change.iter().any(|element| replaces(&element));
    let mut list = if whole { Vec::new() } else { before.clone() };
    let mut touched: Vec<Value> = Vec::new();
    for element in change.iter().filter(|element| !replaces(element)) {
        let Some(id) = element.get(key) else {
            return Err(Status::bad_request(format!("map: {element} does not contain declared merge key: {key}")));
        };
        let found = list.iter().position(|other| &other[key] == id);
        if element["$patch"] == "delete" {
            list.retain(|other| &other[key] != id);
            continue;
        }
        touched.push(id.clone());
        match (found, element) {
            (Some(at), Value::Object(patch)) => {
                if let Value::Object(target) = &mut list[at] {
                    merge_map(target, patch, shape.element())?;
                }
            }
            _ => list.push(plain(element, shape.element())?),
        }
    }
    let wanted: Vec<Value> = touched.into_iter().map(|id| Value::Object(Map::from_iter([(key.to_owned(), id)]))).collect();
    Ok(in_order(&before, list, order.or(Some(&wanted)), Some(key)))
}

/// A value as it stands without directives and nulls.
fn plain(value: &Value, shape: &Shape) -> Result<Value, Status> {
    let Value::Object(patch) = value else { return Ok(value.clone()) };
    let mut made = Map::new();
    merge_map(&mut made, patch, shape)?;
    Ok(Value::Object(made))
}

/// Elements that the patch orders come in its order, the others keep their place among them as far as that goes.
fn in_order(before: &[Value], list: Vec<Value>, order: Option<&Vec<Value>>, key: Option<&str>) -> Vec<Value> {
    let Some(order) = order else { return list };
    let id = |value: &Value| key.map_or_else(|| value.clone(), |key| value[key].clone());
    let rank = |value: &Value| order.iter().position(|o| id(o) == id(value));
    let place = |value: &Value| before.iter().position(|b| id(b) == id(value));
    let (mut ordered, others): (Vec<Value>, Vec<Value>) = list.into_iter().partition(|value| rank(value).is_some());
    ordered.sort_by_key(&rank);
    let (mut ordered, mut others) = (ordered.into_iter().peekable(), others.into_iter().peekable());
    let mut merged = Vec::new();
    while let (Some(first), Some(other)) = (ordered.peek(), others.peek()) {
        // What is new, or stood before the other one, comes first.
        let next = if place(first) < place(other) || place(first).is_none() { ordered.next() } else { others.next() };
        merged.extend(next);
    }
    merged.extend(ordered);
    merged.extend(others);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kinds;
    use serde_json::json;

    fn pod(spec: Value) -> Value {
        json!({"spec": spec})
    }

    #[test]
    fn patches_merge_as_documented() {
        let kinds = Kinds::builtin();
        let kind = kinds.find("", "pods").unwrap();
        let two = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]});
        for (case, before, patch, after) in [
            ("merges by name", two.clone(), json!({"containers": [{"name": "b", "image": "2"}]}),
                json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]})),
            ("what is new comes first", two.clone(), json!({"containers": [{"name": "c"}]}),
                json!({"containers": [{"name": "c"}, {"name": "a", "image": "1"}, {"name": "b", "image": "1"}]})),
            ("deletes by name", two.clone(), json!({"containers": [{"name": "a", "$patch": "delete"}]}),
                json!({"containers": [{"name": "b", "image": "1"}]})),
            ("replaces the list", two.clone(), json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}), json!({"containers": [{"name": "z"}]})),
            ("orders", two.clone(), json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "image": "9"}]}),
                json!({"containers": [{"name": "b", "image": "1"}, {"name": "a", "image": "9"}]})),
            ("orders without a change", two.clone(), json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
                json!({"containers": [{"name": "b", "image": "1"}, {"name": "a", "image": "1"}]})),
            ("null removes", json!({"nodeName": "x", "hostname": "y"}), json!({"nodeName": null}), json!({"hostname": "y"})),
            ("atomic lists are replaced", json!({"tolerations": [{"key": "a"}]}), json!({"tolerations": [{"key": "b"}]}), json!({"tolerations": [{"key": "b"}]})),
            ("maps merge", json!({"nodeSelector": {"a": "1"}}), json!({"nodeSelector": {"b": "2"}}), json!({"nodeSelector": {"a": "1", "b": "2"}})),
            ("maps are replaced on request", json!({"nodeSelector": {"a": "1"}}), json!({"nodeSelector": {"$patch": "replace", "b": "2"}}), json!({"nodeSelector": {"b": "2"}})),
            ("keys are retained", json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
                json!({"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]}),
                json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]})),
            ("nulls of new elements are not kept", json!({}), json!({"containers": [{"name": "a", "env": null, "x": {"y": null}}]}), json!({"containers": [{"name": "a", "x": {}}]})),
            ("ports merge by number", json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}),
                json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "http"}]}]}),
                json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]}]})),
        ] {
            assert_eq!(strategic(kind, &pod(before), &pod(patch)).unwrap(), pod(after), "{case}");
        }
        let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
        assert_eq!(strategic(kind, &finalizers(json!(["a"])), &finalizers(json!(["b", "a"]))).unwrap()["metadata"]["finalizers"].as_array().unwrap().len(), 2);
        let removed = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}});
        assert_eq!(strategic(kind, &finalizers(json!(["a", "b"])), &removed).unwrap(), finalizers(json!(["b"])));
        assert_eq!(strategic(kind, &pod(two), &pod(json!({"containers": [{"image": "x"}]}))).unwrap_err().code, 400);
    }
}
