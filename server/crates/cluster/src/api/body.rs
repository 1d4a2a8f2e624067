//! Reads request bodies: at most 1 MiB, JSON, YAML or protobuf, at most 64 levels deep, no YAML anchors.
use super::negotiate::content_type;
use super::text_body::{json, yaml};
use crate::status::Status;
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Incoming;
use listen::{BodyError, BodyLimits, Conn};
use serde_json::Value;
use std::time::Duration;

/// etcd's default limit is 1.5 MiB; objects near it are a mistake anyway.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// A client that sends slower than this is not one of ours.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// # Errors
/// 413 past the limit, 408 where it comes too slowly, 400 where the connection breaks.
pub(super) async fn read(body: Incoming, conn: Option<&Conn>) -> Result<Bytes, Status> {
    let limits = BodyLimits { bytes: MAX_BYTES, whole: READ_TIMEOUT, ..BodyLimits::default() };
    listen::collect(body, conn, limits).await.map_err(|error| match error {
        BodyError::TooLarge => {
            Status::too_large(format!("the request's body is larger than the limit of {MAX_BYTES} bytes"))
        }
        BodyError::TooSlow => Status::new(408, "Timeout", "the request's body came too slowly"),
        BodyError::Broken(e) => Status::bad_request(format!("the request's body could not be read: {e}")),
    })
}

/// An object in a create, an update or a review.
///
/// # Errors
/// 415 for CBOR and other types, 400 for what does not parse.
pub(super) fn object(headers: &HeaderMap, bytes: &Bytes) -> Result<Value, Status> {
    let value = match content_type(headers) {
        "application/json" => json(bytes)?,
        "application/yaml" => yaml(bytes)?,
        "application/vnd.kubernetes.protobuf" => super::protobuf::object(bytes)?,
        other => return Err(unsupported(other, "application/json, application/yaml")),
    };
    if value.is_object() { Ok(value) } else { Err(Status::bad_request("the request's body must be one object")) }
}

/// A body of options, which may be left out.
pub(super) fn optional_object(headers: &HeaderMap, bytes: &Bytes) -> Result<Value, Status> {
    if bytes.is_empty() { Ok(Value::Null) } else { object(headers, bytes) }
}

/// 415, with the words of a real API server.
pub(super) fn unsupported(given: &str, accepted: &str) -> Status {
    Status::unsupported_media_type(format!(
        "the body of the request was in an unknown format ({given}) - accepted media types include: {accepted}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_types_are_415() {
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/cbor".parse().unwrap())]);
        assert_eq!(object(&headers, &Bytes::from_static(b"\xa0")).unwrap_err().code, 415);
        assert_eq!(object(&HeaderMap::new(), &Bytes::from_static(b"[]")).unwrap_err().code, 400);
    }
}
