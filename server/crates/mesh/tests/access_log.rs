//! The access log from end to end: Istio's default format, and a reader that never reads.

mod common;

use common::harness::{App, Client, LOCAL, Mesh, PATIENCE};
use common::{input, route};
use mesh::MeshInput;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

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
    let mesh = Mesh::start_with(MeshInput { virtual_services: vec![route(spec)], ..input(1, &[("v1", app.address)]) }, |c| {
        (c.access_log, c.access_log_file) = (true, Some(file.clone()));
        (c.app_ip, c.inbound_ports) = (LOCAL, vec![port]);
    })
    .await;
    let cluster = |subset: &str| format!("outbound|7777|{subset}|flaskapp.istio-app.svc.cluster.local");
    let up = app.address.to_string();
    let inside = format!("inbound|{port}||");
    let mut client = mesh.connect().await;
    let asked = [
        ("POST http://flaskapp:7777/body?a=b HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8\r\nX-Forwarded-For: 10.1.2.3\r\nx-request-id: mine\r\nContent-Length: 5\r\n\r\nhello",
         ["POST /body?a=b HTTP/1.1", "200", "-", "via_upstream", "5", "2", "10.1.2.3", "curl/8", "mine", "flaskapp:7777", &up, &cluster(""), "rest"]),
        ("GET /re HTTP/1.1\r\nHost: flaskapp:7777\r\nUser-Agent: a\" 200 \\\r\n\r\n",
         ["GET /re HTTP/1.1", "200", "-", "via_upstream", "0", "2", "-", "a\\\" 200 \\\\", "(made)", "other:1", &up, &cluster("v1"), "-"]),
        ("GET http://flaskapp:7777/slow/5000 HTTP/1.1\r\nHost: x\r\n\r\n",
         ["GET /slow/5000 HTTP/1.1", "504", "UT", "response_timeout", "0", "24", "-", "-", "(made)", "flaskapp:7777", &up, &cluster(""), "slow"]),
        ("GET http://flaskapp:7777/stop HTTP/1.1\r\nHost: x\r\n\r\n",
         ["GET /stop HTTP/1.1", "418", "-", "direct_response", "0", "3", "-", "-", "-", "flaskapp:7777", "-", "-", "stop"]),
        ("GET http://flaskapp:7777/none HTTP/1.1\r\nHost: x\r\n\r\n",
         ["GET /none HTTP/1.1", "404", "NR", "route_not_found", "0", "0", "-", "-", "-", "flaskapp:7777", "-", "-", "-"]),
    ];
    for (request, _) in &asked {
        client.ask(request).await;
    }
    let mut expected: Vec<[&str; 13]> = asked.iter().map(|(_, line)| *line).collect();
    Client::connect(SocketAddr::new(mesh.pod_ip, port)).await.ask("GET /in HTTP/1.1\r\nHost: h\r\n\r\n").await;
    expected.push(["GET /in HTTP/1.1", "200", "-", "via_upstream", "0", "2", "-", "-", "(made)", "h", &up, &inside, "default"]);
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

/// A pipe that nobody reads.
fn pipe(at: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(at).status().unwrap().success());
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_not_requests() {
    let (app, folder) = (App::start("v1").await, tempfile::tempdir().unwrap());
    let file = folder.path().join("pipe");
    pipe(&file);
    let mesh = Mesh::start_with(input(1, &[("v1", app.address)]), |c| (c.access_log, c.access_log_file) = (true, Some(file))).await;
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
    let began = Instant::now();
    mesh.end().await;
    assert!(began.elapsed() < Duration::from_secs(5), "the end waits for a reader");
}
