//! The HTTP API: `/api/demo/{verb}?namespace=istio-app`, and its OpenAPI document. The same implementation as the page's.
mod endpoints;
mod extract;
mod openapi;
mod read;

use super::AppState;
use super::failure::{Failure, failure};
use app::text::Message;
use app::text::messages::errors;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use endpoints::{READS, STOP_ALL};
pub use extract::InNamespace;
use extract::{By, sentence, words};
use wire::{Code, Outcome, StoppedAll, Verb};

/// Everything below `/api`, but what the page alone uses.
pub fn routes() -> Router<AppState> {
    let reads = READS.iter().fold(Router::new(), |router, read| {
        router.route(&format!("/api/demo/{}", read.path), (read.handler)().fallback(wrong_method))
    });
    reads
        .route(&format!("/api/demo/{STOP_ALL}"), get(stop_all_is_a_post).post(stop_all).fallback(wrong_method))
        .route("/api/demo/{verb}", get(not_a_read).post(verb).fallback(wrong_method))
        .route("/api/openapi.json", get(openapi::document).fallback(wrong_method))
        .route("/api", any(not_found))
        .route("/api/{*rest}", any(not_found))
}

/// `POST` of a verb.
async fn verb(
    State(state): State<AppState>,
    Path(verb): Path<String>,
    InNamespace(ns): InNamespace,
    By(by): By,
    request: Request,
) -> Result<Response, Failure> {
    let Ok(verb) = verb.parse::<Verb>() else {
        return Err(if READS.iter().any(|read| read.path == verb) {
            failure(Code::MethodNotAllowed, errors::read_with_get(verb), errors::leave_out_post())
        } else {
            unknown_verb()
        });
    };
    let command = extract::command(verb, request).await?;
    Ok(match state.plane.run(&ns, &by, command).await? {
        Outcome::Accepted(operation) => (StatusCode::ACCEPTED, Json(operation)).into_response(),
        Outcome::Shifted(shifted) => Json(shifted).into_response(),
    })
}

/// Body of `stop-all`: nothing needs to be said.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `POST stop-all`: stops the load of every namespace; it is about none in particular.
async fn stop_all(State(state): State<AppState>, By(by): By, request: Request) -> Result<Json<StoppedAll>, Failure> {
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(failure(Code::BadRequest, errors::takes_no_parameter(), errors::use_load()));
    }
    let body = extract::body(request).await?;
    if !body.is_empty() {
        serde_json::from_slice::<Nothing>(&body)
            .map_err(|e| failure(Code::BadRequest, errors::bad_body(sentence(&words(&e))), errors::body_is_empty()))?;
    }
    Ok(Json(state.plane.stop_all(&by).await?))
}

/// `GET stop-all`.
async fn stop_all_is_a_post() -> Failure {
    changes_something(STOP_ALL)
}

/// `GET` of a verb, or of none.
async fn not_a_read(Path(verb): Path<String>) -> Failure {
    if verb.parse::<Verb>().is_ok() { changes_something(&verb) } else { unknown_verb() }
}

fn changes_something(verb: &str) -> Failure {
    failure(Code::MethodNotAllowed, errors::changes_something(verb), errors::use_post())
}

fn unknown_verb() -> Failure {
    failure(Code::NotFound, errors::no_such_verb(), Message::from(endpoints::listed()))
}

/// Below `/api` what is not there is said in JSON.
async fn not_found() -> Failure {
    failure(Code::NotFound, errors::nothing_here(), errors::verbs_are_under())
}

/// Another method than the route's.
pub async fn wrong_method() -> Failure {
    failure(Code::MethodNotAllowed, errors::other_method(), errors::see_api())
}
