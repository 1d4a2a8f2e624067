//! The verbs as JSON: `/api/demo/{verb}?namespace=istio-app`. The same implementation as the page's.
use super::AppState;
use super::failure::{Failure, failure};
use crate::demo::Part;
use app::types::{Code, Namespace, Operation, Past, Preflight, Shifted, Status, StoppedAll};
use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;

/// The namespace a request is about: `?namespace=`, else `istio-app`.
pub struct InNamespace(pub Namespace);

impl<S: Send + Sync> FromRequestParts<S> for InNamespace {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let mut found = None;
        for pair in parts.uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty()) {
            match pair.split_once('=') {
                // A name that is valid needs no escapes, so one with an escape is not valid.
                Some(("namespace", name)) if found.is_none() => {
                    let named = name.parse().map_err(|e: String| {
                        failure(Code::BadRequest, sentence(&e), "For example ?namespace=istio-app.")
                    })?;
                    found = Some(named);
                }
                // The page's stream says which language its figures are to be worded in.
                Some(("lang", _)) if parts.uri.path().ends_with("/live") => {}
                _ => {
                    return Err(failure(
                        Code::BadRequest,
                        "The only parameter is `namespace`, once.",
                        "For example ?namespace=istio-app.",
                    ));
                }
            }
        }
        Ok(InNamespace(found.unwrap_or_default()))
    }
}

/// Who asks: the header `x-demo-by`, kept short because it ends up in everybody's log; else `curl`.
pub struct By(pub String);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(By(by(&parts.headers)))
    }
}

fn by(headers: &HeaderMap) -> String {
    let given = headers.get("x-demo-by").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kept: String = given.chars().filter(|c| c.is_ascii_alphanumeric() || " ._-".contains(*c)).take(40).collect();
    if kept.trim().is_empty() { "curl".to_owned() } else { kept.trim().to_owned() }
}

/// A JSON body, decoded into a type that cannot be wrong, or refused in words.
struct Decoded<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Decoded<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|e| failure(Code::BadRequest, e.body_text(), "Try again."))?;
        let read = serde_json::from_slice(&bytes);
        read.map(Decoded).map_err(|e| failure(Code::BadRequest, sentence(&words(&e)), "See the bodies in docs/api.md."))
    }
}

/// What serde says, without the place in the body where it is of no use.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if error.is_data() {
        text.rsplit_once(" at line ").map_or(text.clone(), |(words, _)| words.to_owned())
    } else {
        format!("the body is not JSON: {text}")
    }
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

fn accepted(operation: Operation) -> Response {
    (StatusCode::ACCEPTED, Json(operation)).into_response()
}

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
pub async fn past(State(state): State<AppState>, InNamespace(ns): InNamespace) -> Result<Json<Past>, Failure> {
    Ok(Json(state.plane.past(&ns).await?))
}

/// `GET manifests`: what *Deploy* applies, as YAML for `kubectl apply -f -`.
pub async fn all_manifests(State(state): State<AppState>, InNamespace(ns): InNamespace) -> Result<Response, Failure> {
    yaml(state.demo.manifests(&ns, Part::Deploy).await?)
}

/// `GET manifests/client` and `manifests/route`.
pub async fn manifests(
    State(state): State<AppState>,
    Path(part): Path<String>,
    InNamespace(ns): InNamespace,
) -> Result<Response, Failure> {
    let part = match part.as_str() {
        "client" => Part::Client,
        "route" => Part::Route,
        _ => {
            return Err(failure(
                Code::NotFound,
                "There are no such manifests.",
                "There are manifests, manifests/client and manifests/route.",
            ));
        }
    };
    yaml(state.demo.manifests(&ns, part).await?)
}

fn yaml(text: String) -> Result<Response, Failure> {
    Ok(([(axum::http::header::CONTENT_TYPE, "text/yaml; charset=utf-8")], text).into_response())
}

/// `POST weights`: answers when every client-side proxy has them, or after 1 s.
async fn weights(state: &AppState, ns: &Namespace, by: &str, request: Request) -> Result<Json<Shifted>, Failure> {
    let Decoded(split) = Decoded::from_request(request, state).await?;
    Ok(Json(state.plane.weights(ns, by, split).await?))
}

/// Body of `stop-all`: nothing needs to be said.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `POST stop-all`: stops the load of every namespace; it is about none in particular.
pub async fn stop_all(
    State(state): State<AppState>,
    By(by): By,
    request: Request,
) -> Result<Json<StoppedAll>, Failure> {
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(failure(
            Code::BadRequest,
            "`stop-all` is about all namespaces and takes no parameter.",
            "Use POST load with rate 0 for one of them.",
        ));
    }
    let bytes = Bytes::from_request(request, &state)
        .await
        .map_err(|e| failure(Code::BadRequest, e.body_text(), "Try again."))?;
    if !bytes.is_empty() {
        serde_json::from_slice::<Nothing>(&bytes)
            .map_err(|e| failure(Code::BadRequest, sentence(&words(&e)), "The body is {}."))?;
    }
    Ok(Json(state.plane.stop_all(&by).await?))
}

/// `GET stop-all`.
pub async fn stop_all_is_a_post() -> Failure {
    failure(Code::MethodNotAllowed, "`stop-all` changes something, so it is a POST.", "Use curl -X POST.")
}

/// Every other verb: 202 with the operation.
pub async fn verb(
    State(state): State<AppState>,
    Path(verb): Path<String>,
    InNamespace(ns): InNamespace,
    By(by): By,
    request: Request,
) -> Result<Response, Failure> {
    let plane = &state.plane;
    let operation = match verb.as_str() {
        "deploy" => plane.deploy(&ns, &by).await?,
        "client" => plane.client(&ns, &by).await?,
        "verify" => plane.verify(&ns, &by).await?,
        "adopt" => plane.adopt(&ns, &by).await?,
        "revert" => plane.revert(&ns, &by).await?,
        "teardown" => plane.teardown(&ns, &by).await?,
        "takeover" => plane.take_over(&ns, &by).await?,
        "inject" => plane.inject(&ns, &by, Decoded::from_request(request, &state).await?.0).await?,
        "route" => plane.route(&ns, &by, Decoded::from_request(request, &state).await?.0).await?,
        "load" => plane.load(&ns, &by, Decoded::from_request(request, &state).await?.0).await?,
        "weights" => return weights(&state, &ns, &by, request).await.map(IntoResponse::into_response),
        "status" | "live" | "preflight" | "history" => {
            return Err(failure(Code::MethodNotAllowed, format!("`{verb}` is read with GET."), "Leave out -X POST."));
        }
        _ => return Err(unknown_verb()),
    };
    Ok(accepted(operation))
}

/// `GET` of a verb, or of none.
pub async fn not_a_read(Path(verb): Path<String>) -> Failure {
    let known =
        ["deploy", "client", "verify", "adopt", "revert", "teardown", "takeover", "inject", "route", "load", "weights"];
    if known.contains(&verb.as_str()) {
        failure(Code::MethodNotAllowed, format!("`{verb}` changes something, so it is a POST."), "Use curl -X POST.")
    } else {
        unknown_verb()
    }
}

fn unknown_verb() -> Failure {
    failure(
        Code::NotFound,
        "There is no such verb.",
        "GET status, live, preflight, history, manifests; POST deploy, client, inject, route, weights, adopt, revert, load, verify, takeover, teardown, stop-all.",
    )
}

/// Below `/api` what is not there is said in JSON.
pub async fn not_found() -> Failure {
    failure(Code::NotFound, "There is nothing at this address.", "The verbs are under /api/demo/.")
}

/// Another method than the route's.
pub async fn wrong_method() -> Failure {
    failure(Code::MethodNotAllowed, "This address takes another method.", "See docs/api.md.")
}
