//! What a port of a Service speaks. Pure; as `ConvertProtocol` of Istio's `pkg/config/kube`.

use super::Protocol;
use crate::json::{present, text};
use serde_json::Value;

/// Ports that speak TCP where nothing is said: SMTP, DNS, MySQL and MongoDB, whose servers or clients do not speak as HTTP's do.
const WELL_KNOWN: [u64; 4] = [25, 53, 3306, 27017];

/// The protocol of an entry of `spec.ports`: `appProtocol`, else the port's name up to its first dash.
pub fn port_protocol(port: &Value) -> Protocol {
    let said = match present(port, "appProtocol").and_then(Value::as_str) {
        Some("kubernetes.io/h2c") => return Protocol::Http2,
        Some("kubernetes.io/ws") => return Protocol::Http,
        Some("kubernetes.io/wss") => return Protocol::Tcp,
        Some(said) => said,
        None => text(port, "name"),
    };
    let said = said.to_ascii_lowercase();
    match said.split('-').next().unwrap_or_default() {
        "http" => Protocol::Http,
        // With "grpc-web".
        "http2" | "grpc" => Protocol::Http2,
        "tcp" | "tls" | "https" | "mongo" | "mysql" | "redis" | "udp" => Protocol::Tcp,
        _ if port.get("port").and_then(Value::as_u64).is_some_and(|number| WELL_KNOWN.contains(&number)) => {
            Protocol::Tcp
        }
        _ => Protocol::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_port_speaks_what_its_app_protocol_or_the_prefix_of_its_name_says() {
        use Protocol::{Auto, Http, Http2, Tcp};
        for (name, app_protocol, protocol) in [
            ("http", None, Http),
            ("HTTP-web", None, Http),
            ("http2", None, Http2),
            ("grpc-x", None, Http2),
            ("grpc-web-x", None, Http2),
            ("tcp", None, Tcp),
            ("tcp-web", None, Tcp),
            ("tls", None, Tcp),
            ("https", None, Tcp),
            ("mysql-db", None, Tcp),
            ("mongo", None, Tcp),
            ("redis", None, Tcp),
            ("udp-x", None, Tcp),
            ("", None, Auto),
            ("web", None, Auto),
            ("httpx", None, Auto),
            ("web-http", None, Auto),
            ("http", Some("tcp"), Tcp),
            ("tcp", Some("http"), Http),
            ("tcp", Some("HTTP2"), Http2),
            ("tcp", Some("kubernetes.io/h2c"), Http2),
            ("tcp", Some("kubernetes.io/ws"), Http),
            ("http", Some("kubernetes.io/wss"), Tcp),
            ("http", Some("redis"), Tcp),
            ("http", Some("example.com/own"), Auto),
        ] {
            let mut port = json!({"port": 7777, "name": name});
            if let Some(app_protocol) = app_protocol {
                port["appProtocol"] = app_protocol.into();
            }
            assert_eq!(port_protocol(&port), protocol, "{port}");
        }
        assert_eq!(port_protocol(&json!({"port": 3306})), Tcp);
        assert_eq!(port_protocol(&json!({"port": 3306, "name": "http"})), Http);
    }
}
