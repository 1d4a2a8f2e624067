//! `GET /api/demo/live`: one stream of server-sent events for each open page.
//!
//! The events of a namespace are encoded once for all its viewers ([`encode`]) and handed out through a ring that they share ([`ring`]).
//! Nothing is queued per viewer: one that falls behind the ring skips what it missed and gets the whole state again.
//! With `lang` in the address, as pages ask, the figures come in words, too: `sentence` (a [`wire::Sentence`]), `board` and `whole` (HTML), when they change.
mod encode;
mod feed;
mod ring;
mod sse;
#[cfg(test)]
mod tests;

use self::encode::Audience;
use super::AppState;
use super::api::InNamespace;
use super::failure::Failure;
use app::text::Lang;
use app::text::messages::errors;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::response::Response;
use std::convert::Infallible;
use wire::{ApiError, Code};

pub use feed::Feeds;

/// Opens a stream: `hello`, `history`, `status`, `traffic`, then what changes.
pub async fn live(State(state): State<AppState>, InNamespace(ns): InNamespace, uri: Uri) -> Result<Response, Failure> {
    let lang = app::api::parameter(uri.query(), "lang").map(|lang| Lang::named(&lang));
    let namespace = state.demo.up_to_date(&ns).await?;
    let joined = state.feeds.join(&namespace, state.demo.build_id(), lang.map_or(Audience::Plain, Audience::Worded));
    let joined = joined
        .ok_or_else(|| ApiError::new(Code::ClusterUnreachable, errors::panel_stops(), errors::connect_again()))?;
    let open = (joined, state.metrics.viewer());
    let events = futures::stream::unfold(open, |(mut joined, counted)| async move {
        let events = joined.next().await?;
        Some((Ok::<_, Infallible>(events), (joined, counted)))
    });
    let mut response = Response::new(Body::from_stream(events));
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies in front shall not collect events.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
