//! A set of fields, as `fieldsV1` has it: `f:` a field, `k:` an element by its keys, `v:` an element by its value.
//!
//! Source: Kubernetes "Server-Side Apply", "Field management".
use crate::kinds::schema::{Merge, Shape, type_named};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// `f:name`.
    Field(String),
    /// `k:{"name":"x"}`: the keys as JSON.
    Keys(String),
    /// `v:"x"`: the value as JSON.
    Value(String),
}

/// A tree of fields. A path is a member where `member` says so; a branch with neither does not exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Owned {
    pub(crate) member: bool,
    pub(crate) below: BTreeMap<Step, Owned>,
}

impl Owned {
    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }

    pub(crate) fn leaf() -> Owned {
        Owned { member: true, below: BTreeMap::new() }
    }

    /// Adds a branch, unless it is empty.
    pub(crate) fn put(&mut self, step: Step, branch: Owned) {
        if !branch.is_empty() {
            self.below.insert(step, branch);
        }
    }

    pub(crate) fn union(&mut self, other: &Owned) {
        self.member |= other.member;
        for (step, branch) in &other.below {
            self.below.entry(step.clone()).or_default().union(branch);
        }
    }

    pub(crate) fn subtract(&mut self, other: &Owned) {
        self.member &= !other.member;
        self.below.retain(|step, branch| {
            if let Some(other) = other.below.get(step) {
                branch.subtract(other);
            }
            !branch.is_empty()
        });
    }

    pub(crate) fn intersection(&self, other: &Owned) -> Owned {
        let mut common = Owned { member: self.member && other.member, below: BTreeMap::new() };
        for (step, branch) in &self.below {
            if let Some(other) = other.below.get(step) {
                common.put(step.clone(), branch.intersection(other));
            }
        }
        common
    }

    /// The members' paths as conflicts print them: `.spec.containers[name="x"].image`; as many as fit into `room`, which shrinks by
    /// them, and how many there are.
    pub(crate) fn paths_within(&self, room: &mut usize) -> (Vec<String>, usize) {
        let mut found = (Vec::new(), 0);
        self.collect(&mut String::new(), room, &mut found);
        found
    }

    /// All of the members' paths.
    #[cfg(test)]
    pub(crate) fn paths(&self) -> Vec<String> {
        self.paths_within(&mut usize::MAX.clone()).0
    }

    fn collect(&self, at: &mut String, room: &mut usize, found: &mut (Vec<String>, usize)) {
        if self.member {
            found.1 += 1;
            if let Some(left) = room.checked_sub(at.len()) {
                *room = left;
                found.0.push(at.clone());
            }
        }
        let before = at.len();
        for (step, branch) in &self.below {
            match step {
                Step::Field(name) => at.extend([".", name]),
                Step::Value(json) => at.extend(["[=", json, "]"]),
                Step::Keys(json) => {
                    let keys: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
                    at.extend(["[", &keys.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","), "]"]);
                }
            }
            branch.collect(at, room, found);
            at.truncate(before);
        }
    }

    /// Reads `fieldsV1`. What cannot be read is left out.
    pub(crate) fn from_json(fields: &Value) -> Owned {
        let Some(map) = fields.as_object() else { return Owned::default() };
        let mut read = Owned { member: map.is_empty() || map.contains_key("."), below: BTreeMap::new() };
        for (name, branch) in map {
            let step = match name.split_at_checked(2) {
                Some(("f:", name)) => Step::Field(name.to_owned()),
                Some(("k:", json)) => Step::Keys(json.to_owned()),
                Some(("v:", json)) => Step::Value(json.to_owned()),
                _ => continue,
            };
            read.below.insert(step, Owned::from_json(branch));
        }
        read
    }

    /// Writes `fieldsV1`.
    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.below.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (step, branch) in &self.below {
            let name = match step {
                Step::Field(name) => format!("f:{name}"),
                Step::Keys(json) => format!("k:{json}"),
                Step::Value(json) => format!("v:{json}"),
            };
            map.insert(name, branch.to_json());
        }
        Value::Object(map)
    }

    /// All fields of a value. A map that is a field of its own right (labels) or an element is a member beside its content.
    pub(crate) fn of(value: &Value, shape: &Shape) -> Owned {
        match value {
            Value::Object(map) if !map.is_empty() && !shape.atomic() => {
                let mut owned = Owned::default();
                for (name, below) in map {
                    owned.put(Step::Field(name.clone()), Owned::of(below, shape.field(name).unwrap_or(&Shape::Any)));
                }
                owned
            }
            Value::Array(list) if !list.is_empty() && granular(shape) => {
                let mut owned = Owned::default();
                for element in list {
                    let Some(step) = step_of(element, shape) else { continue };
                    let mut branch = Owned::of(element, shape.element());
                    branch.member = true;
                    owned.put(step, branch);
                }
                owned
            }
            _ => Owned::leaf(),
        }
    }

    /// The same with every map of free keys a member, too: what a write that is no apply comes to own with a new field.
    pub(crate) fn of_added(value: &Value, shape: &Shape) -> Owned {
        let mut owned = Owned::of(value, shape);
        owned.own_maps(shape);
        owned
    }

    fn own_maps(&mut self, shape: &Shape) {
        // A built-in type has all its parts from the start, as a Go struct has; a custom kind's come with what is written.
        if matches!(shape, Shape::Map(..) | Shape::Any)
            || matches!(shape, Shape::Type(of) if type_named(of).is_some_and(|of| of.custom))
        {
            self.member = true;
        }
        for (step, branch) in &mut self.below {
            match step {
                Step::Field(name) => branch.own_maps(shape.field(name).unwrap_or(&Shape::Any)),
                _ => branch.own_maps(shape.element()),
            }
        }
    }
}

/// Whether apply merges this list element by element.
pub(crate) fn granular(shape: &Shape) -> bool {
    matches!(shape, Shape::List(_, merge) if merge.apply_set() || merge.apply_keys().is_some())
}

/// How an element of a granular list is named; `None` where a key is missing.
pub(crate) fn step_of(element: &Value, shape: &Shape) -> Option<Step> {
    let merge: &Merge = shape.merge();
    let Some(keys) = merge.apply_keys() else { return Some(Step::Value(element.to_string())) };
    let mut named = Map::new();
    for key in keys {
        let value = match element.get(*key) {
            Some(value) => value.clone(),
            // The one key with a default: a port's protocol.
            None if *key == "protocol" => "TCP".into(),
            None => return None,
        };
        named.insert((*key).to_owned(), value);
    }
    Some(Step::Keys(Value::Object(named).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sets_are_written_as_kubernetes_does() {
        let pod = json!({"metadata": {"labels": {"app": "x"}, "finalizers": ["a/b"]}, "spec": {"nodeSelector": {"a": "b"},
            "containers": [{"name": "c", "args": ["1"], "resources": {}, "ports": [{"containerPort": 80}]}]}});
        let owned = Owned::of(&pod, &Shape::Type("Pod"));
        let json = json!({"f:metadata": {"f:finalizers": {"v:\"a/b\"": {}}, "f:labels": {"f:app": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:args": {}, "f:name": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}, "f:resources": {}}},
                "f:nodeSelector": {}}});
        assert_eq!(owned.to_json(), json);
        assert_eq!(Owned::from_json(&json), owned);
        let added = Owned::of_added(&pod, &Shape::Type("Pod")).to_json();
        assert_eq!(added["f:metadata"]["f:labels"], json!({".": {}, "f:app": {}}));
        assert!(owned.paths().contains(
            &".spec.containers[name=\"c\"].ports[containerPort=80,protocol=\"TCP\"].containerPort".to_owned()
        ));
        let mut rest = owned.clone();
        rest.subtract(&owned);
        assert!(rest.is_empty());
        assert_eq!(
            owned.intersection(&Owned::from_json(&json!({"f:spec": {"f:nodeSelector": {}, "f:x": {}}}))).paths(),
            [".spec.nodeSelector"]
        );
    }
}
