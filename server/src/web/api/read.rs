//! The endpoints that change nothing.
use super::extract::InNamespace;
use crate::demo::Part;
use crate::web::AppState;
use crate::web::failure::Failure;
use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use wire::{LastHour, Namespace, Preflight, Status};

/// `GET status`.
pub async fn status(State(state): State<AppState>, InNamespace(ns): InNamespace) -> Result<Json<Status>, Failure> {
    Ok(Json(state.plane.status(&ns).await?))
}

/// `GET preflight`: asks the cluster, changes nothing.
pub async fn preflight(
    State(state): State<AppState>,
    InNamespace(ns): InNamespace,
) -> Result<Json<Preflight>, Failure> {
    Ok(Json(state.plane.preflight(&ns).await?))
}

/// `GET history`: the last hour, where there is a Prometheus to ask.
pub async fn history(State(state): State<AppState>, InNamespace(ns): InNamespace) -> Result<Json<LastHour>, Failure> {
    Ok(Json(state.plane.last_hour(&ns).await?))
}

/// `GET manifests`.
pub async fn manifests(State(state): State<AppState>, InNamespace(ns): InNamespace) -> Result<Response, Failure> {
    yaml(&state, &ns, Part::Deploy).await
}

/// `GET manifests/client`.
pub async fn client_manifests(
    State(state): State<AppState>,
    InNamespace(ns): InNamespace,
) -> Result<Response, Failure> {
    yaml(&state, &ns, Part::Client).await
}

/// `GET manifests/route`.
pub async fn route_manifests(State(state): State<AppState>, InNamespace(ns): InNamespace) -> Result<Response, Failure> {
    yaml(&state, &ns, Part::Route).await
}

async fn yaml(state: &AppState, ns: &Namespace, part: Part) -> Result<Response, Failure> {
    let text = state.demo.manifests(ns, part).await?;
    Ok(([(CONTENT_TYPE, "text/yaml; charset=utf-8")], text).into_response())
}
