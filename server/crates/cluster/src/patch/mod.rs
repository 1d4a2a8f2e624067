//! Patches as pure functions of the object and the patch; ownership of fields (managedFields).
mod fields;
mod strategic;
mod apply;
mod compare;
pub(crate) mod managed;
mod owned;

pub(crate) use apply::apply;
pub(crate) use fields::check as check_fields;
pub(crate) use strategic::strategic;

use crate::status::Status;
use crate::Object;
use serde_json::{Map, Value};

/// RFC 6902. Errors: 400 where it is no patch, 422 where it does not fit the object.
pub(crate) fn json(object: &Object, operations: &Value) -> Result<Object, Status> {
    let operations: json_patch::Patch = serde_json::from_value(operations.clone())
        .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
    let mut patched = object.clone();
    json_patch::patch(&mut patched, &operations).map_err(|e| {
        Status::new(422, "Invalid", format!("the server rejected our request due to an error in our request: {e}"))
    })?;
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
