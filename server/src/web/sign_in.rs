//! Signing in: the token is typed once, and a session's cookie stands for it from then on.
use super::AppState;
use super::auth::Refused;
use super::pages::render;
use super::peer::Peer;
use app::api::First;
use app::text::SignInWord;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use std::net::IpAddr;
use wire::Namespace;

/// Where people sign in.
pub const SIGN_IN: &str = "/sign-in";

#[derive(Deserialize)]
struct Typed {
    token: String,
}

/// What of an address is kept while people sign in: which namespace it was about.
pub fn come_back(query: Option<&str>) -> String {
    let named = app::api::parameter(query, "namespace").and_then(|name| name.parse::<Namespace>().ok());
    named.map_or_else(String::new, |ns| format!("?namespace={ns}"))
}

/// The form.
pub async fn page(State(state): State<AppState>, request: Request) -> Response {
    let query = come_back(request.uri().query());
    render(state, request, First::SignIn { refused: None, query }).await
}

/// What was typed into it: to the panel, or back with the reason.
pub async fn enter(State(state): State<AppState>, peer: Option<Extension<Peer>>, request: Request) -> Response {
    let from = peer.map_or(IpAddr::from([127, 0, 0, 1]), |p| p.0.0);
    let (parts, body) = request.into_parts();
    let Ok(Form(typed)) = Form::<Typed>::from_request(Request::from_parts(parts.clone(), body), &()).await else {
        return back(state, parts, SignInWord::Wrong, StatusCode::BAD_REQUEST).await;
    };
    let to_panel = (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/{}", come_back(parts.uri.query())))]);
    match state.gate.sign_in(&typed.token, from) {
        Ok(cookie) => {
            let mut response = to_panel.into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err(Refused::Wrong(delay)) => {
            tokio::time::sleep(delay).await;
            back(state, parts, SignInWord::Wrong, StatusCode::UNAUTHORIZED).await
        }
        // No token is set: there is nothing to sign in to.
        Err(Refused::SignedOut) => to_panel.into_response(),
    }
}

async fn back(state: AppState, mut parts: http::request::Parts, why: SignInWord, status: StatusCode) -> Response {
    let query = come_back(parts.uri.query());
    // The page is drawn as for a GET; what was typed is not in it.
    parts.method = http::Method::GET;
    let mut response = render(
        state,
        Request::from_parts(parts, axum::body::Body::empty()),
        First::SignIn { refused: Some(why), query },
    )
    .await;
    *response.status_mut() = status;
    response
}
