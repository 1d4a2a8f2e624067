//! Checks an object against the schema: unknown fields are reported and dropped, wrong types refused.
use super::shortened;
use crate::Object;
use crate::kinds::schema::Shape;
use crate::kinds::{Cause, Kind};
use crate::registry::FieldValidation;
use crate::status::Status;
use serde_json::Value;

/// Gives the warnings for fields that were dropped. Errors: 400 for a wrong type, and with Strict for an unknown field.
pub(crate) fn check(kind: &Kind, object: &mut Object, how: FieldValidation) -> Result<Vec<String>, Status> {
    let mut found = Found::default();
    walk(&Shape::of(kind), object, &mut Vec::new(), &mut found);
    let version = kind.versions.first().map(String::as_str).unwrap_or_default();
    let refused = |why: String| {
        Status::bad_request(format!("{0} in version \"{version}\" cannot be handled as a {0}: {why}", kind.kind))
    };
    if let Some(Wrong { path, expected, is }) = found.wrong {
        if kind.custom {
            // A CustomResourceDefinition's schema is checked with all else that makes an object invalid.
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let cause =
                Cause::invalid(&path, &is.into(), &format!("{path} in body must be of type {expected}: {is:?}"));
            return Err(Status::invalid(&kind.kind, &kind.group, name, &[cause]));
        }
        return Err(refused(format!("{path}: expected {expected}, found {is}")));
    }
    let unknown: Vec<String> = found.unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
    match how {
        FieldValidation::Strict if !unknown.is_empty() => {
            Err(refused(format!("strict decoding error: {}", unknown.join(", "))))
        }
        FieldValidation::Ignore => Ok(Vec::new()),
        _ => Ok(unknown),
    }
}

/// Unknown fields that are told of one object.
const MOST_UNKNOWN: usize = 64;
/// Bytes of a path: a long name may stand in many of them.
const MOST_PATH_BYTES: usize = 1024;

#[derive(Default)]
struct Found {
    unknown: Vec<String>,
    wrong: Option<Wrong>,
}

/// A value of another type than the schema says, in JSON's words.
struct Wrong {
    path: String,
    expected: &'static str,
    is: &'static str,
}

fn walk(shape: &Shape, value: &mut Value, path: &mut Vec<String>, found: &mut Found) {
    let expected = match (shape, &mut *value) {
        (Shape::Any, _) => return,
        (Shape::Custom | Shape::Type(_) | Shape::Map(..), Value::Object(map)) => {
            map.retain(|name, below| {
                path.push(if path.is_empty() { name.clone() } else { format!(".{name}") });
                let known = shape.field(name);
                match known {
                    Some(shape) => walk(shape, below, path, found),
                    None if found.unknown.len() < MOST_UNKNOWN => {
                        found.unknown.push(shortened(path.concat(), MOST_PATH_BYTES))
                    }
                    None => {}
                }
                path.pop();
                known.is_some()
            });
            return;
        }
        (Shape::List(of, _), Value::Array(list)) => {
            for (i, element) in list.iter_mut().enumerate() {
                path.push(format!("[{i}]"));
                walk(of, element, path, found);
                path.pop();
            }
            return;
        }
        (Shape::Text | Shape::Time | Shape::MicroTime, Value::String(_)) | (Shape::Bool, Value::Bool(_)) => return,
        (Shape::Int, Value::Number(n)) if n.is_i64() || n.is_u64() => return,
        (Shape::Number | Shape::IntOrText | Shape::Quantity, Value::Number(_)) => return,
        (Shape::IntOrText | Shape::Quantity, Value::String(_)) => return,
        (Shape::Custom | Shape::Type(_) | Shape::Map(..), _) => "object",
        (Shape::List(..), _) => "array",
        (Shape::Text, _) => "string",
        (Shape::Time | Shape::MicroTime, _) => "time",
        (Shape::Bool, _) => "boolean",
        (Shape::Int, _) => "integer",
        (Shape::Number, _) => "number",
        (Shape::IntOrText | Shape::Quantity, _) => "number or string",
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    // The first is told.
    if found.wrong.is_none() {
        found.wrong = Some(Wrong { path: shortened(path.concat(), MOST_PATH_BYTES), expected, is });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kinds;
    use serde_json::json;

    #[test]
    fn unknown_fields_and_wrong_types_are_named() {
        let kinds = Kinds::builtin();
        let kind = kinds.find("apps", "deployments").unwrap();
        let written = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
            "spec": {"replica": 1, "template": {"spec": {"containers": [{"name": "x", "imag": "y"}]}}}});
        let strict = check(kind, &mut written.clone(), FieldValidation::Strict).unwrap_err();
        assert_eq!(
            strict.message,
            "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.replica\", unknown field \"spec.template.spec.containers[0].imag\""
        );
        let mut pruned = written.clone();
        assert_eq!(check(kind, &mut pruned, FieldValidation::Warn).unwrap().len(), 2);
        assert_eq!(pruned["spec"]["template"]["spec"]["containers"][0], json!({"name": "x"}));
        for (spec, words) in [
            (json!({"replicas": "3"}), "spec.replicas: expected integer, found string"),
            (json!({"template": []}), "spec.template: expected object, found array"),
            (
                json!({"template": {"metadata": {"labels": {"a": 1}}}}),
                "spec.template.metadata.labels.a: expected string, found number",
            ),
        ] {
            let e = check(kind, &mut json!({"spec": spec}), FieldValidation::Ignore).unwrap_err();
            assert!(e.message.ends_with(words), "{e}");
        }
    }

    #[test]
    fn custom_kinds_may_bring_their_types() {
        crate::kinds::schema::add_types(
            "TestGauge metadata:ObjectMeta spec:TestGaugeSpec status:any\nTestGaugeSpec needles:[TestNeedle]\nTestNeedle at:int\n",
        );
        let kind = Kind { schema: "TestGauge", ..Kind::custom("test.io", &["v1"], "TestGauge", "testgauges") };
        let gauge = |needle: Value| json!({"metadata": {"name": "g"}, "spec": {"needles": [needle]}, "status": {"anything": [1]}});
        let checked = |needle: Value, how| check(&kind, &mut gauge(needle), how);
        assert_eq!(checked(json!({"at": 1}), FieldValidation::Strict).unwrap(), [""; 0]);
        let strict = checked(json!({"ta": 1}), FieldValidation::Strict).unwrap_err();
        assert_eq!(
            strict.message,
            "TestGauge in version \"v1\" cannot be handled as a TestGauge: strict decoding error: unknown field \"spec.needles[0].ta\""
        );
        assert_eq!(checked(json!({"ta": 1}), FieldValidation::Warn).unwrap(), ["unknown field \"spec.needles[0].ta\""]);
        let wrong = checked(json!({"at": "1"}), FieldValidation::Ignore).unwrap_err();
        assert_eq!(
            (wrong.code, wrong.message.as_str()),
            (
                422,
                "TestGauge.test.io \"g\" is invalid: spec.needles[0].at: Invalid value: \"string\": spec.needles[0].at in body must be of type integer: \"string\""
            )
        );
    }
}
