//! HTTP/2 with prior knowledge into a sidecar.

mod common;

use common::h2::{flaky_app, grpc, http2, http2_app, raw_app, telling_app};
use common::harness::{App, LOCAL, Mesh, PATIENCE, Relay, own_ip};
use common::{input, route, split};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh::MeshInput;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How often an answer of this kind was counted.
fn counted(metrics: &str, parts: &[&str]) -> u64 {
    let lines =
        metrics.lines().filter(|l| l.starts_with("istio_requests_total{") && parts.iter().all(|p| l.contains(p)));
    lines.map(|l| l.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn a_port_of_http2_is_spoken_to_in_http2_from_sidecar_to_sidecar_and_to_the_app() {
    let mut tasks = JoinSet::new();
    let app = http2_app(&mut tasks).await;
    let server = Mesh::start_with(MeshInput { revision: 1, ..MeshInput::default() }, |c| {
        c.inbound_ports = vec![app.port()];
        (c.workload, c.app) = ("grpc-v1".into(), "grpc".into());
    })
    .await;
    let mesh = Mesh::start(grpc(1, SocketAddr::new(server.pod_ip, app.port()))).await;

    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    let request =
        http::Request::post("http://grpc:50051/hello?a=b").header("te", "trailers").body(Full::from("hi")).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    assert!(response.headers().contains_key("x-envoy-upstream-service-time"));
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    let text = String::from_utf8_lossy(&collected.to_bytes()).into_owned();
    for has in [
        "HTTP/2.0 POST http://grpc:50051/hello?a=b",
        "\nx-request-id: ",
        "\nx-b3-traceid: ",
        "\nx-forwarded-proto: http",
        "\nbody hi",
    ] {
        assert!(text.contains(has), "{has:?} is missing in {text}");
    }
    assert!(!text.contains("peer-metadata"), "{text}");

    // A client of HTTP/1.1 gets to the same app.
    let answer = mesh
        .connect()
        .await
        .ask("POST http://grpc:50051/one HTTP/1.1\r\nHost: grpc:50051\r\nContent-Length: 2\r\n\r\nyo")
        .await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.text().contains("HTTP/2.0 POST http://grpc:50051/one") && answer.text().contains("body yo"),
        "{}",
        answer.text()
    );

    for (name, page) in [
        ("source", mesh.page(mesh.ports.stats, "/stats/prometheus").await),
        ("destination", server.page(server.ports.stats, "/stats/prometheus").await),
    ] {
        assert_eq!(
            counted(&page.text(), &[&format!("reporter=\"{name}\""), "response_code=\"200\""]),
            2,
            "{}",
            page.text()
        );
    }
    drop(sender);
    mesh.end().await;
    server.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_stream_to_an_app_of_http1_has_retries_mirrors_and_faults_like_any_request() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let to = json!([{"destination": {"host": "flaskapp", "subset": "v1"}}]);
    let rule = |prefix: &str, more: serde_json::Value| {
        let mut rule = json!({"match": [{"uri": {"prefix": prefix}}], "route": to});
        more.as_object().unwrap().iter().for_each(|(k, v)| rule[k] = v.clone());
        rule
    };
    let objects = input(1, &[("v1", v1.address), ("v2", v2.address)]);
    let mesh = Mesh::start(MeshInput {
        virtual_services: vec![route(json!({"hosts": ["flaskapp"], "http": [
            rule("/status", json!({"retries": {"attempts": 2, "retryOn": "gateway-error"}})),
            rule("/copied", json!({"mirror": {"host": "flaskapp", "subset": "v2"}})),
            rule("/abort", json!({"fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}})),
            rule("/slow", json!({"timeout": "0.05s"})),
            rule("/", json!({})),
        ]}))],
        ..objects
    })
    .await;
    let mut tasks = JoinSet::new();
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    for (path, status) in [("/status/503", 503), ("/copied", 200), ("/abort", 418), ("/slow/5000", 504), ("/head", 200)]
    {
        let request = http::Request::get(format!("http://flaskapp:7777{path}"))
            .header("cookie", "a=b")
            .header("cookie", "c=d")
            .body(Full::default())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["server"], "envoy", "{path}");
        let text = String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes()).into_owned();
        assert!(path != "/head" || text.contains("cookie: a=b; c=d\r\n"), "{text}");
    }
    // Three tries, the copied one, the slow one, the last one; and the copy.
    let deadline = std::time::Instant::now() + PATIENCE;
    while v2.count() < 1 && std::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!((v1.count(), v2.count()), (6, 1));
    let metrics = mesh.page(mesh.ports.stats, "/stats/prometheus").await.text();
    assert_eq!(counted(&metrics, &["reporter=\"source\""]), 5, "{metrics}");
    drop(sender);
    tasks.join_all().await;
    mesh.end().await;
}

/// Asks this of the upstream, and expects 200.
async fn ask(sender: &common::h2::Sender, url: &str, body: &str) -> String {
    let request = http::Request::post(url).body(Full::from(body.to_owned())).unwrap();
    let mut sender = sender.clone();
    let asking = async {
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        (head.status, String::from_utf8_lossy(&body.collect().await.unwrap().to_bytes()).into_owned())
    };
    let (status, text) = tokio::time::timeout(PATIENCE, asking).await.expect("no answer");
    assert_eq!(status, 200, "{text}");
    text
}

#[tokio::test]
async fn streams_share_one_connection_to_an_upstream_of_http2() {
    let mut tasks = JoinSet::new();
    let relay = Relay::start(http2_app(&mut tasks).await).await;
    let mesh = Mesh::start(grpc(1, relay.address)).await;
    let senders = [http2(mesh.outbound(), &mut tasks).await, http2(mesh.outbound(), &mut tasks).await];
    // At once, from two clients, and with bodies that are larger than a window.
    let body = "x".repeat(200_000);
    let mut asking = JoinSet::new();
    for n in 0..60 {
        let (sender, body) = (senders[n % 2].clone(), body.clone());
        asking.spawn(async move { ask(&sender, "http://grpc:50051/", &body).await.ends_with(&body) });
    }
    assert!(asking.join_all().await.into_iter().all(|whole| whole));
    // And one after the other, HTTP/1.1 too.
    for _ in 0..3 {
        ask(&senders[0], "http://grpc:50051/", "").await;
        assert_eq!(mesh.connect().await.get("http://grpc:50051/").await.status, 200);
    }
    assert_eq!(relay.count(), 1);
    // One that the other side closed is not used again.
    mesh.keeps(1).await;
    relay.cut.notify_waiters();
    mesh.keeps(0).await;
    ask(&senders[0], "http://grpc:50051/", "").await;
    assert_eq!(relay.count(), 2);
    drop(senders);
    mesh.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_its_reader_forgets_holds_no_other_up() {
    let mut tasks = JoinSet::new();
    let relay = Relay::start(http2_app(&mut tasks).await).await;
    // However busy the machine is, the reader is not given up.
    let mesh = Mesh::start_with(grpc(1, relay.address), |c| c.write_time = 2 * PATIENCE).await;
    let reader = http2(mesh.outbound(), &mut tasks).await;
    // More than hyper's client keeps of a connection's answers, so that most of it waits in the sidecar.
    let body = "x".repeat(1 << 20);
    let mut unread = Vec::new();
    for _ in 0..20 {
        let request = http::Request::post("http://grpc:50051/").body(Full::from(body.clone())).unwrap();
        unread.push(reader.clone().send_request(request).await.unwrap());
    }
    let other = http2(mesh.outbound(), &mut tasks).await;
    assert!(ask(&other, "http://grpc:50051/", &body).await.ends_with(&body));
    assert_eq!(relay.count(), 1);
    drop((unread, reader, other));
    mesh.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn connections_to_an_app_of_http1_are_kept_by_streams_too() {
    let (mut tasks, app) = (JoinSet::new(), App::start("v1").await);
    let relay = Relay::start(app.address).await;
    let mesh = Mesh::start(input(1, &[("v1", relay.address)])).await;
    let sender = http2(mesh.outbound(), &mut tasks).await;
    for path in ["/", "/chunks", "/body", "/status/404"] {
        let request = http::Request::post(format!("http://flaskapp:7777{path}")).body(Full::from("hello")).unwrap();
        let response = sender.clone().send_request(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        mesh.keeps(1).await;
        // A request of HTTP/1.1 uses the same one.
        assert_eq!(mesh.connect().await.get("http://flaskapp:7777/").await.status, 200);
        mesh.keeps(1).await;
    }
    assert_eq!(relay.count(), 1);
    // Until the app ends it: with an answer that says so, or one that ends with it.
    ask(&sender, "http://flaskapp:7777/until-close", "").await;
    ask(&sender, "http://flaskapp:7777/", "").await;
    assert_eq!(relay.count(), 2);
    drop(sender);
    mesh.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_copy_goes_to_a_port_of_either_version_whatever_the_client_speaks() {
    let (mut tasks, old_app) = (JoinSet::new(), App::start("v1").await);
    let (new_app, mut told) = telling_app(&mut tasks).await;
    let (mut objects, other) = (grpc(1, new_app), input(1, &[("v1", old_app.address)]));
    objects.services.extend(other.services);
    objects.endpoint_slices.extend(other.endpoint_slices);
    let copied = |host: &str, to: &str| {
        let http = json!([{"route": [{"destination": {"host": host}}], "mirror": {"host": to}}]);
        Arc::new(json!({"metadata": {"name": host, "namespace": "istio-app"}, "spec": {"hosts": [host], "http": http}}))
    };
    objects.virtual_services = vec![copied("flaskapp", "grpc"), copied("grpc", "flaskapp")];
    let mesh = Mesh::start(objects).await;
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    let mut asked = 0;
    for (url, original) in [("http://flaskapp:7777/body", false), ("http://grpc:50051/body", true)] {
        for body in ["", "hello"] {
            let request = http::Request::post(url).body(Full::from(body)).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.unwrap();
            let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
            let chunk = if body.is_empty() { "" } else { "5\r\nhello\r\n" };
            let chunks = format!("Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
            let host = url.split('/').nth(2).unwrap();
            for rest in [length, chunks] {
                let answer = mesh.connect().await.ask(&format!("POST {url} HTTP/1.1\r\nHost: {host}\r\n{rest}")).await;
                assert_eq!(answer.status, 200);
            }
            // Both apps get each of the three.
            asked += 3;
            for _ in 0..3 {
                let text = tokio::time::timeout(PATIENCE, told.recv()).await.expect("no copy").unwrap();
                let first = text.lines().next().unwrap();
                let authority = if original { "grpc:50051" } else { "flaskapp-shadow:7777" };
                assert_eq!(first, format!("HTTP/2.0 POST http://{authority}/body"));
                assert!(text.ends_with(&format!("\nbody {body}")), "{text}");
                assert_eq!(text.contains("\nx-envoy-internal: true"), !original, "{text}");
            }
            let arrived = async {
                while old_app.count() < asked {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, arrived).await.expect("no copy");
        }
    }
    assert_eq!((old_app.count(), told.is_empty()), (asked, true));
    drop(sender);
    mesh.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn streams_are_routed_like_requests() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let objects = input(1, &[("v1", v1.address), ("v2", v2.address)]);
    let mesh = Mesh::start(MeshInput { virtual_services: vec![split(0, 100)], ..objects }).await;
    let stream = TcpStream::connect(mesh.outbound()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<bytes::Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    for (url, status, body) in [
        ("http://flaskapp:7777/env/version", 200, "v2"),
        ("http://flaskapp:7777/chunks", 200, "abcde"),
        (
            "http://example.com/",
            403,
            "example.com is not in the service registry: this proxy reaches Services of the mesh only\n",
        ),
    ] {
        let request = http::Request::get(url).body(Full::default()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{url}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
    }
    let request = http::Request::post("http://flaskapp:7777/body").body(Full::from("hello")).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "5:hello");
    let metrics = mesh.page(mesh.ports.stats, "/stats/prometheus").await.text();
    assert!(metrics.contains("destination_workload=\"flaskapp-v2\""));
    drop(sender);
    tasks.join_all().await;
    mesh.end().await;
}

#[tokio::test]
async fn a_route_to_a_port_of_http2_changes_what_it_may_and_keeps_its_time() {
    let mut tasks = JoinSet::new();
    let app = http2_app(&mut tasks).await;
    let silent = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let spec = |host: &str| {
        json!({"hosts": [host], "http": [{
        "headers": {"request": {"set": {":authority": "set.example", "x-set": "1", "content-length": "9", "transfer-encoding": "chunked"}, "remove": ["content-length"]}},
        "timeout": "0.2s", "route": [{"destination": {"host": host}}]}]})
    };
    let mut objects = grpc(1, app);
    objects.virtual_services = vec![route(spec("grpc"))];
    let mesh = Mesh::start(objects).await;
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    let request = http::Request::post("http://grpc:50051/a")
        .header("x-envoy-max-retries", "9")
        .header("b3", "1")
        .body(Full::from("hi"))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let text = String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes()).into_owned();
    assert!(
        text.starts_with("HTTP/2.0 POST http://set.example/a\n")
            && text.contains("\nx-set: 1")
            && text.contains("\ncontent-length: 2\n")
            && text.ends_with("body hi"),
        "{text}"
    );
    assert!(!text.contains("max-retries") && !text.contains("x-b3-") && !text.contains("transfer-encoding"), "{text}");
    let id = text.lines().find_map(|l| l.strip_prefix("x-request-id: ")).unwrap();
    assert!(id.len() == 36 && id.as_bytes()[14] == b'4', "{id}");

    // Through HTTP/1.1 what `Connection` names stays behind.
    let answer = mesh
        .connect()
        .await
        .ask("GET http://grpc:50051/one HTTP/1.1\r\nHost: grpc:50051\r\nConnection: x-hop\r\nx-hop: 1\r\n\r\n")
        .await;
    assert!(answer.status == 200 && !answer.text().contains("x-hop"), "{}", answer.text());

    // Nobody answers here; that counts against the endpoint and frees its place.
    let mut objects = grpc(2, silent.local_addr().unwrap());
    objects.virtual_services = vec![route(spec("grpc"))];
    objects.destination_rules = vec![Arc::new(
        json!({"metadata": {"name": "grpc", "namespace": "istio-app"}, "spec": {"host": "grpc", "trafficPolicy": {
        "outlierDetection": {"consecutive5xxErrors": 1, "interval": "60s", "maxEjectionPercent": 100}}}}),
    )];
    mesh.publish(objects).await;
    for status in [504, 503] {
        let response =
            sender.send_request(http::Request::get("http://grpc:50051/").body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status);
    }
    assert!(mesh.page(mesh.ports.admin, "/clusters").await.text().contains("::rq_active::0"));
    drop(sender);
    mesh.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn connect_carries_bytes_over_http2_too() {
    let app = App::start("v1").await;
    let mesh = Mesh::start(input(1, &[("v1", app.address)])).await;
    let mut tasks = JoinSet::new();
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    for (authority, status) in [("example.com:80", 403), ("flaskapp:9", 503)] {
        let response =
            sender.send_request(http::Request::connect(authority).body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{authority}");
    }
    let response =
        sender.send_request(http::Request::connect("flaskapp:7777").body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut tunnel = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    tunnel.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut text = vec![0; 15];
    tokio::time::timeout(PATIENCE, tunnel.read_exact(&mut text)).await.unwrap().unwrap();
    assert_eq!(text, b"HTTP/1.1 200 OK");
    drop((tunnel, sender));
    mesh.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_stream_is_tried_again_as_its_route_says() {
    let mut tasks = JoinSet::new();
    let app = flaky_app(&mut tasks).await;
    let rule = |prefix: &str, retries: serde_json::Value| json!({"match": [{"uri": {"prefix": prefix}}], "retries": retries, "route": [{"destination": {"host": "grpc"}}]});
    let spec = json!({"hosts": ["grpc"], "http": [
        rule("/503", json!({"attempts": 2, "retryOn": "gateway-error"})),
        rule("/500", json!({"attempts": 2, "retryOn": "5xx"})),
        rule("/418", json!({"attempts": 2, "retryOn": "retriable-status-codes,418"})),
        rule("/reset", json!({"attempts": 2, "retryOn": "reset"})),
        rule("/slow", json!({"attempts": 2, "perTryTimeout": "0.1s", "retryOn": "5xx"})),
        rule("/once", json!({"attempts": 0})),
        {"route": [{"destination": {"host": "grpc"}}]},
    ]});
    // One place: a try that did not give its own back could never be followed by another.
    let one_place = json!({"metadata": {"name": "grpc", "namespace": "istio-app"}, "spec": {"host": "grpc", "trafficPolicy": {
        "connectionPool": {"tcp": {"maxConnections": 1}, "http": {"http2MaxRequests": 1}}}}});
    let mesh = Mesh::start(MeshInput {
        virtual_services: vec![route(spec)],
        destination_rules: vec![Arc::new(one_place)],
        ..grpc(1, app)
    })
    .await;
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    let reset = "upstream connect error or disconnect/reset before headers. reset reason: remote reset";
    let retried_reset = &reset.replace("reset reason:", "retried and the latest reset reason:");
    for (path, body, status, answer) in [
        ("/503/2", 5, 200, "try 3 body 5"),
        ("/503/3", 5, 503, "try 3 body 5"),
        ("/500/1", 0, 200, "try 2 body 0"),
        ("/418/1", 5, 200, "try 2 body 5"),
        ("/404/1", 5, 404, "try 1 body 5"),
        ("/reset/2", 5, 200, "try 3 body 5"),
        ("/reset/3", 5, 503, retried_reset),
        ("/slow/2", 5, 200, "try 3 body 5"),
        ("/slow/3", 5, 504, "upstream request timeout"),
        ("/once/503/1", 5, 503, "try 1 body 5"),
        ("/once/reset/1", 5, 503, reset),
        // Istio's default, which is about gRPC.
        ("/grpc-14/1", 5, 200, "try 2 body 5"),
        ("/grpc-2/1", 5, 200, ""),
        // Kept as far as a request of HTTP/1.1.
        ("/503/1", 60_000, 200, "try 2 body 60000"),
        ("/503/1", 70_000, 503, "try 1 body 70000"),
    ] {
        let request =
            || http::Request::post(format!("http://grpc:50051{path}")).body(Full::from(vec![b'x'; body])).unwrap();
        let response = tokio::time::timeout(PATIENCE, sender.send_request(request())).await.unwrap().unwrap();
        assert_eq!(response.status(), status, "{path}");
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(String::from_utf8_lossy(&text), answer, "{path}");
        // The same from a client of HTTP/1.1.
        let asked = format!(
            "POST http://grpc:50051{path} HTTP/1.1\r\nHost: grpc:50051\r\nContent-Length: {body}\r\n\r\n{}",
            "x".repeat(body)
        );
        let old = mesh.connect().await.ask(&asked).await;
        assert_eq!((old.status, old.text().as_str()), (status, answer), "{path}");
    }
    let metrics = mesh.page(mesh.ports.stats, "/stats/prometheus").await.text();
    assert_eq!(counted(&metrics, &["reporter=\"source\""]), 30, "{metrics}");
    assert!(mesh.page(mesh.ports.admin, "/clusters").await.text().contains("::rq_active::0"));
    drop(sender);
    mesh.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_stream_goes_elsewhere_where_nobody_listens() {
    let mut tasks = JoinSet::new();
    let app = flaky_app(&mut tasks).await;
    let mut objects = grpc(1, app);
    // Nobody listens at the first address, and behind the second one's sidecar.
    let behind = Mesh::start_with(MeshInput { revision: 1, ..MeshInput::default() }, |c| {
        (c.inbound_ports, c.app_ip) = (vec![app.port()], own_ip())
    })
    .await;
    let addresses = [own_ip(), behind.pod_ip, app.ip()];
    Arc::make_mut(&mut objects.endpoint_slices[0])["endpoints"] =
        addresses.iter().map(|a| json!({"addresses": [a.to_string()]})).collect();
    let mesh = Mesh::start(objects).await;
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    let mut tries = [0; 3];
    for n in 0..60 {
        let request = http::Request::post("http://grpc:50051/").body(Full::from("hello")).unwrap();
        let text = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        match &text[..] {
            b"try 1 body 5" => tries[0] += 1,
            b"try 2 body 5" => tries[1] += 1,
            b"try 3 body 5" => tries[2] += 1,
            other => panic!("{n}: {}", String::from_utf8_lossy(other)),
        }
    }
    assert!(tries.iter().all(|n| *n > 0), "{tries:?}");
    drop(sender);
    mesh.end().await;
    behind.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_refused_stream_is_tried_again_as_istio_does_by_default() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let (at, mut ends) = raw_app(&mut tasks, &[(3, 0, &[0, 0, 0, 7])]).await;
    let file = folder.path().join("log");
    let once = route(
        json!({"hosts": ["grpc"], "http": [{"match": [{"uri": {"prefix": "/once"}}], "retries": {"attempts": 0}, "route": [{"destination": {"host": "grpc"}}]},
        {"route": [{"destination": {"host": "grpc"}}]}]}),
    );
    let mesh = Mesh::start_with(MeshInput { virtual_services: vec![once], ..grpc(1, at) }, |c| {
        (c.access_log, c.access_log_file) = (true, Some(file.clone()))
    })
    .await;
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    for (path, tries) in [("/once", 1), ("/", 3)] {
        let request = http::Request::post(format!("http://grpc:50051{path}")).body(Full::from("hello")).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 503);
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert!(text.ends_with(b" reset reason: remote refused stream reset"), "{}", String::from_utf8_lossy(&text));
        for n in 0..tries {
            tokio::time::timeout(PATIENCE, ends.recv())
                .await
                .unwrap_or_else(|_| panic!("{path} was tried {n} times"))
                .unwrap();
        }
        assert!(ends.is_empty(), "{path}");
    }
    drop(sender);
    mesh.end().await;
    let log = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        log.matches(" 503 UR upstream_reset_before_response_started{remote_refused_stream_reset} ").count(),
        2,
        "{log}"
    );
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_the_upstream_never_looked_at_goes_elsewhere() {
    let mut tasks = JoinSet::new();
    let app = http2_app(&mut tasks).await;
    // GOAWAY that names no stream as seen, without an error.
    let (leaving, mut ends) = raw_app(&mut tasks, &[(7, 0, &[0; 8])]).await;
    let (mut objects, other) = (grpc(1, app), grpc(1, leaving));
    objects.endpoint_slices.extend(other.endpoint_slices.into_iter().map(|mut slice| {
        Arc::make_mut(&mut slice)["metadata"]["name"] = "grpc-1".into();
        slice
    }));
    let mesh = Mesh::start(objects).await;
    let sender = http2(mesh.outbound(), &mut tasks).await;
    for _ in 0..40 {
        assert!(ask(&sender, "http://grpc:50051/", "").await.ends_with("\nbody "));
    }
    tokio::time::timeout(PATIENCE, ends.recv()).await.expect("it was never tried").unwrap();
    drop(sender);
    mesh.end().await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_stream_given_up_on_its_way_to_an_app_of_http1_is_counted_once() {
    let app = App::start("v1").await;
    let mesh = Mesh::start(input(1, &[("v1", app.address)])).await;
    let mut tasks = JoinSet::new();
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    let arrived = async {
        while app.count() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = sender.send_request(http::Request::get("http://flaskapp:7777/slow/60000").body(Full::default()).unwrap()) => panic!("answered"),
        arrived = tokio::time::timeout(PATIENCE, arrived) => arrived.unwrap(),
    }
    let over = async { while !mesh.page(mesh.ports.admin, "/clusters").await.text().contains("::rq_active::0") {} };
    tokio::time::timeout(PATIENCE, over).await.expect("the request goes on");
    drop(sender);
    tasks.join_all().await;
    let metrics = mesh.page(mesh.ports.stats, "/stats/prometheus").await.text();
    assert_eq!(counted(&metrics, &["reporter=\"source\""]), 1, "{metrics}");
    mesh.end().await;
}
