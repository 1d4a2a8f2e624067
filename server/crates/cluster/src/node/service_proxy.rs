//! The outbound proxy of a pod without a sidecar: what kube-proxy does, for HTTP. Knows no VirtualService.
//!
//! An endpoint is drawn once for each client connection and host, and kept while it is ready. Phases of a request:
//! target → pick → connect → forward.
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use listen::{Conn, Guarded, Limits, Listener, Steady, serve_http1};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::services::{Services, pick};

/// Longest wait for a connection to an endpoint. They are on this machine: what takes longer hangs.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection to an endpoint that rested so long is not used again: servers close theirs about then.
const IDLE: Duration = Duration::from_secs(20);
/// A request's body that is passed on has to bring something within this.
const BODY_WINDOW: Duration = Duration::from_secs(10);

type Body = BoxBody<Bytes, hyper::Error>;
type Outgoing = Steady<Incoming>;

/// Limits of all these proxies together. They live in the panel's process, and each connection has another one to an endpoint.
/// Heads may be larger than the panel's, as an app's cookies are. Pods keep connections, so idle ones may rest for long.
pub fn limits() -> Limits {
    let idle = Duration::from_secs(3600);
    let limits = Limits { waiting: 512, head_bytes: 32 * 1024, idle, idle_unknown: idle, ..Limits::default() };
    limits.fitted(listen::descriptor_limit(), 25, 2)
}

/// Says whether a connection may be made to an address: not to services of the host that a pod's address reaches as well.
pub type Reach = Arc<dyn Fn(SocketAddr) -> BoxFuture<'static, bool> + Send + Sync>;

/// Whom a proxy serves.
#[derive(Clone)]
pub struct Caller {
    /// Short names are looked up in it.
    pub namespace: String,
    /// What `localhost` means.
    pub own: Ipv4Addr,
    /// Where it may connect to.
    pub reach: Reach,
}

/// Serves until stopped; open connections are then dropped with the pod that they belong to.
pub async fn serve(
    listener: TcpListener,
    policy: Listener,
    caller: Caller,
    services: watch::Receiver<Arc<Services>>,
    stop: CancellationToken,
) {
    let caller = Arc::new(caller);
    let running = policy.run(listener, CancellationToken::new(), |io, conn| {
        connection(io, conn, Arc::clone(&caller), services.clone())
    });
    tokio::select! {
        () = stop.cancelled() => {}
        () = running => {}
    }
}

async fn connection(io: Guarded<TcpStream>, conn: Conn, caller: Arc<Caller>, services: watch::Receiver<Arc<Services>>) {
    // hyper serves one request of a connection after the other, so the lock is never waited for.
    let client = Arc::new(Mutex::new(Client { caller, services, pins: HashMap::new(), tasks: JoinSet::new() }));
    let service = |request| {
        let client = Arc::clone(&client);
        async move { Ok::<_, Infallible>(client.lock().await.answer(request).await) }
    };
    if let Err(error) = serve_http1(io, &conn, service, &CancellationToken::new()).await {
        tracing::debug!(%error, "A pod's connection to its service proxy ended early");
    }
    // A tunnel outlives the HTTP exchange that made it.
    let mut tasks = std::mem::take(&mut client.lock().await.tasks);
    client.lock().await.pins.clear();
    while tasks.join_next().await.is_some() {}
}

/// A client's connection.
struct Client {
    caller: Arc<Caller>,
    services: watch::Receiver<Arc<Services>>,
    pins: HashMap<(String, u16), Pin>,
    /// Connections to endpoints, driven until they end.
    tasks: JoinSet<()>,
}

/// The endpoint a host means on this connection.
struct Pin {
    endpoint: SocketAddr,
    sender: Option<SendRequest<Outgoing>>,
    used: Instant,
}

/// Why a request is not forwarded, in words for the pod.
struct Refusal(StatusCode, String);

impl Client {
    async fn answer(&mut self, request: Request<Incoming>) -> Response<Body> {
        let answered =
            if request.method() == Method::CONNECT { self.tunnel(request).await } else { self.forward(request).await };
        answered.unwrap_or_else(|Refusal(status, text)| {
            let mut response = Response::new(text_body(text + "\n"));
            *response.status_mut() = status;
            response
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            response
        })
    }

    async fn forward(&mut self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let (host, port) = target(&request)?;
        let mut request = request.map(|body| Steady::new(body, BODY_WINDOW));
        prepare(&mut request, &host, port)?;
        // Twice at most: a kept connection may have been closed by the other side before anything of this was sent.
        for _ in 0..2 {
            let sender = self.sender(&host, port).await?;
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let mut response = response.map(BodyExt::boxed);
                    strip_hop_by_hop(response.headers_mut());
                    return Ok(response);
                }
                Err(mut error) => {
                    self.pins.get_mut(&(host.clone(), port)).into_iter().for_each(|pin| pin.sender = None);
                    let Some(unsent) = error.take_message() else {
                        let why = error.into_error();
                        return Err(Refusal(StatusCode::BAD_GATEWAY, format!("{host}:{port} broke off: {why}")));
                    };
                    request = unsent;
                }
            }
        }
        Err(Refusal(StatusCode::BAD_GATEWAY, format!("{host}:{port} closes every connection")))
    }

    /// A connection to the host's endpoint that can take a request.
    async fn sender(&mut self, host: &str, port: u16) -> Result<&mut SendRequest<Outgoing>, Refusal> {
        let key = (host.to_owned(), port);
        let mut endpoints = self.endpoints(host, port)?;
        let mut kept = None;
        if let Some(pin) = self.pins.remove(&key)
            && endpoints.contains(&pin.endpoint)
        {
            kept = Some(pin.endpoint);
            if let Some(mut sender) = pin.sender
                && pin.used.elapsed() < IDLE
                && sender.ready().await.is_ok()
            {
                return Ok(self.pin(key, pin.endpoint, sender));
            }
        }
        let (endpoint, stream) = connect(&self.caller.reach, host, port, kept, &mut endpoints).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Refusal(StatusCode::BAD_GATEWAY, format!("{host}:{port}: {error}")))?;
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(async move {
            let _ = connection.await;
        });
        Ok(self.pin(key, endpoint, sender))
    }

    fn pin(
        &mut self,
        key: (String, u16),
        endpoint: SocketAddr,
        sender: SendRequest<Outgoing>,
    ) -> &mut SendRequest<Outgoing> {
        let pin = self.pins.entry(key).or_insert(Pin { endpoint, sender: None, used: Instant::now() });
        pin.sender.insert(sender)
    }

    async fn tunnel(&mut self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let (host, port) = target(&request)?;
        let mut endpoints = self.endpoints(&host, port)?;
        let (_, mut upstream) = connect(&self.caller.reach, &host, port, None, &mut endpoints).await?;
        self.tasks.spawn(async move {
            if let Ok(client) = hyper::upgrade::on(request).await {
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut upstream).await;
            }
        });
        Ok(Response::new(text_body(String::new())))
    }

    fn endpoints(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
        if means_the_caller(host, self.caller.own) {
            return Ok(vec![SocketAddr::from((self.caller.own, port))]);
        }
        let services = Arc::clone(&self.services.borrow());
        let Some(service) = services.find(host, &self.caller.namespace) else {
            let why = format!("{host} is no Service here, and nothing else may be reached from a pod");
            return Err(Refusal(StatusCode::FORBIDDEN, why));
        };
        let named = format!("Service {}/{}", service.namespace, service.name);
        match service.endpoints(port) {
            None => Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("{named} has no port {port}"))),
            Some([]) => {
                Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("{named} has no ready endpoint for port {port}")))
            }
            Some(endpoints) => Ok(endpoints.to_vec()),
        }
    }
}

/// Whether a host is the calling pod by one of the names that every machine has for itself, or by its address.
pub fn means_the_caller(host: &str, own: Ipv4Addr) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || literal.parse::<IpAddr>().is_ok_and(|ip| match ip.to_canonical() {
            IpAddr::V4(ip) => ip == Ipv4Addr::LOCALHOST || ip.is_unspecified() || ip == own,
            IpAddr::V6(ip) => ip == Ipv6Addr::LOCALHOST || ip.is_unspecified(),
        })
}

/// Connects to the endpoint kept, else to a random one; where one refuses, to another, for nothing was sent yet.
async fn connect(
    reach: &Reach,
    host: &str,
    port: u16,
    mut first: Option<SocketAddr>,
    endpoints: &mut Vec<SocketAddr>,
) -> Result<(SocketAddr, TcpStream), Refusal> {
    let mut why = String::new();
    while let Some(endpoint) = first.take().or_else(|| pick(endpoints).copied()) {
        let connecting = async {
            // As if nobody listened there.
            if reach(endpoint).await {
                TcpStream::connect(endpoint).await
            } else {
                Err(std::io::Error::from_raw_os_error(libc::ECONNREFUSED))
            }
        };
        match tokio::time::timeout(CONNECT, connecting).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok((endpoint, stream));
            }
            Ok(Err(error)) => why = format!("{endpoint}: {error}"),
            Err(_) => why = format!("{endpoint}: no connection within {} s", CONNECT.as_secs()),
        }
        endpoints.retain(|other| *other != endpoint);
    }
    Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("{host}:{port} cannot be reached: {why}")))
}

/// Host and port of a request: absolute-form and CONNECT name them in the target, origin-form in `Host`.
fn target<B>(request: &Request<B>) -> Result<(String, u16), Refusal> {
    let bad = |why: &str| Refusal(StatusCode::BAD_REQUEST, why.to_owned());
    if request.uri().scheme_str().is_some_and(|scheme| scheme != "http") {
        return Err(bad("only http:// is proxied; use CONNECT for anything else"));
    }
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => {
            let mut hosts = request.headers().get_all(HOST).iter();
            let host = hosts.next().ok_or_else(|| bad("the request names no host"))?;
            if hosts.next().is_some() {
                return Err(bad("the request names two hosts"));
            }
            Authority::try_from(host.as_bytes()).map_err(|_| bad("the request's host is malformed"))?
        }
    };
    if authority.as_str().contains('@') {
        return Err(bad("a host with a user is not proxied"));
    }
    Ok((authority.host().to_owned(), authority.port_u16().unwrap_or(80)))
}

/// Makes the request one for the endpoint: origin-form, nothing hop-by-hop. Host stays as the client wrote it: without a proxy, whom it
/// connects to and what it says there are two things, too.
fn prepare<B>(request: &mut Request<B>, host: &str, port: u16) -> Result<(), Refusal> {
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let bad = |_| Refusal(StatusCode::BAD_REQUEST, "the request's target is malformed".to_owned());
    let authority = if port == 80 { host.to_owned() } else { format!("{host}:{port}") };
    *request.uri_mut() = Uri::try_from(if path.starts_with('/') { path } else { "/" })
        .map_err(|e: http::uri::InvalidUri| bad(e.into()))?;
    strip_hop_by_hop(request.headers_mut());
    let hosts = request.headers().get_all(HOST).iter().count();
    if hosts > 1 {
        return Err(Refusal(StatusCode::BAD_REQUEST, "the request names two hosts".to_owned()));
    }
    if hosts == 0 {
        let value = HeaderValue::try_from(authority).map_err(|e| bad(http::Error::from(e)))?;
        request.headers_mut().insert(HOST, value);
    }
    *request.version_mut() = http::Version::HTTP_11;
    Ok(())
}

/// Removes what concerns one connection only. Source: RFC 9110, section 7.6.1.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let always = ["connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
    named.iter().for_each(|name| drop(headers.remove(name)));
    always.iter().chain(&["proxy-authenticate", "proxy-authorization"]).for_each(|name| drop(headers.remove(*name)));
}

fn text_body(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}

#[cfg(test)]
#[path = "service_proxy_tests.rs"]
mod tests;
