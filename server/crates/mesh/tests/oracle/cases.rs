//! The table: Services with their routes, and what is asked of them.

use serde_json::{Value, json};
use std::time::Duration;

/// A request that took at least so long was delayed by a fault: those last 2 s.
pub const DELAY: Duration = Duration::from_millis(1_900);

/// What is checked of a row.
pub enum Check {
    /// The same story from both; it begins so (`200 v1 /path`).
    Same(&'static str),
    /// So many requests, and the percentage of each version, of each status where no version answers, of `slow` ones, of `shadow` copies.
    Shares(usize, Vec<(&'static str, f64)>),
    /// So many requests all go to one upstream, whichever.
    OneOf(usize),
    /// The same upstream for the same key, `#` in this header (or `%23` in the target); different ones over many keys.
    Sticky(&'static str),
}

pub struct Row {
    pub line: &'static str,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: &'static str,
    pub port: u16,
    pub check: Check,
    /// So many requests are waited for at the upstreams.
    pub arrivals: usize,
    /// The body says more than Envoy's does, on purpose.
    pub own_words: bool,
    /// Which endpoint is drawn is not compared.
    pub any_version: bool,
    /// The body comes a while after its head.
    pub late_body: bool,
}

impl Row {
    fn body(mut self, body: &'static str) -> Row {
        self.body = body;
        self
    }

    fn late(mut self) -> Row {
        self.late_body = true;
        self
    }

    fn port(mut self, port: u16) -> Row {
        self.port = port;
        self
    }

    fn arrivals(mut self, arrivals: usize) -> Row {
        self.arrivals = arrivals;
        self
    }

    fn own_words(mut self) -> Row {
        self.own_words = true;
        self
    }

    fn any(mut self) -> Row {
        self.any_version = true;
        self
    }
}

fn row(line: &'static str, headers: &[(&'static str, &'static str)], check: Check) -> Row {
    Row {
        line,
        headers: headers.to_vec(),
        body: "",
        port: 7777,
        check,
        arrivals: 0,
        own_words: false,
        any_version: false,
        late_body: false,
    }
}

/// A request, its headers, and how its story begins.
fn is(line: &'static str, headers: &[(&'static str, &'static str)], begins: &'static str) -> Row {
    row(line, headers, Check::Same(begins))
}

pub struct Group {
    pub host: &'static str,
    pub http: Value,
    pub policy: Value,
    pub with_closed: bool,
    pub rows: Vec<Row>,
}

fn group(host: &'static str, http: Value, rows: Vec<Row>) -> Group {
    Group { host, http, policy: Value::Null, with_closed: false, rows }
}

fn policy(host: &'static str, policy: Value, rows: Vec<Row>) -> Group {
    Group { host, http: Value::Null, policy, with_closed: false, rows }
}

/// To subsets of a host by weight.
fn to(host: &str, weights: &[(&str, u32)]) -> Value {
    weights
        .iter()
        .map(|(subset, weight)| json!({"destination": {"host": host, "subset": subset}, "weight": weight}))
        .collect()
}

fn only(host: &str, subset: &str) -> Value {
    json!([{"destination": {"host": host, "subset": subset}}])
}

pub fn groups() -> Vec<Group> {
    let mut all = vec![
        plain(),
        paths(),
        uris(),
        methods(),
        headers_matched(),
        without(),
        queries(),
        order(),
        redirects(),
        rewrites(),
        regex_rewrites(),
        changes(),
        timeouts(),
    ];
    all.extend([retries(), unreachable(), faults(), fault_shares(), mirrors(), direct(), nowhere()]);
    all.push(bytes());
    all.extend(weights());
    all.extend(balancers());
    all
}

fn plain() -> Group {
    group(
        "plain",
        Value::Null,
        vec![
            is("GET /", &[], "200").any(),
            is("GET /a/b?c=d&e=f", &[], "200").any(),
            is("HEAD /", &[], "200").any(),
            is("POST /p", &[("content-type", "text/x")], "200").body("hello").any(),
            is("PUT /p", &[], "200").body("{}").any(),
            is("DELETE /p", &[], "200").any(),
            is("OPTIONS /p", &[], "200").any(),
            is("PATCH /p", &[], "200").body("x").any(),
            is("GET /", &[("x-request-id", "mine")], "200").any(),
            is("GET /", &[("X-Mixed-Case", "Kept As It Is"), ("user-agent", "curl/8"), ("accept", "*/*")], "200").any(),
            is("GET /", &[("connection", "x-hop"), ("x-hop", "1")], "200").any(),
            is("GET /", &[("te", "gzip")], "200").any(),
            is("GET /", &[("te", "trailers")], "200").any(),
            is("GET /", &[("proxy-connection", "keep-alive")], "200").any(),
            is("GET /", &[("keep-alive", "timeout=5")], "200").any(),
            is("GET /", &[("x-forwarded-for", "10.1.2.3")], "200").any(),
            is("GET /", &[("x-forwarded-for", "10.1.2.3, 8.8.8.8")], "200").any(),
            is("GET /", &[("x-forwarded-proto", "https")], "200").any(),
            is("GET /", &[("x-envoy-max-retries", "3"), ("x-envoy-retry-on", "5xx"), ("x-do", "status=503")], "503")
                .any(),
            is("GET /", &[("x-envoy-upstream-rq-timeout-ms", "1"), ("x-do", "delay=30")], "200").any(),
            is("GET /", &[("x-envoy-internal", "true"), ("x-envoy-original-path", "/x")], "200").any(),
            is("GET /", &[("x-envoy-expected-rq-timeout-ms", "7"), ("x-envoy-attempt-count", "9")], "200").any(),
            is("GET /", &[("cookie", "a=b; c=d"), ("accept", "a"), ("accept", "b")], "200").any(),
            is(
                "GET /",
                &[("x-do", "header=server:theirs header=x-own:yes header=x-envoy-upstream-service-time:9")],
                "200",
            )
            .any(),
            is("GET /", &[("x-do", "header=date:then")], "200").any(),
            is("GET /", &[("x-do", "status=204")], "204").any(),
            is("GET /", &[("x-do", "status=304")], "304").any(),
            is("GET /", &[("x-do", "status=404")], "404").any(),
            is("GET /", &[("x-do", "status=500")], "500").any(),
            is("GET /", &[("x-do", "status=503")], "503").any().arrivals(1),
            is("GET /", &[("x-do", "break")], "503").any().arrivals(1),
            is("GET /", &[("host", "PLAIN:7777")], "200").any(),
            is("GET /", &[("host", "plain.istio-app:7777")], "200").any(),
            is("GET /", &[("host", "plain.istio-app.svc.cluster.local:7777")], "200").any(),
            is("GET /", &[], "200").port(80).any(),
            is("GET /", &[("host", "nobody:7777")], "403").own_words(),
            is("GET /", &[("host", "plain.other:7777")], "403").own_words(),
            is("GET http://plain:7777/abs?x=1", &[("host", "plain:7777")], "200").any(),
            // Host decides, and the path is the target's.
            is("GET http://plain:7777/a/../admin", &[("host", "paths:7777")], "200 v2 /admin"),
            is("GET http://plain:7777/a/./b", &[("host", "PATHS")], "200 v1 /a/b"),
            is("GET http://nobody:7777/a/./b", &[("host", "paths:1")], "200 v1 /a/b"),
        ],
    )
}

/// Name of the Service whose port 9000 speaks no HTTP.
pub const BYTES: &str = "bytes";

/// Rules of HTTP that would show in every answer.
fn bytes() -> Group {
    let http = json!([{
        "fault": {"abort": {"httpStatus": 418, "percentage": {"value": 50}}},
        "headers": {"request": {"set": {"x-set": "1"}}, "response": {"set": {"x-answer": "1"}}},
        "rewrite": {"uri": "/rewritten"}, "timeout": "0.001s", "retries": {"attempts": 3, "retryOn": "5xx"},
        "mirror": {"host": BYTES, "subset": "v1"}, "route": only(BYTES, "v1")}]);
    let thirds = vec![("v1", 100.0 / 3.0), ("v2", 100.0 / 3.0), ("v3", 100.0 / 3.0), ("slow", 0.0)];
    let rows = vec![
        is("GET /a/b?c=d", &[("x-own", "1")], "200").any(),
        is(
            "GET /",
            &[("x-envoy-internal", "true"), ("x-envoy-attempt-count", "9"), ("x-forwarded-proto", "https")],
            "200",
        )
        .any(),
        is("GET http://bytes:9000/x/../y", &[("x-request-id", "mine"), ("host", "nobody")], "200").any(),
        is("HEAD /", &[], "200").any(),
        is("POST /p", &[("content-type", "text/x")], "200").body("hello").any(),
        is("GET /", &[("x-do", "header=x-envoy-upstream-service-time:9 header=x-own:yes")], "200").any(),
        is("GET /", &[("x-do", "status=503")], "503").any().arrivals(1),
        is("GET /", &[("x-do", "delay=50")], "200").any(),
        // Each connection has one endpoint, and they are drawn evenly.
        row("GET /", &[], Check::OneOf(12)),
        row("GET /", &[], Check::Shares(200, thirds)),
    ];
    // Envoy's default evens out what is under way, not what has been.
    let policy = json!({"loadBalancer": {"simple": "RANDOM"}});
    let rows = rows.into_iter().map(|row| row.port(9000)).collect();
    Group { host: BYTES, http, policy, with_closed: false, rows }
}

fn paths() -> Group {
    let route = |name: &str, uri: Value, subset: &str| json!({"name": name, "match": [{"uri": uri}], "route": only("paths", subset)});
    let http = json!([route("admin", json!({"prefix": "/admin"}), "v2"), route("exact", json!({"exact": "/a b"}), "v3"), {"route": only("paths", "v1")}]);
    group(
        "paths",
        http,
        vec![
            is("GET /a/../admin", &[], "200 v2 /admin"),
            is("GET /a/./b", &[], "200 v1 /a/b"),
            is("GET /x/%2e%2e/admin", &[], "200 v2 /admin"),
            is("GET /%61dmin", &[], "200 v2 /admin"),
            is("GET /adm%69n?q=%61", &[], "200 v2 /admin?q=%61"),
            is("GET //admin", &[], "200 v1 //admin"),
            is("GET /a//b", &[], "200 v1 /a//b"),
            is("GET /a%2fb", &[], "200 v1"),
            is("GET /a%2Fb", &[], "200 v1"),
            is("GET /..", &[], "200 v1 /"),
            is("GET /../../admin", &[], "200 v2 /admin"),
            is("GET /a/b/..", &[], "200 v1 /a/"),
            is("GET /a/.", &[], "200 v1 /a/"),
            is("GET /a\\b", &[], "200 v1"),
            is("GET /x\\..\\admin", &[], "200"),
            is("GET /a%20b", &[], "200"),
            is("GET /a%zzb", &[], ""),
            is("GET /a%00b", &[], "400").own_words(),
            is("GET /%7Euser", &[], "200"),
            is("GET /a?x=/../b", &[], "200 v1 /a?x=/../b"),
            is("GET /...", &[], "200 v1 /..."),
            is("GET /a/.b/..c", &[], "200 v1 /a/.b/..c"),
            is("GET /a;b=c/d", &[], "200 v1"),
            is("GET /%C3%A4", &[], "200"),
            is("GET /a#b", &[], "400").own_words(),
            is("GET /a\"b", &[], ""),
            is("GET /a{b}c", &[], ""),
            is("GET /a|b^c", &[], ""),
            is("GET /a'b", &[], ""),
            is("GET /a!$&()*+,:=@b", &[], ""),
            is("GET /%21%24%26%27%28%29%2a%2b%2c%3a%3b%3d%40", &[], ""),
            is("GET /%2D%2E%5F%5f%7e%41%5a%61%7a%30", &[], ""),
            is("GET /%09%20%22%23%25%3c%7f%80%ff", &[], ""),
            is("GET /a%2e./b", &[], ""),
            is("GET /x/.%2E/admin", &[], "200 v2 /admin"),
            is("GET /a%5cb", &[], ""),
            is("GET /ä", &[], "400").own_words(),
            is("GET /a%", &[], ""),
            is("GET /a%4", &[], ""),
            is("GET /a/..?x", &[], ""),
        ],
    )
}

fn uris() -> Group {
    let r = |m: Value, subset: &str| json!({"match": [m], "route": only("uris", subset)});
    let http = json!([
        r(json!({"uri": {"exact": "/exact"}}), "v1"),
        r(json!({"uri": {"prefix": "/prefix"}}), "v2"),
        r(json!({"uri": {"regex": "/r[0-9]+"}}), "v3"),
        r(json!({"uri": {"regex": "/r/.*\\.html"}}), "v1"),
        r(json!({"uri": {"exact": "/Fold"}, "ignoreUriCase": true}), "v2"),
        r(json!({"uri": {"prefix": "/PFold"}, "ignoreUriCase": true}), "v3"),
        r(json!({"uri": {"regex": "/RFold.*"}, "ignoreUriCase": true}), "v1"),
    ]);
    group(
        "uris",
        http,
        vec![
            is("GET /exact", &[], "200 v1"),
            is("GET /exact?x=1", &[], "200 v1 /exact?x=1"),
            is("GET /exact/", &[], "404"),
            is("GET /Exact", &[], "404"),
            is("GET /prefix", &[], "200 v2"),
            is("GET /prefixed", &[], "200 v2"),
            is("GET /prefix/a", &[], "200 v2"),
            is("GET /PREFIX", &[], "404"),
            is("GET /r12", &[], "200 v3"),
            is("GET /r12?x", &[], "200 v3"),
            is("GET /r12x", &[], "404"),
            is("GET /xr12", &[], "404"),
            is("GET /r/a/b.html", &[], "200 v1"),
            is("GET /r/a/b.htm", &[], "404"),
            is("GET /fOLD", &[], "200 v2"),
            is("GET /pfold/x", &[], "200 v3"),
            is("GET /RFoldx", &[], "200 v1"),
            is("GET /rfoldx", &[], "404"),
            is("GET /", &[], "404"),
            is("HEAD /nothing", &[], "404"),
        ],
    )
}

fn methods() -> Group {
    let r = |m: Value, subset: &str| json!({"match": [m], "route": only("methods", subset)});
    let http = json!([
        r(json!({"method": {"exact": "POST"}}), "v1"),
        r(json!({"method": {"regex": "P.*"}}), "v2"),
        r(json!({"method": {"prefix": "DEL"}}), "v3"),
        r(json!({"authority": {"exact": "methods:7777"}, "uri": {"prefix": "/port"}}), "v1"),
        r(json!({"authority": {"prefix": "methods.istio-app"}}), "v2"),
        r(json!({"authority": {"regex": ".*cluster\\.local"}}), "v3"),
        r(json!({"scheme": {"exact": "https"}}), "v2"),
        r(json!({"port": 80}), "v3"),
        r(json!({"sourceNamespace": "other"}), "v2"),
        r(json!({"sourceNamespace": "istio-app", "uri": {"prefix": "/mine"}}), "v1"),
    ]);
    group(
        "methods",
        http,
        vec![
            is("POST /", &[], "200 v1"),
            is("PUT /", &[], "200 v2"),
            is("PATCH /", &[], "200 v2"),
            is("DELETE /", &[], "200 v3"),
            is("GET /", &[], "404"),
            is("GET /port", &[], "200 v1"),
            is("GET /port", &[("host", "methods")], "200").port(80),
            is("GET /", &[("host", "methods.istio-app.svc:7777")], "200 v2"),
            is("GET /", &[("host", "methods.istio-app.svc.cluster.local:7777")], "200 v2"),
            is("GET /", &[("x-forwarded-proto", "https")], ""),
            is("GET /", &[], "200 v3").port(80),
            is("GET /mine", &[], "200 v1"),
        ],
    )
}

fn headers_matched() -> Group {
    let r = |m: Value, subset: &str| json!({"match": [{"headers": m}], "route": only("headers", subset)});
    let http = json!([
        r(json!({"End-User": {"exact": "jason"}}), "v1"),
        r(json!({"x-pre": {"prefix": "ab"}}), "v2"),
        r(json!({"x-re": {"regex": "a+b"}}), "v3"),
        r(json!({"x-there": {}}), "v1"),
        r(json!({"cookie": {"regex": "^(.*?;)?\\s*(user=beta)(;.*)?$"}}), "v2"),
        r(json!({"x-one": {"exact": "1"}, "x-two": {"exact": "2"}}), "v3"),
        r(json!({"x-twice": {"exact": "a,b"}}), "v1"),
        r(json!({"user-agent": {"regex": ".*Firefox.*"}}), "v2"),
    ]);
    group(
        "headers",
        http,
        vec![
            is("GET /", &[("end-user", "jason")], "200 v1"),
            is("GET /", &[("END-USER", "jason")], "200 v1"),
            is("GET /", &[("end-user", "Jason")], "404"),
            is("GET /", &[("end-user", " jason ")], "200 v1"),
            is("GET /", &[("end-user", "jason2")], "404"),
            is("GET /", &[("x-pre", "abc")], "200 v2"),
            is("GET /", &[("x-pre", "xab")], "404"),
            is("GET /", &[("x-re", "aaab")], "200 v3"),
            is("GET /", &[("x-re", "aaabc")], "404"),
            is("GET /", &[("x-there", "")], "200 v1"),
            is("GET /", &[("x-there", "x")], "200 v1"),
            is("GET /", &[("cookie", "user=beta")], "200 v2"),
            is("GET /", &[("cookie", "a=b; user=beta; c=d")], "200 v2"),
            is("GET /", &[("cookie", "user=betamax")], "404"),
            is("GET /", &[("cookie", "a=b"), ("cookie", "user=beta")], ""),
            is("GET /", &[("x-one", "1"), ("x-two", "2")], "200 v3"),
            is("GET /", &[("x-one", "1")], "404"),
            is("GET /", &[("x-twice", "a"), ("x-twice", "b")], ""),
            is("GET /", &[("end-user", "jack"), ("end-user", "jason")], ""),
            is("GET /", &[("end-user", "jason"), ("end-user", "jack")], ""),
            is("GET /", &[("x-pre", "xx"), ("x-pre", "abc")], ""),
            is("GET /", &[("x-re", "x"), ("x-re", "aab")], ""),
            is("GET /", &[("cookie", "user=beta"), ("cookie", "a=b")], ""),
            is("GET /", &[("x-twice", "a, b")], "404"),
            is("GET /", &[("user-agent", "Mozilla/5.0 Firefox/1")], "200 v2"),
        ],
    )
}

fn without() -> Group {
    let r = |uri: &str, m: Value, subset: &str| json!({"match": [{"uri": {"prefix": uri}, "withoutHeaders": m}], "route": only("without", subset)});
    let http = json!([
        r("/absent", json!({"x-skip": {}}), "v1"),
        r("/exact", json!({"x-skip": {"exact": "1"}}), "v2"),
        r("/regex", json!({"x-skip": {"regex": "a.*"}}), "v3"),
        r("/both", json!({"x-a": {}, "x-b": {}}), "v1"),
    ]);
    group(
        "without",
        http,
        vec![
            is("GET /absent", &[], "200 v1"),
            is("GET /absent", &[("x-skip", "")], "404"),
            is("GET /absent", &[("x-skip", "1")], "404"),
            is("GET /exact", &[], "200 v2"),
            is("GET /exact", &[("x-skip", "2")], "200 v2"),
            is("GET /exact", &[("x-skip", "1")], "404"),
            is("GET /regex", &[("x-skip", "b")], "200 v3"),
            is("GET /regex", &[("x-skip", "ab")], "404"),
            is("GET /exact", &[("x-skip", "1"), ("x-skip", "2")], ""),
            is("GET /exact", &[("x-skip", "2"), ("x-skip", "1")], ""),
            is("GET /both", &[("x-b", "1")], "404"),
            is("GET /both", &[], "200 v1"),
        ],
    )
}

fn queries() -> Group {
    let r = |m: Value, subset: &str| json!({"match": [{"queryParams": m}], "route": only("queries", subset)});
    let http = json!([
        r(json!({"v": {"exact": "a"}}), "v1"),
        r(json!({"w": {"regex": "[0-9]+"}}), "v2"),
        r(json!({"p": {"prefix": "x"}}), "v3"),
        r(json!({"there": {}}), "v1"),
        r(json!({"e": {"exact": ""}}), "v2"),
        r(json!({"a": {"exact": "1"}, "b": {"exact": "2"}}), "v3"),
        r(json!({"s": {"exact": "a b"}}), "v1"),
        r(json!({"t": {"exact": "a%20b"}}), "v2"),
    ]);
    group(
        "queries",
        http,
        vec![
            is("GET /?v=a", &[], "200 v1"),
            is("GET /?x=1&v=a", &[], "200 v1"),
            is("GET /?v=b&v=a", &[], "404"),
            is("GET /?v=A", &[], "404"),
            is("GET /?w=42", &[], "200 v2"),
            is("GET /?w=42x", &[], "404"),
            is("GET /?w=", &[], "404"),
            is("GET /?p=xyz", &[], "200 v3"),
            is("GET /?there", &[], "200 v1"),
            is("GET /?there=x", &[], "200 v1"),
            is("GET /?e=", &[], "200 v2"),
            is("GET /?e", &[], "200 v2"),
            is("GET /?a=1&b=2", &[], "200 v3"),
            is("GET /?b=2", &[], "404"),
            is("GET /?s=a%20b", &[], ""),
            is("GET /?t=a%20b", &[], ""),
            is("GET /?%76=a", &[], ""),
            is("GET /", &[], "404"),
        ],
    )
}

fn order() -> Group {
    let http = json!([
        {"match": [{"uri": {"prefix": "/a"}, "headers": {"x": {"exact": "1"}}}, {"uri": {"prefix": "/b"}}], "route": only("order", "v1")},
        {"match": [{"uri": {"prefix": "/a"}}], "route": only("order", "v2")},
        {"route": only("order", "v3")},
        {"match": [{"uri": {"exact": "/never"}}], "route": only("order", "v1")},
    ]);
    group(
        "order",
        http,
        vec![
            is("GET /a", &[("x", "1")], "200 v1"),
            is("GET /b", &[], "200 v1"),
            is("GET /a", &[], "200 v2"),
            is("GET /a", &[("x", "2")], "200 v2"),
            is("GET /c", &[], "200 v3"),
            is("GET /never", &[], "200 v3"),
        ],
    )
}

fn redirects() -> Group {
    let r = |uri: &str, redirect: Value| json!({"match": [{"uri": {"prefix": uri}}], "redirect": redirect});
    let http = json!([
        r("/uri", json!({"uri": "/new"})),
        r("/query", json!({"uri": "/new?own=1"})),
        r("/authority", json!({"authority": "web.example"})),
        r("/host-port", json!({"authority": "web.example", "port": 8080})),
        r("/scheme", json!({"scheme": "https"})),
        r("/port", json!({"port": 8443})),
        r("/all", json!({"uri": "/x", "authority": "h", "scheme": "https", "port": 444, "redirectCode": 308})),
        r("/302", json!({"uri": "/x", "redirectCode": 302})),
        r("/303", json!({"uri": "/x", "redirectCode": 303})),
        r("/307", json!({"uri": "/x", "redirectCode": 307})),
        r("/derive", json!({"uri": "/x", "derivePort": "FROM_REQUEST_PORT"})),
        r("/prefix", json!({"prefixRewrite": "/other"})),
        {"match": [{"uri": {"prefix": "/with"}}], "headers": {"response": {"set": {"x-set": "s"}, "add": {"x-add": "a"}}}, "redirect": {"uri": "/x"}},
    ]);
    group(
        "redirects",
        http,
        vec![
            is("GET /uri/a", &[], "301"),
            is("GET /uri?a=b", &[], "301"),
            is("GET /uri?", &[], "301"),
            is("GET /query?a=b", &[], "301"),
            is("GET /authority/p?q=1", &[], "301"),
            is("GET /host-port", &[], "301"),
            is("GET /scheme", &[], "301"),
            is("GET /scheme", &[], "301").port(80),
            is("GET /scheme", &[("host", "redirects:80")], "301").port(80),
            is("GET /scheme", &[("x-forwarded-proto", "https")], "301"),
            is("GET /port", &[], "301"),
            is("GET /port", &[], "301").port(80),
            is("GET /all?q", &[], "308"),
            is("GET /302", &[], "302"),
            is("GET /303", &[], "303"),
            is("POST /307", &[], "307").body("hello"),
            is("GET /derive", &[], "301"),
            is("GET /derive", &[], "301").port(80),
            is("GET /prefix/a?b=c", &[], "301"),
            is("GET /prefix", &[], "301"),
            is("GET /with", &[], "301"),
            is("HEAD /uri", &[], "301"),
        ],
    )
}

fn rewrites() -> Group {
    let r =
        |m: Value, rewrite: Value| json!({"match": [{"uri": m}], "rewrite": rewrite, "route": only("rewrites", "v1")});
    let http = json!([
        r(json!({"prefix": "/re/"}), json!({"uri": "/"})),
        r(json!({"prefix": "/cut"}), json!({"uri": "/"})),
        r(json!({"prefix": "/long"}), json!({"uri": "/much/longer"})),
        r(json!({"exact": "/exact"}), json!({"uri": "/other"})),
        r(json!({"regex": "/rx/.*"}), json!({"uri": "/whole"})),
        r(json!({"prefix": "/auth"}), json!({"authority": "other.host"})),
        r(json!({"prefix": "/both"}), json!({"uri": "/x", "authority": "other.host:1234"})),
        {"match": [{"uri": {"prefix": "/FOLD"}, "ignoreUriCase": true}], "rewrite": {"uri": "/f"}, "route": only("rewrites", "v1")},
        {"rewrite": {"uri": "/all/"}, "route": only("rewrites", "v2")},
    ]);
    group(
        "rewrites",
        http,
        vec![
            is("GET /re/a", &[], "200 v1 /a"),
            is("GET /re/", &[], "200 v1 /"),
            is("GET /re/a?b=c", &[], "200 v1 /a?b=c"),
            is("GET /cut", &[], "200 v1 /"),
            is("GET /cut/a", &[], "200 v1 //a"),
            is("GET /long/a", &[], "200 v1 /much/longer/a"),
            is("GET /exact?x=y", &[], "200 v1 /other?x=y"),
            is("GET /rx/a/b?c", &[], "200 v1 /whole?c"),
            is("GET /auth", &[], "200 v1 /auth"),
            is("GET /both/y", &[], "200 v1 /x/y"),
            is("GET /fold/x", &[], "200 v1 /f/x"),
            is("GET /any/thing", &[], "200 v2 /all/any/thing"),
            is("GET /re/a", &[("x-envoy-original-path", "/forged")], "200 v1 /a"),
        ],
    )
}

fn regex_rewrites() -> Group {
    let r = |uri: &str, regex: &str, with: &str| json!({"match": [{"uri": {"prefix": uri}}], "rewrite": {"uriRegexRewrite": {"match": regex, "rewrite": with}}, "route": only("rerewrites", "v1")});
    let http = json!([
        r("/a/", "/a/([^/]+)/(.*)", "/\\2/\\1"),
        r("/all/", "o", "0"),
        r("/start/", "^/start/(.*)$", "/end/\\1"),
        r("/dollar/", "/dollar", "/$1\\0"),
        r("/none/", "nothing", "x"),
    ]);
    group(
        "rerewrites",
        http,
        vec![
            is("GET /a/b/c/d", &[], "200 v1 /c/d/b"),
            is("GET /a/b/c?q=/a/x/y", &[], "200 v1 /c/b?q=/a/x/y"),
            is("GET /all/foo", &[], "200 v1 /all/f00"),
            is("GET /start/x", &[], "200 v1 /end/x"),
            is("GET /dollar/x", &[], "200 v1 /$1/dollar/x"),
            is("GET /none/x", &[], "200 v1 /none/x"),
        ],
    )
}

fn changes() -> Group {
    let http = json!([
        {"match": [{"uri": {"prefix": "/set"}}], "headers": {
            "request": {"set": {"X-Set": "new"}, "add": {"x-add": "a"}, "remove": ["x-gone"]},
            "response": {"set": {"x-answer": "yes", "x-own": "ours"}, "add": {"x-more": "m"}, "remove": ["x-version-not", "x-del"]}}, "route": only("changes", "v1")},
        {"match": [{"uri": {"prefix": "/levels"}}],
         "headers": {"request": {"set": {"x-both": "route"}, "add": {"x-list": "route"}, "remove": ["x-dest"]}, "response": {"set": {"x-both": "route"}, "add": {"x-list": "route"}}},
         "route": [{"destination": {"host": "changes", "subset": "v2"}, "weight": 100,
                    "headers": {"request": {"set": {"x-both": "dest", "x-dest": "d"}, "add": {"x-list": "dest"}}, "response": {"set": {"x-both": "dest"}, "add": {"x-list": "dest"}}}},
                   {"destination": {"host": "changes", "subset": "v1"}, "weight": 0}]},
        {"match": [{"uri": {"prefix": "/dest"}}],
         "route": [{"destination": {"host": "changes", "subset": "v3"}, "headers": {"request": {"set": {"x-d": "1"}, "remove": ["x-gone"]}, "response": {"remove": ["x-own"], "set": {"x-e": "2"}}}}]},
        {"match": [{"uri": {"prefix": "/server"}}], "headers": {"response": {"set": {"server": "mine"}, "remove": ["x-envoy-upstream-service-time"]}}, "route": only("changes", "v1")},
        {"match": [{"uri": {"prefix": "/id"}}], "headers": {"request": {"remove": ["x-request-id", "user-agent"], "set": {"x-forwarded-proto": "https"}}}, "route": only("changes", "v1")},
        {"match": [{"uri": {"prefix": "/none"}}], "headers": {"response": {"set": {"x-answer": "yes"}}}, "route": only("changes", "none")},
        {"match": [{"uri": {"prefix": "/slow"}}], "timeout": "0.05s", "headers": {"response": {"set": {"x-answer": "yes"}}}, "route": only("changes", "v1")},
    ]);
    group(
        "changes",
        http,
        vec![
            is("GET /set", &[], "200 v1"),
            is("GET /set", &[("x-set", "old"), ("x-add", "b"), ("x-gone", "1")], "200 v1"),
            is("GET /set", &[("x-set", "old"), ("X-SET", "older")], "200 v1"),
            is("GET /set", &[("x-do", "header=x-own:theirs header=x-more:t header=x-del:1")], "200 v1"),
            is("GET /levels", &[], "200 v2"),
            is("GET /levels", &[("x-both", "c"), ("x-list", "c"), ("x-dest", "c")], "200 v2"),
            is("GET /levels", &[("x-do", "header=x-both:t header=x-list:t")], "200 v2"),
            is("GET /dest", &[("x-gone", "1"), ("x-do", "header=x-own:theirs")], "200 v3"),
            is("GET /server", &[], "200 v1"),
            is("GET /id", &[("user-agent", "x")], "200 v1"),
            is("GET /none", &[], "503"),
            is("GET /slow", &[("x-do", "delay=400")], "504"),
        ],
    )
}

fn timeouts() -> Group {
    let http = json!([
        {"match": [{"uri": {"prefix": "/short"}}], "timeout": "0.5s", "route": only("timeouts", "v1")},
        {"match": [{"uri": {"prefix": "/none"}}], "timeout": "0s", "route": only("timeouts", "v1")},
        {"match": [{"uri": {"prefix": "/try"}}], "timeout": "20s", "retries": {"attempts": 2, "perTryTimeout": "0.5s", "retryOn": "5xx"}, "route": only("timeouts", "v1")},
        {"match": [{"uri": {"prefix": "/once"}}], "retries": {"attempts": 1, "perTryTimeout": "0.5s", "retryOn": "gateway-error"}, "route": only("timeouts", "v1")},
        {"match": [{"uri": {"prefix": "/reset"}}], "retries": {"attempts": 1, "perTryTimeout": "0.5s", "retryOn": "reset"}, "route": only("timeouts", "v1")},
        {"match": [{"uri": {"prefix": "/whole"}}], "timeout": "0.75s", "retries": {"attempts": 5, "perTryTimeout": "0.5s", "retryOn": "5xx"}, "route": only("timeouts", "v1")},
    ]);
    group(
        "timeouts",
        http,
        vec![
            is("GET /short", &[], "200 v1"),
            is("GET /short", &[("x-do", "delay=2000")], "504 v1").arrivals(1),
            is("POST /short", &[("x-do", "delay=2000")], "504 v1").body("hello").arrivals(1),
            is("GET /none", &[("x-do", "delay=150")], "200 v1"),
            is("POST /short", &[], "200 v1").body("hello").late(),
            is("POST /short", &[("x-do", "delay=2000")], "504 v1").body("hello").late().arrivals(1),
            is("POST /try", &[], "200 v1").body("hello").late().arrivals(1),
            is("POST /try", &[("x-do", "late=1")], "200 v1").body("hello").late().arrivals(2),
            is("GET /try", &[("x-do", "late=1")], "200 v1").arrivals(2),
            is("GET /try", &[("x-do", "late=9")], "504 v1").arrivals(3),
            is("GET /once", &[("x-do", "late=1")], "200 v1").arrivals(2),
            is("GET /reset", &[("x-do", "late=1")], "").arrivals(2),
            is("GET /whole", &[("x-do", "late=9")], "504 v1").arrivals(2),
        ],
    )
}

fn retries() -> Group {
    let r = |uri: &str, retries: Value| json!({"match": [{"uri": {"prefix": uri}}], "retries": retries, "route": only("retries", "v1")});
    let http = json!([
        r("/gateway", json!({"attempts": 3, "retryOn": "gateway-error"})),
        r("/5xx", json!({"attempts": 2, "retryOn": "5xx"})),
        r("/codes", json!({"attempts": 2, "retryOn": "418,429"})),
        r("/4xx", json!({"attempts": 2, "retryOn": "retriable-4xx"})),
        r("/reset", json!({"attempts": 2, "retryOn": "reset"})),
        r("/connect", json!({"attempts": 2, "retryOn": "connect-failure"})),
        r("/zero", json!({"attempts": 0})),
        r("/empty", json!({})),
        r("/grpc", json!({"attempts": 2, "retryOn": "unavailable"})),
        r("/every-grpc", json!({"attempts": 1, "retryOn": "cancelled,deadline-exceeded,resource-exhausted,internal,unavailable"})),
        r("/default", json!({"attempts": 1})),
        r("/mixed", json!({"attempts": 4, "retryOn": "connect-failure,refused-stream,503"})),
        {"match": [{"uri": {"prefix": "/unsaid"}}], "route": only("retries", "v1")},
    ]);
    group(
        "retries",
        http,
        vec![
            is("GET /gateway", &[("x-do", "fail=2:503")], "200 v1").arrivals(3),
            is("GET /gateway", &[("x-do", "fail=9:502")], "502 v1").arrivals(4),
            is("GET /gateway", &[("x-do", "status=500")], "500 v1").arrivals(1),
            is("GET /gateway", &[("x-do", "break=1")], "").arrivals(2),
            is("POST /gateway", &[("x-do", "fail=1:504")], "200 v1").body("hello").arrivals(2),
            is("GET /5xx", &[("x-do", "fail=1:500")], "200 v1").arrivals(2),
            is("POST /5xx", &[("x-do", "fail=1:500")], "200 v1").body("hello").late().arrivals(2),
            is("POST /5xx", &[("x-do", "break=1")], "200 v1").body("hello").late().arrivals(2),
            is("GET /grpc", &[("x-do", "header=grpc-status:14")], "200 v1").arrivals(3),
            is("GET /grpc", &[("x-do", "header=grpc-status:1")], "200 v1").arrivals(1),
            is("GET /grpc", &[("x-do", "header=grpc-status:0")], "200 v1").arrivals(1),
            is("GET /every-grpc", &[("x-do", "header=grpc-status:4")], "200 v1").arrivals(2),
            is("GET /every-grpc", &[("x-do", "header=grpc-status:8")], "200 v1").arrivals(2),
            is("GET /every-grpc", &[("x-do", "header=grpc-status:13")], "200 v1").arrivals(2),
            is("GET /unsaid", &[("x-do", "header=grpc-status:14")], "200 v1").arrivals(3),
            is("GET /default", &[("x-do", "header=grpc-status:1")], "200 v1").arrivals(2),
            is("GET /empty", &[("x-do", "header=grpc-status:14")], "200 v1").arrivals(1),
            is("GET /5xx", &[("x-do", "status=501")], "501 v1").arrivals(3),
            is("GET /5xx", &[("x-do", "break=1")], "200 v1").arrivals(2),
            is("GET /5xx", &[("x-do", "break")], "503 v1").arrivals(3),
            is("GET /5xx", &[("x-do", "status=404")], "404 v1").arrivals(1),
            is("GET /codes", &[("x-do", "fail=1:418")], "200 v1").arrivals(2),
            is("GET /codes", &[("x-do", "fail=9:429")], "429 v1").arrivals(3),
            is("GET /codes", &[("x-do", "status=503")], "503 v1").arrivals(1),
            is("GET /4xx", &[("x-do", "fail=1:409")], "200 v1").arrivals(2),
            is("GET /4xx", &[("x-do", "status=404")], "404 v1").arrivals(1),
            is("GET /reset", &[("x-do", "break=1")], "200 v1").arrivals(2),
            is("GET /reset", &[("x-do", "status=503")], "503 v1").arrivals(1),
            is("GET /connect", &[("x-do", "status=503")], "503 v1").arrivals(1),
            is("GET /connect", &[("x-do", "break=1")], "").arrivals(1),
            is("GET /zero", &[("x-do", "fail=1:503")], "503 v1").arrivals(1),
            is("GET /default", &[("x-do", "fail=1:503")], "503 v1").arrivals(1),
            is("GET /mixed", &[("x-do", "fail=3:503")], "200 v1").arrivals(4),
            is("GET /unsaid", &[("x-do", "fail=1:503")], "503 v1").arrivals(1),
            is("GET /unsaid", &[("x-do", "break=1")], "").arrivals(1),
        ],
    )
}

/// Endpoints where nobody listens, alone and among others.
fn unreachable() -> Group {
    let http = json!([
        {"match": [{"uri": {"prefix": "/closed"}}], "route": only("unreachable", "closed")},
        {"match": [{"uri": {"prefix": "/no-retry"}}], "retries": {"attempts": 0}, "route": only("unreachable", "closed")},
        {"match": [{"uri": {"prefix": "/before"}}], "retries": {"attempts": 2, "retryOn": "reset-before-request"}, "route": only("unreachable", "closed")},
        {"match": [{"uri": {"prefix": "/none"}}], "route": only("unreachable", "none")},
        {"match": [{"uri": {"prefix": "/missing"}}], "route": only("unreachable", "undefined")},
        {"match": [{"uri": {"prefix": "/half"}}], "route": to("unreachable", &[("v1", 50), ("none", 50)])},
        {"route": [{"destination": {"host": "unreachable"}}]},
    ]);
    let mut all = group(
        "unreachable",
        http,
        vec![
            is("GET /closed", &[], "503"),
            is("GET /no-retry", &[], "503"),
            is("GET /before", &[], "503"),
            is("GET /none", &[], "503"),
            is("HEAD /none", &[], "503"),
            is("GET /missing", &[], "503").own_words(),
            row("GET /half", &[], Check::Shares(400, vec![("v1", 50.0), ("503", 50.0)])),
            row("GET /all", &[], Check::Shares(200, vec![("503", 0.0)])),
        ],
    );
    all.with_closed = true;
    all
}

fn faults() -> Group {
    let abort = |status: u16, percent: f64| json!({"httpStatus": status, "percentage": {"value": percent}});
    let delay = |time: &str, percent: f64| json!({"fixedDelay": time, "percentage": {"value": percent}});
    let r = |uri: &str, fault: Value| json!({"match": [{"uri": {"prefix": uri}}], "fault": fault, "route": only("faults", "v1")});
    let http = json!([
        r("/abort", json!({"abort": abort(555, 100.0)})),
        r("/never", json!({"abort": abort(555, 0.0)})),
        r("/400", json!({"abort": abort(400, 100.0)})),
        r("/late", json!({"delay": delay("2s", 100.0)})),
        r("/both", json!({"delay": delay("2s", 100.0), "abort": abort(503, 100.0)})),
        r("/unsaid-delay", json!({"delay": {"fixedDelay": "10s"}})),
        r("/unsaid", json!({"abort": {"httpStatus": 500}})),
        {"match": [{"uri": {"prefix": "/short"}}], "timeout": "0.02s", "fault": {"delay": delay("0.1s", 100.0)}, "route": only("faults", "v1")},
        {"match": [{"uri": {"prefix": "/retried"}}], "retries": {"attempts": 3, "retryOn": "5xx"}, "fault": {"abort": abort(503, 100.0)}, "route": only("faults", "v1")},
        {"match": [{"uri": {"prefix": "/changed"}}], "headers": {"response": {"set": {"x-answer": "yes"}}}, "fault": {"abort": abort(503, 100.0)}, "route": only("faults", "v1")},
    ]);
    group(
        "faults",
        http,
        vec![
            is("GET /abort", &[], "555"),
            is("HEAD /abort", &[], "555"),
            is("POST /abort", &[], "555").body("hello"),
            is("GET /never", &[], "200 v1"),
            is("GET /400", &[], "400"),
            is("GET /late", &[], "200 v1"),
            is("GET /both", &[], "503"),
            is("GET /unsaid", &[], "200 v1"),
            row("GET /unsaid-delay", &[], Check::Shares(5, vec![("v1", 100.0), ("slow", 0.0)])),
            is("GET /short", &[], ""),
            is("GET /retried", &[], "503"),
            is("GET /changed", &[], "503"),
            row("GET /late", &[], Check::Shares(20, vec![("v1", 100.0), ("slow", 100.0)])),
            row("GET /both", &[], Check::Shares(20, vec![("503", 100.0), ("slow", 100.0)])),
        ],
    )
}

fn fault_shares() -> Group {
    let http = json!([
        {"match": [{"uri": {"prefix": "/abort"}}], "fault": {"abort": {"httpStatus": 503, "percentage": {"value": 30}}}, "route": only("shares", "v1")},
        {"match": [{"uri": {"prefix": "/late"}}], "fault": {"delay": {"fixedDelay": "2s", "percentage": {"value": 40}}}, "route": only("shares", "v1")},
        {"match": [{"uri": {"prefix": "/fine"}}], "fault": {"abort": {"httpStatus": 503, "percentage": {"value": 0.5}}}, "route": only("shares", "v1")},
    ]);
    group(
        "shares",
        http,
        vec![
            row("GET /abort", &[], Check::Shares(1000, vec![("503", 30.0), ("v1", 70.0)])),
            row("GET /late", &[], Check::Shares(150, vec![("v1", 100.0), ("slow", 40.0)])),
            row("GET /fine", &[], Check::Shares(2000, vec![("503", 0.5), ("v1", 99.5)])),
        ],
    )
}

fn mirrors() -> Group {
    let r = |uri: &str, more: Value| {
        let mut route = json!({"match": [{"uri": {"prefix": uri}}], "route": only("mirrors", "v1")});
        more.as_object().unwrap().iter().for_each(|(k, v)| route[k] = v.clone());
        route
    };
    let copy = json!({"host": "mirrors", "subset": "v2"});
    let http = json!([
        r("/one", json!({"mirror": copy})),
        r("/none", json!({"mirror": copy, "mirrorPercentage": {"value": 0}})),
        r("/some", json!({"mirror": copy, "mirrorPercentage": {"value": 50}})),
        r("/two", json!({"mirrors": [{"destination": copy}, {"destination": {"host": "mirrors", "subset": "v3"}}]})),
        r(
            "/changed",
            json!({"mirror": copy, "rewrite": {"uri": "/x", "authority": "other:80"}, "headers": {"request": {"set": {"x-a": "b"}}}})
        ),
        r("/gone", json!({"mirror": {"host": "mirrors", "subset": "none"}})),
    ]);
    group(
        "mirrors",
        http,
        vec![
            is("GET /one", &[], "200 v1").arrivals(2),
            is("POST /one", &[], "200 v1").body("hello").arrivals(2),
            is("GET /one", &[("host", "mirrors.istio-app:7777")], "200 v1").arrivals(2),
            is("GET /one", &[], "200 v1").port(80).arrivals(2),
            is("GET /one", &[("x-do", "only=v2 status=500")], "200 v1").arrivals(2),
            is("GET /none", &[], "200 v1").arrivals(1),
            is("GET /two", &[], "200 v1").arrivals(3),
            is("GET /changed/y", &[], "200 v1 /x/y").arrivals(2),
            is("GET /gone", &[], "200 v1").arrivals(1),
            row("GET /some", &[], Check::Shares(400, vec![("v1", 100.0), ("shadow", 50.0)])),
        ],
    )
}

fn direct() -> Group {
    let r = |uri: &str, response: Value| json!({"match": [{"uri": {"prefix": uri}}], "directResponse": response});
    let http = json!([
        r("/tea", json!({"status": 418, "body": {"string": "tea"}})),
        r("/empty", json!({"status": 503})),
        r("/ok", json!({"status": 200, "body": {"string": "{}"}})),
        {"match": [{"uri": {"prefix": "/with"}}], "headers": {"response": {"set": {"x-set": "s", "content-type": "application/json"}}}, "directResponse": {"status": 200, "body": {"string": "{}"}}},
    ]);
    group(
        "direct",
        http,
        vec![
            is("GET /tea", &[], "418"),
            is("HEAD /tea", &[], "418"),
            is("POST /tea", &[], "418").body("x"),
            is("GET /empty", &[], "503"),
            is("GET /ok", &[], "200"),
            is("GET /with", &[], "200"),
        ],
    )
}

/// A route list that fits nothing but one path.
fn nowhere() -> Group {
    group(
        "nowhere",
        json!([{"match": [{"uri": {"exact": "/only"}}], "route": only("nowhere", "v1")}]),
        vec![is("GET /", &[], "404"), is("POST /", &[], "404").body("hello"), is("GET /only", &[], "200 v1")],
    )
}

fn weights() -> Vec<Group> {
    let one = |host: &'static str, weights: &[(&'static str, u32)], expected: Vec<(&'static str, f64)>| {
        group(host, json!([{"route": to(host, weights)}]), vec![row("GET /", &[], Check::Shares(800, expected))])
    };
    vec![
        one("w-80-20", &[("v1", 80), ("v2", 20)], vec![("v1", 80.0), ("v2", 20.0)]),
        one("w-50-30-20", &[("v1", 50), ("v2", 30), ("v3", 20)], vec![("v1", 50.0), ("v2", 30.0), ("v3", 20.0)]),
        one("w-1-99", &[("v1", 1), ("v2", 99)], vec![("v1", 1.0), ("v2", 99.0)]),
        one("w-0-100", &[("v1", 0), ("v2", 100)], vec![("v1", 0.0), ("v2", 100.0)]),
        one("w-100-0", &[("v1", 100), ("v2", 0)], vec![("v1", 100.0), ("v2", 0.0)]),
        one("w-60-20", &[("v1", 60), ("v2", 20)], vec![("v1", 75.0), ("v2", 25.0)]),
        one("w-single", &[("v3", 0)], vec![("v3", 100.0)]),
        one("w-twice", &[("v1", 25), ("v2", 50), ("v1", 25)], vec![("v1", 50.0), ("v2", 50.0)]),
    ]
}

fn balancers() -> Vec<Group> {
    let thirds = vec![("v1", 100.0 / 3.0), ("v2", 100.0 / 3.0), ("v3", 100.0 / 3.0)];
    let simple = |host: &'static str, kind: &str| {
        policy(
            host,
            json!({"loadBalancer": {"simple": kind}}),
            vec![row("GET /", &[], Check::Shares(600, thirds.clone()))],
        )
    };
    let hashed = |host: &'static str, hash: Value, line: &'static str, header: &'static str| {
        policy(host, json!({"loadBalancer": {"consistentHash": hash}}), vec![row(line, &[], Check::Sticky(header))])
    };
    vec![
        simple("round-robin", "ROUND_ROBIN"),
        simple("random", "RANDOM"),
        simple("least-request", "LEAST_REQUEST"),
        hashed("hash-header", json!({"httpHeaderName": "X-User"}), "GET /", "x-user: u#"),
        hashed("hash-cookie", json!({"httpCookie": {"name": "user"}}), "GET /", "cookie: a=b; user=u#"),
        policy(
            "hash-given",
            json!({"loadBalancer": {"consistentHash": {"httpCookie": {"name": "user", "ttl": "60s", "path": "/p"}}}}),
            vec![
                is("GET /", &[], "200").any(),
                is("GET /", &[("cookie", "user=x")], "200").any(),
                is("GET /", &[("cookie", "user=\"x\"")], "200").any(),
            ],
        ),
        policy(
            "hash-source",
            json!({"loadBalancer": {"consistentHash": {"useSourceIp": true}}}),
            vec![row("GET /", &[], Check::OneOf(12))],
        ),
        hashed("hash-query", json!({"httpQueryParameterName": "user"}), "GET /?a=b&user=u%23", "x-nothing: #"),
    ]
}

/// One endpoint each, and a limit; `arrivals` is how many requests it lets be under way.
pub fn limited() -> Vec<Group> {
    let one = |host: &'static str, at_once: usize, pool: Value| {
        let mut group = policy(host, json!({"connectionPool": pool}), vec![is("GET /", &[], "").arrivals(at_once)]);
        group.http = json!([{"route": only(host, "v1"), "retries": {"attempts": 2, "retryOn": "5xx"}}]);
        group
    };
    vec![
        one("one-connection", 1, json!({"tcp": {"maxConnections": 1}})),
        one("one-and-one", 1, json!({"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1}})),
        one("two-and-three", 2, json!({"tcp": {"maxConnections": 2}, "http": {"http1MaxPendingRequests": 3}})),
        one("queue", 1, json!({"tcp": {"maxConnections": 1, "connectTimeout": "0.3s"}})),
        one("two-requests", 2, json!({"http": {"http2MaxRequests": 2}})),
        one("single-use", 1, json!({"http": {"maxRequestsPerConnection": 1}})),
        one(
            "single-use-of-one",
            1,
            json!({"tcp": {"maxConnections": 1}, "http": {"maxRequestsPerConnection": 1, "http1MaxPendingRequests": 4}}),
        ),
    ]
}

/// What fails, and how the DestinationRule deals with it; `arrivals` is how many milliseconds pass before it is tried again.
pub fn failing() -> Vec<Group> {
    let one = |host: &'static str, todo: &'static str, wait: usize, outlier: Value| {
        let rule = json!({"loadBalancer": {"simple": "ROUND_ROBIN"}, "outlierDetection": outlier});
        let mut group = policy(host, rule, vec![is("GET /", &[("x-do", todo)], "").arrivals(wait)]);
        group.http = json!([{"route": [{"destination": {"host": host}}], "retries": {"attempts": 0}}]);
        group
    };
    let long =
        json!({"consecutive5xxErrors": 3, "interval": "60s", "baseEjectionTime": "60s", "maxEjectionPercent": 100});
    let with = |changes: Value| {
        let mut rule = long.clone();
        changes.as_object().unwrap().iter().for_each(|(k, v)| rule[k] = v.clone());
        rule
    };
    let four = |host: &'static str, outlier: Value| {
        let mut group = one(host, "status=500", 0, outlier);
        group.with_closed = true;
        group
    };
    let mut all = vec![
        one("out-5xx", "only=v1 status=500", 0, long.clone()),
        one(
            "out-gateway",
            "only=v2 status=503",
            0,
            with(json!({"consecutive5xxErrors": 0, "consecutiveGatewayErrors": 2})),
        ),
        one(
            "out-not-gateway",
            "only=v2 status=500",
            0,
            with(json!({"consecutive5xxErrors": 0, "consecutiveGatewayErrors": 2})),
        ),
        one("out-break", "only=v3 break", 0, long.clone()),
        one("out-all", "status=500", 0, long.clone()),
        one("out-some", "status=500", 0, with(json!({"maxEjectionPercent": 34}))),
        one("out-half", "status=500", 0, with(json!({"maxEjectionPercent": 67}))),
        one("out-default-share", "status=500", 0, json!({"consecutive5xxErrors": 2, "interval": "60s"})),
        one("out-panic", "status=500", 0, with(json!({"minHealthPercent": 50}))),
        one(
            "out-split",
            "only=v1 break",
            0,
            with(
                json!({"consecutive5xxErrors": 3, "splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": 2}),
            ),
        ),
        one("out-and-back", "only=v1 status=500", 4500, with(json!({"interval": "0.1s", "baseEjectionTime": "3s"}))),
        four("out-50-of-4", with(json!({"maxEjectionPercent": 50}))),
        four("out-75-of-4", with(json!({"maxEjectionPercent": 75}))),
        four("out-76-of-4", with(json!({"maxEjectionPercent": 76}))),
        one("out-defaults", "only=v1 status=503", 0, json!({"interval": "60s", "maxEjectionPercent": 50})),
    ];
    let mut closed = one("out-closed", "", 0, long.clone());
    closed.with_closed = true;
    let mut split = one(
        "out-split-closed",
        "",
        0,
        with(json!({"splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": 2})),
    );
    split.with_closed = true;
    let mut never = one(
        "out-split-many",
        "",
        0,
        with(
            json!({"consecutive5xxErrors": 6, "splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": 2}),
        ),
    );
    never.with_closed = true;
    all.extend([closed, split, never]);
    all
}
