//! Signing in: the token is typed once, and a session's cookie stands for it from then on.
use super::AppState;
use super::gate::Refused;
use super::guard::Peer;
use super::pages::render;
use app::api::First;
use app::text::SignInWord;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use std::net::IpAddr;

/// Where people sign in.
pub const SIGN_IN: &str = "/sign-in";

#[derive(Deserialize)]
struct Typed {
    token: String,
}

/// The form.
pub async fn page(State(state): State<AppState>, request: Request) -> Response {
    render(state, request, First::SignIn(None)).await
}

/// What was typed into it: to the panel, or back with the reason.
pub async fn enter(State(state): State<AppState>, peer: Option<Extension<Peer>>, request: Request) -> Response {
    let from = peer.map_or(IpAddr::from([127, 0, 0, 1]), |p| p.0.0);
    let (parts, body) = request.into_parts();
    let Ok(Form(typed)) = Form::<Typed>::from_request(Request::from_parts(parts.clone(), body), &()).await else {
        return back(state, parts, SignInWord::Wrong, StatusCode::BAD_REQUEST).await;
    };
    match state.gate.sign_in(&typed.token, from) {
        Ok(cookie) => (StatusCode::SEE_OTHER, [(header::LOCATION, header::HeaderValue::from_static("/")), (header::SET_COOKIE, cookie)]).into_response(),
        Err(Refused::TooMany) => back(state, parts, SignInWord::TooMany, StatusCode::TOO_MANY_REQUESTS).await,
        Err(Refused::Wrong) => back(state, parts, SignInWord::Wrong, StatusCode::UNAUTHORIZED).await,
        // No token is set: there is nothing to sign in to.
        Err(Refused::SignedOut) => (StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response(),
    }
}

async fn back(state: AppState, mut parts: http::request::Parts, why: SignInWord, status: StatusCode) -> Response {
    // The page is drawn as for a GET; what was typed is not in it.
    parts.method = http::Method::GET;
    let mut response = render(state, Request::from_parts(parts, axum::body::Body::empty()), First::SignIn(Some(why))).await;
    *response.status_mut() = status;
    response
}
