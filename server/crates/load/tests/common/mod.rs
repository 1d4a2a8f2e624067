//! A tiny server that misbehaves on demand, and waits that end and explain themselves.
#![allow(dead_code, reason = "each test file uses a part of it")]
use load::{AgentStatus, Engine, EngineConfig, LoadSpec, Snapshot};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for anything: passed on a hang, not on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

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
    accepting: Mutex<Option<JoinHandle<()>>>,
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
            accepting: Mutex::default(),
        });
        let server = Server { addr, inner };
        let accepting = server.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (server, n) = (accepting.clone(), accepting.inner.connections.fetch_add(1, Ordering::SeqCst));
                if server.inner.stop.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::Builder::new()
                    .stack_size(128 * 1024)
                    .spawn(move || server.serve(stream.unwrap(), n))
                    .unwrap();
            }
        });
        *server.inner.accepting.lock().unwrap() = Some(thread);
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

    /// Stops listening; connections stay. On return new ones are refused.
    pub fn close(&self) {
        self.inner.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.addr));
        let thread = self.inner.accepting.lock().unwrap().take();
        thread.expect("it is closed once").join().unwrap();
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
            if !text.starts_with("GET http://flaskapp:7777/env/version HTTP/1.1\r\nhost: flaskapp:7777\r\n")
                || text.matches("\r\n\r\n").count() != 1
            {
                self.inner.wrong.lock().unwrap().insert(text);
            }
            let version = if n.is_multiple_of(2) { "v1" } else { "v2" };
            let mut mood = *self.inner.mood.lock().unwrap();
            while mood == Mood::Stalled {
                std::thread::sleep(Duration::from_millis(1));
                mood = *self.inner.mood.lock().unwrap();
            }
            let answer = match mood {
                Mood::Well | Mood::Stalled => {
                    format!("HTTP/1.1 200 OK\r\nx-app-version: {version}\r\ncontent-length: 3\r\n\r\n{version}\n")
                }
                Mood::BodyOnly => {
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nv7\r\n0\r\n\r\n".to_owned()
                }
                Mood::Anonymous => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nI am FINE".to_owned(),
                Mood::Broken => {
                    format!("HTTP/1.1 503 Service Unavailable\r\nx-app-version: {version}\r\ncontent-length: 0\r\n\r\n")
                }
                Mood::Unavailable => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned(),
                Mood::HangUp => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal".to_owned(),
            };
            if stream.write_all(answer.as_bytes()).is_err() || mood == Mood::HangUp {
                return;
            }
        }
    }
}

/// An engine that sees `server` as its proxy. It waits for answers as long as the tests do: no request fails because the machine is busy.
pub fn engine(server: &Server) -> Engine {
    engine_with(server, |_| {})
}

pub fn engine_with(server: &Server, change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config =
        EngineConfig { proxy: Some(server.addr.to_string()), answer_timeout: PATIENCE, ..EngineConfig::default() };
    change(&mut config);
    Engine::start(config).unwrap()
}

pub async fn set_rate(engine: &Engine, rate: u32) -> AgentStatus {
    engine.set_load(&LoadSpec::rate(rate)).await.unwrap()
}

/// Waits for a snapshot on which `done` holds; on time-out shows the last one.
pub async fn until(engine: &Engine, what: &str, mut done: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    let mut status = engine.status();
    let ends = Instant::now() + PATIENCE;
    loop {
        let snapshot = status.borrow_and_update().snapshot.clone();
        if done(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < ends, "not within {PATIENCE:?}: {what}; last seen: {snapshot:#?}");
        status.changed().await.unwrap();
    }
}

pub fn good(snapshot: &Snapshot) -> u64 {
    snapshot.counts.values().sum()
}

/// Sets this rate, waits until so many places of its schedule have come, and compares them with the clock. A place comes at its time, whatever
/// the machine does: it is sent, waits, or is shed and counted.
pub async fn keeps_rate(engine: &Engine, rate: u32, places: u64) -> Snapshot {
    let before = Instant::now();
    let first = set_rate(engine, rate).await.snapshot;
    let after = Instant::now();
    let accounted = |s: &Snapshot| (s.sent + s.shed) as f64;
    until(engine, "so many places have come", |s| accounted(s) >= accounted(&first) + places as f64).await;
    // A snapshot with the mark is no older than the question for it.
    let asked = Instant::now();
    let mark = engine.mark().await.unwrap();
    let last = until(engine, "the mark is in a snapshot", |s| s.mark.as_ref().is_some_and(|m| m.id == mark.id)).await;
    let due = |time: Duration| time.as_secs_f64() * f64::from(rate);
    let (least, most) = (due(asked - after) - 2.0, due(before.elapsed()) + 2.0);
    // What is in flight may have been written already, and then it is counted twice.
    let come = accounted(&last) - accounted(&first);
    let (low, high) = (come - first.in_flight as f64, come + last.in_flight as f64);
    assert!(
        high >= least && low <= most,
        "between {low} and {high} places have come; by the clock it is {least} to {most}: {last:#?}"
    );
    last
}

/// Waits until `done`: for what no snapshot tells.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let ends = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < ends, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
