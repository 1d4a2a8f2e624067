//! What server functions need of the server they run in.
use super::Plane;
use super::error::CallError;
use crate::text::messages::errors;
use leptos::prelude::use_context;
use std::time::{SystemTime, UNIX_EPOCH};
use wire::{ApiError, Code};

/// The port, out of Leptos' context. Errors: the server did not put it there.
pub fn plane() -> Result<Plane, ApiError> {
    use_context::<Plane>().ok_or_else(|| ApiError::new(Code::Internal, errors::no_plane(), errors::report_defect()))
}

/// The decoded value of a query's parameter. Returns `None` if it is missing or empty.
pub fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find_map(|(n, value)| (n == name && !value.is_empty()).then(|| value.into_owned()))
}

/// The server's clock: milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// `browser 3f2a`: what a browser calls itself, kept to eight letters and digits because it ends up in everybody's log.
pub fn by(browser: &str) -> String {
    let id: String = browser.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("browser {id}")
}

/// Answers with the HTTP status of the error's code instead of 500.
pub fn answer_with(error: ApiError) -> CallError {
    if let (Some(response), Ok(status)) =
        (use_context::<leptos_axum::ResponseOptions>(), http::StatusCode::from_u16(error.code.http_status()))
    {
        response.set_status(status);
    }
    CallError(error)
}

/// Marks the page that is being rendered as not found.
pub fn not_found() {
    if let Some(response) = use_context::<leptos_axum::ResponseOptions>() {
        response.set_status(http::StatusCode::NOT_FOUND);
    }
}
