//! A mesh in one process: a control plane on a unix socket, a sidecar, and apps that say who they are.

use mesh::{Control, MeshInput, Ports, Sidecar, SidecarConfig};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Longest wait for anything that should take milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An address that only this test of this process uses.
pub fn own_ip() -> IpAddr {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed) as u32 + (std::process::id() & 0xfff) * 64;
    IpAddr::V4(Ipv4Addr::new(127, 20 + (n >> 16) as u8, (n >> 8) as u8, (n as u8).max(1)))
}

/// An app that answers every request with its version, and counts them.
pub struct App {
    pub address: SocketAddr,
    pub requests: Arc<AtomicU64>,
    stop: CancellationToken,
    held: CancellationToken,
    tasks: JoinSet<()>,
}

impl App {
    pub async fn start(version: &'static str) -> App {
        App::start_at(version, SocketAddr::new(LOCAL, 0)).await
    }

    /// Written by hand so that tests see the bytes: answers `version method target host body`, keeps connections.
    pub async fn start_at(version: &'static str, address: SocketAddr) -> App {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, stop, requests) =
            (listener.local_addr().unwrap(), CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        let held = CancellationToken::new();
        let (token, counter, hold) = (stop.clone(), requests.clone(), held.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    () = token.cancelled() => break,
                    Ok((stream, _)) = listener.accept() => { connections.spawn(app_connection(stream, version, counter.clone(), token.clone(), hold.clone())); }
                }
            }
            drop(listener);
            while connections.join_next().await.is_some() {}
        });
        App { address, requests, stop, held, tasks }
    }

    /// Lets requests for `/held` be answered.
    pub fn release(&self) {
        self.held.cancel();
    }

    pub fn count(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// Finishes requests under way, then closes everything.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// As a killed process: the listener and all connections end at once.
    pub async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn app_connection(
    mut stream: TcpStream,
    version: &'static str,
    requests: Arc<AtomicU64>,
    stop: CancellationToken,
    held: CancellationToken,
) {
    let mut buffer = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            tokio::select! {
                () = stop.cancelled(), if buffer.is_empty() => return,
                read = stream.read_buf(&mut buffer) => if !matches!(read, Ok(n) if n > 0) { return },
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).to_string();
        buffer.drain(..head_end);
        let header = |name: &str| {
            head.lines().find_map(|l| {
                l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_string())
            })
        };
        requests.fetch_add(1, Ordering::SeqCst);
        let mut body = Vec::new();
        if let Some(length) = header("content-length").and_then(|l| l.parse::<usize>().ok()) {
            while buffer.len() < length {
                if !matches!(stream.read_buf(&mut buffer).await, Ok(n) if n > 0) {
                    return;
                }
            }
            body = buffer.drain(..length).collect();
        } else if header("transfer-encoding").is_some() {
            while !buffer.ends_with(b"\r\n\r\n") {
                if !matches!(stream.read_buf(&mut buffer).await, Ok(n) if n > 0) {
                    return;
                }
            }
            body = std::mem::take(&mut buffer);
        }
        let line = head.lines().next().unwrap_or("");
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if let Some(ms) = target.strip_prefix("/slow/").and_then(|ms| ms.parse().ok()) {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        if target == "/held" {
            held.cancelled().await;
        }
        let mut text = match target {
            "/head" => head.clone(),
            "/body" => format!("{}:", body.len()) + &String::from_utf8_lossy(&body[..body.len().min(64)]),
            _ => version.to_string(),
        };
        let status = target.strip_prefix("/status/").unwrap_or("200 OK").to_string();
        let answer = match target {
            "/switch" => {
                let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n").await;
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                return;
            }
            "/chunks" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-trailer: t\r\n\r\n".to_string(),
            "/hop" => "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nx-kept: 1\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok".to_string(),
            "/until-close" => "HTTP/1.1 200 OK\r\n\r\nto the end".to_string(),
            "/nonsense" => "what?\r\n\r\n".to_string(),
            _ => {
                if method == "HEAD" {
                    text.clear();
                }
                format!("HTTP/1.1 {status}\r\nx-app-version: {version}\r\ncontent-length: {}\r\n\r\n{text}", if method == "HEAD" { 2 } else { text.len() })
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() || target == "/until-close" || target == "/nonsense" {
            return;
        }
    }
}

/// Passes connections on to an app, and counts them.
pub struct Relay {
    pub address: SocketAddr,
    pub connections: Arc<AtomicU64>,
    /// Ends those that are open.
    pub cut: Arc<tokio::sync::Notify>,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub async fn start(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
        let (address, connections, cut) = (listener.local_addr().unwrap(), Arc::default(), Arc::default());
        let (counter, ends): (Arc<AtomicU64>, Arc<tokio::sync::Notify>) = (Arc::clone(&connections), Arc::clone(&cut));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let ends = ends.clone();
                open.spawn(async move {
                    let mut app = TcpStream::connect(to).await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    app.set_nodelay(true).unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut stream, &mut app) => {}
                        () = ends.notified() => {}
                    }
                });
            }
        });
        Relay { address, connections, cut, _tasks: tasks }
    }

    pub fn count(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A control plane and one sidecar.
pub struct Mesh {
    pub control: Control,
    pub ports: Ports,
    pub pod_ip: IpAddr,
    pub stop: CancellationToken,
    pub socket: PathBuf,
    serving: CancellationToken,
    tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Mesh {
    pub async fn start(input: MeshInput) -> Mesh {
        Mesh::start_with(input, |_| {}).await
    }

    pub async fn start_with(input: MeshInput, change: impl FnOnce(&mut SidecarConfig)) -> Mesh {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("mesh.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let control = Control::new();
        let mut config = SidecarConfig::new("istio-app", "client-0", own_ip(), LOCAL, socket.clone());
        (config.workload, config.app, config.version) = ("simple-flask-app-client".into(), "sleep".into(), "v1".into());
        config.ports = Ports { admin: 0, outbound: 0, stats: 0, health: 0 };
        config.linger = Duration::from_millis(20);
        change(&mut config);
        let pod_ip = config.pod_ip;
        let sidecar = Sidecar::bind(config).await.unwrap();
        let (ports, stop, serving) = (sidecar.ports(), CancellationToken::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let (served, token) = (control.clone(), serving.clone());
        tasks.spawn(async move { served.serve(listener, token).await });
        let token = stop.clone();
        tasks.spawn(async move { sidecar.run(token).await.unwrap() });
        let mesh = Mesh { control, ports, pod_ip, stop, socket, serving, tasks, _folder: folder };
        mesh.publish(input).await;
        mesh
    }

    /// Publishes and waits for the acknowledgement.
    pub async fn publish(&self, input: MeshInput) {
        let revision = input.revision;
        self.control.publish(Arc::new(input));
        self.acknowledged(revision).await;
    }

    pub async fn acknowledged(&self, revision: u64) {
        let mut acks = self.control.acks();
        let acked = acks.wait_for(|acks| acks.get("istio-app/client-0").is_some_and(|r| *r >= revision));
        tokio::time::timeout(PATIENCE, acked).await.expect("no acknowledgement").unwrap();
    }

    pub fn outbound(&self) -> SocketAddr {
        SocketAddr::new(self.pod_ip, self.ports.outbound)
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.outbound()).await
    }

    pub async fn page(&self, port: u16, path: &str) -> Answer {
        Client::connect(SocketAddr::new(self.pod_ip, port))
            .await
            .ask(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await
    }

    /// Waits until so many connections to upstreams are kept without use.
    pub async fn keeps(&self, connections: usize) {
        let line = format!("::cx_idle::{connections}\n");
        let kept = async { while !self.page(self.ports.admin, "/clusters").await.text().contains(&line) {} };
        tokio::time::timeout(PATIENCE, kept).await.expect(&line);
    }

    pub async fn dump(&self) -> Value {
        serde_json::from_slice(&self.page(self.ports.admin, "/config_dump").await.body).unwrap()
    }

    /// Stops the control plane, as if the panel had ended.
    pub fn cut_control(&self) {
        self.serving.cancel();
    }

    /// Ends all and waits for it.
    pub async fn end(mut self) {
        self.stop.cancel();
        self.serving.cancel();
        tokio::time::timeout(PATIENCE, async { while self.tasks.join_next().await.is_some() {} })
            .await
            .expect("the sidecar does not end");
    }
}

/// An answer, as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).to_string()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v))
    }
}

/// A client that writes bytes as it is told.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(to: SocketAddr) -> Client {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    pub async fn get(&mut self, url: &str) -> Answer {
        let host = url.trim_start_matches("http://").split('/').next().unwrap();
        self.ask(&format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }

    pub async fn ask(&mut self, request: &str) -> Answer {
        self.try_ask(request).await.expect("no answer")
    }

    pub async fn try_ask(&mut self, request: &str) -> Option<Answer> {
        self.stream.write_all(request.as_bytes()).await.ok()?;
        let to_head = request.starts_with("HEAD") || request.starts_with("CONNECT");
        tokio::time::timeout(PATIENCE, self.answer(to_head)).await.expect("the answer takes too long")
    }

    /// Reads one answer; `None` where the connection ends before it does.
    pub async fn answer(&mut self, to_head: bool) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_string();
        self.buffer.drain(..end);
        let mut answer = Answer { status: head[9..12].parse().unwrap(), head, body: Vec::new() };
        if to_head || answer.status == 101 || answer.status == 100 || answer.status == 204 || answer.status == 304 {
            return Some(answer);
        }
        if let Some(length) = answer.header("content-length").map(|l| l.parse::<usize>().unwrap()) {
            while self.buffer.len() < length {
                self.more().await?;
            }
            answer.body = self.buffer.drain(..length).collect();
        } else if answer.header("transfer-encoding").is_some() {
            while !self.buffer.windows(5).any(|w| w == b"0\r\n\r\n") && !self.buffer.ends_with(b"\r\n\r\n") {
                self.more().await?;
            }
            answer.body = std::mem::take(&mut self.buffer);
        } else {
            while self.more().await.is_some() {}
            answer.body = std::mem::take(&mut self.buffer);
        }
        Some(answer)
    }

    pub async fn more(&mut self) -> Option<()> {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(n) if n > 0).then_some(())
    }

    /// Whether the other side has ended the connection, or does so soon.
    pub async fn is_closed(&mut self) -> bool {
        tokio::time::timeout(PATIENCE, async { while self.more().await.is_some() {} }).await.is_ok()
    }
}
