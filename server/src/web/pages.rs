//! The page: rendered by the server, taken over by the browser's half. Its content security policy carries a nonce.
use super::AppState;
use super::assets::build;
use app::api::First;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use leptos::nonce::use_nonce;
use leptos::prelude::{provide_context, use_context};
use leptos_axum::{ResponseOptions, handle_server_fns_with_context, render_app_async_with_context};
use wire::Namespace;

/// Adds the page and its server functions. Without the browser's half, a page that says so.
pub fn add(router: Router<AppState>, _state: &AppState) -> Router<AppState> {
    if build().is_none() {
        return router.fallback(not_built);
    }
    router
        .route("/api/ui/{*name}", post(server_function))
        .route("/history", get(history))
        // What is no page is the app's own page for that; no file of the disk is ever looked for.
        .fallback(page)
}

async fn page(State(state): State<AppState>, request: Request) -> Response {
    let first = app::api::first(&*state.plane, request.uri()).await;
    render(state, request, first).await
}

/// Draws a page.
pub async fn render(state: AppState, request: Request, first: First) -> Response {
    app::api::prepare();
    let context = move || {
        provide_context(first.clone());
        protect();
    };
    render_app_async_with_context(context, move || app::shell(state.leptos.clone()))(request).await
}

/// Where the last hour was shown before the dashboards were there.
async fn history(uri: Uri) -> Redirect {
    let namespace = app::api::parameter(uri.query(), "namespace").and_then(|named| named.parse::<Namespace>().ok());
    let namespace = namespace.map_or_else(String::new, |ns| format!("namespace={ns}&"));
    Redirect::permanent(&format!("/dashboards?{namespace}span=3600"))
}

async fn server_function(State(state): State<AppState>, request: Request) -> Response {
    handle_server_fns_with_context(move || provide_context(state.plane.clone()), request).await.into_response()
}

/// The page's own policy: its scripts and nothing else, from here and nowhere else.
fn protect() {
    let (Some(nonce), Some(response)) = (use_nonce(), use_context::<ResponseOptions>()) else { return };
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    // A nonce is base64: always a valid header.
    if let Ok(value) = HeaderValue::from_str(&policy) {
        response.insert_header(header::CONTENT_SECURITY_POLICY, value);
    }
}

async fn not_built() -> Response {
    let text = "<!doctype html><html lang=\"en\"><title>demo-panel</title><h1>The browser's half is not built into this program</h1>\
        <p>Build and run it with <code>cargo xtask run</code>. The JSON verbs under <code>/api/demo/</code> work without it.</p></html>";
    Html(text).into_response()
}
