//! Kubernetes' `Status`: the one error of every verb, with the reasons and codes a real API server gives.
//!
//! Source: Kubernetes API conventions, "Response Status Kind".
use serde_json::{Value, json};

/// A refused or failed request.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// `NotFound`, `Conflict` … as `metav1.StatusReason` has them.
    pub reason: String,
    /// For people.
    pub message: String,
    /// `details`: name, group, kind, causes, retryAfterSeconds.
    pub details: Option<Box<Value>>,
}

impl Status {
    /// Any status, from its parts.
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Status {
        Status { code, reason: reason.to_owned(), message: message.into(), details: None }
    }

    /// The same with `details`.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Status {
        self.details = Some(Box::new(details));
        self
    }

    /// 404: `deployments.apps "x" not found`. `resource` is `plural.group`, or the plural alone in the core group.
    pub fn not_found(resource: &str, name: &str) -> Status {
        Status::new(404, "NotFound", format!("{resource} \"{name}\" not found")).with_details(named(resource, name))
    }

    /// 409: an object of this name exists.
    pub fn already_exists(resource: &str, name: &str) -> Status {
        Status::new(409, "AlreadyExists", format!("{resource} \"{name}\" already exists"))
            .with_details(named(resource, name))
    }

    /// 409: the object changed since it was read, or a precondition failed.
    pub fn conflict(resource: &str, name: &str, why: &str) -> Status {
        Status::new(409, "Conflict", format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}"))
            .with_details(named(resource, name))
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", message)
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Status {
        Status::new(403, "Forbidden", message)
    }

    /// 405.
    pub fn method_not_allowed(message: impl Into<String>) -> Status {
        Status::new(405, "MethodNotAllowed", message)
    }

    /// 410: the version asked for is no longer in the history; list again.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::new(410, "Expired", message)
    }

    /// 413.
    pub fn too_large(message: impl Into<String>) -> Status {
        Status::new(413, "RequestEntityTooLarge", message)
    }

    /// 415.
    pub fn unsupported_media_type(message: impl Into<String>) -> Status {
        Status::new(415, "UnsupportedMediaType", message)
    }

    /// 500.
    pub fn internal(message: impl Into<String>) -> Status {
        Status::new(500, "InternalError", message)
    }

    /// The wire form.
    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason,
        });
        if let Some(details) = &self.details {
            status["details"] = (**details).clone();
        }
        status["code"] = self.code.into();
        status
    }
}

fn named(resource: &str, name: &str) -> Value {
    match resource.split_once('.') {
        Some((plural, group)) => json!({"name": name, "group": group, "kind": plural}),
        None => json!({"name": name, "kind": resource}),
    }
}
