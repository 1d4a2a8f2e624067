//! Patches as pure functions of the object and the patch; ownership of fields (managedFields).
mod apply;
mod compare;
mod fields;
pub(crate) mod managed;
mod owned;
mod size;
mod strategic;

pub(crate) use apply::apply;
pub(crate) use fields::check as check_fields;
pub(crate) use size::{MAX_DEPTH, Size, shortened};
pub(crate) use strategic::strategic;

use crate::Object;
use crate::status::Status;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Bytes that the copies and moves of one JSON patch may come to. Source: kube-apiserver's `AccumulatedCopySizeLimit`.
const MOST_COPIED: usize = 3 * 1024 * 1024;

/// Operations of one JSON patch. Source: kube-apiserver's `maxJSONPatchOperations`.
const MOST_OPERATIONS: usize = 10_000;
/// Elements of lists that one JSON patch may move by inserting and removing before them.
const MOST_MOVED: usize = 8 * 1024 * 1024;

/// RFC 6902. Errors: 400 where it is no patch or would nest too deeply, 413 where it copies too much, 422 where it does not fit the object.
pub(crate) fn json(object: &Object, operations: &Value) -> Result<Object, Status> {
    let operations: json_patch::Patch = serde_json::from_value(operations.clone())
        .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
    if operations.0.len() > MOST_OPERATIONS {
        let found = operations.0.len();
        return Err(Status::too_large(format!(
            "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {found}"
        )));
    }
    let mut patched = object.clone();
    let (mut copied, mut moved) = (0, 0);
    for operation in &operations.0 {
        use json_patch::PatchOperation::{Add, Copy, Move, Remove, Replace, Test};
        // Before each operation: every one may double what is there, and depth is paid for in stack.
        let (at, put) = match operation {
            Add(add) => (&add.path, Some(&add.value)),
            Replace(replace) => (&replace.path, Some(&replace.value)),
            Copy(copy) => (&copy.path, patched.pointer(copy.from.as_str())),
            Move(from) => (&from.path, patched.pointer(from.from.as_str())),
            Remove(remove) => (&remove.path, None),
            Test(test) => (&test.path, None),
        };
        let size = put.map(Size::of).unwrap_or_default();
        if put.is_some() && at.count() + size.depth > MAX_DEPTH {
            return Err(Status::bad_request(format!(
                "the patched object would be nested deeper than {MAX_DEPTH} levels"
            )));
        }
        if matches!(operation, Copy(_) | Move(_)) {
            copied += size.bytes;
        }
        if copied > MOST_COPIED {
            return Err(Status::too_large(format!("the patch copies more than the limit of {MOST_COPIED} bytes")));
        }
        moved += match operation {
            Add(_) | Copy(_) | Remove(_) => elements_behind(&patched, at),
            Move(from) => elements_behind(&patched, &from.from) + elements_behind(&patched, at),
            Replace(_) | Test(_) => 0,
        };
        if moved > MOST_MOVED {
            return Err(Status::too_large(format!(
                "the patch inserts and removes so near the front of long lists that more than {MOST_MOVED} elements \
                would have to move; replace the list instead"
            )));
        }
        json_patch::patch_unsafe(&mut patched, std::slice::from_ref(operation)).map_err(|e| {
            Status::new(422, "Invalid", format!("the server rejected our request due to an error in our request: {e}"))
        })?;
    }
    Ok(patched)
}

/// How many elements of a list move when one is inserted or removed at this place.
fn elements_behind(object: &Value, at: &json_patch::jsonptr::Pointer) -> usize {
    let Some((parent, last)) = at.split_back() else { return 0 };
    let list = object.pointer(parent.as_str()).and_then(Value::as_array);
    let index = last.decoded().parse::<usize>().unwrap_or(usize::MAX);
    list.map_or(0, |list| list.len().saturating_sub(index))
}

/// RFC 7386.
pub(crate) fn merge(object: &Object, changes: &Value) -> Object {
    let mut merged = object.clone();
    merge_into(&mut merged, changes);
    merged
}

fn merge_into(target: &mut Value, changes: &Value) {
    let Value::Object(changes) = changes else {
        *target = changes.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(map) = target.as_object_mut() else { return };
    let mut removed: HashSet<&str> = HashSet::new();
    for (field, change) in changes {
        if change.is_null() {
            removed.insert(field);
        } else {
            merge_into(map.entry(field.clone()).or_insert(Value::Null), change);
        }
    }
    if !removed.is_empty() {
        // Together: each removal by itself would move all fields behind it.
        map.retain(|field, _| !removed.contains(field.as_str()));
    }
}

#[cfg(test)]
mod growth_tests;
#[cfg(test)]
mod tests;
