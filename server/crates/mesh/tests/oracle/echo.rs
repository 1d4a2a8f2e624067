//! Upstreams that both proxies share: they do what a request asks for, and remember what they saw of it.

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrived {
    pub version: &'static str,
    pub line: String,
    pub host: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// What arrived, by the header `x-case`.
pub type Book = Arc<Mutex<BTreeMap<String, Vec<Arrived>>>>;

/// An upstream that says who it is. Ends with its drop.
pub struct Echo {
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Echo {
    pub async fn start(version: &'static str, book: Book) -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let book = book.clone();
                connections.spawn(async move {
                    let service = hyper::service::service_fn(move |request| answer(version, book.clone(), request));
                    // HTTP/2 where the connection begins with its preface.
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Echo { address, _tasks: tasks }
    }
}

/// `x-do: status=503`, `delay=300`, `fail=2:503` (the first two of this case fail so), `break` (no answer), `only=v1` before any of them.
async fn answer(
    version: &'static str,
    book: Book,
    request: Request<Incoming>,
) -> Result<Response<Full<bytes::Bytes>>, &'static str> {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_string();
    let (case, todo) = (header("x-case"), header("x-do"));
    let mut headers = BTreeMap::new();
    for name in head.headers.keys() {
        let values: Vec<String> =
            head.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect();
        headers.insert(name.to_string(), values.join(","));
    }
    let body = body.collect().await.map_err(|_| "no body")?.to_bytes();
    let target = head.uri.path_and_query().map_or(String::new(), |p| p.to_string());
    let arrived = Arrived {
        version,
        line: format!("{} {target}", head.method),
        host: head.uri.authority().map_or_else(|| header("host"), ToString::to_string),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let number = {
        let mut book = book.lock().unwrap();
        let all = book.entry(case).or_default();
        all.push(arrived);
        all.len()
    };
    let mut response = Response::builder().header("x-version", version);
    let mut status = 200;
    for word in todo.split(' ') {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "only" if value != version => break,
            "status" => status = value.parse().unwrap(),
            "delay" => tokio::time::sleep(Duration::from_millis(value.parse().unwrap())).await,
            "fail" => {
                let (times, code) = value.split_once(':').unwrap();
                if number <= times.parse().unwrap() {
                    status = code.parse().unwrap();
                }
            }
            "late" if number <= value.parse().unwrap() => tokio::time::sleep(Duration::from_secs(2)).await,
            "break" if value.is_empty() || number <= value.parse().unwrap() => return Err("broken off as asked"),
            "header" => {
                let (name, value) = value.split_once(':').unwrap();
                response = response.header(name, value);
            }
            _ => {}
        }
    }
    // hyper leaves a body out where HTTP/1.1 has none; in HTTP/2 it would be malformed.
    let has_none = head.version == hyper::Version::HTTP_2 && (head.method == "HEAD" || [204, 304].contains(&status));
    let text = if has_none { String::new() } else { format!("{version} {target}") };
    Ok(response.status(status).body(Full::from(text)).unwrap())
}
