//! Builds answers: JSON or YAML objects, Status, streams.
use super::negotiate::Syntax;
use crate::status::Status;
use bytes::Bytes;
use futures::Stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WARNING};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use std::io;

/// Body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub(super) type Answer = Response<Body>;

pub(super) fn whole(code: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// An object as JSON.
pub(super) fn json(code: StatusCode, object: &impl Serialize) -> Answer {
    match serde_json::to_vec(object) {
        Ok(bytes) => whole(code, "application/json", bytes),
        Err(e) => status(&Status::internal(format!("the answer could not be written: {e}"))),
    }
}

/// An object in the syntax that was asked for.
pub(super) fn object(code: StatusCode, syntax: Syntax, object: &impl Serialize) -> Answer {
    match syntax {
        Syntax::Json => json(code, object),
        Syntax::Yaml => match serde_saphyr::to_string(object) {
            Ok(text) => whole(code, "application/yaml", text),
            Err(e) => status(&Status::internal(format!("the answer could not be written: {e}"))),
        },
    }
}

/// A refusal. With `retryAfterSeconds` in its details it carries the header too.
pub(super) fn status(status: &Status) -> Answer {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = whole(code, "application/json", status.to_json().to_string());
    let retry_after = status.details.as_ref().and_then(|d| d["retryAfterSeconds"].as_u64());
    if let Some(value) = retry_after.and_then(|seconds| HeaderValue::from_str(&seconds.to_string()).ok()) {
        answer.headers_mut().insert(http::header::RETRY_AFTER, value);
    }
    answer
}

/// Adds warnings, which kubectl prints. Source: RFC 7234, "Warning", code 299.
pub(super) fn warn(mut answer: Answer, warnings: &[String]) -> Answer {
    for warning in warnings {
        let quoted: String = warning
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]))
            .collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            answer.headers_mut().append(WARNING, value);
        }
    }
    answer
}

/// Bytes as they come; every chunk is flushed.
pub(super) fn stream(
    content_type: &'static str,
    chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Answer {
    let frames = futures::StreamExt::map(chunks, |chunk| chunk.map(Frame::data));
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_stay_on_one_line() {
        let answer = warn(json(StatusCode::OK, &1), &["unknown field \"spec.x\"\r\nX: y".to_owned()]);
        assert_eq!(answer.headers()[WARNING], "299 - \"unknown field \\\"spec.x\\\"X: y\"");
    }
}
