//! What load is asked for, checked where it enters.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The most requests a second: above it one core cannot keep the schedule.
pub const MAX_RATE: u32 = 50_000;

/// The load that is asked for: body of `PUT /v1/load`. Checked by [`crate::Engine::set_load`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSpec {
    /// Requests a second, 0 (stop) to [`MAX_RATE`].
    pub rate: u32,
    /// Stop after so many, counted from now; nothing: goes on until stopped, or as a finite run that is under way says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// `http://host[:port]/path`; nothing: the agent's own default, [`crate::DEFAULT_URL`] in the demo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Path and query asked instead of the URL's own, `/env/version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `GET` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Headers added to each request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Closed loop: as fast as so many connections allow, 1 to 256; `rate` only switches it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_loop: Option<u16>,
    /// Open loop: requests under way at a time, 1 to 256; what is due beyond waits, and its wait is part of its latency. Nothing: as many as
    /// the agent has connections for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u16>,
    /// Closed loop: requests a second that it stays below, 1 to [`MAX_RATE`]. Nothing: as fast as the connections allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl LoadSpec {
    /// So many requests a second of the default URL, until stopped; 0 stops.
    pub fn rate(rate: u32) -> LoadSpec {
        LoadSpec { rate, ..LoadSpec::default() }
    }
}

/// Why a load was refused. The words are shown as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Above [`MAX_RATE`].
    #[error("a rate of {0} is not between 0 and {MAX_RATE}")]
    Rate(u32),
    /// A limit of a closed loop outside 1 to [`MAX_RATE`].
    #[error("a limit of {0} requests a second is not between 1 and {MAX_RATE}")]
    Limit(u32),
    /// A finite run of nothing.
    #[error("a run needs at least one request; rate 0 stops the load")]
    NoRequests,
    /// Not an `http://` URL.
    #[error("`{0}` is not a URL of the form http://host[:port]/path")]
    Url(String),
    /// Not a path that can stand in a request line.
    #[error("`{0}` is not a path such as /env/version")]
    Path(String),
    /// Two numbers for one thing.
    #[error("a closed loop's number of connections is its concurrency: give one of the two")]
    TwoConcurrencies,
    /// Without a proxy that knows better, only the demo's own service is asked.
    #[error("`{0}` is not the service this client may ask")]
    Foreign(String),
    /// Method or header with bytes that do not belong there.
    #[error("`{0}` is not a method or a header that can be sent")]
    Header(String),
    /// Outside 1 to 256.
    #[error("{0} connections are not between 1 and 256")]
    Connections(u16),
    /// The name has no address.
    #[error("cannot find the address of `{host}`: {why}")]
    Resolve {
        /// Host and port.
        host: String,
        /// The resolver's words.
        why: String,
    },
}

/// What was refused, short and without control characters.
fn shown(text: &str) -> String {
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}

/// An `http://` URL in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// `host:port`, the port always there.
    pub authority: String,
    /// As written, for the `host` header.
    pub host: String,
    /// Path and query, at least `/`.
    pub path: String,
}

impl Url {
    /// Errors: another scheme, user information, or bytes that cannot stand in a request line.
    pub fn parse(text: &str) -> Result<Url, SpecError> {
        let wrong = || SpecError::Url(shown(text));
        let uri: http::Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        Ok(Url {
            authority: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)),
            host: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        })
    }
}

/// A load that can be carried out.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// As it was asked for, with the URL filled in.
    pub spec: LoadSpec,
    /// Whom to connect to, `host:port`: the proxy, else the service itself.
    pub peer: String,
    /// Its address, once known.
    pub addr: Option<SocketAddr>,
    /// The bytes of each request.
    pub request: Vec<u8>,
    /// A `HEAD` is answered without a body, whatever `content-length` says.
    pub head: bool,
    /// Whether the body is the version's name, for answers without `x-app-version`.
    pub body_is_version: bool,
}

impl Plan {
    /// `default_url` is what is asked where the spec names no URL, and without a `proxy` (`host:port`) the only service that is asked.
    pub fn new(spec: &LoadSpec, default_url: &str, proxy: Option<&str>) -> Result<Plan, SpecError> {
        let mut spec = spec.clone();
        if spec.rate > MAX_RATE {
            return Err(SpecError::Rate(spec.rate));
        }
        if let Some(limit) = spec.limit.filter(|limit| !(1..=MAX_RATE).contains(limit)) {
            return Err(SpecError::Limit(limit));
        }
        if spec.requests == Some(0) && spec.rate > 0 {
            return Err(SpecError::NoRequests);
        }
        if let Some(n) = [spec.closed_loop, spec.concurrency].into_iter().flatten().find(|n| !(1..=256).contains(n)) {
            return Err(SpecError::Connections(n));
        }
        if spec.closed_loop.is_some() && spec.concurrency.is_some() {
            return Err(SpecError::TwoConcurrencies);
        }
        let text = spec.url.get_or_insert_with(|| default_url.to_owned()).clone();
        let mut url = Url::parse(&text)?;
        if let Some(path) = &spec.path {
            let parsed =
                path.parse::<http::uri::PathAndQuery>().ok().filter(|p| path.starts_with('/') && p.as_str() == path);
            url.path = parsed.ok_or_else(|| SpecError::Path(shown(path)))?.as_str().to_owned();
        }
        if proxy.is_none() && url.authority != Url::parse(default_url)?.authority {
            return Err(SpecError::Foreign(url.authority));
        }
        let method = spec.method.as_deref().unwrap_or("GET");
        http::Method::from_bytes(method.as_bytes()).map_err(|_| SpecError::Header(shown(method)))?;
        let target = if proxy.is_some() { format!("http://{}{}", url.host, url.path) } else { url.path.clone() };
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\nuser-agent: demo-panel-client\r\naccept: */*\r\n",
            url.host
        );
        if !matches!(method, "GET" | "HEAD") {
            request.push_str("content-length: 0\r\n");
        }
        for (name, value) in &spec.headers {
            // What frames a message is ours to say: two lengths are how requests are smuggled.
            let framing = ["host", "content-length", "transfer-encoding", "connection"]
                .contains(&name.to_ascii_lowercase().as_str());
            let sendable =
                http::HeaderName::from_bytes(name.as_bytes()).is_ok() && http::HeaderValue::from_str(value).is_ok();
            if framing || !sendable {
                return Err(SpecError::Header(shown(name)));
            }
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let peer = proxy.map_or_else(|| url.authority.clone(), ToOwned::to_owned);
        Ok(Plan {
            addr: peer.parse().ok(),
            peer,
            head: method == "HEAD",
            body_is_version: url.path.ends_with("/env/version"),
            request: request.into_bytes(),
            spec,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_checked_and_becomes_bytes() {
        let shown = |json: &str, proxy: Option<&str>| match serde_json::from_str::<LoadSpec>(json) {
            Err(e) => format!("json: {e}"),
            Ok(spec) => match Plan::new(&spec, crate::DEFAULT_URL, proxy) {
                Err(e) => e.to_string(),
                Ok(plan) => {
                    format!("{} {}", plan.peer, String::from_utf8(plan.request).unwrap().lines().next().unwrap())
                }
            },
        };
        let proxy = Some("127.64.0.9:15001");
        for (json, proxy, expected) in [
            (r#"{"rate":200}"#, proxy, "127.64.0.9:15001 GET http://flaskapp:7777/env/version HTTP/1.1"),
            (r#"{"rate":200}"#, None, "flaskapp:7777 GET /env/version HTTP/1.1"),
            (
                r#"{"rate":1,"url":"http://other/x?y=1","method":"POST"}"#,
                proxy,
                "127.64.0.9:15001 POST http://other/x?y=1 HTTP/1.1",
            ),
            (r#"{"rate":1,"url":"http://other/x"}"#, None, "`other:80` is not the service this client may ask"),
            (
                r#"{"rate":1,"url":"https://flaskapp/"}"#,
                proxy,
                "`https://flaskapp/` is not a URL of the form http://host[:port]/path",
            ),
            (
                r#"{"rate":1,"url":"http://a@flaskapp/"}"#,
                proxy,
                "`http://a@flaskapp/` is not a URL of the form http://host[:port]/path",
            ),
            (r#"{"rate":50001}"#, proxy, "a rate of 50001 is not between 0 and 50000"),
            (r#"{"rate":1,"requests":0}"#, proxy, "a run needs at least one request; rate 0 stops the load"),
            (r#"{"rate":1,"closed_loop":0}"#, proxy, "0 connections are not between 1 and 256"),
            (r#"{"rate":1,"closed_loop":257}"#, proxy, "257 connections are not between 1 and 256"),
            (r#"{"rate":1,"concurrency":0}"#, proxy, "0 connections are not between 1 and 256"),
            (
                r#"{"rate":1,"concurrency":4,"closed_loop":4}"#,
                proxy,
                "a closed loop's number of connections is its concurrency: give one of the two",
            ),
            (
                r#"{"rate":1,"closed_loop":4,"limit":0}"#,
                proxy,
                "a limit of 0 requests a second is not between 1 and 50000",
            ),
            (
                r#"{"rate":1,"closed_loop":4,"limit":50001}"#,
                proxy,
                "a limit of 50001 requests a second is not between 1 and 50000",
            ),
            (
                r#"{"rate":1,"path":"/env/PATH?x=1"}"#,
                proxy,
                "127.64.0.9:15001 GET http://flaskapp:7777/env/PATH?x=1 HTTP/1.1",
            ),
            (r#"{"rate":1,"path":"env"}"#, None, "`env` is not a path such as /env/version"),
            (r#"{"rate":1,"path":"/a b"}"#, None, "`/a b` is not a path such as /env/version"),
            (r#"{"rate":1,"path":"/a#b"}"#, None, "`/a#b` is not a path such as /env/version"),
            (r#"{"rate":1,"path":"/\r\nx: y"}"#, None, "`/\\r\\nx: y` is not a path such as /env/version"),
            (r#"{"rate":1,"headers":{"a":"b\r\nc: d"}}"#, proxy, "`a` is not a method or a header that can be sent"),
            (
                r#"{"rate":1,"headers":{"Transfer-Encoding":"chunked"}}"#,
                proxy,
                "`Transfer-Encoding` is not a method or a header that can be sent",
            ),
            (r#"{"rate":1,"method":"GET /"}"#, proxy, "`GET /` is not a method or a header that can be sent"),
        ] {
            assert_eq!(shown(json, proxy), expected, "{json}");
        }
        for json in [
            r#"{"rate":-1}"#,
            r#"{"rate":1.5}"#,
            r#"{"rate":"abc"}"#,
            r#"{"rate":1000000000000}"#,
            r#"{}"#,
            r#"{"rate":1,"x":1}"#,
        ] {
            assert!(shown(json, proxy).starts_with("json: "), "{json}");
        }
    }
}
