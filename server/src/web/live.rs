//! `GET /api/demo/live`: one stream of server-sent events for each open page.
//!
//! With `lang` in the address, as pages ask, the figures come in words, too: `board` and `whole`, as HTML, when they change.
//! A slow viewer skips frames and holds nobody up. The stream ends with the panel, so that a shutdown does not wait for it.
use super::AppState;
use super::api::InNamespace;
use super::failure::Failure;
use app::components::{Board, board};
use app::text::Lang;
use app::types::Hello;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

/// A silent stream says after so long that it is alive: page and server notice within 10 s that the other is gone. Pages hear no comments.
const ALIVE: Duration = Duration::from_secs(3);
/// How often the figures are worded anew: faster cannot be read.
const WORDED: Duration = Duration::from_millis(400);

/// Opens a stream: `hello`, `history`, `status`, then `status` and `traffic` as they come.
pub async fn live(State(state): State<AppState>, InNamespace(ns): InNamespace, uri: Uri) -> Result<Response, Failure> {
    let lang = uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("lang=")).map(Lang::named);
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
    let mut worded = tokio::time::interval(WORDED);
    worded.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let open = (opening, statuses, frames, worded, Board::default());
    let stream = futures::stream::unfold((open, viewer, stop), move |((mut opening, mut statuses, mut frames, mut worded, mut shown), viewer, stop)| async move {
        let silent = tokio::time::Instant::now() + ALIVE;
        loop {
            if let Some(event) = opening.pop_front() {
                return Some((Ok(event), ((opening, statuses, frames, worded, shown), viewer, stop)));
            }
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                _ = worded.tick(), if lang.is_some() => {
                    let traffic = frames.borrow().as_deref().cloned().unwrap_or_default();
                    let now = board(lang.unwrap_or_default(), &statuses.borrow(), &traffic);
                    opening.extend((now.main != shown.main).then(|| Event::default().event("board").data(&now.main)));
                    opening.extend((now.whole != shown.whole).then(|| Event::default().event("whole").data(&now.whole)));
                    shown = now;
                    None
                }
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
                () = tokio::time::sleep_until(silent) => event("alive", &()),
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
