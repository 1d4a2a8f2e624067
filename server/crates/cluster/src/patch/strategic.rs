//! Strategic merge patch. Source: Kubernetes community document "Strategic Merge Patch", with its directives
//! `$patch: replace|delete|merge`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…` and `$retainKeys`.
use crate::Object;
use crate::kinds::Kind;
use crate::kinds::schema::{Merge, Shape};
use crate::status::Status;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

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
        Some(other) => {
            return Err(Status::bad_request(format!("unknown patch type {other:?} in strategic merge patch")));
        }
    }
    let mut removed: HashSet<&str> = HashSet::new();
    for (field, change) in patch {
        let below = shape.field(field).unwrap_or(&Shape::Any);
        match change {
            _ if field.starts_with('$') => {}
            // Together below: each removal by itself would move all fields behind it.
            Value::Null => drop(removed.insert(field)),
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
    if !removed.is_empty() {
        target.retain(|field, _| !removed.contains(field.as_str()));
    }
    // Directives about lists that the patch itself does not contain.
    for (directive, values) in patch {
        let Some(values) = values.as_array() else { continue };
        if let Some(field) = directive.strip_prefix(REMOVE) {
            if let Some(list) = target.get_mut(field).and_then(Value::as_array_mut) {
                let gone: HashSet<&Value> = values.iter().collect();
                list.retain(|element| !gone.contains(element));
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
            let kept: HashSet<&str> = values.iter().filter_map(Value::as_str).collect();
            target.retain(|field, _| kept.contains(field.as_str()));
        }
    }
    Ok(())
}

fn merge_list(
    before: Vec<Value>,
    change: &[Value],
    order: Option<&Vec<Value>>,
    shape: &Shape,
) -> Result<Vec<Value>, Status> {
    let merge = shape.merge();
    let Some(key) = merge.strategic_key() else {
        if *merge != Merge::Set {
            return change.iter().map(|element| plain(element, shape.element())).collect();
        }
        let mut list = before.clone();
        let mut there: HashSet<Value> = list.iter().cloned().collect();
        for element in change {
            let element = plain(element, shape.element())?;
            if there.insert(element.clone()) {
                list.push(element);
            }
        }
        return Ok(in_order(&before, list, order, None));
    };
    let replaces = |element: &&Value| element["$patch"] == "replace" && element.get(key).is_none();
    let whole = change.iter().any(|element| replaces(&element));
    let mut list: Vec<Option<Value>> = if whole { Vec::new() } else { before.iter().cloned().map(Some).collect() };
    // Where the elements of an id are. A key may name several: ports of one number.
    let mut places: HashMap<Value, Vec<usize>> = HashMap::new();
    for (at, element) in list.iter().flatten().enumerate() {
        places.entry(element[key].clone()).or_default().push(at);
    }
    let mut touched: Vec<Value> = Vec::new();
    for element in change.iter().filter(|element| !replaces(element)) {
        let Some(id) = element.get(key) else {
            return Err(Status::bad_request(format!("map: {element} does not contain declared merge key: {key}")));
        };
        let found = places.entry(id.clone()).or_default();
        if element["$patch"] == "delete" {
            found.drain(..).for_each(|at| list[at] = None);
            continue;
        }
        touched.push(id.clone());
        match (found.first(), element) {
            (Some(at), Value::Object(patch)) => {
                if let Some(Value::Object(target)) = &mut list[*at] {
                    merge_map(target, patch, shape.element())?;
                }
            }
            _ => {
                found.push(list.len());
                list.push(Some(plain(element, shape.element())?));
            }
        }
    }
    let list = list.into_iter().flatten().collect();
    let wanted: Vec<Value> =
        touched.into_iter().map(|id| Value::Object(Map::from_iter([(key.to_owned(), id)]))).collect();
    Ok(in_order(&before, list, order.or(Some(&wanted)), Some(key)))
}

/// A value as it stands without directives and nulls.
fn plain(value: &Value, shape: &Shape) -> Result<Value, Status> {
    let Value::Object(patch) = value else { return Ok(value.clone()) };
    let mut made = Map::new();
    merge_map(&mut made, patch, shape)?;
    Ok(Value::Object(made))
}

/// What an element of a list is known by: its key's value, or all of it.
fn id_of<'a>(element: &'a Value, key: Option<&str>) -> &'a Value {
    key.map_or(element, |key| &element[key])
}

/// Where each id comes first.
fn first_places<'a>(list: &'a [Value], key: Option<&str>) -> HashMap<&'a Value, usize> {
    let mut places = HashMap::with_capacity(list.len());
    for (at, element) in list.iter().enumerate() {
        places.entry(id_of(element, key)).or_insert(at);
    }
    places
}

/// Elements that the patch orders come in its order, the others keep their place among them as far as that goes.
fn in_order(before: &[Value], list: Vec<Value>, order: Option<&Vec<Value>>, key: Option<&str>) -> Vec<Value> {
    let Some(order) = order else { return list };
    let (ranks, places) = (first_places(order, key), first_places(before, key));
    let (mut ordered, mut others) = (Vec::new(), Vec::new());
    for value in list {
        let id = id_of(&value, key);
        let place = places.get(id).copied();
        match ranks.get(id) {
            Some(rank) => ordered.push((*rank, place, value)),
            None => others.push((place, value)),
        }
    }
    ordered.sort_by_key(|(rank, ..)| *rank);
    let mut merged = Vec::with_capacity(ordered.len() + others.len());
    let (mut ordered, mut others) = (ordered.into_iter().peekable(), others.into_iter().peekable());
    while let (Some((_, first, _)), Some((other, _))) = (ordered.peek(), others.peek()) {
        // What is new, or stood before the other one, comes first.
        if first < other || first.is_none() {
            merged.extend(ordered.next().map(|(.., value)| value));
        } else {
            merged.extend(others.next().map(|(_, value)| value));
        }
    }
    merged.extend(ordered.map(|(.., value)| value));
    merged.extend(others.map(|(_, value)| value));
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
            (
                "merges by name",
                two.clone(),
                json!({"containers": [{"name": "b", "image": "2"}]}),
                json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}),
            ),
            (
                "what is new comes first",
                two.clone(),
                json!({"containers": [{"name": "c"}]}),
                json!({"containers": [{"name": "c"}, {"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}),
            ),
            (
                "deletes by name",
                two.clone(),
                json!({"containers": [{"name": "a", "$patch": "delete"}]}),
                json!({"containers": [{"name": "b", "image": "1"}]}),
            ),
            (
                "replaces the list",
                two.clone(),
                json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}),
                json!({"containers": [{"name": "z"}]}),
            ),
            (
                "orders",
                two.clone(),
                json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "image": "9"}]}),
                json!({"containers": [{"name": "b", "image": "1"}, {"name": "a", "image": "9"}]}),
            ),
            (
                "orders without a change",
                two.clone(),
                json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
                json!({"containers": [{"name": "b", "image": "1"}, {"name": "a", "image": "1"}]}),
            ),
            (
                "null removes",
                json!({"nodeName": "x", "hostname": "y"}),
                json!({"nodeName": null}),
                json!({"hostname": "y"}),
            ),
            (
                "atomic lists are replaced",
                json!({"tolerations": [{"key": "a"}]}),
                json!({"tolerations": [{"key": "b"}]}),
                json!({"tolerations": [{"key": "b"}]}),
            ),
            (
                "maps merge",
                json!({"nodeSelector": {"a": "1"}}),
                json!({"nodeSelector": {"b": "2"}}),
                json!({"nodeSelector": {"a": "1", "b": "2"}}),
            ),
            (
                "maps are replaced on request",
                json!({"nodeSelector": {"a": "1"}}),
                json!({"nodeSelector": {"$patch": "replace", "b": "2"}}),
                json!({"nodeSelector": {"b": "2"}}),
            ),
            (
                "keys are retained",
                json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
                json!({"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]}),
                json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}),
            ),
            (
                "nulls of new elements are not kept",
                json!({}),
                json!({"containers": [{"name": "a", "env": null, "x": {"y": null}}]}),
                json!({"containers": [{"name": "a", "x": {}}]}),
            ),
            (
                "ports merge by number",
                json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}),
                json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "http"}]}]}),
                json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]}]}),
            ),
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
