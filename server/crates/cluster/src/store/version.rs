//! One version of an object as it is kept: its JSON, written once and shared by the file, the history and the watches.
use crate::Object;
use crate::status::Status;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::sync::{Arc, Weak};

/// Bytes of the checksum in front of a row's JSON.
pub(super) const SUM: usize = 4;

/// A version of an object. Cheap to clone; does not keep the object in memory, only its JSON.
#[derive(Clone, Debug)]
pub struct Version {
    pub(super) revision: u64,
    /// Checksum and JSON, as in the file.
    row: Bytes,
    /// The object, for as long as somebody else holds it.
    object: Weak<Object>,
}

impl Version {
    /// A row that has been checked, and the object that it holds.
    pub(super) fn new(revision: u64, row: Bytes, object: &Arc<Object>) -> Version {
        Version { revision, row, object: Arc::downgrade(object) }
    }

    /// The object; read from its JSON where nobody holds it any more.
    pub fn object(&self) -> Arc<Object> {
        self.object.upgrade().unwrap_or_else(|| {
            // The JSON was written by this process and checked when it was read.
            let object = serde_json::from_slice(self.json()).unwrap_or_else(|error| {
                tracing::error!(%error, "A version in the history cannot be read");
                Value::Null
            });
            Arc::new(object)
        })
    }

    /// The object as JSON.
    pub fn json(&self) -> &[u8] {
        self.row.get(SUM..).unwrap_or_default()
    }

    /// Checksum and JSON.
    pub(super) fn row(&self) -> &Bytes {
        &self.row
    }

    /// Bytes that this version takes, the object itself not counted.
    pub(super) fn len(&self) -> usize {
        self.row.len()
    }
}

/// An object as JSON that lacks its `resourceVersion`, which only the commit knows. All that takes time has been done.
#[derive(Debug)]
pub(super) struct Draft {
    json: Vec<u8>,
    /// Where the revision goes in.
    hole: usize,
    /// Bytes of memory that the object takes, its JSON included.
    pub(super) charge: usize,
}

impl Draft {
    /// Writes the object, whose `metadata.resourceVersion` is set to the empty string.
    pub(super) fn of(object: &mut Object) -> Result<Draft, Status> {
        if !object.is_object() || !object.get("metadata").is_some_and(Value::is_object) {
            return Err(Status::internal("an object without metadata cannot be stored"));
        }
        object["metadata"]["resourceVersion"] = Value::String(String::new());
        let mut draft = Draft { json: Vec::with_capacity(1024), hole: 0, charge: 0 };
        draft
            .write(object)
            .map_err(|error| Status::internal(format!("the object cannot be written as JSON: {error}")))?;
        draft.charge = draft.json.len() + memory(object);
        Ok(draft)
    }

    fn write(&mut self, object: &Object) -> serde_json::Result<()> {
        self.fields(object.as_object().into_iter().flatten(), |draft, name, value| match value {
            Value::Object(metadata) if name == "metadata" => draft.metadata(metadata),
            value => serde_json::to_writer(&mut draft.json, value),
        })
    }

    fn metadata(&mut self, metadata: &Map<String, Value>) -> serde_json::Result<()> {
        self.fields(metadata.iter(), |draft, name, value| {
            if name == "resourceVersion" {
                // Between the quotes.
                draft.hole = draft.json.len() + 1;
            }
            serde_json::to_writer(&mut draft.json, value)
        })
    }

    fn fields<'a>(
        &mut self,
        fields: impl Iterator<Item = (&'a String, &'a Value)>,
        mut one: impl FnMut(&mut Draft, &str, &'a Value) -> serde_json::Result<()>,
    ) -> serde_json::Result<()> {
        self.json.push(b'{');
        for (i, (name, value)) in fields.enumerate() {
            if i > 0 {
                self.json.push(b',');
            }
            serde_json::to_writer(&mut self.json, name)?;
            self.json.push(b':');
            one(self, name, value)?;
        }
        self.json.push(b'}');
        Ok(())
    }

    /// The row: one copy and one checksum, both at memory's speed.
    pub(super) fn row(&self, key: &str, revision: u64) -> Bytes {
        let revision = revision.to_string();
        let (before, after) = self.json.split_at(self.hole);
        let mut row = Vec::with_capacity(SUM + self.json.len() + revision.len());
        row.extend_from_slice(&[0; SUM]);
        row.extend_from_slice(before);
        row.extend_from_slice(revision.as_bytes());
        row.extend_from_slice(after);
        let sum = checksum(key, &row[SUM..]);
        row[..SUM].copy_from_slice(&sum.to_le_bytes());
        row.into()
    }
}

/// A row of an object that has its revision already.
pub(super) fn row_of(key: &str, json: &[u8]) -> Bytes {
    [&checksum(key, json).to_le_bytes()[..], json].concat().into()
}

/// The checksum that stands in front of a row.
pub(super) fn sum_of(row: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(row.get(..SUM)?.try_into().ok()?))
}

/// CRC-32 of key and JSON: a row that ends up under another key is damage, too.
pub(super) fn checksum(key: &str, json: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(key.as_bytes());
    hash.update(&[0]);
    hash.update(json);
    hash.finalize()
}

/// Bytes of heap that a value takes, about: an allocation is counted with the allocator's rounding.
pub(super) fn memory(value: &Value) -> usize {
    const VALUE: usize = size_of::<Value>();
    /// Hash, key and value of a map's entry, and its place in the index.
    const ENTRY: usize = size_of::<u64>() + size_of::<String>() + VALUE + 2 * size_of::<usize>();
    let text = |text: &str| if text.is_empty() { 0 } else { text.len().max(24) + 8 };
    match value {
        Value::String(string) => text(string),
        Value::Array(items) => items.len() * VALUE + items.iter().map(memory).sum::<usize>(),
        Value::Object(fields) => fields.iter().map(|(name, field)| ENTRY + text(name) + memory(field)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_draft_becomes_the_objects_json() {
        for object in [
            json!({"apiVersion": "v1", "metadata": {"name": "a", "resourceVersion": "3", "labels": {"resourceVersion": "x"}}, "data": {"metadata": "m"}}),
            json!({"metadata": {}}),
            json!({"kind": "K", "metadata": {"resourceVersion": ""}, "spec": {"metadata": {"resourceVersion": "9"}}}),
        ] {
            let mut object = object;
            let draft = Draft::of(&mut object).unwrap();
            object["metadata"]["resourceVersion"] = "4711".into();
            let row = draft.row("k", 4711);
            assert_eq!(serde_json::from_slice::<Value>(&row[SUM..]).unwrap(), object);
            assert_eq!(row[SUM..], serde_json::to_vec(&object).unwrap()[..]);
            assert_eq!(sum_of(&row), Some(checksum("k", &row[SUM..])));
            assert_ne!(sum_of(&row), Some(checksum("l", &row[SUM..])));
        }
        assert!(Draft::of(&mut json!([])).is_err());
    }
}
