//! Patches as pure functions of the object and the patch; ownership of fields (managedFields).
mod size;
mod fields;
mod strategic;
mod apply;
mod compare;
pub(crate) mod managed;
mod owned;

pub(crate) use apply::apply;
pub(crate) use fields::check as check_fields;
pub(crate) use size::{MAX_DEPTH, Size};
pub(crate) use strategic::strategic;

use crate::status::Status;
use crate::Object;
use serde_json::{Map, Value};

/// Bytes that the copies and moves of one JSON patch may come to. Source: kube-apiserver's `AccumulatedCopySizeLimit`.
const MOST_COPIED: usize = 3 * 1024 * 1024;

/// RFC 6902. Errors: 400 where it is no patch or would nest too deeply, 413 where it copies too much, 422 where it does not fit the object.
pub(crate) fn json(object: &Object, operations: &Value) -> Result<Object, Status> {
    let operations: json_patch::Patch = serde_json::from_value(operations.clone())
        .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
    let mut patched = object.clone();
    let mut copied = 0;
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
            return Err(Status::bad_request(format!("the patched object would be nested deeper than {MAX_DEPTH} levels")));
        }
        if matches!(operation, Copy(_) | Move(_)) {
            copied += size.bytes;
        }
        if copied > MOST_COPIED {
            return Err(Status::too_large(format!("the patch copies more than the limit of {MOST_COPIED} bytes")));
        }
        json_patch::patch_unsafe(&mut patched, std::slice::from_ref(operation)).map_err(|e| {
            Status::new(422, "Invalid", format!("the server rejected our request due to an error in our request: {e}"))
        })?;
    }
    Ok(patched)
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
    for (field, change) in changes {
        if change.is_null() {
            map.shift_remove(field);
        } else {
            merge_into(map.entry(field.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests;
