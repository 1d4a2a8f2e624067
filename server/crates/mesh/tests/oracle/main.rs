//! Envoy as the oracle: the same routes in our sidecar and in a real Envoy, the same upstreams behind both, the same requests to both.
//!
//! Where they differ ours is wrong. What is not compared, and why, stands in [`forgiven`].

mod cases;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod echo;
mod envoy;
mod render;

use cases::{Check, Group, Row};
use client::{Kept, Version, ask, says};
use common::harness::{Answer, Mesh};
use echo::{Arrived, Book, Echo};
use envoy::Envoy;
use mesh::{MeshInput, RouteTable};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Both proxies on the same routes and upstreams.
struct Pair {
    mesh: Mesh,
    envoy: Envoy,
    book: Book,
    /// What the clients speak.
    client: Version,
    _upstreams: Vec<Echo>,
}

impl Pair {
    /// With clients and upstreams that speak so.
    async fn start(groups: &[Group], client: Version, upstream: Version) -> Pair {
        let book = Book::default();
        let mut upstreams = Vec::new();
        for version in ["v1", "v2", "v3"] {
            upstreams.push(Echo::start(version, book.clone()).await);
        }
        let input = input(groups, &upstreams, upstream);
        let (table, reports) = RouteTable::build(&input);
        let told: Vec<_> = reports.iter().filter(|r| !["SubsetMissing", "PortNotHttp"].contains(&r.reason)).collect();
        assert!(told.is_empty(), "{told:?}");
        let envoy = Envoy::start(&render::bootstrap(&table, "istio-app")).await;
        let mesh = Mesh::start(input).await;
        Pair { mesh, envoy, book, client, _upstreams: upstreams }
    }

    fn addresses(&self, port: u16) -> [(&'static str, SocketAddr); 2] {
        [("ours", self.mesh.outbound()), ("envoy", self.envoy.listeners[&port])]
    }

    fn arrived(&self, case: &str) -> Vec<Arrived> {
        self.book.lock().unwrap().get(case).cloned().unwrap_or_default()
    }

    /// What arrived of a case, once as much is there as is expected of it; copies come when they come.
    async fn settled(&self, case: &str, count: usize) -> Vec<Arrived> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.arrived(case).len() < count && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.arrived(case)
    }

    async fn end(self) {
        self.mesh.end().await;
    }
}

/// A Service for each group, all of them with the same three pods.
fn input(groups: &[Group], upstreams: &[Echo], speak: Version) -> MeshInput {
    let [port, web] = match speak {
        Version::Http1 => ["http", "http-web"],
        Version::Http2 => ["http2", "http2-web"],
    };
    let mut input = MeshInput { revision: 1, ..MeshInput::default() };
    for (number, echo) in upstreams.iter().enumerate() {
        let version = format!("v{}", number + 1);
        input.pods.push(Arc::new(json!({"metadata": {"name": version, "namespace": "istio-app", "labels": {"app": "echo", "version": version}}})));
        for group in groups {
            input.endpoint_slices.push(Arc::new(json!({
                "metadata": {"name": format!("{}-{version}", group.host), "namespace": "istio-app", "labels": {"kubernetes.io/service-name": group.host}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [echo.address.ip().to_string()], "conditions": {"ready": true},
                               "targetRef": {"kind": "Pod", "name": version, "namespace": "istio-app"}}],
                "ports": [{"name": port, "port": echo.address.port()}, {"name": "tcp-bytes", "port": echo.address.port()}, {"name": web, "port": echo.address.port()}]})));
        }
    }
    // An address where nobody listens.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    input.pods.push(Arc::new(
        json!({"metadata": {"name": "closed", "namespace": "istio-app", "labels": {"version": "closed"}}}),
    ));
    for group in groups {
        let name = group.host;
        let (number, named) = if name == cases::BYTES { (9000, "tcp-bytes") } else { (7777, port) };
        if group.with_closed {
            input.endpoint_slices.push(Arc::new(json!({
                "metadata": {"name": format!("{name}-closed"), "namespace": "istio-app", "labels": {"kubernetes.io/service-name": name}},
                "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": "closed", "namespace": "istio-app"}}],
                "ports": [{"name": port, "port": closed.port()}]})));
        }
        input.services.push(common::service(
            "istio-app",
            name,
            json!([{"name": named, "port": number}, {"name": web, "port": if number == 7777 { 80 } else { 9001 }}]),
        ));
        let subset = |version: &str| json!({"name": version, "labels": {"version": version}});
        let mut rule = json!({"host": name, "subsets": [subset("v1"), subset("v2"), subset("v3"), subset("none"), subset("closed")]});
        if !group.policy.is_null() {
            rule["trafficPolicy"] = group.policy.clone();
        }
        let named = |kind: &str, spec: Value| {
            Arc::new(json!({"metadata": {"name": format!("{name}-{kind}"), "namespace": "istio-app"}, "spec": spec}))
        };
        input.destination_rules.push(named("dr", rule));
        if !group.http.is_null() {
            input.virtual_services.push(named("vs", json!({"hosts": [name], "http": group.http})));
        }
    }
    input
}

/// One request's story, told alike for both proxies.
struct Story {
    status: u16,
    text: String,
}

impl Story {
    /// `200 v1 /path`, as the table's expectations are written.
    fn short(&self, arrived: &[Arrived]) -> String {
        let real = arrived.iter().rev().find(|a| !a.host.contains("-shadow"));
        real.map_or(self.status.to_string(), |a| {
            format!("{} {} {}", self.status, a.version, a.line.split(' ').nth(1).unwrap_or(""))
        })
    }
}

/// Headers that are compared by being there, not by their value: drawn, timed, or about the proxy itself.
const BY_PRESENCE: [&str; 4] =
    ["x-request-id", "x-envoy-upstream-service-time", "date", "x-envoy-expected-rq-timeout-ms"];

/// What is not compared.
/// - `x-b3-*`: Envoy makes them only with a tracer configured, and then as ours.
/// - `x-envoy-peer-metadata`: Istio's metadata exchange, a filter that a bare Envoy has not; ours is its like.
/// - `connection`, `transfer-encoding`: of the hop, not of the message. `x-case` differs by design.
fn forgiven(name: &str) -> bool {
    name.starts_with("x-b3-") || ["x-envoy-peer-metadata", "connection", "transfer-encoding", "x-case"].contains(&name)
}

fn told<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if !forgiven(&name) {
            // A made-up cookie's value is drawn; all else of it is compared.
            let made_up = name == "set-cookie" && value.starts_with("user=");
            let value = if made_up { value.split('"').nth(2).unwrap_or(value) } else { value };
            let value = if BY_PRESENCE.contains(&name.as_str()) { "(some)" } else { value };
            all.entry(name).and_modify(|v| *v = format!("{v},{value}")).or_insert_with(|| value.to_string());
        }
    }
    all.iter().map(|(n, v)| format!("\n      {n}: {v}")).collect()
}

fn tell(row: &Row, answer: &Answer, arrived: &[Arrived]) -> Story {
    let mut text = format!("status {}", answer.status);
    let kept = |name: &str| {
        !(row.own_words && ["content-type", "content-length"].contains(&name.to_ascii_lowercase().as_str()))
    };
    let head = answer.head.lines().skip(1).filter_map(|l| l.split_once(": ")).filter(|(n, _)| kept(n));
    text.push_str(&told(head));
    if !row.own_words {
        // Why the system refused a connection is told in words of its own.
        let body = answer.text();
        let body = if answer.header("x-version").is_some() {
            body.get(2..).unwrap_or("")
        } else {
            body.split(", transport failure reason").next().unwrap_or("")
        };
        let _ = write!(text, "\n    body {body:?}");
    }
    let mut arrived: Vec<&Arrived> = arrived.iter().collect();
    arrived.sort_by_key(|a| (a.host.clone(), a.headers.get("x-envoy-attempt-count").cloned(), a.version));
    for a in arrived {
        let version = if row.any_version { "any" } else { a.version };
        // A copy says who sent it.
        let headers = a.headers.iter().map(|(n, v)| {
            (n.as_str(), if n == "x-forwarded-for" && a.host.contains("-shadow") { "(the proxy)" } else { v.as_str() })
        });
        let _ = write!(text, "\n    arrived at {version}: {} body {:?}{}", a.line, a.body, told(headers));
    }
    Story {
        status: answer.status,
        text: text
            .replace("x-version: v1", "x-version: v")
            .replace("x-version: v2", "x-version: v")
            .replace("x-version: v3", "x-version: v"),
    }
}

/// The head of a row's request.
fn wire(row: &Row, host: &str, port: u16, case: &str) -> String {
    let (method, target) = row.line.split_once(' ').unwrap();
    let authority = match row.headers.iter().find(|(n, _)| *n == "host") {
        Some((_, host)) => host.to_string(),
        None if port == 80 => host.to_string(),
        None => format!("{host}:{port}"),
    };
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\nx-case: {case}\r\n");
    for (name, value) in row.headers.iter().filter(|(n, _)| *n != "host") {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    if !row.body.is_empty() {
        let _ = write!(text, "content-length: {}\r\n", row.body.len());
    }
    text + "\r\n"
}

/// The head as the client would say it without a proxy: in absolute form it names the server whom it has connected to.
fn to_a_server(head: &str) -> String {
    match head.split_once(" http://") {
        Some((method, rest)) => format!("{method} {}", rest.find('/').map_or(rest, |path| &rest[path..])),
        None => head.to_owned(),
    }
}

/// One row, as a list of what is wrong with it.
async fn check(pair: &Pair, group: &Group, number: usize, row: &Row) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = format!("{} #{number} {} {:?}", group.host, row.line, row.headers);
    match &row.check {
        Check::Same(expected) => {
            let mut stories = Vec::new();
            for (who, to) in pair.addresses(row.port) {
                let case = format!("{}-{number}-{who}", group.host);
                let head = wire(row, group.host, row.port, &case);
                // A mesh takes connections over: what a client says to a proxy is not on its wire.
                let head = if who == "envoy" { to_a_server(&head) } else { head };
                let Some(answer) = ask(to, pair.client, &head, row.body, row.late_body).await else {
                    wrong.push(format!("{name}: {who} gives no answer"));
                    continue;
                };
                let arrived = pair.settled(&case, row.arrivals).await;
                let story = tell(row, &answer, &arrived);
                let short = story.short(&arrived);
                if !short.starts_with(expected) {
                    wrong.push(format!("{name}: {who} says {short:?}, expected {expected:?}"));
                }
                stories.push(story.text);
            }
            if let [ours, envoys] = stories.as_slice()
                && ours != envoys
            {
                wrong.push(format!("{name}\n  ours   {ours}\n  envoy  {envoys}"));
            }
        }
        Check::Shares(times, expected) => {
            for (who, to) in pair.addresses(row.port) {
                let case = format!("{}-{number}-{who}", group.host);
                let timed = expected.iter().any(|(label, _)| *label == "slow");
                let shares = if timed {
                    delays(pair.client, row, group.host, to, &case, *times).await
                } else {
                    shares(pair.client, row, group.host, to, &case, *times).await
                };
                let mut copies = 0;
                if expected.iter().any(|(l, _)| *l == "shadow") {
                    let wanted = times
                        + times * expected.iter().find(|(l, _)| *l == "shadow").map_or(0, |(_, p)| *p as usize) / 200;
                    let all = pair.settled(&case, wanted).await;
                    copies = all.iter().filter(|a| a.host.contains("-shadow")).count();
                }
                for (label, percent) in expected.iter() {
                    let hits =
                        if *label == "shadow" { copies } else { shares.get(*label).copied().unwrap_or(0) } as f64;
                    let (n, p) = (*times as f64, percent / 100.0);
                    if (hits - n * p).abs() > 4.5 * (n * p * (1.0 - p)).sqrt() {
                        wrong.push(format!(
                            "{name}: {who} gives {label} {hits} of {n}, expected {percent} %: {shares:?}"
                        ));
                    }
                }
            }
        }
        Check::OneOf(times) => {
            for (who, to) in pair.addresses(row.port) {
                let case = format!("{}-{number}-{who}", group.host);
                let all = shares(pair.client, row, group.host, to, &case, *times).await;
                if !all.iter().any(|(label, n)| label.starts_with('v') && n == times) {
                    wrong.push(format!("{name}: {who} spreads over {all:?}"));
                }
            }
        }
        Check::Sticky(header) => {
            for (who, to) in pair.addresses(row.port) {
                let mut met = std::collections::BTreeSet::new();
                for key in 0..12 {
                    let case = format!("{}-{number}-{key}-{who}", group.host);
                    for _ in 0..4 {
                        let line = wire(row, group.host, row.port, &case)
                            .replace("\r\nx-case", &format!("\r\n{}\r\nx-case", header.replace('#', &key.to_string())));
                        let line = line.replace("%23", &key.to_string());
                        let answer = ask(to, pair.client, &line, row.body, false).await.unwrap();
                        assert_eq!(answer.status, 200, "{name}: {who}");
                    }
                    let hit: std::collections::BTreeSet<_> = pair.arrived(&case).iter().map(|a| a.version).collect();
                    if hit.len() != 1 {
                        wrong.push(format!("{name}: {who} spreads key {key} over {hit:?}"));
                    }
                    met.extend(hit);
                }
                if met.len() < 2 {
                    wrong.push(format!("{name}: {who} sends all keys to {met:?}"));
                }
            }
        }
    }
    wrong
}

/// How often each version answered, or each status where none did.
async fn shares(
    client: Version,
    row: &Row,
    host: &str,
    to: SocketAddr,
    case: &str,
    times: usize,
) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    let mut client = Kept::connect(to, client).await.unwrap();
    for _ in 0..times {
        let answer = client.ask(&wire(row, host, row.port, case), row.body, false).await.unwrap();
        *all.entry(label(&answer)).or_default() += 1;
    }
    all
}

fn label(answer: &Answer) -> String {
    answer.header("x-version").map_or_else(|| answer.status.to_string(), String::from)
}

/// The same with all requests at once, and how many of them were `slow`: delayed on purpose, by more than a busy machine delays.
async fn delays(
    client: Version,
    row: &Row,
    host: &str,
    to: SocketAddr,
    case: &str,
    times: usize,
) -> BTreeMap<String, usize> {
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..times {
        let (head, body) = (wire(row, host, row.port, case), row.body);
        asking.spawn(async move {
            let mut client = Kept::connect(to, client).await.unwrap();
            let began = Instant::now();
            let answer = client.ask(&head, body, false).await.unwrap();
            (label(&answer), began.elapsed() >= cases::DELAY)
        });
    }
    let mut all = BTreeMap::new();
    while let Some(asked) = asking.join_next().await {
        let (label, slow) = asked.unwrap();
        *all.entry(label).or_default() += 1;
        *all.entry("slow".into()).or_default() += usize::from(slow);
    }
    all
}

/// Every row that such clients can say, answered alike.
async fn compare(client: Version, upstream: Version) {
    let mut groups = cases::groups();
    // A client speaks to the app itself.
    groups.retain(|group| group.host != cases::BYTES || client == upstream);
    let pair = Pair::start(&groups, client, upstream).await;
    let (mut rows, mut wrong) = (0, Vec::new());
    for group in &groups {
        for (number, row) in group.rows.iter().enumerate().filter(|(_, row)| says(client, row.line, &row.headers)) {
            rows += 1;
            let began = Instant::now();
            wrong.extend(check(&pair, group, number, row).await);
            if began.elapsed() > Duration::from_secs(2) {
                println!("{} {}: {:?}", group.host, row.line, began.elapsed());
            }
        }
    }
    assert!(rows >= 150, "only {rows} rows");
    let log = pair.envoy.log();
    pair.end().await;
    assert!(wrong.is_empty(), "{} of {rows} rows differ:\n{}\n{log}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_sidecar_answers_as_envoy_does() {
    compare(Version::Http1, Version::Http1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_http1_to_an_app_of_http2_are_answered_as_by_envoy() {
    compare(Version::Http1, Version::Http2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_to_an_app_of_http1_are_answered_as_by_envoy() {
    compare(Version::Http2, Version::Http1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_to_an_app_of_http2_are_answered_as_by_envoy() {
    compare(Version::Http2, Version::Http2).await;
}

/// So many requests at once, but for the first ones, which are under way when the others come: while a connection is made, requests count
/// as waiting for it, and how long that takes is chance. How each ended.
async fn at_once(
    pair: &Pair,
    host: &str,
    to: SocketAddr,
    case: &str,
    first: usize,
    requests: usize,
    todo: &str,
) -> BTreeMap<String, usize> {
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..requests {
        if (1..=first).contains(&number) {
            pair.settled(case, number).await;
        }
        let head = format!("GET / HTTP/1.1\r\nHost: {host}:7777\r\nx-case: {case}\r\nx-do: {todo}\r\n\r\n");
        let client = pair.client;
        asking.spawn(async move { ask(to, client, &head, "", false).await.expect("an answer") });
    }
    let mut all = BTreeMap::new();
    while let Some(answer) = asking.join_next().await {
        let answer = answer.unwrap();
        let told = answer.header("x-version").map_or_else(
            || format!("{}, overloaded {:?}", answer.text(), answer.header("x-envoy-overloaded")),
            |_| "answered".into(),
        );
        *all.entry(format!("{} {told}", answer.status)).or_default() += 1;
    }
    all
}

/// Limits of connections and requests, met by requests that come at once.
async fn limits(client: Version, upstream: Version) {
    let groups = cases::limited();
    let pair = Pair::start(&groups, client, upstream).await;
    let mut wrong = Vec::new();
    for group in &groups {
        // Some connections are kept from before: a limit counts them, too. The first ones last until the others have come, also where the
        // machine is busy.
        for (round, (requests, todo)) in
            [(6, "delay=500"), (6, "delay=500"), (1, ""), (3, "delay=500")].into_iter().enumerate()
        {
            let mut seen = Vec::new();
            for (who, to) in pair.addresses(7777) {
                seen.push(
                    at_once(
                        &pair,
                        group.host,
                        to,
                        &format!("{}-{round}-{who}", group.host),
                        group.rows[0].arrivals,
                        requests,
                        todo,
                    )
                    .await,
                );
            }
            if seen[0] != seen[1] {
                wrong.push(format!("{} round {round}\n  ours  {:?}\n  envoy {:?}", group.host, seen[0], seen[1]));
            }
        }
    }
    pair.end().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_connections_hold_as_envoys() {
    limits(Version::Http1, Version::Http1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_connections_hold_as_envoys_for_streams() {
    limits(Version::Http2, Version::Http1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_streams_to_an_app_of_http2_hold_as_envoys() {
    limits(Version::Http2, Version::Http2).await;
}

/// Endpoints that fail, and how many of them are left out for how long.
async fn failing(client: Version, upstream: Version) {
    let groups = cases::failing();
    let pair = Pair::start(&groups, client, upstream).await;
    let mut wrong = Vec::new();
    for group in &groups {
        let todo = group.rows[0].headers[0].1;
        let mut seen = Vec::new();
        for (who, to) in pair.addresses(7777) {
            let case = format!("{}-{who}", group.host);
            let row = Row {
                line: "GET /",
                headers: vec![("x-do", todo)],
                body: "",
                port: 7777,
                check: Check::OneOf(0),
                arrivals: 0,
                own_words: false,
                any_version: true,
                late_body: false,
            };
            let mut told = Vec::new();
            for _ in 0..2 {
                // Enough requests for every endpoint to reach its threshold.
                let mut failed = 0;
                let mut left = std::collections::BTreeSet::new();
                for number in 0..30 {
                    let head = wire(&row, group.host, 7777, &case);
                    let answer = ask(to, pair.client, &head, "", false).await.expect("an answer");
                    failed += usize::from(answer.status != 200);
                    if number >= 22 {
                        let text = answer.text().split(", transport").next().unwrap_or("").to_string();
                        left.insert(answer.header("x-version").map_or(text, String::from));
                    }
                }
                // Which ones are left hangs on whose turn was first.
                told.push((failed, left.len(), left.contains("no healthy upstream")));
                tokio::time::sleep(Duration::from_millis(group.rows[0].arrivals as u64)).await;
            }
            seen.push(told);
        }
        // Envoy's worker hears of an ejection from its main thread: a few requests slip through meanwhile.
        let alike =
            |(a, b): (&(usize, usize, bool), &(usize, usize, bool))| a.0.abs_diff(b.0) <= 4 && (a.1, a.2) == (b.1, b.2);
        if !seen[0].iter().zip(&seen[1]).all(alike) {
            wrong.push(format!("{} (failed, left, nobody)\n  ours  {:?}\n  envoy {:?}", group.host, seen[0], seen[1]));
        }
    }
    pair.end().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_endpoints_are_left_out_as_by_envoy() {
    failing(Version::Http1, Version::Http1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_endpoints_are_left_out_as_by_envoy_for_streams() {
    failing(Version::Http2, Version::Http1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_endpoints_of_http2_are_left_out_as_by_envoy() {
    failing(Version::Http2, Version::Http2).await;
}
