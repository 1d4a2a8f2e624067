//! What must hold of any bytes: the entry points of the fuzz targets and of the properties in the ordinary tests. Each panics where it does not.

use crate::sidecar::fuzz_invariants as sidecar;
use crate::table::{MeshInput, RouteTable, TableUpdate};
use crate::{config_dump, validate};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Bytes as a head, from a client and from an upstream. What is accepted has one end and one framing, also when it is sent on.
pub fn heads(bytes: &[u8]) {
    sidecar::heads(bytes);
}

/// Bytes as a head of any size: what is sent on of it is not much larger, and the work does not grow faster than the head.
pub fn large_heads(bytes: &[u8]) {
    let before = cpu();
    let sent = sidecar::sent_on(bytes);
    let used = cpu().saturating_sub(before);
    // A rewritten path stands in the first line and, as it came, in a header; escaped it is three times as long.
    assert!(sent <= 6 * bytes.len() + 2048, "{sent} bytes are made of {}", bytes.len());
    // Unoptimised code reads a head of 60 KB in a quarter of a second. What is quadratic in its bytes takes minutes.
    assert!(used < Duration::from_secs(2), "{used:?} for a head of {} bytes", bytes.len());
}

/// Time that this thread has run, whatever else the machine does; zero where the kernel does not tell.
fn cpu() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

/// Bytes as objects of the cluster and as what a control plane sends. Nothing of it panics, and the table they make survives the wire.
pub fn config(bytes: &[u8]) {
    if let Ok(update) = serde_json::from_slice::<TableUpdate>(bytes) {
        let mut table = RouteTable::default();
        table.apply(update.clone());
        check(&table);
        sidecar::update(update);
    }
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let object = |spec: &Value| Arc::new(json!({"metadata": {"name": "fuzzed", "namespace": "a"}, "spec": spec}));
    for object in [Arc::new(value.clone()), object(&value)] {
        let _ = validate::virtual_service(&object);
        let _ = validate::destination_rule(&object);
        let service = Arc::new(
            json!({"metadata": {"name": "app", "namespace": "a"}, "spec": {"ports": [{"name": "http", "port": 80}]}}),
        );
        let input = MeshInput {
            virtual_services: vec![object.clone()],
            destination_rules: vec![object.clone()],
            services: vec![service, object.clone()],
            endpoint_slices: vec![object.clone()],
            pods: vec![object],
            revision: 1,
        };
        let (table, reports) = RouteTable::build(&input);
        assert!(reports.iter().all(|r| !r.message.is_empty()));
        check(&table);
        sidecar::update(TableUpdate { revision: 1, full: true, set: table.hosts.clone(), ..TableUpdate::default() });
    }
}

fn check(table: &RouteTable) {
    let text = serde_json::to_string(table).unwrap_or_default();
    match serde_json::from_str::<RouteTable>(&text) {
        Ok(again) => assert!(again == *table, "the wire changes {text}"),
        Err(error) => panic!("{error}: {text}"),
    }
    let _ = config_dump::config_dump(table, "a");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that look like heads, with the mistakes that matter.
    fn head() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just("GET / HTTP/1.1\r\n"),
            Just("POST /a/../%2e%2e/b?c HTTP/1.1\r\n"),
            Just("GET http://App:80/x HTTP/1.1\r\n"),
            Just("GET /c1/2?3 HTTP/1.1\r\n"),
            Just("GET http://app/b/../a HTTP/1.1\r\n"),
            Just("GET /d?x HTTP/1.1\r\n"),
            Just("GET /e HTTP/1.1\r\n"),
            Just("GET /f HTTP/1.1\r\n"),
            Just("GET /g HTTP/1.1\r\n"),
            Just("Host: app\r\n"),
            Just("host: app:80\r\n"),
            Just("Content-Length: 3\r\n"),
            Just("Content-Length: 3,3\r\n"),
            Just("Transfer-Encoding: chunked\r\n"),
            Just("transfer-encoding:\tchunked \r\n"),
            Just("X: y\n"),
            Just(" fold\r\n"),
            Just("\r\n"),
            Just("\n"),
            Just("\0"),
            Just("Connection: close, x, content-length\r\n"),
            Just("Expect: 100-continue\r\n"),
            Just("Upgrade: h2c\r\n"),
            Just("Connection: upgrade\r\n"),
            Just(":"),
            Just("\r"),
            Just("HTTP/1.1 200 OK\r\n"),
            Just("x-envoy-attempt-count: 7\r\n"),
            Just("x-request-id: a\u{e9}b\r\n"),
            Just("TE: trailers\r\n"),
            Just("3\r\nabc\r\n0\r\n\r\n"),
            Just("cookie: a=b\r\n"),
        ];
        prop::collection::vec(part, 0..14).prop_map(|parts| parts.concat().into_bytes())
    }

    /// Heads of up to 60 KB in which one thing is repeated again and again, in a few headers or in many.
    fn large_head() -> impl Strategy<Value = Vec<u8>> {
        let name = prop_oneof![
            Just("Connection"),
            Just("Cookie"),
            Just("X"),
            Just("Upgrade"),
            Just("Via"),
            Just("x-forwarded-for"),
            Just("x-request-id"),
            Just("x-b3-traceid"),
            Just("TE"),
            Just("x-envoy-attempt-count"),
            Just("User-Agent"),
            Just("x-envoy-peer-metadata"),
        ];
        let unit = prop_oneof![
            Just("a,"),
            Just(","),
            Just("x, "),
            Just("a=b; "),
            Just("close,"),
            Just(" \t"),
            Just("x"),
            Just("%41"),
            Just("\""),
            Just("\\"),
            Just("te,upgrade,"),
            Just("\u{e9}"),
            Just("~"),
        ];
        let path = prop_oneof![
            Just("/"),
            Just("../"),
            Just("/."),
            Just("%2e/"),
            Just("a/../"),
            Just("\""),
            Just("%41"),
            Just("?a=b&"),
            Just("\\"),
            Just("x"),
            Just("//")
        ];
        let first = prop_oneof![
            Just("/"),
            Just("/a/"),
            Just("/b/"),
            Just("/c/"),
            Just("/d/"),
            Just("/g/"),
            Just("http://app/c/")
        ];
        let header = (name, unit, 0..60_000_usize);
        (first, path, 0..60_000_usize, prop::collection::vec(header, 0..98), any::<bool>()).prop_map(
            |(first, path, bytes, headers, answer)| {
                let mut left = 60_000_usize;
                let mut repeated = |unit: &str, bytes: usize| {
                    let text = unit.repeat(bytes.min(left) / unit.len());
                    left -= text.len();
                    text
                };
                let mut head = if answer {
                    "HTTP/1.1 200 OK\r\n".to_string()
                } else {
                    format!("GET {first}{} HTTP/1.1\r\nHost: app\r\n", repeated(path, bytes))
                };
                for (name, unit, bytes) in headers {
                    head += &format!("{name}: {}\r\n", repeated(unit, bytes));
                }
                (head + "\r\n").into_bytes()
            },
        )
    }

    /// Each header of such a head was looked up among 10,000 names.
    #[test]
    fn many_names_in_connection_are_no_work() {
        for first in ["GET / HTTP/1.1\r\nHost: app\r\n", "HTTP/1.1 200 OK\r\n"] {
            large_heads(
                format!("{first}Connection: {}\r\n{}\r\n", "a,".repeat(28_000), "X: y\r\n".repeat(95)).as_bytes(),
            );
        }
    }

    /// JSON whose keys are the ones that are looked at.
    fn object() -> impl Strategy<Value = Value> {
        let key = prop_oneof![
            Just("hosts"),
            Just("http"),
            Just("match"),
            Just("route"),
            Just("destination"),
            Just("host"),
            Just("subset"),
            Just("weight"),
            Just("uri"),
            Just("exact"),
            Just("prefix"),
            Just("regex"),
            Just("headers"),
            Just("request"),
            Just("set"),
            Just("redirect"),
            Just("rewrite"),
            Just("uriRegexRewrite"),
            Just("rewrite"),
            Just("retries"),
            Just("attempts"),
            Just("retryOn"),
            Just("timeout"),
            Just("fault"),
            Just("abort"),
            Just("delay"),
            Just("httpStatus"),
            Just("percentage"),
            Just("value"),
            Just("mirror"),
            Just("mirrors"),
            Just("trafficPolicy"),
            Just("loadBalancer"),
            Just("consistentHash"),
            Just("httpCookie"),
            Just("ttl"),
            Just("outlierDetection"),
            Just("interval"),
            Just("connectionPool"),
            Just("tcp"),
            Just("maxConnections"),
            Just("subsets"),
            Just("labels"),
            Just("name"),
            Just("ports"),
            Just("port"),
            Just("number"),
            Just("endpoints"),
            Just("addresses"),
            Just("spec"),
            Just("metadata"),
            Just("revision"),
            Just("set"),
            Just("gone"),
            Just("full"),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            prop_oneof![
                Just("app"),
                Just("v1"),
                Just("*"),
                Just("/a"),
                Just("(a+)*b["),
                Just("1.5s"),
                Just("-1s"),
                Just("1e300h"),
                Just("a\r\nb: c"),
                Just("127.0.0.1"),
                Just("5xx,999")
            ]
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key.clone(), inner), 0..6)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_string(), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_one_head_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300), text in head()) {
            heads(&bytes);
            heads(&text);
        }

        #[test]
        fn no_head_makes_much_work_or_a_much_larger_one(head in large_head()) {
            large_heads(&head);
        }

        #[test]
        fn any_objects_make_a_table(value in object()) {
            config(value.to_string().as_bytes());
        }
    }
}
