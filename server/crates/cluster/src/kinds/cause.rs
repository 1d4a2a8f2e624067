//! Why an object is invalid, in Kubernetes' own words (its `field.Error`).
use crate::status::Status;
use serde_json::{Value, json};

/// Causes that are told of one object: each repeats a rule and a part of the object.
pub(super) const MOST_CAUSES: usize = 64;

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// `FieldValueInvalid` …
    pub reason: &'static str,
    /// Without the field: `Required value: must be set`.
    pub message: String,
    /// `spec.template.spec.containers[0].name`.
    pub field: String,
}

impl Cause {
    fn new(reason: &'static str, field: &str, message: String) -> Cause {
        Cause { reason, message, field: field.to_owned() }
    }

    /// The field must be set.
    pub fn required(field: &str, detail: &str) -> Cause {
        let message = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Cause::new("FieldValueRequired", field, message)
    }

    /// The value is not allowed.
    pub fn invalid(field: &str, value: &Value, detail: &str) -> Cause {
        Cause::new("FieldValueInvalid", field, format!("Invalid value: {value}: {detail}"))
    }

    /// A list is too long.
    pub fn too_many(field: &str, found: usize, most: usize) -> Cause {
        Cause::new("FieldValueTooMany", field, format!("Too many: {found}: must have at most {most} items"))
    }

    /// The value is not one of the allowed ones.
    pub fn unsupported(field: &str, value: &Value, supported: &[&str]) -> Cause {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        Cause::new(
            "FieldValueNotSupported",
            field,
            format!("Unsupported value: {value}: supported values: {}", list.join(", ")),
        )
    }

    /// The same value stands twice.
    pub fn duplicate(field: &str, value: &Value) -> Cause {
        Cause::new("FieldValueDuplicate", field, format!("Duplicate value: {value}"))
    }

    /// The field may not be set, or not be changed.
    pub fn forbidden(field: &str, detail: &str) -> Cause {
        Cause::new("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }
}

impl Status {
    /// 422: `Deployment.apps "x" is invalid: spec.selector: Required value`.
    pub fn invalid(kind: &str, group: &str, name: &str, causes: &[Cause]) -> Status {
        let causes = causes.get(..MOST_CAUSES).unwrap_or(causes);
        let lines: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let text = if let [one] = &lines[..] { one.clone() } else { format!("[{}]", lines.join(", ")) };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let causes: Vec<Value> =
            causes.iter().map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field})).collect();
        let mut details = json!({"name": name, "kind": kind, "causes": causes});
        if !group.is_empty() {
            details["group"] = group.into();
        }
        Status::new(422, "Invalid", format!("{qualified} \"{name}\" is invalid: {text}")).with_details(details)
    }
}
