//! The schemas of a document: the table of types, and what every custom kind has.
use crate::api::discovery::group_version;
use crate::kinds::Kind;
use crate::kinds::schema::{Merge, Shape, TypeDef, type_named};
use serde_json::{Map, Value, json};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// Adds a kind's schema, and those it refers to.
pub(super) fn add(schemas: &mut Map<String, Value>, kind: &Kind, version: &str) {
    let mut schema = match type_named(kind.schema) {
        Some(of) => {
            let schema = object(of, version);
            of.fields.iter().for_each(|field| add_referred(schemas, &field.shape, version));
            schema
        }
        None => custom(kind),
    };
    schema["description"] = format!("{} of {}.", kind.kind, group_version(&kind.group, version)).into();
    schema["x-kubernetes-group-version-kind"] = json!([{"group": kind.group, "version": version, "kind": kind.kind}]);
    schemas.insert(name(kind, version), schema);
    add_type(schemas, "ObjectMeta", version);
}

/// Under which name a kind's schema stands.
pub(super) fn name(kind: &Kind, version: &str) -> String {
    match type_named(kind.schema).filter(|of| !of.custom) {
        Some(of) => type_name(of.name, version),
        None => format!("{}.{version}.{}", kind.group.split('.').rev().collect::<Vec<_>>().join("."), kind.kind),
    }
}

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// kubectl shows what is after the last dot.
fn type_name(of: &str, version: &str) -> String {
    match of {
        "ObjectMeta" => OBJECT_META.to_owned(),
        of if type_named(of).is_some_and(|of| of.custom) => format!("custom.{version}.{of}"),
        of => format!("io.k8s.api.{version}.{of}"),
    }
}

fn add_type(schemas: &mut Map<String, Value>, of: &str, version: &str) {
    let name = type_name(of, version);
    let Some(of) = type_named(of).filter(|_| !schemas.contains_key(&name)) else { return };
    schemas.insert(name, object(of, version));
    of.fields.iter().for_each(|field| add_referred(schemas, &field.shape, version));
}

fn add_referred(schemas: &mut Map<String, Value>, shape: &Shape, version: &str) {
    match shape {
        Shape::Type(of) => add_type(schemas, of, version),
        Shape::List(of, _) | Shape::Map(of, _) => add_referred(schemas, of, version),
        Shape::IntOrText => {
            schemas.insert(
                INT_OR_STRING.to_owned(),
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            );
        }
        Shape::Quantity => {
            schemas.insert(
                QUANTITY.to_owned(),
                json!({"oneOf": [{"type": "string"}, {"type": "number"}], "description": "Such as 100m or 1Gi."}),
            );
        }
        _ => {}
    }
}

fn object(of: &TypeDef, version: &str) -> Value {
    let properties: Map<String, Value> =
        of.fields.iter().map(|field| (field.name.to_owned(), value(&field.shape, version))).collect();
    let required: Vec<&str> = of.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if of.atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    schema
}

fn value(shape: &Shape, version: &str) -> Value {
    match shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Int => json!({"type": "integer", "format": "int64"}),
        Shape::Number => json!({"type": "number"}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Time | Shape::MicroTime => json!({"type": "string", "format": "date-time"}),
        Shape::IntOrText => reference(INT_OR_STRING),
        Shape::Quantity => reference(QUANTITY),
        Shape::Any | Shape::Custom => unknown(),
        Shape::Type(of) => reference(&type_name(of, version)),
        Shape::Map(of, _) => json!({"type": "object", "additionalProperties": value(of, version)}),
        Shape::List(of, merge) => {
            let mut schema = json!({"type": "array", "items": value(of, version)});
            let (kind, keys) = match merge {
                Merge::Set | Merge::ApplySet => ("set", None),
                _ => match merge.apply_keys() {
                    Some(keys) => ("map", Some(keys)),
                    None => ("atomic", None),
                },
            };
            schema["x-kubernetes-list-type"] = kind.into();
            if let Some(keys) = keys {
                schema["x-kubernetes-list-map-keys"] = json!(keys);
            }
            if let Some(key) = merge.strategic_key() {
                schema["x-kubernetes-patch-strategy"] = "merge".into();
                schema["x-kubernetes-patch-merge-key"] = key.into();
            }
            schema
        }
    }
}

fn unknown() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn custom(kind: &Kind) -> Value {
    let mut properties = json!({"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": reference(OBJECT_META), "spec": unknown()});
    if kind.has("status") {
        properties["status"] = unknown();
    }
    json!({"type": "object", "properties": properties})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kinds;

    /// Every `$ref` below a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let kinds = Kinds::builtin().with(vec![Kind::custom(
            "networking.istio.io",
            &["v1"],
            "VirtualService",
            "virtualservices",
        )]);
        for kind in kinds.iter() {
            let mut schemas = Map::new();
            add(&mut schemas, kind, "v1");
            let mut found = Vec::new();
            references(&Value::Object(schemas.clone()), &mut found);
            for reference in found {
                let name = reference.strip_prefix("#/components/schemas/").unwrap();
                assert!(schemas.contains_key(name), "{}: {reference}", kind.kind);
            }
            assert!(schemas.contains_key(&name(kind, "v1")));
        }
    }
}
