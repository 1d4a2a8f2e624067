//! Errors as HTTP answers. A handler gives an [`ApiError`]; [`statuses`] alone maps its code to a status.
use app::text::messages::errors;
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use wire::{ApiError, Code, Words};

/// An error on its way out.
pub struct Failure(pub ApiError);

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        Failure(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = self.0.code;
        let mut response = Json(self.0).into_response();
        response.extensions_mut().insert(code);
        response
    }
}

/// An answer of one sentence and its hint.
pub fn failure(code: Code, message: impl Into<Words>, hint: impl Into<Words>) -> Failure {
    Failure(ApiError::new(code, message, hint))
}

fn status_of(code: Code) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Gives every error its status: handlers' own, and those that server functions answer with 500.
pub async fn statuses(request: Request, next: Next) -> Response {
    let of_page = request.uri().path().starts_with("/api/ui/");
    let mut response = next.run(request).await;
    if let Some(code) = response.extensions().get::<Code>().copied() {
        *response.status_mut() = status_of(code);
        return response;
    }
    if !(of_page && response.status() == StatusCode::INTERNAL_SERVER_ERROR) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // A server function's error is small; what is not is none of ours.
    let bytes = to_bytes(body, 64 * 1024).await.unwrap_or_default();
    let Ok(mut error) = serde_json::from_slice::<ApiError>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    // Leptos has one kind of error for arguments that it cannot read.
    if error.code == Code::Internal && error.message.starts_with("error deserializing") {
        error = ApiError::new(Code::BadRequest, errors::bad_body(error.message), errors::reload_page());
    }
    parts.status = status_of(error.code);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    (parts, Json(error)).into_response()
}
