//! The page: rendered by the server, taken over by the browser's half. Its content security policy carries a nonce.
use super::AppState;
use super::assets::output_name;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use leptos::nonce::use_nonce;
use leptos::prelude::{provide_context, use_context};
use leptos_axum::{LeptosRoutes, ResponseOptions, generate_route_list, render_app_async_with_context};

/// Adds the page's routes and its server functions. Without the browser's half, a page that says so.
pub fn add(router: Router<AppState>, state: &AppState) -> Router<AppState> {
    if output_name().is_none() {
        return router.fallback(not_built);
    }
    let (plane, options) = (state.plane.clone(), state.leptos.clone());
    let context = move || {
        provide_context(plane.clone());
        protect();
    };
    let shell = move || app::shell(options.clone());
    router
        .leptos_routes_with_context(state, generate_route_list(app::App), context.clone(), shell.clone())
        // What is no route is the app's own page for that; no file of the disk is ever looked for.
        .fallback(render_app_async_with_context(context, shell))
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
