//! Reads request bodies: at most 1 MiB, JSON, YAML or protobuf, at most 64 levels deep, no YAML anchors.
use super::negotiate::content_type;
use crate::status::Status;
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Incoming;
use listen::{BodyError, BodyLimits, Conn};
use serde_json::Value;
use std::time::Duration;

/// etcd's default limit is 1.5 MiB; objects near it are a mistake anyway.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
const MAX_DEPTH: usize = 64;
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

/// # Errors
/// 400 with the parser's position.
pub(super) fn json(bytes: &[u8]) -> Result<Value, Status> {
    let value = serde_json::from_slice(bytes)
        .map_err(|e| Status::bad_request(format!("the request's body is not valid JSON: {e}")))?;
    bounded(value)
}

/// YAML or JSON. Quoting is as in Kubernetes; anchors, aliases, merge keys and doubled keys are refused.
pub(super) fn yaml(bytes: &[u8]) -> Result<Value, Status> {
    // What kubectl calls YAML is JSON; that parser is faster and has less to go wrong.
    if bytes.trim_ascii_start().first() == Some(&b'{')
        && let Ok(value) = serde_json::from_slice(bytes)
    {
        return bounded(value);
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_anchors: 0,
            max_aliases: 0,
            max_merge_keys: 0,
            max_depth: MAX_DEPTH,
            max_documents: 1,
        },
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::Error,
    };
    let value = serde_saphyr::from_slice_with_options(bytes, options)
        .map_err(|e| Status::bad_request(format!("the request's body is not valid YAML: {e}")))?;
    bounded(value)
}

fn bounded(value: Value) -> Result<Value, Status> {
    if fits(&value, MAX_DEPTH) {
        Ok(value)
    } else {
        Err(Status::bad_request(format!("the request's body is nested deeper than {MAX_DEPTH} levels")))
    }
}

fn fits(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| fits(item, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| fits(field, depth - 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_reads_as_kubernetes_reads_it() {
        assert_eq!(
            yaml(b"a: 1\nb: [x, \"2\"]\nc: true\nd: 1.5\ne:\nf: 'yes'\n").unwrap(),
            json!({"a": 1, "b": ["x", "2"], "c": true, "d": 1.5, "e": null, "f": "yes"})
        );
        assert_eq!(yaml(b" {\"a\": 1}").unwrap(), json!({"a": 1}));
    }

    #[test]
    fn what_is_dangerous_is_refused() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        let deep_yaml = format!("a: {deep}");
        for (name, text) in [
            ("anchor", "a: &x 1\nb: *x\n"),
            ("anchor alone", "a: &x 1\n"),
            ("doubled key", "a: 1\na: 2\n"),
            ("two documents", "a: 1\n---\nb: 1\n"),
            ("deep", deep_yaml.as_str()),
            ("broken", "a: ["),
        ] {
            assert_eq!(yaml(text.as_bytes()).unwrap_err().code, 400, "{name}");
        }
        assert_eq!(json(deep.as_bytes()).unwrap_err().code, 400);
        assert_eq!(json(b"{\"a\":").unwrap_err().code, 400);
    }

    #[test]
    fn other_types_are_415() {
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/cbor".parse().unwrap())]);
        assert_eq!(object(&headers, &Bytes::from_static(b"\xa0")).unwrap_err().code, 415);
        assert_eq!(object(&HeaderMap::new(), &Bytes::from_static(b"[]")).unwrap_err().code, 400);
    }

    proptest::proptest! {
        #[test]
        fn no_body_breaks_it(raw: String) {
            let _ = (json(raw.as_bytes()), yaml(raw.as_bytes()));
        }
    }
}
