//! Errors that several verbs give, in people's words.
use super::objects::Id;
use crate::k8s::{ApplyError, api_error};
use wire::{ApiError, Code};

/// A failed write in people's words.
pub fn failed(what: &str, error: &ApplyError) -> ApiError {
    match error {
        ApplyError::Owned { managers, .. } => ApiError::new(
            Code::Refused,
            format!("Could not {what}: {} changed the same fields.", managers.join(", ")),
            "Undo that change (`kubectl get … --show-managed-fields -o yaml` shows it), then try again.",
        ),
        ApplyError::Stale => {
            ApiError::new(Code::Refused, format!("Could not {what}: it changed at the same time."), "Try again.")
        }
        ApplyError::Api(error) => api_error(what, error),
    }
}

/// Istio's objects may not be looked at.
pub fn unseen(why: &str) -> ApiError {
    ApiError::new(
        Code::Forbidden,
        format!("The cluster does not let the panel look at its routes: {why}."),
        "Give the panel's user that right, or use another kubeconfig.",
    )
}

/// An object of this name exists without our label.
pub fn not_ours(id: Id) -> ApiError {
    ApiError::new(
        Code::NotOurs,
        format!("{id} exists and was not made by the panel, so it is not touched."),
        "Remove it, or use another namespace.",
    )
}
