//! The objects that a table is made from, how their names are read, and what is said of them.

use crate::json::meta;
use serde_json::Value;
use std::sync::Arc;

/// The objects that routes are made from, at one revision of the store.
#[derive(Clone, Debug, Default)]
pub struct MeshInput {
    /// VirtualServices.
    pub virtual_services: Vec<Arc<Value>>,
    /// DestinationRules.
    pub destination_rules: Vec<Arc<Value>>,
    /// Services.
    pub services: Vec<Arc<Value>>,
    /// EndpointSlices.
    pub endpoint_slices: Vec<Arc<Value>>,
    /// Pods: their labels decide which subset an endpoint is in.
    pub pods: Vec<Arc<Value>>,
    /// Revision of the store.
    pub revision: u64,
}

/// Something that was asked for and is not honoured, for a status on the object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    /// Namespace of the object.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: an object that was deleted and made again is another one.
    pub uid: String,
    /// Its kind.
    pub kind: &'static str,
    /// `SubsetMissing`, `HostNotFound`, `PortNotFound`, `PortNotHttp`, `UnsupportedField`, `Conflict`, `Invalid`.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// Collects the reports of one object.
pub(super) struct Reporter<'a> {
    pub(super) object: &'a Value,
    pub(super) kind: &'static str,
    pub(super) into: &'a mut Vec<Report>,
}

impl Reporter<'_> {
    pub(super) fn add(&mut self, reason: &'static str, message: String) {
        let (namespace, name) = (meta(self.object, "namespace").into(), meta(self.object, "name").into());
        let uid = meta(self.object, "uid").into();
        self.into.push(Report { namespace, name, uid, kind: self.kind, reason, message });
    }

    pub(super) fn unsupported(&mut self, path: &str) {
        self.add("UnsupportedField", format!("unsupported field {path} is not honoured"));
    }

    /// Reports every field of `value` that is not in `known`.
    pub(super) fn only(&mut self, value: &Value, path: &str, known: &[&str]) {
        for (name, field) in value.as_object().into_iter().flatten() {
            if !known.contains(&name.as_str()) && !is_empty(field) {
                self.unsupported(&format!("{path}.{name}"));
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        _ => false,
    }
}

/// A host as written in an object of `namespace`: without a dot it is a Service of that namespace, else it is a full name
/// already (Istio's "short names" note).
pub(super) fn full_name(host: &str, namespace: &str) -> String {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host.contains('.') || host.contains('*') { host } else { service_name(&host, namespace) }
}

pub(super) fn service_name(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}.svc.cluster.local")
}

/// Oldest first, as Istio orders objects that claim the same; then by name.
pub(super) fn by_age(objects: &[Arc<Value>]) -> Vec<&Arc<Value>> {
    let mut sorted: Vec<&Arc<Value>> = objects.iter().collect();
    sorted.sort_by_key(|o| {
        (meta(o, "creationTimestamp").to_string(), meta(o, "namespace").to_string(), meta(o, "name").to_string())
    });
    sorted
}
