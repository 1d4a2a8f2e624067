//! `?watch=true`: events as lines of JSON, each flushed as it happens.
use super::respond::{self, Answer};
use super::table::Shape;
use super::{Call, options};
use crate::registry::{Watch, WatchEvent, WatchKind};
use crate::status::Status;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use serde::Serialize;
use serde_json::Value;
use std::io;
use std::time::Duration;

/// Where the client sets no limit; the real server takes between half an hour and an hour.
pub(super) const LONGEST: Duration = Duration::from_secs(45 * 60);

#[derive(Serialize)]
struct Line<'a> {
    r#type: &'a str,
    object: &'a Value,
}

/// # Errors
/// 400 for options that do not parse. A version that is too old is told within the stream, as clients expect.
pub(super) fn answer(call: &Call, shape: Shape) -> Result<Answer, Status> {
    let seconds: Option<u64> = call.query.number("timeoutSeconds")?;
    let longest = seconds.filter(|s| *s > 0).map_or(LONGEST, Duration::from_secs);
    let options = options::watch(call)?;
    let watched = call.api.registry.watch(&shape.kind, call.target.namespace.as_deref(), &options);
    let lines = match watched {
        Ok(watch) => events(watch, shape).left_stream(),
        Err(status) if status.code == 410 => stream::iter([Ok(error(&status))]).right_stream(),
        Err(status) => return Err(status),
    };
    let stop = call.api.stop.clone();
    let end = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(longest) => {}
        }
    };
    Ok(respond::stream("application/json", lines.take_until(Box::pin(end))))
}

fn events(watch: Watch, shape: Shape) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let ended = false;
    stream::unfold((watch, shape, ended), |(mut watch, shape, ended)| async move {
        if ended {
            return None;
        }
        let (bytes, ended) = match watch.next().await? {
            Ok(event) => (line(&event, &shape), false),
            Err(status) => (error(&status), true),
        };
        Some((Ok(bytes), (watch, shape, ended)))
    })
}

fn line(event: &WatchEvent, shape: &Shape) -> Bytes {
    let object = match event.kind {
        WatchKind::Bookmark => shape.bookmark(&event.object),
        WatchKind::Added | WatchKind::Modified | WatchKind::Deleted => shape.object(&event.object),
    };
    write(event.kind.name(), &object)
}

fn error(status: &Status) -> Bytes {
    write("ERROR", &status.to_json())
}

fn write(r#type: &str, object: &Value) -> Bytes {
    // A JSON value always has a text form.
    let mut bytes = serde_json::to_vec(&Line { r#type, object }).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}
