//! The browser's half, out of the binary: `/pkg/app-<hash>.js`, `_bg.wasm`, `.css`, brotli beside them.
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

/// `app-<hash>`: what Leptos builds the names of script and wasm from. Nothing where the browser's half is not built in.
pub fn output_name() -> Option<&'static str> {
    let wasm = FILES.iter().find_map(|(name, _)| name.strip_suffix("_bg.wasm"))?;
    find(&format!("{wasm}.js")).map(|_| wasm)
}

/// One file. Its name has its content's hash, so that it may be kept for ever.
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
