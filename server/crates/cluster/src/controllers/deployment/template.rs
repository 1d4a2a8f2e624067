//! Pod templates: which two are the same, and the hash that names the ReplicaSet of one.
//!
//! The hash need not be upstream's, only stable: it is part of names and selectors that outlive the program.
use crate::Object;
use serde_json::{Map, Value};

/// Label that keeps the pods of a Deployment's ReplicaSets apart.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// Letters that make no words and cannot be mistaken for each other, as in Kubernetes' generated names.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Whether two pod templates mean the same pods: without the hash label, and whatever typed clients add or leave out when they
/// write a template back (`null`, `{}`, `[]`, `""`).
pub(super) fn same(a: &Value, b: &Value) -> bool {
    bare(a) == bare(b)
}

/// `pod-template-hash` of a template. `collisions` is `status.collisionCount`: raised when the name is taken by something else.
pub(super) fn hash(template: &Value, collisions: i64) -> String {
    let mut state = Fnv(0x811c_9dc5);
    feed(&bare(template), &mut state);
    if collisions > 0 {
        state.eat(collisions.to_string().as_bytes());
    }
    state.0.to_string().bytes().map(|b| char::from(SAFE[usize::from(b) % SAFE.len()])).collect()
}

/// The template of the ReplicaSet: the Deployment's, with the hash as a label.
pub(super) fn with_hash(template: &Value, hash: &str) -> Value {
    let mut template = template.clone();
    let labels = &mut template["metadata"]["labels"];
    if !labels.is_object() {
        *labels = Value::Object(Map::new());
    }
    labels[HASH_LABEL] = hash.into();
    template
}

fn bare(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Object::as_object_mut) {
        labels.shift_remove(HASH_LABEL);
    }
    prune(&mut template);
    template
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, v| !is_empty(v));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// FNV-1a, 32 bit.
struct Fnv(u32);

impl Fnv {
    fn eat(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

/// Fields in alphabetical order: the order in which somebody wrote them is no difference.
fn feed(value: &Value, state: &mut Fnv) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            state.eat(b"{");
            for (key, value) in fields {
                state.eat(key.as_bytes());
                state.eat(b":");
                feed(value, state);
            }
            state.eat(b"}");
        }
        Value::Array(items) => {
            state.eat(b"[");
            for item in items {
                feed(item, state);
                state.eat(b",");
            }
            state.eat(b"]");
        }
        leaf => state.eat(leaf.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_template_that_a_typed_client_wrote_back_is_the_same() {
        let written =
            json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        for (back, is_same) in [
            (
                json!({"spec": {"containers": [{"image": "i", "name": "c", "resources": {}}]}, "metadata": {"labels": {"app": "a"}, "creationTimestamp": null}}),
                true,
            ),
            (with_hash(&written, "abc"), true),
            (
                json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "j"}]}}),
                false,
            ),
            (
                json!({"metadata": {"labels": {"app": "a"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
                false,
            ),
        ] {
            assert_eq!(same(&written, &back), is_same, "{back}");
            assert_eq!(hash(&written, 0) == hash(&back, 0), is_same, "{back}");
        }
    }

    #[test]
    fn a_hash_is_stable_safe_in_names_and_moves_with_collisions() {
        let template = json!({"spec": {"containers": []}});
        assert_eq!(hash(&template, 0), hash(&template, 0));
        assert_ne!(hash(&template, 0), hash(&template, 1));
        assert!(hash(&template, 0).bytes().all(|b| SAFE.contains(&b)));
    }
}
