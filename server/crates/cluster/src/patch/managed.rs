//! `metadata.managedFields`: who owns which field, kept up by every write.
use super::compare::Difference;
use super::owned::{Owned, Step};
use crate::Object;
use crate::kinds::Kind;
use crate::kinds::schema::Shape;
use crate::registry::now;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One entry: a manager and what it owns.
#[derive(Clone, Debug)]
pub(crate) struct Manager {
    pub(crate) name: String,
    /// `Apply` or `Update`.
    pub(crate) operation: String,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    time: String,
    pub(crate) owned: Owned,
}

impl Manager {
    pub(crate) fn new(kind: &Kind, name: &str, operation: &str, subresource: &str) -> Manager {
        Manager {
            name: name.to_owned(),
            operation: operation.to_owned(),
            api_version: kind.api_version(),
            subresource: subresource.to_owned(),
            time: String::new(),
            owned: Owned::default(),
        }
    }

    pub(crate) fn owning(self, owned: Owned) -> Manager {
        Manager { owned, ..self }
    }

    /// Whether both are the same writer.
    pub(crate) fn is(&self, other: &Manager) -> bool {
        self.identity() == other.identity()
    }

    /// What makes it the same writer.
    fn identity(&self) -> [&str; 4] {
        let version = if self.operation == "Apply" { "" } else { &self.api_version };
        [&self.name, &self.operation, &self.subresource, version]
    }

    /// As conflicts name it.
    pub(crate) fn words(&self) -> String {
        let mut words = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            words += &format!(" with subresource {:?}", self.subresource);
        }
        if self.operation == "Update" {
            words += &format!(" using {}", self.api_version);
        }
        words
    }

    fn from_json(entry: &Value) -> Manager {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        Manager {
            name: text("manager"),
            operation: text("operation"),
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            owned: Owned::from_json(&entry["fieldsV1"]),
        }
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.name, "operation": self.operation, "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": self.owned.to_json(),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = self.subresource.clone().into();
        }
        entry
    }
}

/// The entries of an object.
pub(crate) fn read(object: &Object) -> Vec<Manager> {
    object["metadata"]["managedFields"].as_array().into_iter().flatten().map(Manager::from_json).collect()
}

/// Writes the entries; those whose fields changed since `before` get the time of now, empty ones go.
pub(crate) fn write(object: &mut Object, managers: Vec<Manager>, before: &[Manager]) {
    let mut known: BTreeMap<_, &Manager> = BTreeMap::new();
    for old in before {
        known.entry(old.identity()).or_insert(old);
    }
    let kept = managers.into_iter().filter(|m| !m.owned.is_empty()).map(|mut manager| {
        let old = known.get(&manager.identity()).copied();
        match old.filter(|old| old.owned == manager.owned && !old.time.is_empty()) {
            Some(old) => manager.time.clone_from(&old.time),
            None => manager.time = now(),
        }
        manager.to_json()
    });
    let list: Vec<Value> = kept.collect();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        if list.is_empty() {
            metadata.shift_remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), list.into());
        }
    }
}

/// Takes out what nobody owns: names, versions, and what the server alone writes.
pub(crate) fn strip(owned: &mut Owned) {
    let field = |name: &str| Step::Field(name.to_owned());
    owned.below.remove(&field("apiVersion"));
    owned.below.remove(&field("kind"));
    owned.member = false;
    if let Some(metadata) = owned.below.get_mut(&field("metadata")) {
        let server = [
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "generation",
            "managedFields",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ];
        for name in server {
            metadata.below.remove(&field(name));
        }
        metadata.member = false;
        if metadata.is_empty() {
            owned.below.remove(&field("metadata"));
        }
    }
}

/// Notes that `manager` wrote what differs between `old` and `new`, by anything but an apply.
pub(crate) fn written(kind: &Kind, old: Option<&Object>, new: &mut Object, manager: &str, sub: &str) {
    let empty = Value::Object(Map::new());
    let mut difference = Difference::between(old.map_or(&empty, |old| old), new, &Shape::of(kind));
    strip(&mut difference.written);
    strip(&mut difference.removed);
    // A creator may send entries of its own making: they are not taken over.
    let before = old.map(|_| read(new)).unwrap_or_default();
    if difference.is_empty() && old.is_some() {
        return;
    }
    let writer = Manager::new(kind, manager, "Update", sub);
    let mut managers = before.clone();
    for other in &mut managers {
        other.owned.subtract(&difference.removed);
        if !other.is(&writer) {
            other.owned.subtract(&difference.written);
        }
    }
    match managers.iter_mut().find(|m| m.is(&writer)) {
        Some(found) => found.owned.union(&difference.written),
        None => managers.push(writer.owning(difference.written)),
    }
    write(new, managers, &before);
}

/// What a caller wants managedFields to be: `Null` clears them, as a list of one empty entry asks; `None` where nothing usable was
/// sent. An empty list is what clients send that do not know the field. Any other list is taken as it is, which kubectl uses to
/// hand fields from client-side to server-side apply.
pub(crate) fn sent(fields: Value) -> Option<Value> {
    let entries = fields.as_array().filter(|entries| !entries.is_empty())?;
    if let [only] = entries.as_slice()
        && only.as_object().is_some_and(Map::is_empty)
    {
        return Some(Value::Null);
    }
    let usable = |entry: &Value| {
        matches!(entry["operation"].as_str(), Some("Apply" | "Update"))
            && entry["manager"].is_string()
            && entry["fieldsV1"].is_object()
    };
    entries.iter().all(usable).then_some(fields)
}
