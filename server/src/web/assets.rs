//! The browser's half, out of the binary: `/pkg/<build>/app.js`, `app_bg.wasm`, `app.css` and the parts, brotli beside them.
use super::failure::failure;
use app::text::messages::errors;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use wire::Code;

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

fn find(name: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(n, _)| *n == name).map(|(_, bytes)| *bytes)
}

/// The folder of the browser's half, named by its content. Returns `None` if it is not built in.
pub fn build() -> Option<&'static str> {
    let (build, _) = FILES.iter().find(|(name, _)| name.ends_with("/app_bg.wasm"))?.0.split_once('/')?;
    find(&format!("{build}/app.js")).map(|_| build)
}

/// One file. Its folder is named by its content, so that it may be kept for ever.
pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let brotli = accepts.split(',').any(|e| e.split(';').next().is_some_and(|e| e.trim() == "br"));
    let packed = if brotli { find(&format!("{name}.br")) } else { None };
    let Some(bytes) = packed.or_else(|| find(&name)) else {
        return failure(Code::NotFound, errors::no_such_file(), errors::reload_page()).into_response();
    };
    let kind = match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    if packed.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    response
}
