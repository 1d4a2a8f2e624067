//! A tiny server that misbehaves on demand, and waits that end and explain themselves.
#![allow(dead_code, reason = "each test file uses a part of it")]
use load::{AgentStatus, Engine, EngineConfig, LoadSpec, Snapshot};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the server does with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers 200 as version v1 or v2, in turn by connection.
    Well,
    /// Answers 200 with a body only.
    BodyOnly,
    /// Answers 200 and says nothing of a version.
    Anonymous,
    /// Answers 503 as version v1 or v2.
    Broken,
    /// Answers 503 and says nothing of a version.
    Unavailable,
    /// Closes the connection in the middle of the answer.
    HangUp,
    /// Does not answer until the mood is another.
    Stalled,
}

#[derive(Debug)]
struct Inner {
    mood: Mutex<Mood>,
    requests: AtomicU64,
    connections: AtomicU64,
    /// Heads that were not as they should be.
    wrong: Mutex<HashSet<String>>,
    /// Requests that came in part before their connection ended.
    cut: AtomicU64,
    stop: AtomicBool,
}

/// The server; a thread a connection.
#[derive(Clone, Debug)]
pub struct Server {
    pub addr: SocketAddr,
    inner: Arc<Inner>,
}

impl Server {
    pub fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            mood: Mutex::new(Mood::Well),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            wrong: Mutex::default(),
            cut: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let server = Server { addr, inner };
        let accepting = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (server, n) = (accepting.clone(), accepting.inner.connections.fetch_add(1, Ordering::SeqCst));
                if server.inner.stop.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::Builder::new().stack_size(128 * 1024).spawn(move || server.serve(stream.unwrap(), n)).unwrap();
            }
        });
        server
    }

    pub fn mood(&self, mood: Mood) {
        *self.inner.mood.lock().unwrap() = mood;
    }

    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> u64 {
        self.inner.connections.load(Ordering::SeqCst)
    }

    /// Stops listening; connections stay.
    pub fn close(&self) {
        self.inner.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.addr));
    }

    /// What was wrong with requests, if anything.
    pub fn complaints(&self) -> (HashSet<String>, u64) {
        (self.inner.wrong.lock().unwrap().clone(), self.inner.cut.load(Ordering::SeqCst))
    }

    fn serve(&self, mut stream: TcpStream, n: u64) {
        stream.set_nodelay(true).unwrap();
        let mut head = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => {
                    self.inner.cut.fetch_add(u64::from(!head.is_empty()), Ordering::SeqCst);
                    return;
                }
                Ok(read) => head.extend_from_slice(&buffer[..read]),
            }
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            self.inner.requests.fetch_add(1, Ordering::SeqCst);
            let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
            if !text.starts_with("GET http://flaskapp:7777/env/version HTTP/1.1\r\nhost: flaskapp:7777\r\n") || text.matches("\r\n\r\n").count() != 1 {
                self.inner.wrong.lock().unwrap().insert(text);
            }
            let version = if n.is_multiple_of(2) { "v1" } else { "v2" };
            let mut mood = *self.inner.mood.lock().unwrap();
            while mood == Mood::Stalled {
                std::thread::sleep(Duration::from_millis(1));
                mood = *self.inner.mood.lock().unwrap();
            }
            let answer = match mood {
                Mood::Well | Mood::Stalled => format!("HTTP/1.1 200 OK\r\nx-app-version: {version}\r\ncontent-length: 3\r\n\r\n{version}\n"),
                Mood::BodyOnly => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nv7\r\n0\r\n\r\n".to_owned(),
                Mood::Anonymous => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nI am FINE".to_owned(),
                Mood::Broken => format!("HTTP/1.1 503 Service Unavailable\r\nx-app-version: {version}\r\ncontent-length: 0\r\n\r\n"),
                Mood::Unavailable => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned(),
                Mood::HangUp => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal".to_owned(),
            };
            if stream.write_all(answer.as_bytes()).is_err() || mood == Mood::HangUp {
                return;
            }
        }
    }
}

/// An engine that sees `server` as its proxy.
pub fn engine(server: &Server) -> Engine {
    engine_with(server, |_| {})
}

pub fn engine_with(server: &Server, change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = EngineConfig { proxy: Some(server.addr.to_string()), ..EngineConfig::default() };
    change(&mut config);
    Engine::start(config).unwrap()
}

pub async fn set_rate(engine: &Engine, rate: u32) -> AgentStatus {
    engine.set_load(&LoadSpec::rate(rate)).await.unwrap()
}

/// Waits for a snapshot on which `done` holds; on time-out shows the last one.
pub async fn until(engine: &Engine, what: &str, mut done: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    let mut status = engine.status();
    let ends = Instant::now() + Duration::from_secs(30);
    loop {
        let snapshot = status.borrow_and_update().snapshot.clone();
        if done(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < ends, "not within 30 s: {what}; last seen: {snapshot:#?}");
        status.changed().await.unwrap();
    }
}

pub fn good(snapshot: &Snapshot) -> u64 {
    snapshot.counts.values().sum()
}
