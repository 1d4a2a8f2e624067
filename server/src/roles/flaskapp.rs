//! `flaskapp`: the demo's app. Says which version it is, shows its environment, fetches for whoever asks.
use super::pod::Pod;
use super::{http as client, life};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use listen::{Books, Conn, Guarded, Limits, Listener, serve_http1};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Most connections at a time: a bound, not a tuning knob.
const MAX_CONNECTIONS: usize = 1_024;
/// Longest wait for what is fetched.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most that is fetched.
const MAX_FETCH: usize = 1024 * 1024;
/// When asked to end it goes on until so long no request has come: proxies learn a little later than the app that it is leaving.
const QUIET: Duration = Duration::from_millis(300);
/// But no longer than this.
const LONGEST_GOODBYE: Duration = Duration::from_secs(3);

/// The app's limits. Proxies keep idle connections for about a minute; the app keeps them for longer, so that it closes none at the
/// moment a request comes on it. A sidecar is one peer and may have them all.
fn limits() -> Limits {
    let idle = Duration::from_secs(300);
    let limits = Limits {
        connections: MAX_CONNECTIONS,
        per_peer: MAX_CONNECTIONS,
        waiting: MAX_CONNECTIONS / 2,
        idle,
        idle_unknown: idle,
        ..Limits::default()
    };
    Limits { drain: PATIENCE, send_buffer: None, ..limits }.fitted(listen::descriptor_limit(), 40, 2)
}

/// What makes a request part of a trace (B3), passed on by `/fetch_with_header` and `/fetch_with_trace`.
const TRACE: [&str; 7] = [
    "x-request-id",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-ot-span-context",
];

/// Arguments of `flaskapp`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address to listen on; by default the pod's, with port 7777
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
}

impl Args {
    /// Serves until asked to end, then finishes what has begun.
    pub fn run(self) -> ExitCode {
        super::block_on("flaskapp", async move {
            let address = self.listen.unwrap_or_else(|| SocketAddr::new(bind_ip(), 7777));
            if let Some(pod) = Pod::here()
                && address.ip() != pod.app_ip
            {
                let why = format!(
                    "cannot listen on {address}: a pod listens on its own address only, here {}:{}",
                    pod.app_ip,
                    address.port()
                );
                return super::failed("flaskapp", why);
            }
            let listener = match TcpListener::bind(address).await {
                Ok(listener) => listener,
                Err(e) => return super::failed("flaskapp", format_args!("cannot listen on {address}: {e}")),
            };
            let app = App::new(std::env::var("version").ok().as_deref(), client::proxy_of_environment());
            println!(
                "flaskapp {}: listening on {address}",
                app.version.as_ref().map_or("without a version", |v| v.to_str().unwrap_or(""))
            );
            life::until_asked_to_end(async move |stop| serve(listener, Arc::new(app), stop).await).await;
            ExitCode::SUCCESS
        })
    }
}

/// The address the node has given (behind a sidecar a private one); in a pod of another cluster every address; else loopback.
fn bind_ip() -> IpAddr {
    let given = std::env::var("APP_BIND_IP").ok().and_then(|ip| ip.parse().ok());
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    given.unwrap_or(IpAddr::V4(if in_pod { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }))
}

struct App {
    /// Told in each answer's `x-app-version`.
    version: Option<HeaderValue>,
    proxy: Option<String>,
    /// It has been asked to end: each answer closes its connection.
    leaving: AtomicBool,
    /// Requests seen, to notice when they cease.
    requests: AtomicU64,
}

impl App {
    fn new(version: Option<&str>, proxy: Option<String>) -> App {
        let version = version.and_then(|v| HeaderValue::from_str(v).ok());
        App { version, proxy, leaving: AtomicBool::new(false), requests: AtomicU64::new(0) }
    }
}

async fn serve(listener: TcpListener, app: Arc<App>, stop: CancellationToken) {
    // Cancelled when open connections are to end after the request they are at.
    let close = CancellationToken::new();
    let goodbye = async {
        stop.cancelled().await;
        app.leaving.store(true, Ordering::Relaxed);
        // A connection that is kept open and silent might carry a request at the very moment it is closed, and lose it.
        let quiet = async {
            loop {
                let before = app.requests.load(Ordering::Relaxed);
                tokio::time::sleep(QUIET).await;
                if app.requests.load(Ordering::Relaxed) == before {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(LONGEST_GOODBYE, quiet).await;
    };
    let policy = Listener::new("flaskapp", limits(), &Books::default());
    let serving =
        policy.run(listener, close.clone(), |io, conn| serve_connection(io, conn, Arc::clone(&app), close.clone()));
    let leave = async {
        goodbye.await;
        close.cancel();
    };
    tokio::join!(serving, leave);
}

async fn serve_connection(io: Guarded<TcpStream>, conn: Conn, app: Arc<App>, close: CancellationToken) {
    let service = |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(app.answer(request).await) }
    };
    // A connection that breaks is its client's business.
    let _ = serve_http1(io, &conn, service, &close).await;
}

impl App {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut answer = self.route(request).await;
        if let Some(version) = &self.version {
            answer.headers_mut().insert("x-app-version", version.clone());
        }
        if self.leaving.load(Ordering::Relaxed) {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    async fn route(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        let path = request.uri().path();
        match path {
            "/" => text(StatusCode::OK, "I am FINE!"),
            "/fetch" => self.fetch(&request, HeaderMap::new()).await,
            "/fetch_with_header" | "/fetch_with_trace" => self.fetch(&request, trace_of(request.headers())).await,
            _ => match path.strip_prefix("/env/").filter(|name| !name.is_empty()) {
                Some(name) => environment(name),
                None => text(
                    StatusCode::NOT_FOUND,
                    "not found: there are /, /env/<name>, /fetch?url=, /fetch_with_header?url= and /fetch_with_trace?url=\n",
                ),
            },
        }
    }

    async fn fetch(&self, request: &Request<Incoming>, headers: HeaderMap) -> Response<Full<Bytes>> {
        let Some(url) = request.uri().query().and_then(|q| query_value(q, "url")) else {
            return text(StatusCode::BAD_REQUEST, "name the URL to fetch: /fetch?url=http://…\n");
        };
        let url = match client::parse_url(&url) {
            Ok(url) => url,
            Err(e) => return text(StatusCode::BAD_REQUEST, format!("{e}\n")),
        };
        let ask = client::Ask { method: Method::GET, url, headers, body: Bytes::new(), proxy: self.proxy.clone() };
        let fetched = tokio::time::timeout(PATIENCE, async {
            let client::Answer { response, connection: _kept, .. } =
                client::ask(ask).await.map_err(|e| e.to_string())?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_FETCH).collect().await.map_err(|e| e.to_string())?;
            Ok::<_, String>((head, body.to_bytes()))
        });
        match fetched.await {
            Ok(Ok((head, body))) => {
                let mut answer = Response::new(Full::new(body));
                *answer.status_mut() = head.status;
                if let Some(kind) = head.headers.get(header::CONTENT_TYPE) {
                    answer.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
                }
                answer
            }
            Ok(Err(why)) => text(StatusCode::BAD_GATEWAY, format!("cannot fetch: {why}\n")),
            Err(_) => {
                text(StatusCode::GATEWAY_TIMEOUT, format!("cannot fetch: no answer within {} s\n", PATIENCE.as_secs()))
            }
        }
    }
}

fn environment(name: &str) -> Response<Full<Bytes>> {
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    // `std::env::var_os` would be fine with any name but these.
    let nameable = !name.is_empty() && !name.contains(['=', '\0']);
    match nameable.then(|| std::env::var_os(&*name)).flatten() {
        Some(value) => text(StatusCode::OK, value.to_string_lossy().into_owned()),
        None => text(StatusCode::NOT_FOUND, format!("the environment variable {} is not set\n", name.escape_debug())),
    }
}

fn trace_of(headers: &HeaderMap) -> HeaderMap {
    let known = TRACE.map(HeaderName::from_static);
    known.into_iter().filter_map(|name| headers.get(&name).cloned().map(|value| (name, value))).collect()
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// The decoded value of one parameter of a query.
fn query_value(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find_map(|(n, value)| (n == name).then(|| value.into_owned()))
}

#[cfg(test)]
#[path = "flaskapp_tests.rs"]
mod tests;
