//! The endpoints that change nothing.
use super::extract::{Dashboard, InNamespace};
use crate::demo::{Part, csv};
use crate::web::AppState;
use crate::web::failure::Failure;
use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
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

/// `GET dashboards`: what the sidecars counted, as JSON or as CSV.
pub async fn dashboards(State(state): State<AppState>, asked: Dashboard) -> Result<Response, Failure> {
    let shown = state.plane.dashboards(&asked.ns, &asked.query).await?;
    if !asked.csv {
        return Ok(Json(shown).into_response());
    }
    let name = format!("attachment; filename=\"{}-{}.csv\"", asked.ns, asked.query.view.name());
    Ok(([(CONTENT_TYPE, "text/csv; charset=utf-8"), (CONTENT_DISPOSITION, &name)], csv(&shown)).into_response())
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
