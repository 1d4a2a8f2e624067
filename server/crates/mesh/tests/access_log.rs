//! The access log from end to end: Istio's default format, and a reader that never reads.

mod common;

use common::h2::{RawFrame, grpc, http2, http2_app, raw_app, until_reset};
use common::harness::{App, Client, LOCAL, Mesh, PATIENCE};
use common::{input, route};
use http_body_util::{BodyExt, Full};
use mesh::MeshInput;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A line's parts, quoted ones without their quotes.
fn parts(line: &str) -> Vec<String> {
    let (mut all, mut part, mut quoted, mut chars) = (Vec::new(), String::new(), false, line.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => part.extend([c, chars.next().unwrap()]),
            '"' => quoted = !quoted,
            ' ' if !quoted => all.push(std::mem::take(&mut part)),
            _ => part.push(c),
        }
    }
    all.push(part);
    all
}

#[tokio::test]
async fn every_request_has_its_line_in_istios_default_format() {
    let (app, folder) = (App::start("v1").await, tempfile::tempdir().unwrap());
    let file = folder.path().join("log");
    let spec = json!({"hosts": ["flaskapp"], "http": [
        {"name": "slow", "match": [{"uri": {"prefix": "/slow"}}], "timeout": "0.05s", "route": [{"destination": {"host": "flaskapp"}}]},
        {"match": [{"uri": {"prefix": "/re"}}], "rewrite": {"uri": "/body", "authority": "other:1"}, "route": [{"destination": {"host": "flaskapp", "subset": "v1"}}]},
        {"name": "stop", "match": [{"uri": {"prefix": "/stop"}}], "directResponse": {"status": 418, "body": {"string": "tea"}}},
        {"name": "rest", "match": [{"uri": {"prefix": "/b"}}], "route": [{"destination": {"host": "flaskapp"}}]}]});
    let port = app.address.port();
    let mesh =
        Mesh::start_with(MeshInput { virtual_services: vec![route(spec)], ..input(1, &[("v1", app.address)]) }, |c| {
            (c.access_log, c.access_log_file) = (true, Some(file.clone()));
            (c.app_ip, c.inbound_ports) = (LOCAL, vec![port]);
        })
        .await;
    let cluster = |subset: &str| format!("outbound|7777|{subset}|flaskapp.istio-app.svc.cluster.local");
    let up = app.address.to_string();
    let inside = format!("inbound|{port}||");
    let mut client = mesh.connect().await;
    let asked = [
        (
            "POST http://flaskapp:7777/body?a=b HTTP/1.1\r\nHost: flaskapp:7777\r\nUser-Agent: curl/8\r\nX-Forwarded-For: 10.1.2.3\r\nx-request-id: mine\r\nContent-Length: 5\r\n\r\nhello",
            [
                "POST /body?a=b HTTP/1.1",
                "200",
                "-",
                "via_upstream",
                "5",
                "2",
                "10.1.2.3",
                "curl/8",
                "mine",
                "flaskapp:7777",
                &up,
                &cluster(""),
                "rest",
            ],
        ),
        (
            "GET /re HTTP/1.1\r\nHost: flaskapp:7777\r\nUser-Agent: a\" 200 \\\r\n\r\n",
            [
                "GET /re HTTP/1.1",
                "200",
                "-",
                "via_upstream",
                "0",
                "2",
                "-",
                "a\\\" 200 \\\\",
                "(made)",
                "other:1",
                &up,
                &cluster("v1"),
                "-",
            ],
        ),
        (
            "GET http://flaskapp:7777/slow/5000 HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n",
            [
                "GET /slow/5000 HTTP/1.1",
                "504",
                "UT",
                "response_timeout",
                "0",
                "24",
                "-",
                "-",
                "(made)",
                "flaskapp:7777",
                &up,
                &cluster(""),
                "slow",
            ],
        ),
        (
            "GET http://flaskapp:7777/stop HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n",
            [
                "GET /stop HTTP/1.1",
                "418",
                "-",
                "direct_response",
                "0",
                "3",
                "-",
                "-",
                "-",
                "flaskapp:7777",
                "-",
                "-",
                "stop",
            ],
        ),
        (
            "GET http://flaskapp:7777/none HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n",
            [
                "GET /none HTTP/1.1",
                "404",
                "NR",
                "route_not_found",
                "0",
                "0",
                "-",
                "-",
                "-",
                "flaskapp:7777",
                "-",
                "-",
                "-",
            ],
        ),
    ];
    for (request, _) in &asked {
        client.ask(request).await;
    }
    let mut expected: Vec<[&str; 13]> = asked.iter().map(|(_, line)| *line).collect();
    Client::connect(SocketAddr::new(mesh.pod_ip, port)).await.ask("GET /in HTTP/1.1\r\nHost: h\r\n\r\n").await;
    expected.push([
        "GET /in HTTP/1.1",
        "200",
        "-",
        "via_upstream",
        "0",
        "2",
        "-",
        "-",
        "(made)",
        "h",
        &up,
        &inside,
        "default",
    ]);
    mesh.connect().await.ask("nonsense\r\n\r\n").await;
    expected.push(["- - HTTP/1.1", "400", "DPE", "http1.codec_error", "0", "14", "-", "-", "-", "-", "-", "-", "-"]);
    // What waited is written before the sidecar ends.
    mesh.end().await;
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Vec<String>> = text.lines().map(parts).collect();
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(line.len(), 22, "{line:?}");
        let told = [1, 2, 3, 4, 7, 8, 11, 12, 13, 14, 15, 16, 21].map(|at| line[at].as_str());
        let told = told.map(|part| if part.len() == 36 && part.as_bytes()[14] == b'4' { "(made)" } else { part });
        assert_eq!(told, expected, "{line:?}");
        assert!(line[0].starts_with('[') && line[0].ends_with("Z]") && line[9].parse::<u32>().is_ok(), "{line:?}");
        assert_eq!((line[5].as_str(), line[6].as_str(), line[20].as_str()), ("-", "-", "-"));
        // Both ends of the client's connection; ours of the upstream's where there is one.
        assert!(line[18].parse::<SocketAddr>().is_ok() && line[19].parse::<SocketAddr>().is_ok(), "{line:?}");
        assert_eq!(line[17].parse::<SocketAddr>().is_ok(), line[15] != "-", "{line:?}");
    }
}

#[tokio::test]
async fn streams_of_http2_have_their_line_too_and_only_one() {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let (app, http1_app, silent) =
        (http2_app(&mut tasks).await, App::start("v1").await, TcpListener::bind((LOCAL, 0)).await.unwrap());
    let (inner_file, file) = (folder.path().join("server"), folder.path().join("client"));
    let server = Mesh::start_with(MeshInput { revision: 1, ..MeshInput::default() }, |c| {
        (c.access_log, c.access_log_file) = (true, Some(inner_file.clone()));
        c.inbound_ports = vec![app.port()];
    })
    .await;
    let inside = SocketAddr::new(server.pod_ip, app.port());
    let (mut objects, other) = (grpc(1, inside), input(1, &[("v1", http1_app.address)]));
    let mut slow = grpc(1, silent.local_addr().unwrap());
    for object in [&mut slow.services[0], &mut slow.endpoint_slices[0]] {
        let object = Arc::make_mut(object);
        object["metadata"]["name"] = "silent".into();
        if let Some(labels) = object["metadata"].get_mut("labels") {
            labels["kubernetes.io/service-name"] = "silent".into();
        }
    }
    objects.services.extend(other.services.into_iter().chain(slow.services));
    objects.endpoint_slices.extend(other.endpoint_slices.into_iter().chain(slow.endpoint_slices));
    objects.virtual_services = vec![
        route(
            json!({"hosts": ["grpc"], "http": [{"name": "stop", "match": [{"uri": {"prefix": "/stop"}}], "directResponse": {"status": 418, "body": {"string": "tea"}}},
            {"name": "rest", "rewrite": {"uri": "/b/", "authority": "other:1"}, "route": [{"destination": {"host": "grpc"}}]}]}),
        ),
        route(
            json!({"hosts": ["silent"], "http": [{"match": [{"uri": {"prefix": "/late"}}], "timeout": "0.05s", "route": [{"destination": {"host": "silent"}}]},
            {"name": "wait", "route": [{"destination": {"host": "silent"}}]}]}),
        ),
    ];
    let mesh = Mesh::start_with(objects, |c| (c.access_log, c.access_log_file) = (true, Some(file.clone()))).await;
    let mut sender = http2(mesh.outbound(), &mut tasks).await;
    let (up, up1, waits) =
        (inside.to_string(), http1_app.address.to_string(), silent.local_addr().unwrap().to_string());
    let cluster = |host: &str, port: u16| format!("outbound|{port}||{host}.istio-app.svc.cluster.local");
    let (grpc_name, silent_name, flaskapp_name) =
        (cluster("grpc", 50051), cluster("silent", 50051), cluster("flaskapp", 7777));
    let asked = [
        (
            "http://grpc:50051/a?b=c",
            "hello",
            [
                "POST /a?b=c HTTP/2",
                "200",
                "-",
                "via_upstream",
                "5",
                "*",
                "10.1.2.3",
                "mine",
                "other:1",
                &up,
                &grpc_name,
                "rest",
            ],
        ),
        (
            "http://grpc:50051/stop",
            "",
            [
                "POST /stop HTTP/2",
                "418",
                "-",
                "direct_response",
                "0",
                "3",
                "10.1.2.3",
                "mine",
                "grpc:50051",
                "-",
                "-",
                "stop",
            ],
        ),
        (
            "http://silent:50051/late",
            "",
            [
                "POST /late HTTP/2",
                "504",
                "UT",
                "response_timeout",
                "0",
                "24",
                "10.1.2.3",
                "mine",
                "silent:50051",
                &waits,
                &silent_name,
                "-",
            ],
        ),
        (
            "http://flaskapp:7777/body",
            "hello",
            [
                "POST /body HTTP/2",
                "200",
                "-",
                "via_upstream",
                "5",
                "7",
                "10.1.2.3",
                "mine",
                "flaskapp:7777",
                &up1,
                &flaskapp_name,
                "default",
            ],
        ),
        (
            "http://flaskapp:9/",
            "",
            [
                "POST / HTTP/2",
                "503",
                "NR",
                "route_not_found",
                "0",
                "72",
                "10.1.2.3",
                "mine",
                "flaskapp:9",
                "-",
                "-",
                "-",
            ],
        ),
    ];
    let mut expected: Vec<[&str; 12]> = asked.iter().map(|(_, _, line)| *line).collect();
    let post = |url: &str, body: &'static str| {
        http::Request::post(url)
            .header("x-forwarded-for", "10.1.2.3")
            .header("x-request-id", "mine")
            .body(Full::from(body))
            .unwrap()
    };
    for (url, body, _) in asked {
        sender.send_request(post(url, body)).await.unwrap().into_body().collect().await.unwrap();
    }
    // The late one's connection.
    drop(silent.accept().await.unwrap());
    mesh.connect()
        .await
        .ask("POST http://grpc:50051/one HTTP/1.1\r\nHost: grpc:50051\r\nx-request-id: mine\r\nContent-Length: 2\r\n\r\nyo")
        .await;
    expected.push([
        "POST /one HTTP/1.1",
        "200",
        "-",
        "via_upstream",
        "2",
        "*",
        "-",
        "mine",
        "other:1",
        &up,
        &grpc_name,
        "rest",
    ]);
    // Given up by the client: the stream alone, and with its connection.
    for with in ["DR", "DC"] {
        let mut own = JoinSet::new();
        let mut sender = http2(mesh.outbound(), &mut own).await;
        let mut waiting = Box::pin(sender.send_request(post("http://silent:50051/", "")));
        let (mut stream, _) = tokio::select! {
            _ = &mut waiting => panic!("nobody answers"),
            accepted = silent.accept() => accepted.unwrap(),
        };
        if with == "DC" {
            own.shutdown().await;
        }
        drop(waiting);
        // The sidecar gives its own stream up.
        tokio::time::timeout(PATIENCE, until_reset(&mut stream)).await.unwrap();
        let details = if with == "DR" { "http2.remote_reset" } else { "downstream_remote_disconnect" };
        expected.push([
            "POST / HTTP/2",
            "0",
            with,
            details,
            "0",
            "0",
            "10.1.2.3",
            "mine",
            "silent:50051",
            &waits,
            &silent_name,
            "wait",
        ]);
    }
    drop(sender);
    mesh.end().await;
    server.end().await;
    let (text, inner) = (std::fs::read_to_string(&file).unwrap(), std::fs::read_to_string(&inner_file).unwrap());
    let lines: Vec<Vec<String>> = text.lines().map(parts).collect();
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(line.len(), 22, "{line:?}");
        let mut told = [1, 2, 3, 4, 7, 8, 11, 13, 14, 15, 16, 21].map(|at| line[at].as_str());
        if expected[5] == "*" && told[5].parse::<u64>().unwrap() > 100 {
            told[5] = "*";
        }
        assert_eq!(told, expected, "{line:?}");
        assert!(line[18].parse::<SocketAddr>().is_ok() && line[19].parse::<SocketAddr>().is_ok(), "{line:?}");
        assert_eq!(line[17].parse::<SocketAddr>().is_ok(), line[15] != "-", "{line:?}");
        assert_eq!(line[10] != "-", line[4] == "via_upstream", "{line:?}");
    }
    let inner: Vec<Vec<String>> = inner.lines().map(parts).collect();
    let inner: Vec<[&str; 4]> = inner.iter().map(|l| [1, 2, 7, 16].map(|at| l[at].as_str())).collect();
    let own = format!("inbound|{}||", app.port());
    assert_eq!(inner, [["POST /b/a?b=c HTTP/2", "200", "5", &own], ["POST /b/one HTTP/2", "200", "2", &own]]);
    tasks.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_called_as_envoy_calls_it() {
    /// `:status: 200`, and a beginning.
    const HALF: [RawFrame; 2] = [(1, 4, b"\x88"), (0, 0, b"hello")];
    const RESET: RawFrame = (3, 0, &[0, 0, 0, 2]);
    // What Envoy 1.40 wrote of the same frames.
    let cases: [(&'static [RawFrame], &str, &str); 5] = [
        (&[RESET], "", "503 UR upstream_reset_before_response_started{remote_reset} - \"-\" 0 85 "),
        (&[HALF[0], HALF[1], RESET], "", "200 UR upstream_reset_after_response_started{remote_reset} - \"-\" 0 5 "),
        (&[], "", "503 UC upstream_reset_before_response_started{connection_termination} - \"-\" 0 95 "),
        (&HALF, "stream", "200 DR http2.remote_reset - \"-\" 0 5 "),
        (&HALF, "connection", "200 DC downstream_remote_disconnect - \"-\" 0 5 "),
    ];
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("log");
    let mesh =
        Mesh::start_with(input(1, &[]), |c| (c.access_log, c.access_log_file) = (true, Some(file.clone()))).await;
    for (revision, (frames, gives_up, _)) in (2..).zip(&cases) {
        let (at, mut ends) = raw_app(&mut tasks, frames).await;
        mesh.publish(grpc(revision, at)).await;
        let mut own = JoinSet::new();
        let mut sender = http2(mesh.outbound(), &mut own).await;
        let answered =
            sender.send_request(http::Request::get("http://grpc:50051/").body(Full::default()).unwrap()).await;
        if gives_up.is_empty() {
            // An error where the answer had begun, as it is to be.
            if let Ok(response) = answered {
                let _ = response.into_body().collect().await;
            }
        } else {
            let mut body = answered.unwrap().into_body();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
            if *gives_up == "connection" {
                own.shutdown().await;
            }
        }
        // By then the sidecar has given its own stream up.
        tokio::time::timeout(PATIENCE, ends.recv()).await.expect("the stream is not ended").unwrap();
    }
    mesh.end().await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), cases.len(), "{text}");
    for (line, (_, _, expected)) in text.lines().zip(cases) {
        assert!(line.contains(&format!("\"GET / HTTP/2\" {expected}")), "{expected}: {line}");
    }
    tasks.shutdown().await;
}

/// A pipe that nobody reads.
fn pipe(at: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(at).status().unwrap().success());
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_not_requests() {
    let (app, folder) = (App::start("v1").await, tempfile::tempdir().unwrap());
    let file = folder.path().join("pipe");
    pipe(&file);
    let mesh =
        Mesh::start_with(input(1, &[("v1", app.address)]), |c| (c.access_log, c.access_log_file) = (true, Some(file)))
            .await;
    let mut client = mesh.connect().await;
    let deadline = Instant::now() + PATIENCE;
    // Until lines are dropped, and a while beyond.
    let mut more = 100;
    let mut asked = 0;
    while more > 0 {
        assert_eq!(client.get("http://flaskapp:7777/").await.status, 200);
        asked += 1;
        if asked % 500 == 0 || more < 100 {
            let stats = mesh.page(mesh.ports.admin, "/stats").await.text();
            more -= u32::from(!stats.contains("access_log.dropped: 0\n"));
        }
        assert!(Instant::now() < deadline, "after {asked} requests no line is dropped");
    }
    // It waits for no reader: there is none.
    mesh.end().await;
}
