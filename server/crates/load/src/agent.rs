//! The agent: the engine's control over HTTP, on a pod's loopback or a unix socket.
//!
//! `GET /v1/status` · `PUT /v1/load` (a [`LoadSpec`]) · `PUT /v1/mark` · `GET /v1/snapshots` (NDJSON, ten a second).
use crate::engine::{Engine, EngineError};
use crate::snapshot::AgentStatus;
use crate::spec::{LoadSpec, SpecError};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, Stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame};
use listen::{BodyError, BodyLimits, Books, Conn, Guarded, Limits, Listener, Socket, serve_http1};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

/// Longest body taken: a load is far below it.
const MAX_BODY: usize = 64 * 1024;
/// Longest wait for a request's body, and for open streams when the agent ends.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most connections at a time.
const MAX_CONNECTIONS: usize = 64;

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Where the agent listens.
#[derive(Debug)]
pub enum AgentListener {
    /// `127.0.0.1:7070` in a pod of a real cluster.
    Tcp(TcpListener),
    /// A socket that no other local user reaches.
    Unix(UnixListener),
}

/// The agent's limits. Who reaches it is inside the pod already, so a few connections do. The panel keeps one that rests until the next
/// command, so idle ones may stay for long.
fn limits() -> Limits {
    let (idle, few) = (Duration::from_secs(3600), MAX_CONNECTIONS);
    Limits {
        connections: few,
        per_peer: few,
        waiting: few / 2,
        streams: few / 2,
        streams_per_peer: few / 2,
        idle,
        idle_unknown: idle,
        drain: PATIENCE,
        ..Limits::default()
    }
}

/// Serves until `stop`; then streams end and requests under way are answered. The engine is the caller's to stop.
pub async fn serve_agent(listener: AgentListener, engine: Engine, stop: CancellationToken) {
    let policy = Listener::new("load-agent", limits(), &Books::default());
    match listener {
        AgentListener::Tcp(listener) => run(listener, &policy, engine, stop).await,
        AgentListener::Unix(listener) => run(listener, &policy, engine, stop).await,
    }
}

async fn run<S: Socket>(socket: S, policy: &Listener, engine: Engine, stop: CancellationToken) {
    let serve = |io, conn| serve_connection(io, conn, engine.clone(), stop.clone());
    policy.run(socket, stop.clone(), serve).await;
}

async fn serve_connection<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    io: Guarded<T>,
    conn: Conn,
    engine: Engine,
    stop: CancellationToken,
) {
    let service = |request| {
        let (engine, stop) = (engine.clone(), stop.clone());
        async move { Ok::<_, Infallible>(answer(request, &engine, stop).await) }
    };
    if let Err(e) = serve_http1(io, &conn, service, &stop).await {
        tracing::debug!(error = %e, "a connection of the load agent ended early");
    }
}

/// What the caller did wrong, or why it cannot be done.
#[derive(Serialize)]
struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into() }
    }
}

impl From<EngineError> for Refusal {
    fn from(e: EngineError) -> Refusal {
        let (status, code) = match &e {
            EngineError::Spec(SpecError::Resolve { .. }) => (StatusCode::BAD_GATEWAY, "unresolved"),
            EngineError::Spec(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            EngineError::Stopped | EngineError::Start(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
        };
        Refusal::new(status, code, e.to_string())
    }
}

async fn answer<B>(request: Request<B>, engine: &Engine, stop: CancellationToken) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match route(request, engine, stop).await {
        Ok(answer) => answer,
        Err(refusal) => json(refusal.status, &refusal),
    }
}

async fn route<B>(request: Request<B>, engine: &Engine, stop: CancellationToken) -> Result<Answer, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    check_caller(request.uri(), request.headers())?;
    let wrong_method =
        || Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path takes another method");
    match (request.uri().path(), request.method()) {
        ("/v1/status", &Method::GET) => Ok(json(StatusCode::OK, &**engine.status().borrow())),
        ("/v1/snapshots", &Method::GET) => {
            let place = request.extensions().get().map(Conn::stream).transpose();
            let place = place
                .map_err(|refused| Refusal::new(refused.status(), "too_many_requests", "too many streams are open"))?;
            Ok(snapshots(engine, place, stop))
        }
        ("/v1/load", &Method::PUT) => Ok(json(StatusCode::OK, &engine.set_load(&read_spec(request).await?).await?)),
        ("/v1/mark", &Method::PUT) => Ok(json(StatusCode::OK, &engine.mark().await?)),
        ("/v1/status" | "/v1/snapshots" | "/v1/load" | "/v1/mark", _) => Err(wrong_method()),
        _ => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "the agent has /v1/status, /v1/load, /v1/mark and /v1/snapshots",
        )),
    }
}

/// Callers come through a port-forward, so they name a loopback host, and no browser page is one of them.
fn check_caller(target: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let foreign = |what: &str| {
        Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", format!("{what} is not one the agent answers to"))
    };
    let host = listen::authority(target, headers)
        .map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, "bad_request", why))?
        .unwrap_or_default();
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    if !["localhost", "127.0.0.1", "[::1]"].contains(&name) {
        return Err(foreign("this Host"));
    }
    if headers.contains_key(header::ORIGIN) || headers.get("sec-fetch-site").is_some_and(|s| s != "none") {
        return Err(foreign("a web page"));
    }
    Ok(())
}

async fn read_spec<B>(request: Request<B>) -> Result<LoadSpec, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|t| t.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", "the body is to be application/json"));
    }
    let conn = request.extensions().get().cloned();
    let limits = BodyLimits { bytes: MAX_BODY, whole: PATIENCE, ..BodyLimits::default() };
    let body = listen::collect(request.into_body(), conn.as_ref(), limits).await.map_err(|e| match e {
        BodyError::TooLarge => Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the body is larger than {MAX_BODY} bytes"),
        ),
        BodyError::TooSlow => Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come in time"),
        BodyError::Broken(e) => {
            Refusal::new(StatusCode::BAD_REQUEST, "bad_request", format!("the body cannot be read: {e}"))
        }
    })?;
    serde_json::from_slice(&body).map_err(|e| {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_request", format!("not a load such as {{\"rate\": 200}}: {e}"))
    })
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(body).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(text)).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}

fn snapshots(engine: &Engine, place: Option<listen::Stream>, stop: CancellationToken) -> Answer {
    let lines = lines(engine).take_until(async move {
        let _place = place;
        stop.cancelled().await;
    });
    let mut answer = Response::new(BodyExt::boxed(StreamBody::new(lines)));
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/x-ndjson"));
    answer
}

/// The newest snapshot at once, then each newer one; a slow reader skips some. Ends with the engine.
fn lines(engine: &Engine) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + use<> {
    let mut status = engine.status();
    status.mark_changed();
    stream::unfold(status, |mut status| async move {
        status.changed().await.ok()?;
        let newest: Arc<AgentStatus> = Arc::clone(&status.borrow_and_update());
        let mut line = serde_json::to_vec(&newest.snapshot).unwrap_or_default();
        line.push(b'\n');
        Some((Ok(Frame::data(Bytes::from(line))), status))
    })
}
