//! `GET /api/demo/live`: one stream of server-sent events for each open page.
//!
//! A slow viewer skips frames and holds nobody up. The stream ends with the panel, so that a shutdown does not wait for it.
use super::AppState;
use super::api::InNamespace;
use super::failure::Failure;
use app::types::Hello;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

/// A silent stream says after so long that it is alive: page and server notice within 10 s that the other is gone. Pages hear no comments.
const ALIVE: Duration = Duration::from_secs(3);

/// Opens a stream: `hello`, `history`, `status`, then `status` and `traffic` as they come.
pub async fn live(State(state): State<AppState>, InNamespace(ns): InNamespace) -> Result<Response, Failure> {
    let space = state.demo.space(&ns)?;
    // Before the status is put together: a change meanwhile is sent after it.
    let mut statuses = space.status.subscribe();
    statuses.mark_changed();
    let status = state.plane.status(&ns).await?;
    let first = [
        event("hello", &Hello { build: state.demo.build_id().to_owned() }),
        event("history", &state.plane.history(&ns).await?),
        event("status", &status),
    ];
    let viewer = state.metrics.viewer();
    let (mut frames, stop) = (space.frames.subscribe(), state.stop.clone());
    // The newest frame goes out at once.
    frames.mark_changed();
    let opening: VecDeque<Event> = first.into_iter().flatten().collect();
    let open = (opening, statuses, frames);
    let stream = futures::stream::unfold((open, viewer, stop), |((mut opening, mut statuses, mut frames), viewer, stop)| async move {
        loop {
            if let Some(event) = opening.pop_front() {
                return Some((Ok(event), ((opening, statuses, frames), viewer, stop)));
            }
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                changed = statuses.changed() => {
                    changed.ok()?;
                    let status = statuses.borrow_and_update().clone();
                    event("status", &*status)
                }
                changed = frames.changed() => {
                    changed.ok()?;
                    let frame = frames.borrow_and_update().clone();
                    frame.and_then(|frame| event("traffic", &*frame))
                }
                () = tokio::time::sleep(ALIVE) => event("alive", &()),
            };
            opening.extend(next);
        }
    });
    Ok(answer(stream))
}

fn answer(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(stream).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies in front shall not collect events.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// An event; nothing where the value cannot be written as JSON, which none of ours is.
fn event<T: Serialize>(name: &'static str, value: &T) -> Option<Event> {
    Event::default().event(name).json_data(value).ok()
}
