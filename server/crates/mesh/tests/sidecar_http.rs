//! What a sidecar does with single requests: targets, headers, bodies, refusals.

mod common;

use common::harness::{App, Client, Mesh};
use common::{input, route, split};
use mesh::{MeshInput, client_routes};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;

async fn two_versions() -> (App, App, MeshInput) {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let input = input(1, &[("v1", v1.address), ("v2", v2.address)]);
    (v1, v2, input)
}

fn routed(input: &MeshInput, spec: Value) -> MeshInput {
    MeshInput { virtual_services: vec![route(spec)], ..input.clone() }
}

#[tokio::test]
async fn every_form_of_target_and_name_is_served() {
    let (_v1, _v2, input) = two_versions().await;
    let mesh = Mesh::start(MeshInput { virtual_services: vec![split(100, 0)], ..input }).await;
    let mut client = mesh.connect().await;
    for request in [
        "GET http://flaskapp:7777/env/version HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n",
        "GET http://FlaskApp:7777/env/version HTTP/1.1\r\nHost: FlaskApp:7777\r\n\r\n",
        "GET /env/version HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n",
        "GET /env/version HTTP/1.1\r\nHost: flaskapp.istio-app:7777\r\n\r\n",
        "GET /env/version HTTP/1.1\r\nHost: flaskapp.istio-app.svc:7777\r\n\r\n",
        "GET /env/version HTTP/1.1\r\nHost: flaskapp.istio-app.svc.cluster.local.:7777\r\n\r\n",
        "GET http://127.64.0.9:7777/ HTTP/1.1\r\nHost: 127.64.0.9:7777\r\n\r\n",
        "GET http://flaskapp:7777 HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n",
        "GET /env/version HTTP/1.0\r\nHost: flaskapp:7777\r\nConnection: keep-alive\r\n\r\n",
    ] {
        let mut fresh = mesh.connect().await;
        let client = if request.contains("HTTP/1.0") { &mut fresh } else { &mut client };
        let answer = client.ask(request).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "v1"), "{request}");
    }
    mesh.end().await;
}

#[tokio::test]
async fn foreign_hosts_and_unknown_ports_are_refused_with_a_reason() {
    let (_v1, _v2, input) = two_versions().await;
    let mesh = Mesh::start(input).await;
    let mut client = mesh.connect().await;
    for (target, status, part) in [
        ("http://example.com/", 403, "not in the service registry"),
        ("http://169.254.169.254/latest", 403, "not in the service registry"),
        ("http://flaskapp.other:7777/", 403, "not in the service registry"),
        ("http://flaskapp/", 503, "has no port 80, it has 7777"),
        ("http://flaskapp:99999/", 400, "malformed authority"),
        ("http://user@flaskapp:7777/", 400, "malformed authority"),
        ("https://flaskapp:7777/", 400, "only http://"),
    ] {
        let mut fresh = mesh.connect().await;
        let client = if status == 400 { &mut fresh } else { &mut client };
        let answer = client.get(target).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        assert!(answer.text().contains(part), "{target}: {}", answer.text());
    }
    let own = format!("http://localhost:{}/", mesh.ports.outbound);
    assert_eq!(client.get(&own).await.status, 403);
    mesh.end().await;
}

#[tokio::test]
async fn localhost_is_the_calling_pod() {
    let (v1, _v2, input) = two_versions().await;
    let mesh = Mesh::start(input).await;
    let mut client = mesh.connect().await;
    for host in ["localhost", "127.0.0.1"] {
        let answer = client.get(&format!("http://{host}:{}/", v1.address.port())).await;
        assert_eq!(answer.text(), "v1");
    }
    let ready = client.get(&format!("http://127.0.0.1:{}/healthz/ready", mesh.ports.health)).await;
    assert_eq!(ready.text(), "LIVE\n");
    mesh.end().await;
}

#[tokio::test]
async fn headers_are_made_passed_on_and_stripped() {
    let (_v1, _v2, input) = two_versions().await;
    let mesh = Mesh::start(routed(&input, json!({"hosts": ["flaskapp"], "http": [{
        "headers": {"request": {"set": {"x-set": "new"}, "add": {"x-add": "a"}, "remove": ["x-gone"]}, "response": {"set": {"x-answer": "yes"}, "remove": ["x-app-version"]}},
        "route": [{"destination": {"host": "flaskapp", "subset": "v1"}}]}]}))).await;
    let mut client = mesh.connect().await;
    let answer = client
        .ask("GET http://flaskapp:7777/head HTTP/1.1\r\nHost: flaskapp:7777\r\nConnection: keep-alive, x-hop\r\nx-hop: 1\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n\
              X-Set: old\r\nX-Gone: 1\r\nX-Kept: k\r\nx-envoy-peer-metadata: forged\r\nProxy-Authorization: Basic x\r\nUpgrade: h2c\r\n\r\n")
        .await;
    let seen = answer.text().to_ascii_lowercase();
    for has in [
        "get /head http/1.1\r\n",
        "te: trailers\r\n",
        "x-envoy-attempt-count: 1\r\n",
        "host: flaskapp:7777\r\n",
        "x-set: new\r\n",
        "x-add: a\r\n",
        "x-kept: k\r\n",
        "x-request-id: ",
        "x-b3-traceid: ",
        "x-b3-spanid: ",
        "x-forwarded-proto: http\r\n",
    ] {
        assert!(seen.contains(has), "{has:?} is missing in {seen}");
    }
    for has_not in ["x-hop", "proxy-", "old", "x-gone", "forged", "upgrade", "connection"] {
        assert!(!seen.contains(has_not), "{has_not:?} is in {seen}");
    }
    assert_eq!(answer.header("x-answer"), Some("yes"));
    assert_eq!(answer.header("x-app-version"), None);
    assert_eq!(answer.header("server"), Some("envoy"));
    assert!(answer.header("x-envoy-upstream-service-time").is_some());
    // Named away: then there is none, and one is made.
    let seen = client.ask("GET http://flaskapp:7777/head HTTP/1.1\r\nHost: flaskapp:7777\r\nConnection: x-request-id\r\nx-request-id: mine\r\n\r\n").await.text();
    assert!(seen.contains("x-request-id: ") && !seen.contains("mine"), "{seen}");
    // What a client says of a trace is not contradicted.
    for (said, b3, sampled) in
        [("x-b3-sampled: 1", 3, "x-b3-sampled: 1"), ("b3: 1", 1, "b3: 1"), ("x-b3-spanid: 7", 3, "x-b3-sampled: 0")]
    {
        let seen = client
            .ask(&format!("GET http://flaskapp:7777/head HTTP/1.1\r\nHost: flaskapp:7777\r\n{said}\r\n\r\n"))
            .await
            .text();
        let told = seen.lines().filter(|l| l.starts_with("b3: ") || l.starts_with("x-b3-")).count();
        assert!(told == b3 && seen.contains(sampled) && seen.contains(said), "{said}: {seen}");
    }
    // An answer's headers for this hop alone, and its length said twice.
    let answer = client.get("http://flaskapp:7777/hop").await;
    let head = answer.head.to_ascii_lowercase();
    assert!(
        !head.contains("x-hop") && head.contains("x-kept: 1\r\n") && head.matches("content-length: 2\r\n").count() == 1,
        "{head}"
    );
    let again = client.ask("GET http://flaskapp:7777/head HTTP/1.1\r\nHost: flaskapp:7777\r\nx-request-id: mine\r\nX-B3-TraceId: t\r\nx-b3-sampled: 1\r\n\r\n").await.text();
    assert!(
        again.contains("x-request-id: mine\r\n")
            && again.contains("X-B3-TraceId: t\r\n")
            && again.to_ascii_lowercase().matches("b3-").count() == 2,
        "{again}"
    );
    mesh.end().await;
}

#[tokio::test]
async fn bodies_of_every_kind_pass_both_ways() {
    let (_v1, _v2, input) = two_versions().await;
    let mesh = Mesh::start(input).await;
    let mut client = mesh.connect().await;
    let large = "x".repeat(300_000);
    let length = format!(
        "POST http://flaskapp:7777/body HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: {}\r\n\r\n{large}",
        large.len()
    );
    assert!(client.ask(&length).await.text().starts_with("300000:xxx"));
    let chunked = "POST http://flaskapp:7777/body HTTP/1.1\r\nHost: flaskapp:7777\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert!(client.ask(chunked).await.text().contains("hello"));
    let chunks = client.get("http://flaskapp:7777/chunks").await;
    assert_eq!(chunks.text(), "3\r\nabc\r\n2\r\nde\r\n0\r\nx-trailer: t\r\n\r\n");
    let head = client.ask("HEAD http://flaskapp:7777/ HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("2")));
    let mut client = mesh.connect().await;
    client
        .stream
        .write_all(
            b"POST http://flaskapp:7777/body HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        )
        .await
        .unwrap();
    assert_eq!(client.answer(false).await.unwrap().status, 100);
    assert_eq!(client.ask("hello").await.text(), "5:hello");
    let closing = client.get("http://flaskapp:7777/until-close").await;
    assert_eq!((closing.text().as_str(), closing.header("connection")), ("to the end", Some("close")));
    mesh.end().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_v1, _v2, input) = two_versions().await;
    let mesh = Mesh::start(MeshInput { virtual_services: vec![split(100, 0)], ..input }).await;
    let mut client = mesh.connect().await;
    let one = |path: &str| format!("GET http://flaskapp:7777/{path} HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n");
    client.stream.write_all([one("slow/30"), one("head"), one("")].concat().as_bytes()).await.unwrap();
    assert_eq!(client.answer(false).await.unwrap().text(), "v1");
    assert!(client.answer(false).await.unwrap().text().starts_with("GET /head"));
    assert_eq!(client.answer(false).await.unwrap().text(), "v1");
    mesh.end().await;
}

#[tokio::test]
async fn upgrades_and_connect_carry_bytes() {
    let (_v1, _v2, input) = two_versions().await;
    let mesh = Mesh::start(MeshInput { virtual_services: vec![split(100, 0)], ..input }).await;
    let mut client = mesh.connect().await;
    let answer = client
        .ask("GET http://flaskapp:7777/switch HTTP/1.1\r\nHost: flaskapp:7777\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert_eq!((answer.status, answer.header("upgrade")), (101, Some("echo")));
    client.stream.write_all(b"HTTP/1.1 999 x\r\ncontent-length: 4\r\n\r\necho").await.unwrap();
    assert_eq!(client.answer(false).await.unwrap().text(), "echo");

    let mut tunnel = mesh.connect().await;
    let answer = tunnel.ask("CONNECT flaskapp:7777 HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    let inside = tunnel.ask("GET /inside HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(inside.text().starts_with('v'));
    for (target, status) in [("example.com:443", 403), ("flaskapp:1", 503), ("flaskapp", 400)] {
        let answer = mesh.connect().await.ask(&format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{target}");
    }
    mesh.end().await;
}

#[tokio::test]
async fn nothing_is_smuggled() {
    let (v1, v2, input) = two_versions().await;
    let mesh = Mesh::start_with(input, |c| c.inbound_ports = vec![]).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n";
    for (name, head, status) in [
        (
            "CL and TE",
            "POST / HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "TE and CL",
            "POST / HTTP/1.1\r\nHost: flaskapp:7777\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("two CL", "POST / HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n", 400),
        (
            "twice the same CL",
            "POST / HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
            400,
        ),
        ("bare LF", "GET / HTTP/1.1\nHost: flaskapp:7777\n\n", 400),
        ("bare LF within", "GET / HTTP/1.1\r\nHost: flaskapp:7777\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("obs-fold", "GET / HTTP/1.1\r\nHost: flaskapp:7777\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n", 400),
        ("space before colon", "POST / HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length : 44\r\n\r\n", 400),
        ("odd TE", "POST / HTTP/1.1\r\nHost: flaskapp:7777\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
        (
            "Upgrade with body",
            "POST / HTTP/1.1\r\nHost: flaskapp:7777\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc",
            400,
        ),
        (
            "bad chunk",
            "POST / HTTP/1.1\r\nHost: flaskapp:7777\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
            400,
        ),
        ("NUL", "GET / HTTP/1.1\r\nHost: flaskapp:7777\r\nX: a\0b\r\n\r\n", 400),
        ("nonsense", "\x16\x03\x01 hello\r\n\r\n", 400),
    ] {
        let mut client = mesh.connect().await;
        let answer = client.ask(&format!("{head}{hidden}")).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"), "{name}");
        assert!(client.is_closed().await, "{name}");
    }
    assert_eq!(v1.count() + v2.count(), 0, "an app saw something");
    let mut client = mesh.connect().await;
    let large = format!("GET / HTTP/1.1\r\nHost: flaskapp:7777\r\nX: {}\r\n\r\n", "y".repeat(70_000));
    assert_eq!(client.ask(&large).await.status, 431);
    let many = format!("GET / HTTP/1.1\r\nHost: flaskapp:7777\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert_eq!(mesh.connect().await.ask(&many).await.status, 431);
    mesh.end().await;
}

#[tokio::test]
async fn routes_rewrite_redirect_fail_and_time_out() {
    let (_v1, _v2, input) = two_versions().await;
    let to = json!([{"destination": {"host": "flaskapp", "subset": "v2"}}]);
    let at = |prefix: &str| json!([{"uri": {"prefix": prefix}}]);
    let mesh = Mesh::start(routed(&input, json!({"hosts": ["flaskapp"], "http": [
        {"match": at("/re/"), "rewrite": {"uri": "/", "authority": "other.host"}, "route": to},
        {"match": at("/rx/"), "rewrite": {"uriRegexRewrite": {"match": "/rx/(.*)", "rewrite": "/\\1"}}, "route": to},
        {"match": at("/old"), "redirect": {"uri": "/new", "authority": "web", "redirectCode": 302}},
        {"match": at("/say"), "directResponse": {"status": 418, "body": {"string": "tea"}}},
        {"match": at("/abort"), "fault": {"abort": {"httpStatus": 555, "percentage": {"value": 100}}}, "route": to},
        {"match": at("/slow"), "timeout": "0.05s", "route": to},
        {"match": at("/late"), "fault": {"delay": {"fixedDelay": "0.05s", "percentage": {"value": 100}}}, "route": to},
        {"match": at("/v3"), "route": [{"destination": {"host": "flaskapp", "subset": "v3"}}]},
        {"match": at("/empty"), "route": [{"destination": {"host": "flaskapp", "subset": "none"}}]},
        {"match": at("/nonsense"), "route": to},
    ]}))).await;
    let mut client = mesh.connect().await;
    let rewritten = client.get("http://flaskapp:7777/re/head").await.text();
    assert!(rewritten.starts_with("GET /head HTTP/1.1\r\nhost: other.host\r\n"), "{rewritten}");
    assert!(client.get("http://flaskapp:7777/rx/head").await.text().starts_with("GET /head "));
    let moved = client.get("http://flaskapp:7777/old?q=1").await;
    assert_eq!((moved.status, moved.header("location")), (302, Some("http://web/new?q=1")));
    let said = client.get("http://flaskapp:7777/say").await;
    assert_eq!((said.status, said.text().as_str()), (418, "tea"));
    assert_eq!(client.get("http://flaskapp:7777/abort").await.status, 555);
    let late = std::time::Instant::now();
    assert_eq!(client.get("http://flaskapp:7777/late").await.text(), "v2");
    assert!(late.elapsed().as_millis() >= 50);
    for (path, status, text) in [
        ("slow/5000", 504, "upstream request timeout"),
        ("v3", 503, "does not exist"),
        ("nothing", 404, ""),
        ("nonsense", 502, "upstream protocol error"),
    ] {
        let answer = mesh.connect().await.get(&format!("http://flaskapp:7777/{path}")).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().contains(text), "{path}: {}", answer.text());
    }
    let mut empty = input.clone();
    empty.revision = 2;
    empty.endpoint_slices.clear();
    mesh.publish(empty).await;
    let answer = client.get("http://flaskapp:7777/").await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "no healthy upstream"));
    mesh.end().await;
}

#[tokio::test]
async fn retries_are_what_the_route_says() {
    let (v1, _v2, input) = two_versions().await;
    let with = |retries: Value| {
        routed(
            &input,
            json!({"hosts": ["flaskapp"], "http": [{"retries": retries, "route": [{"destination": {"host": "flaskapp", "subset": "v1"}}]}]}),
        )
    };
    let mesh = Mesh::start(with(json!({"attempts": 3, "retryOn": "gateway-error"}))).await;
    let mut client = mesh.connect().await;
    assert_eq!(client.get("http://flaskapp:7777/status/503").await.status, 503);
    assert_eq!(v1.count(), 4);
    assert_eq!(client.get("http://flaskapp:7777/status/500").await.status, 500);
    assert_eq!(v1.count(), 5);
    mesh.publish(MeshInput { revision: 2, ..with(json!({"attempts": 0})) }).await;
    assert_eq!(client.get("http://flaskapp:7777/status/503").await.status, 503);
    assert_eq!(v1.count(), 6);
    mesh.end().await;
}

#[tokio::test]
async fn the_pages_tell_routes_readiness_and_metrics() {
    let (_v1, _v2, input) = two_versions().await;
    let mesh = Mesh::start(MeshInput { virtual_services: vec![split(80, 20)], revision: 41, ..input }).await;
    let dump = mesh.dump().await;
    assert_eq!(client_routes(&dump, "flaskapp"), Some(vec![("v1".into(), 80), ("v2".into(), 20)]));
    assert_eq!(client_routes(&dump, "flaskapp.istio-app.svc.cluster.local:7777"), client_routes(&dump, "flaskapp"));
    assert_eq!(mesh::client_revision(&dump), Some(41));
    let part = mesh.page(mesh.ports.admin, "/config_dump?resource=dynamic_route_configs").await.text();
    assert_eq!(client_routes(&serde_json::from_str(&part).unwrap(), "flaskapp"), client_routes(&dump, "flaskapp"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&dump["configs"][1]).unwrap());

    let mut client = mesh.connect().await;
    for _ in 0..20 {
        client.get("http://flaskapp:7777/").await;
    }
    client.get("http://flaskapp:7777/status/500").await;
    client.get("http://example.com/").await;
    let metrics = mesh.page(mesh.ports.stats, "/stats/prometheus").await.text();
    let sum = |labels: &[&str]| -> u64 {
        metrics
            .lines()
            .filter(|l| l.starts_with("istio_requests_total{") && labels.iter().all(|x| l.contains(x)))
            .map(|l| l.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    assert_eq!(
        sum(&[
            "reporter=\"source\"",
            "source_workload=\"simple-flask-app-client\"",
            "source_app=\"sleep\"",
            "destination_service=\"flaskapp.istio-app.svc.cluster.local\"",
            "destination_service_name=\"flaskapp\"",
            "destination_app=\"flaskapp\"",
            "destination_workload_namespace=\"istio-app\"",
            "response_code=\"200\"",
            "response_flags=\"-\"",
            "request_protocol=\"http\"",
            "connection_security_policy=\"unknown\""
        ]),
        20
    );
    assert_eq!(
        sum(&["destination_workload=\"flaskapp-v1\"", "destination_version=\"v1\""])
            + sum(&["destination_workload=\"flaskapp-v2\"", "destination_version=\"v2\""]),
        21
    );
    assert_eq!(sum(&["response_code=\"500\""]), 1);
    assert_eq!(sum(&["response_code=\"403\"", "destination_service=\"BlackHoleCluster\""]), 1);
    assert!(metrics.contains("istio_request_duration_milliseconds_bucket{") && metrics.contains("le=\"+Inf\""));
    for (port, path, part) in [
        (mesh.ports.health, "/healthz/ready", "LIVE"),
        (mesh.ports.admin, "/ready", "LIVE"),
        (mesh.ports.admin, "/server_info", "\"state\":\"LIVE\""),
        (mesh.ports.admin, "/clusters", "outbound|7777|v1|flaskapp.istio-app.svc.cluster.local::"),
        (mesh.ports.admin, "/stats", "control_plane.revision: 41"),
    ] {
        let page = mesh.page(port, path).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains(part), "{path}: {}", page.text());
    }
    mesh.end().await;
}

#[tokio::test]
async fn inbound_requests_reach_the_app_and_are_counted() {
    let (v1, _v2, input) = two_versions().await;
    let port = v1.address.port();
    let server = Mesh::start_with(input.clone(), |c| {
        c.inbound_ports = vec![port];
        (c.workload, c.app) = ("flaskapp-v1".into(), "flaskapp".into());
    })
    .await;
    let inbound = SocketAddr::new(server.pod_ip, port);
    let client_mesh = Mesh::start(common::input(1, &[("v1", inbound)])).await;
    let mut client = client_mesh.connect().await;
    let seen = client.get("http://flaskapp:7777/head").await;
    assert!(!seen.text().contains("peer-metadata"), "{}", seen.text());
    assert_eq!(seen.header("server"), Some("envoy"));
    // A caller without a sidecar.
    assert_eq!(Client::connect(inbound).await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "v1");
    let metrics = server.page(server.ports.stats, "/stats/prometheus").await.text();
    let line = |part: &str| {
        metrics.lines().any(|l| {
            l.starts_with("istio_requests_total{reporter=\"destination\"") && l.contains(part) && l.ends_with(" 1")
        })
    };
    assert!(line("source_workload=\"simple-flask-app-client\""), "{metrics}");
    assert!(
        line("source_workload=\"unknown\"") && metrics.contains("connection_security_policy=\"none\""),
        "{metrics}"
    );
    client_mesh.end().await;
    server.end().await;
}

#[tokio::test]
async fn copies_go_to_the_mirror_and_their_answers_nowhere() {
    let (v1, v2, input) = two_versions().await;
    let mesh = Mesh::start(routed(&input, json!({"hosts": ["flaskapp"], "http": [{
        "mirror": {"host": "flaskapp", "subset": "v2"}, "route": [{"destination": {"host": "flaskapp", "subset": "v1"}}]}]}))).await;
    let mut client = mesh.connect().await;
    for _ in 0..10 {
        assert_eq!(
            client
                .ask("POST http://flaskapp:7777/body HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 2\r\n\r\nhi")
                .await
                .text(),
            "2:hi"
        );
    }
    let deadline = std::time::Instant::now() + common::harness::PATIENCE;
    // A body that comes after its head is copied, too.
    client
        .stream
        .write_all(b"POST http://flaskapp:7777/body HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 40000\r\n\r\n")
        .await
        .unwrap();
    assert!(client.ask(&"x".repeat(40_000)).await.text().starts_with("40000:xx"));
    while v2.count() < 11 && std::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!((v1.count(), v2.count()), (11, 11));
    mesh.end().await;
}

#[tokio::test]
async fn slow_heads_are_closed() {
    let (_v1, _v2, input) = two_versions().await;
    let mesh = Mesh::start_with(input, |c| c.head_time = std::time::Duration::from_secs(3)).await;
    let mut silent = mesh.connect().await;
    let mut slow = mesh.connect().await;
    // Well within the time for a head.
    slow.stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    assert_eq!(slow.answer(false).await.unwrap().status, 408);
    assert!(slow.is_closed().await && silent.is_closed().await);
    mesh.end().await;
}

#[tokio::test]
async fn without_a_table_it_is_not_ready_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let ip = common::harness::own_ip();
    let mut config = mesh::SidecarConfig::new("istio-app", "client-0", ip, ip, folder.path().join("nobody.sock"));
    config.ports = mesh::Ports { admin: 0, outbound: 0, stats: 0, health: 0 };
    let sidecar = mesh::Sidecar::bind(config).await.unwrap();
    let (ports, stop) = (sidecar.ports(), tokio_util::sync::CancellationToken::new());
    let mut tasks = tokio::task::JoinSet::new();
    let token = stop.clone();
    tasks.spawn(async move { sidecar.run(token).await.unwrap() });
    let ready = Client::connect(SocketAddr::new(ip, ports.health))
        .await
        .ask("GET /healthz/ready HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert_eq!(ready.status, 503);
    let answer = Client::connect(SocketAddr::new(ip, ports.outbound)).await.get("http://flaskapp:7777/").await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "no routes from the control plane yet\n"));
    stop.cancel();
    tasks.join_all().await;
}

#[tokio::test]
async fn pages_are_not_for_foreign_names() {
    let (_v1, _v2, input) = two_versions().await;
    let mesh = Mesh::start(input).await;
    for (host, status) in
        [("127.0.0.1:15000", 200), ("localhost:15000", 200), ("[::1]:1", 200), ("evil.example:15000", 403)]
    {
        let mut client = Client::connect(SocketAddr::new(mesh.pod_ip, mesh.ports.admin)).await;
        assert_eq!(
            client.ask(&format!("GET /config_dump HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.status,
            status,
            "{host}"
        );
    }
    mesh.end().await;
}

#[tokio::test]
async fn a_port_of_the_app_is_taken_over_and_left_while_the_sidecar_runs() {
    use common::harness::{PATIENCE, own_ip};
    use mesh::{Ports, Reach, Sidecar, SidecarConfig};
    let (pod, app_ip) = (own_ip(), own_ip());
    let app = App::start_at("v1", SocketAddr::new(app_ip, 0)).await;
    let (port, folder) = (app.address.port(), tempfile::tempdir().unwrap());
    let mut config = SidecarConfig::new("istio-app", "app-0", pod, app_ip, folder.path().join("mesh.sock"));
    config.ports = Ports { admin: 0, outbound: 0, stats: 0, health: 0 };
    (config.linger, config.drain) = (std::time::Duration::ZERO, std::time::Duration::from_secs(1));
    // As the node says it: whether something listens there.
    config.reach = Some(Reach::new(|to| async move { tokio::net::TcpStream::connect(to).await.is_ok() }));
    let sidecar = Sidecar::bind(config).await.unwrap();
    let (ports, own, stop) = (sidecar.inbound_ports(), sidecar.ports(), tokio_util::sync::CancellationToken::new());
    let (mut tasks, ends) = (tokio::task::JoinSet::new(), stop.clone());
    tasks.spawn(async move { sidecar.run(ends).await.unwrap() });

    let at = SocketAddr::new(pod, port);
    let refused = async || tokio::net::TcpStream::connect(at).await.is_err();
    assert!(refused().await, "it listens before it is told to");
    assert!(!ports.open(own.admin).await, "a port of its own");
    assert!(!ports.open(1).await, "nothing listens behind it");
    for _ in 0..2 {
        assert!(ports.open(port).await);
        let get = format!("GET / HTTP/1.1\r\nHost: {at}\r\n\r\n");
        assert_eq!(Client::connect(at).await.ask(&get).await.text(), "v1");
        // A second order changes nothing.
        assert!(ports.open(port).await);
        ports.close(port).await;
        ports.close(port).await;
        let left = async { while !refused().await {} };
        tokio::time::timeout(PATIENCE, left).await.expect("it still listens");
    }
    app.kill().await;
    assert!(!ports.open(port).await, "the app has gone");
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    assert!(!ports.open(port).await, "the sidecar has ended");
}
