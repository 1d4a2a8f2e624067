//! What people and their browsers reach: every route in one list, and what every request passes.
mod api;
mod assets;
mod auth;
mod connection_limits;
mod failure;
mod headers;
mod live;
mod metrics;
mod origin;
mod pages;
mod peer;
mod serve;
mod sign_in;

use crate::demo::Demo;
use app::api::Plane;
use axum::Router;
use axum::extract::{FromRef, Request, State};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use leptos::config::LeptosOptions;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

pub use auth::Gate;
pub use live::Feeds;
pub use metrics::Metrics;
pub use origin::HostList;
pub use serve::{limits, serve};

/// Cheap handles for every handler.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// The use cases, as the page and the verbs see them.
    pub plane: Plane,
    /// The same, for the live stream.
    pub demo: Arc<Demo>,
    /// Its events, encoded once for all viewers.
    pub feeds: Arc<Feeds>,
    /// Names we are reached by.
    pub hosts: Arc<HostList>,
    /// The token, where one is needed.
    pub gate: Arc<Gate>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Names of the browser's half.
    pub leptos: LeptosOptions,
}

/// The options Leptos needs: how the files of the browser's half are called.
pub fn leptos_options() -> LeptosOptions {
    let folder = assets::build().map_or_else(|| "pkg".to_owned(), |build| format!("pkg/{build}"));
    LeptosOptions::builder().output_name("app").site_pkg_dir(folder).build()
}

/// Every route, grouped by who calls it.
pub fn router(state: AppState) -> Router {
    let routes = Router::new()
        // the page
        .route("/pkg/{*name}", get(assets::asset))
        .route(sign_in::SIGN_IN, get(sign_in::page).post(sign_in::enter))
        // people with curl
        .merge(api::routes())
        // Kubernetes' probes
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        // Prometheus
        .route("/metrics", get(metrics::scrape));
    let guarded = pages::add(routes, &state)
        .layer(CatchPanicLayer::new())
        .layer(from_fn(failure::statuses))
        .layer(from_fn_with_state(state.clone(), origin::guard))
        .layer(from_fn(connection_limits::place))
        .layer(from_fn(failure::statuses))
        // Not the live stream, whose events it would hold back, and not what is compressed already.
        .layer(CompressionLayer::new());
    headers::set(guarded)
        .layer(from_fn_with_state(state.clone(), metrics::count))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(TraceLayer::new_for_http().make_span_with(span).on_failure(()))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .with_state(state)
}

/// The request's id is in every line that is logged while it is answered. Paths are logged, queries are not.
fn span(request: &Request) -> tracing::Span {
    let id = request.headers().get("x-request-id").and_then(|v| v.to_str().ok()).unwrap_or_default();
    tracing::debug_span!("request", id, method = %request.method(), path = request.uri().path())
}

async fn ready(State(state): State<AppState>) -> (StatusCode, &'static str) {
    match state.demo.reach().failing {
        None => (StatusCode::OK, "ok\n"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "the cluster does not answer\n"),
    }
}
