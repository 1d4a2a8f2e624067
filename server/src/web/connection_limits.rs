//! Who may hold how much of the panel: connections of an address or a user, and live streams.
use super::AppState;
use super::failure::failure;
use super::peer::Peer;
use app::text::Message;
use app::text::messages::errors;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use listen::{Conn, Refused};
use wire::Code;

/// Connections of one browser's session. A browser opens six for each origin; behind a proxy that keeps its own, more are seen.
const PER_SESSION: usize = 128;
/// Connections of one token that programs send. Spectators may all have the same one, and 1,000 may watch.
const PER_TOKEN: usize = 1_500;

/// Counts a connection for the address that a trusted proxy names.
pub async fn place(request: Request, next: Next) -> Response {
    let (conn, peer) = (request.extensions().get::<Conn>(), request.extensions().get::<Peer>());
    if let (Some(conn), Some(Peer(address))) = (conn, peer)
        && conn.limits().behind_proxy
        && let Err(refused) = conn.forwarded(*address)
    {
        return too_many(refused, errors::too_many_of_address());
    }
    next.run(request).await
}

/// Counts a connection for the user who has signed in on it. To be called once the credentials were found right; on a panel without
/// a token nobody signs in, and addresses alone are counted.
///
/// # Errors
/// An answer with 429: the user has as many connections as one may.
pub fn signed_in(state: &AppState, parts: &http::request::Parts) -> Result<(), Box<Response>> {
    let Some(conn) = parts.extensions.get::<Conn>() else { return Ok(()) };
    match state.gate.credential(&parts.headers) {
        None => Ok(()),
        Some((digest, session)) => {
            let most = if session { PER_SESSION } else { PER_TOKEN };
            conn.identify(digest, most).map_err(|refused| Box::new(too_many(refused, errors::too_many_of_user())))
        }
    }
}

/// Takes a place for a live stream before it is opened; gives it back when the stream ends.
pub async fn stream(request: Request, next: Next) -> Response {
    let place = match request.extensions().get::<Conn>().map(Conn::stream) {
        None => return next.run(request).await,
        Some(Ok(place)) => place,
        Some(Err(refused)) => return too_many(refused, errors::too_many_streams()),
    };
    let response = next.run(request).await;
    // An error is no stream: its place is free again.
    if !response.status().is_success() {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _place = &place;
            frame
        }))
    })
}

fn too_many(refused: Refused, message: Message) -> Response {
    let mut response = failure(Code::TooManyRequests, message, errors::close_pages()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(Refused::RETRY_AFTER.as_secs()));
    // Whoever is refused shall not hold a connection on top.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    tracing::debug!(reason = refused.reason.as_str(), "A request was refused");
    response
}
