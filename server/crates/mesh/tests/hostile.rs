//! Clients that want to take a sidecar's memory, connections or time: what they may have is bounded, and others are served meanwhile.

mod common;

use common::harness::{App, Client, LOCAL, Mesh, PATIENCE};
use common::{input, service};
use mesh::{MeshInput, SidecarConfig};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const GET: &str = "GET / HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n";

/// A sidecar in front of an app; all of its listeners can be attacked.
struct Target {
    app: App,
    mesh: Mesh,
}

impl Target {
    async fn start() -> Target {
        Target::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut SidecarConfig)) -> Target {
        let app = App::start("v1").await;
        let port = app.address.port();
        let mesh = Mesh::start_with(input(1, &[("v1", app.address)]), |c| {
            (c.app_ip, c.inbound_ports) = (LOCAL, vec![port]);
            change(c);
        })
        .await;
        Target { app, mesh }
    }

    /// Every listener, with a request that it answers with 200.
    fn listeners(&self) -> [(&'static str, SocketAddr, &'static str); 5] {
        let (ip, ports) = (self.mesh.pod_ip, self.mesh.ports);
        [
            ("outbound", self.mesh.outbound(), "/"),
            ("inbound", SocketAddr::new(ip, self.app.address.port()), "/"),
            ("admin", SocketAddr::new(ip, ports.admin), "/ready"),
            ("stats", SocketAddr::new(ip, ports.stats), "/stats/prometheus"),
            ("health", SocketAddr::new(ip, ports.health), "/healthz/ready"),
        ]
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n")
}

/// Connects from another address than everybody else's.
async fn connect_from(from: [u8; 4], to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(from)), 0))?;
    socket.connect(to).await
}

/// Reads to the end; the bytes that came.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    tokio::time::timeout(PATIENCE, async { while matches!(stream.read_buf(&mut all).await, Ok(n) if n > 0) {} })
        .await
        .expect("the connection stays open");
    all
}

#[tokio::test]
async fn callers_that_invent_names_do_not_make_the_metrics_grow() {
    let target = Target::start().await;
    let [_, (_, inbound, _), ..] = target.listeners();
    let mut client = Client::connect(inbound).await;
    for n in 0..3000 {
        let answer = client
            .ask(&format!(
                "GET / HTTP/1.1\r\nHost: a\r\nx-envoy-peer-metadata: forged-{n}~{}~b~c\r\n\r\n",
                "x".repeat(n % 900)
            ))
            .await;
        assert_eq!(answer.status, 200);
    }
    let page = target.mesh.page(target.mesh.ports.stats, "/stats/prometheus").await.text();
    assert!(page.len() < 1 << 20, "the page has {} bytes", page.len());
    let counted = page
        .lines()
        .filter(|l| l.starts_with("istio_requests_total{reporter=\"destination\""))
        .map(|l| l.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(counted.sum::<u64>(), 3000, "requests of unknown callers are counted, too");
    assert!(page.lines().all(|l| l.len() < 4096));
    // One that the control plane names is counted by its name, whoever came before.
    let pod = Arc::new(
        json!({"metadata": {"name": "simple-flask-app-client-h-x", "namespace": "istio-app", "labels": {"app": "sleep", "version": "v1", "pod-template-hash": "h"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "simple-flask-app-client-h", "controller": true}]}, "spec": {"initContainers": [{"name": "istio-proxy"}]}}),
    );
    let objects = input(2, &[("v1", target.app.address)]);
    target.mesh.publish(MeshInput { pods: [objects.pods.clone(), vec![pod]].concat(), ..objects }).await;
    client
        .ask("GET / HTTP/1.1\r\nHost: a\r\nx-envoy-peer-metadata: simple-flask-app-client~istio-app~sleep~v1\r\n\r\n")
        .await;
    let page = target.mesh.page(target.mesh.ports.stats, "/stats/prometheus").await.text();
    assert!(page.contains("source_workload=\"simple-flask-app-client\""));
    target.mesh.end().await;
}

#[tokio::test]
async fn heads_are_read_strictly_on_every_listener() {
    let target = Target::start().await;
    for (name, to, path) in target.listeners() {
        for (what, head, status) in [
            ("an ordinary head", get(path), 200),
            (
                "absolute form with the same host",
                format!("GET http://flaskapp:7777{path} HTTP/1.1\r\nHost: FLASKAPP:7777\r\n\r\n"),
                200,
            ),
            ("bare LF everywhere", get(path).replace("\r\n", "\n"), 400),
            ("bare LF after the request line", format!("GET {path} HTTP/1.1\nHost: a\r\n\r\n"), 400),
            ("bare LF after a header", format!("GET {path} HTTP/1.1\r\nHost: flaskapp:7777\nX: y\r\n\r\n"), 400),
            ("bare LF in the empty line", format!("GET {path} HTTP/1.1\r\nHost: flaskapp:7777\r\n\n"), 400),
            ("two Hosts", format!("GET {path} HTTP/1.1\r\nHost: flaskapp:7777\r\nHost: b\r\n\r\n"), 400),
            (
                "two equal Hosts",
                format!("GET {path} HTTP/1.1\r\nHost: flaskapp:7777\r\nhost: flaskapp:7777\r\n\r\n"),
                400,
            ),
            ("no Host", format!("GET {path} HTTP/1.1\r\n\r\n"), 400),
            ("obs-fold", format!("GET {path} HTTP/1.1\r\nHost: flaskapp:7777\r\nX: y\r\n z\r\n\r\n"), 400),
            ("NUL", format!("GET {path} HTTP/1.1\r\nHost: flaskapp:7777\r\nX: y\0\r\n\r\n"), 400),
            (
                "CL and TE",
                format!(
                    "GET {path} HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                ),
                400,
            ),
            (
                "an oversized head",
                format!("GET {path} HTTP/1.1\r\nHost: flaskapp:7777\r\nX: {}\r\n\r\n", "x".repeat(70_000)),
                431,
            ),
            // A client names its proxy one host and the server another where it tests a route: `curl -H 'Host: web'`.
            (
                "absolute form with another host",
                format!("GET http://flaskapp:7777{path} HTTP/1.1\r\nHost: other\r\n\r\n"),
                if name == "outbound" { 200 } else { 400 },
            ),
            (
                "absolute form with another port",
                format!("GET http://flaskapp:7777{path} HTTP/1.1\r\nHost: flaskapp\r\n\r\n"),
                if name == "outbound" { 200 } else { 400 },
            ),
        ] {
            let before = target.app.count();
            let mut client = Client::connect(to).await;
            // An oversized head may be refused before all of it is written.
            let _ = client.stream.write_all(head.as_bytes()).await;
            let answer =
                tokio::time::timeout(PATIENCE, client.answer(false)).await.expect("no answer").map_or(0, |a| a.status);
            assert_eq!(answer, status, "{name}: {what}");
            if status != 200 {
                assert!(client.is_closed().await, "{name}: {what}");
                assert_eq!(target.app.count(), before, "{name}: {what} reaches the app");
            }
        }
    }
    target.mesh.end().await;
}

#[tokio::test]
async fn a_head_that_does_not_end_is_closed_on_every_listener() {
    let target = Target::start_with(|c| c.head_time = Duration::from_millis(300)).await;
    for (name, to, path) in target.listeners() {
        // Nothing, half of the first head, and half of the second one.
        for (kind, first) in
            [("first", String::new()), ("half", "GET / HT".into()), ("second", format!("{}GET / HT", get(path)))]
        {
            let mut stream = TcpStream::connect(to).await.unwrap();
            stream.write_all(first.as_bytes()).await.unwrap();
            let all = String::from_utf8_lossy(&until_closed(&mut stream).await).into_owned();
            assert_eq!(all.contains("HTTP/1.1 408 "), kind != "first", "{name}, {kind}: {all}");
        }
    }
    target.mesh.end().await;
}

#[tokio::test]
async fn a_body_that_hardly_comes_is_given_up_and_one_that_comes_slowly_is_not() {
    let target = Target::start_with(|c| c.body_time = Duration::from_millis(400)).await;
    for (name, to, path) in target.listeners() {
        let mut client = Client::connect(to).await;
        client
            .stream
            .write_all(
                format!("POST {path} HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 1000000\r\n\r\nx").as_bytes(),
            )
            .await
            .unwrap();
        let answer = tokio::time::timeout(PATIENCE, client.answer(false))
            .await
            .expect("the body is waited for without end")
            .expect("no answer");
        // The pages do not wait for a body at all.
        assert_eq!(answer.status, if path == "/" { 408 } else { 405 }, "{name}");
        assert!(client.is_closed().await, "{name}");
    }
    // Longer than its time, but at more than the least rate.
    let mut client = Client::connect(target.mesh.outbound()).await;
    client
        .stream
        .write_all(b"POST /body HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 20480\r\n\r\n")
        .await
        .unwrap();
    let began = Instant::now();
    for _ in 0..20 {
        client.stream.write_all(&[b'x'; 1024]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(client.answer(false).await.unwrap().text().starts_with("20480:"));
    assert!(began.elapsed() > Duration::from_millis(400));
    target.mesh.end().await;
}

/// An app whose answers have no end.
async fn endless() -> (SocketAddr, tokio::task::JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind((LOCAL, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").await;
                while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
            });
        }
    });
    (at, tasks)
}

#[tokio::test]
async fn a_reader_that_never_reads_is_dropped_and_one_that_reads_slowly_is_not() {
    let (at, _tasks) = endless().await;
    let mesh = Mesh::start_with(input(1, &[("v1", at)]), |c| {
        (c.app_ip, c.inbound_ports) = (at.ip(), vec![at.port()]);
        c.write_time = Duration::from_millis(500);
    })
    .await;
    for to in [mesh.outbound(), SocketAddr::new(mesh.pod_ip, at.port())] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut stalled = socket.connect(to).await.unwrap();
        stalled.write_all(GET.as_bytes()).await.unwrap();
        let mut slow = TcpStream::connect(to).await.unwrap();
        slow.write_all(GET.as_bytes()).await.unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            // In these steps the buffers of the kernel never stay full for as long as the limit.
            let mut piece = vec![0; 256 * 1024];
            assert!(matches!(slow.read(&mut piece).await, Ok(n) if n > 0), "who reads slowly is cut off");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let got = until_closed(&mut stalled).await.len();
        assert!(got < 4 << 20, "{got} bytes were kept for a reader that did not read");
    }
    let stats = mesh.page(mesh.ports.admin, "/stats").await.text();
    for line in ["listener.outbound.refused.stalled: 1\n", "listener.inbound.refused.stalled: 1\n"] {
        assert!(stats.contains(line), "{stats}");
    }
    mesh.end().await;
}

/// Who asks for pages and does not read them.
#[tokio::test]
async fn pages_that_nobody_reads_are_dropped() {
    let target = Target::start_with(|c| c.write_time = Duration::from_millis(300)).await;
    let services = (0..300)
        .map(|n| service("istio-app", &format!("service-{n}"), json!([{"name": "http", "port": 80}])))
        .collect();
    let objects = input(2, &[("v1", target.app.address)]);
    target.mesh.publish(MeshInput { services, ..objects }).await;
    let admin = SocketAddr::new(target.mesh.pod_ip, target.mesh.ports.admin);
    let mut held = Vec::new();
    for _ in 0..30 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(admin).await.unwrap();
        stream.write_all(b"GET /config_dump HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        held.push(stream);
    }
    for mut stream in held {
        until_closed(&mut stream).await;
    }
    assert_eq!(target.mesh.page(target.mesh.ports.admin, "/config_dump").await.status, 200);
    target.mesh.end().await;
}

#[tokio::test]
async fn a_flood_of_connections_leaves_room_for_others() {
    // A descriptor for either end.
    let many = (listen::raise_descriptors() / 3).min(3000);
    let target = Target::start().await;
    for (name, to, path) in target.listeners() {
        let mut flood = Vec::new();
        for n in 0..many {
            // One peer has too many; where it is not let in, that is as good.
            let Ok(Ok(mut stream)) = tokio::time::timeout(PATIENCE, connect_from([127, 0, 0, 2], to)).await else {
                continue;
            };
            if n % 2 == 0 {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nHo").await;
            }
            flood.push(stream);
        }
        for _ in 0..20 {
            assert_eq!(Client::connect(to).await.ask(&get(path)).await.status, 200, "{name}");
        }
        let open = target.mesh.page(target.mesh.ports.admin, "/stats").await.text();
        let open: usize =
            open.lines().find_map(|l| l.strip_prefix(&format!("listener.{name}.open: "))).unwrap().parse().unwrap();
        assert!(open <= 1_600, "{name} has {open} connections open");
    }
    target.mesh.end().await;
}

/// An access log whose reader does not read, and clients that write long heads.
#[tokio::test]
async fn a_log_that_nobody_reads_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("log");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
    let log = pipe.clone();
    let target = Target::start_with(move |c| (c.access_log, c.access_log_file) = (true, Some(log))).await;
    let mut client = Client::connect(target.mesh.outbound()).await;
    for _ in 0..3000 {
        client.ask(&format!("GET / HTTP/1.1\r\nHost: flaskapp:7777\r\nUser-Agent: {}\r\n\r\n", "x".repeat(3000))).await;
    }
    let stats = target.mesh.page(target.mesh.ports.admin, "/stats").await.text();
    let dropped: u64 = stats.lines().find_map(|l| l.strip_prefix("access_log.dropped: ")).unwrap().parse().unwrap();
    // A mebibyte of lines, in each of which a field has a kibibyte at most.
    assert!((3000 - 1024..3000 - 512).contains(&dropped), "{dropped} lines were dropped");
    // Lets the log's thread end.
    drop(std::fs::File::open(&pipe));
    target.mesh.end().await;
}
