//! What load may be asked for over HTTP: the demo's service alone, checked where it enters.
use crate::Rate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Methods that load may be made with.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Longest path, and longest value of a header.
const LONGEST: usize = 1_024;
/// Most headers added.
const MOST_HEADERS: usize = 16;
/// Most connections at a time, as the client has them.
const MOST_CONNECTIONS: u16 = 256;

/// Body of `load`. What is left out stays as it runs; where nothing runs, it is as the walkthrough has it.
///
/// There is no host in it, nor a header that names one: whatever is asked for, the demo's service is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Body", into = "Body")]
pub struct LoadOrder {
    /// Requests a second; 0 stops.
    pub rate: Rate,
    /// A run of its own, of so many requests, counted from 0.
    pub requests: Option<u64>,
    shape: Shape,
}

/// How each request is made. **Invariant:** as [`LoadOrder`] checks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shape {
    method: Option<String>,
    path: Option<String>,
    headers: BTreeMap<String, String>,
    closed_loop: Option<u16>,
    concurrency: Option<u16>,
}

/// On the wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Body {
    rate: Rate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed_loop: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrency: Option<u16>,
}

/// Why a load was refused. The words are shown as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError(String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LoadOrder {
    /// So many requests a second, until it is stopped or, with `requests`, has sent as many. All else stays as it runs.
    pub fn new(rate: Rate, requests: Option<u64>) -> LoadOrder {
        LoadOrder { rate, requests, shape: Shape::default() }
    }

    /// `GET` where nothing is said.
    pub fn method(&self) -> Option<&str> {
        self.shape.method.as_deref()
    }

    /// Path and query; `/env/version` where nothing is said.
    pub fn path(&self) -> Option<&str> {
        self.shape.path.as_deref()
    }

    /// Headers added to each request.
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.shape.headers
    }

    /// As fast as so many connections allow, instead of by the rate.
    pub fn closed_loop(&self) -> Option<u16> {
        self.shape.closed_loop
    }

    /// Requests under way at a time, at most.
    pub fn concurrency(&self) -> Option<u16> {
        self.shape.concurrency
    }

    /// The same, with what it leaves out taken from what runs.
    pub fn over(mut self, running: &LoadOrder) -> LoadOrder {
        let (new, old) = (&mut self.shape, &running.shape);
        new.method = new.method.take().or_else(|| old.method.clone());
        new.path = new.path.take().or_else(|| old.path.clone());
        if new.headers.is_empty() {
            new.headers.clone_from(&old.headers);
        }
        if new.closed_loop.is_none() && new.concurrency.is_none() {
            (new.closed_loop, new.concurrency) = (old.closed_loop, old.concurrency);
        }
        self
    }
}

impl TryFrom<Body> for LoadOrder {
    type Error = LoadError;
    fn try_from(body: Body) -> Result<LoadOrder, LoadError> {
        let refuse = |words: String| Err(LoadError(words));
        let shown = |text: &str| text.chars().take(60).collect::<String>().escape_debug().to_string();
        if body.requests == Some(0) {
            return refuse("a run has at least one request; a rate of 0 stops the load".to_owned());
        }
        if let Some(method) = body.method.as_deref().filter(|m| !METHODS.contains(m)) {
            return refuse(format!("`{}` is not one of the methods {}", shown(method), METHODS.join(", ")));
        }
        if let Some(path) = body.path.as_deref().filter(|p| !is_path(p)) {
            return refuse(format!("`{}` is not a path such as /env/version", shown(path)));
        }
        if body.headers.len() > MOST_HEADERS {
            return refuse(format!("{} headers are more than {MOST_HEADERS}", body.headers.len()));
        }
        if let Some((name, _)) = body.headers.iter().find(|(name, value)| !may_be_added(name) || !is_value(value)) {
            return refuse(format!("`{}` is not a header that load may add", shown(name)));
        }
        if body.closed_loop.is_some() && body.concurrency.is_some() {
            return refuse("a closed loop's number of connections is its concurrency: give one of the two".to_owned());
        }
        if let Some(n) =
            [body.closed_loop, body.concurrency].into_iter().flatten().find(|n| !(1..=MOST_CONNECTIONS).contains(n))
        {
            return refuse(format!("{n} connections are not between 1 and {MOST_CONNECTIONS}"));
        }
        let Body { rate, requests, method, path, headers, closed_loop, concurrency } = body;
        Ok(LoadOrder { rate, requests, shape: Shape { method, path, headers, closed_loop, concurrency } })
    }
}

impl From<LoadOrder> for Body {
    fn from(order: LoadOrder) -> Body {
        let Shape { method, path, headers, closed_loop, concurrency } = order.shape;
        Body { rate: order.rate, requests: order.requests, method, path, headers, closed_loop, concurrency }
    }
}

/// Path and query in the characters of RFC 3986, section 3.3: nothing that could end a request line or begin another authority.
fn is_path(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%?".contains(&b);
    text.starts_with('/') && text.len() <= LONGEST && text.bytes().all(fits)
}

fn is_value(text: &str) -> bool {
    text.len() <= LONGEST && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// A token of RFC 9110, section 5.6.2, that neither frames the message, nor names another host, nor speaks to a proxy.
fn may_be_added(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let name = name.to_ascii_lowercase();
    let ours = [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "keep-alive",
        "forwarded",
    ];
    let proxys = ["proxy-", "x-envoy-", "x-forwarded-"];
    !name.is_empty()
        && name.len() <= 100
        && name.bytes().all(token)
        && !ours.contains(&name.as_str())
        && !proxys.iter().any(|p| name.starts_with(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_demos_service_can_be_asked_and_only_well_formed() {
        for (json, read) in [
            (r#"{"rate":200}"#, r#"{"rate":200}"#),
            (r#"{"rate":200,"requests":10}"#, r#"{"rate":200,"requests":10}"#),
            (
                r#"{"rate":1,"method":"POST","path":"/env/PATH?a=b%20c","headers":{"x-who":"me"},"concurrency":4}"#,
                r#"{"rate":1,"method":"POST","path":"/env/PATH?a=b%20c","headers":{"x-who":"me"},"concurrency":4}"#,
            ),
            (r#"{"rate":1,"closed_loop":256}"#, r#"{"rate":1,"closed_loop":256}"#),
            (r#"{"rate":1,"requests":0}"#, "a run has at least one request"),
            (r#"{"rate":1,"url":"http://169.254.169.254/"}"#, "unknown field `url`"),
            (r#"{"rate":1,"host":"other"}"#, "unknown field `host`"),
            (r#"{"rate":1,"method":"CONNECT"}"#, "`CONNECT` is not one of the methods GET, HEAD"),
            (r#"{"rate":1,"method":"GET / HTTP/1.1\r\nx:"}"#, "`GET / HTTP/1.1\\r\\nx:` is not one of the methods"),
            (r#"{"rate":1,"path":"http://other/"}"#, "`http://other/` is not a path"),
            (r#"{"rate":1,"path":"@other/"}"#, "`@other/` is not a path"),
            (r#"{"rate":1,"path":"/a b"}"#, "`/a b` is not a path"),
            (r#"{"rate":1,"path":"/\r\nhost: other"}"#, "`/\\r\\nhost: other` is not a path"),
            (r#"{"rate":1,"headers":{"Host":"other"}}"#, "`Host` is not a header that load may add"),
            (
                r#"{"rate":1,"headers":{"x-envoy-original-dst-host":"1.1.1.1:80"}}"#,
                "`x-envoy-original-dst-host` is not a header",
            ),
            (r#"{"rate":1,"headers":{"Transfer-Encoding":"chunked"}}"#, "`Transfer-Encoding` is not a header"),
            (r#"{"rate":1,"headers":{"a":"b\r\nc: d"}}"#, "`a` is not a header"),
            (r#"{"rate":1,"headers":{"a b":"c"}}"#, "`a b` is not a header"),
            (r#"{"rate":1,"closed_loop":0}"#, "0 connections are not between 1 and 256"),
            (r#"{"rate":1,"concurrency":257}"#, "257 connections are not between 1 and 256"),
            (
                r#"{"rate":1,"concurrency":2,"closed_loop":2}"#,
                "a closed loop's number of connections is its concurrency",
            ),
        ] {
            let shown = serde_json::from_str::<LoadOrder>(json)
                .map_or_else(|e| e.to_string(), |o| serde_json::to_string(&o).unwrap());
            assert!(shown.starts_with(read), "{json}: {shown}");
        }
    }

    #[test]
    fn what_is_left_out_stays_as_it_runs() {
        let read = |json: &str| serde_json::from_str::<LoadOrder>(json).unwrap();
        let running = read(r#"{"rate":1,"path":"/env/PATH","headers":{"x-who":"me"},"closed_loop":4}"#);
        for (asked, comes_to) in [
            (r#"{"rate":5}"#, r#"{"rate":5,"path":"/env/PATH","headers":{"x-who":"me"},"closed_loop":4}"#),
            (
                r#"{"rate":5,"path":"/env/version","concurrency":2}"#,
                r#"{"rate":5,"path":"/env/version","headers":{"x-who":"me"},"concurrency":2}"#,
            ),
        ] {
            assert_eq!(read(asked).over(&running), read(comes_to), "{asked}");
        }
    }
}
