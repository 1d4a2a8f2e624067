//! What the demo's Service says that its port speaks: routes and weights are rules of HTTP, and apply to no other port. Pure.
use app::text::Message;
use app::text::messages::causes;
use mesh::{Protocol, port_protocol};
use serde_json::Value;

/// The port that the load is sent to.
const PORT: u64 = 7777;

/// A port that is not HTTP to the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotHttp {
    /// Its number.
    pub port: u64,
    /// Its place in `spec.ports`.
    pub index: usize,
    /// The field that says so, `name` or `appProtocol`, and its value.
    pub says: (&'static str, String),
}

/// The port of the demo's Service that requests go to, if it speaks no HTTP. `spec` is the Service's.
pub fn not_http(spec: &Value) -> Option<NotHttp> {
    let ports = spec["ports"].as_array()?;
    let index = ports.iter().position(|port| port["port"] == PORT).unwrap_or(0);
    let port = ports.get(index).filter(|port| port_protocol(port) == Protocol::Tcp)?;
    let field = if port["appProtocol"].is_string() { "appProtocol" } else { "name" };
    let value = port[field].as_str().unwrap_or_default().to_owned();
    Some(NotHttp { port: port["port"].as_u64().unwrap_or_default(), index, says: (field, value) })
}

impl NotHttp {
    /// `its name is tcp-web`.
    pub fn why(&self) -> Message {
        let (field, value) = &self.says;
        causes::field_is(*field, value)
    }

    /// The command that makes it HTTP: `appProtocol` goes before any name.
    pub fn mend(&self, ns: &str, service: &str) -> String {
        let patch = format!(r#"[{{"op":"add","path":"/spec/ports/{}/appProtocol","value":"http"}}]"#, self.index);
        format!("kubectl -n {ns} patch service {service} --type=json -p '{patch}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_port_of_the_load_is_looked_at() {
        for (ports, seen) in [
            (json!([{"port": 7777, "name": "http"}]), None),
            (json!([{"port": 7777}]), None),
            (json!([]), None),
            (json!([{"port": 7777, "name": "tcp-web"}]), Some("0: 7777 its name is tcp-web")),
            (
                json!([{"port": 80, "name": "tcp"}, {"port": 7777, "name": "http", "appProtocol": "redis"}]),
                Some("1: 7777 its appProtocol is redis"),
            ),
            (json!([{"port": 80, "name": "tcp"}, {"port": 7777, "name": "http"}]), None),
            (json!([{"port": 80, "name": "mysql"}]), Some("0: 80 its name is mysql")),
        ] {
            let told = not_http(&json!({"ports": ports})).map(|p| format!("{}: {} {}", p.index, p.port, p.why()));
            assert_eq!(told.as_deref(), seen, "{ports}");
        }
        assert_eq!(not_http(&json!({})), None);
    }
}
