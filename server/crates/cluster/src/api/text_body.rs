//! JSON and YAML of a request's body: at most 64 levels deep, no YAML anchors.
use crate::status::Status;
use serde_json::Value;

const MAX_DEPTH: usize = 64;

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

    proptest::proptest! {
        #[test]
        fn no_body_breaks_it(raw: String) {
            let _ = (json(raw.as_bytes()), yaml(raw.as_bytes()));
        }
    }
}
