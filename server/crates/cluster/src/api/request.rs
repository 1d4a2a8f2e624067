//! What several verbs need of a request, and of its answer.
use super::negotiate::Syntax;
use super::respond::{self, Answer};
use super::route::Target;
use super::{Api, Call, body};
use crate::status::Status;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// `apps/v1`, `v1`.
pub(super) fn api_version(target: &Target) -> String {
    if target.group.is_empty() { target.version.clone() } else { format!("{}/{}", target.group, target.version) }
}

/// The body, and what is still needed beside it.
pub(super) async fn receive(call: Call) -> Result<(Arc<Api>, http::HeaderMap, bytes::Bytes), Status> {
    let (parts, body) = call.request.into_parts();
    let bytes = body::read(body, parts.extensions.get()).await?;
    Ok((call.api, parts.headers, bytes))
}

/// The method is none of the resource's.
pub(super) fn not_allowed() -> Status {
    Status::method_not_allowed("the server does not allow this method on the requested resource")
}

/// `Success` without more.
pub(super) fn success(code: StatusCode) -> Answer {
    let status: Value = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    respond::object(code, Syntax::Json, &status)
}
