//! Reads Kubernetes' protobuf bodies into JSON: kubectl's own verbs (`create namespace`, `auth can-i`) send nothing else.
//!
//! Source: Kubernetes API concepts, "Kubernetes Protobuf encoding": four magic bytes, then `runtime.Unknown` around the
//! object. Go writes plain fields even where they are zero; JSON leaves those out, and so does this. Answers stay JSON.
mod table;
mod wire;

use crate::status::Status;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use table::{Shape, TYPES};
use wire::{Parts, Wire, numbered};

const MAGIC: &[u8] = b"k8s\0";
const MAX_DEPTH: usize = 64;

/// # Errors
/// 415 for a type that is not in the table, 400 for bytes that are no such message.
pub(super) fn object(bytes: &[u8]) -> Result<Value, Status> {
    let body = bytes.strip_prefix(MAGIC).ok_or_else(|| bad("the magic bytes are missing"))?;
    let (mut type_meta, mut raw) = (&[][..], &[][..]);
    for part in Parts(body) {
        match part? {
            (1, Wire::Bytes(bytes)) => type_meta = bytes,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (mut api_version, mut kind) = (String::new(), String::new());
    for part in Parts(type_meta) {
        match part? {
            (1, Wire::Bytes(bytes)) => api_version = text(bytes)?,
            (2, Wire::Bytes(bytes)) => kind = text(bytes)?,
            _ => {}
        }
    }
    let Some((name, _)) = TYPES.get_key_value(kind.as_str()) else {
        return Err(Status::unsupported_media_type(format!("{kind} is not read from protobuf: send application/json")));
    };
    let mut object =
        Map::from_iter([("kind".to_owned(), Value::from(kind.clone())), ("apiVersion".to_owned(), api_version.into())]);
    message(name, raw, &mut object, MAX_DEPTH)?;
    Ok(Value::Object(object))
}

fn message(name: &str, bytes: &[u8], into: &mut Map<String, Value>, depth: usize) -> Result<(), Status> {
    let depth = depth.checked_sub(1).ok_or_else(|| bad("it is nested too deep"))?;
    let fields = TYPES.get(name).map_or(&[][..], Vec::as_slice);
    for part in Parts(bytes) {
        let (number, wire) = part?;
        // A field that a newer kubectl knows is dropped, as an unknown one is in JSON.
        let Some(field) = fields.iter().find(|field| field.number == number) else { continue };
        match &field.shape {
            Shape::Message(inner) if field.name == "+" => {
                if let Wire::Bytes(bytes) = wire {
                    message(inner, bytes, into, depth)?;
                }
            }
            Shape::List(of) => {
                let list = into.entry(field.name).or_insert_with(|| json!([]));
                let item = value(of, &wire, depth)?;
                if let Value::Array(items) = list {
                    items.push(item);
                }
            }
            Shape::Map(of) => {
                let map = into.entry(field.name).or_insert_with(|| json!({}));
                let (key, item) = entry(of, &wire, depth)?;
                map[key] = item;
            }
            shape => {
                let value = value(shape, &wire, depth)?;
                if field.pointer || !is_zero(&value) {
                    into.insert(field.name.to_owned(), value);
                }
            }
        }
    }
    Ok(())
}

fn entry(of: &Shape, wire: &Wire<'_>, depth: usize) -> Result<(String, Value), Status> {
    let Wire::Bytes(bytes) = wire else { return Err(bad("a map's entry is no message")) };
    let (mut key, mut item) = (String::new(), None);
    for part in Parts(bytes) {
        match part? {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?,
            (2, wire) => item = Some(value(of, &wire, depth)?),
            _ => {}
        }
    }
    let empty = || value(of, &Wire::Bytes(&[]), depth);
    Ok((key, item.map_or_else(empty, Ok)?))
}

fn value(shape: &Shape, wire: &Wire<'_>, depth: usize) -> Result<Value, Status> {
    Ok(match (shape, wire) {
        (Shape::Text, Wire::Bytes(bytes)) => text(bytes)?.into(),
        (Shape::Bool, Wire::Number(number)) => (*number != 0).into(),
        // Negative numbers are sent as 64 bits, whatever their type.
        (Shape::Int, Wire::Number(number)) => (*number as i64).into(),
        (Shape::Bytes, Wire::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Shape::Time, Wire::Bytes(bytes)) => time(bytes, false)?,
        (Shape::MicroTime, Wire::Bytes(bytes)) => time(bytes, true)?,
        (Shape::Quantity, Wire::Bytes(bytes)) => match numbered(bytes, 1)? {
            Some(Wire::Bytes(bytes)) => text(bytes)?.into(),
            _ => "0".into(),
        },
        (Shape::IntOrText, Wire::Bytes(bytes)) => match numbered(bytes, 1)? {
            Some(Wire::Number(1)) => match numbered(bytes, 3)? {
                Some(Wire::Bytes(bytes)) => text(bytes)?.into(),
                _ => "".into(),
            },
            _ => match numbered(bytes, 2)? {
                Some(Wire::Number(number)) => (number as i64).into(),
                _ => 0.into(),
            },
        },
        (Shape::Json, Wire::Bytes(bytes)) => match numbered(bytes, 1)? {
            Some(Wire::Bytes(bytes)) => crate::api::text_body::json(bytes)?,
            _ => Value::Null,
        },
        (Shape::Message(name), Wire::Bytes(bytes)) => {
            let mut object = Map::new();
            message(name, bytes, &mut object, depth)?;
            Value::Object(object)
        }
        _ => return Err(bad("a field has another type than its name")),
    })
}

/// `null` for Go's zero time, which is sent as an empty message.
fn time(bytes: &[u8], micro: bool) -> Result<Value, Status> {
    let part = |number| -> Result<i64, Status> {
        Ok(match numbered(bytes, number)? {
            Some(Wire::Number(value)) => value as i64,
            _ => 0,
        })
    };
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let nanos = i32::try_from(part(2)?).map_err(|_| bad("a time is out of range"))?;
    let time = jiff::Timestamp::new(part(1)?, nanos).map_err(|_| bad("a time is out of range"))?;
    Ok(time.strftime(if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" }).to_string().into())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn text(bytes: &[u8]) -> Result<String, Status> {
    String::from_utf8(bytes.to_vec()).map_err(|_| bad("a string is not UTF-8"))
}

fn bad(why: &str) -> Status {
    Status::bad_request(format!("the request's body is not valid protobuf: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat()
    }

    fn enveloped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [part(1, api_version.as_bytes()), part(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), part(1, &type_meta), part(2, raw)].concat()
    }

    #[test]
    fn objects_read_as_their_json() {
        let label = part(11, &[part(1, b"app"), part(2, b"x")].concat());
        // name, an empty namespace, no creationTimestamp, one label
        let metadata = [part(1, b"d"), part(3, b""), part(8, b""), label].concat();
        let port = [&[2 << 3, 0, 3 << 3, 0x61][..], &part(4, b"TCP")].concat();
        let probe = part(1, &part(2, &[part(1, b"/healthz"), part(2, &[1 << 3, 0, 2 << 3, 80])].concat()));
        let container = [part(1, b"app"), part(6, &port), part(10, &probe)].concat();
        let template = part(2, &part(2, &container));
        // replicas is a pointer: its 0 counts; minReadySeconds is not: its 0 does not
        let spec = [&[1 << 3, 0][..], &part(3, &template), &[5 << 3, 0]].concat();
        let read = object(&enveloped("apps/v1", "Deployment", &[part(1, &metadata), part(2, &spec)].concat())).unwrap();
        assert_eq!(
            read,
            json!({
                "kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "d", "labels": {"app": "x"}},
                "spec": {"replicas": 0, "template": {"spec": {"containers": [
                    {"name": "app", "ports": [{"containerPort": 97, "protocol": "TCP"}], "livenessProbe": {"httpGet": {"path": "/healthz", "port": 80}}},
                ]}}},
            })
        );
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (bytes, code) in [
            (b"{}".to_vec(), 400),
            (enveloped("v1", "Unicorn", b""), 415),
            (enveloped("v1", "Pod", &[0x0a, 0x7f]), 400),
            (enveloped("v1", "Pod", &[0x08, 0x01]), 400),
        ] {
            assert_eq!(object(&bytes).unwrap_err().code, code, "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_reader(raw: Vec<u8>) {
            let _ = object(&[&enveloped("v1", "Pod", b"")[..], &raw].concat());
            let _ = message("Pod", &raw, &mut Map::new(), MAX_DEPTH);
        }
    }
}
