//! The Kubernetes API over HTTPS: what kubectl and kube-rs speak, in front of the [`Registry`]'s verbs.
//!
//! A request passes phases, each refusing with a `Status`: Host and Origin → path → who → may they → the verb.
//! **Invariant:** nothing here decides what an object means; that is the registry's, or the kubelet's.
mod audit;
mod backpressure;
mod body;
mod crds;
mod discovery;
mod exec;
mod listener;
mod logs;
mod negotiate;
mod openapi;
mod options;
mod pods;
mod portforward;
mod protobuf;
mod query;
mod request;
mod respond;
mod reviews;
mod route;
mod spdy;
mod table;
mod text_body;
mod verbs;
mod watch;
mod ws;

use crate::auth::{Attributes, Decision, Hosts, Tokens, User, authorize};
use crate::kubelet::Kubelet;
use crate::registry::Registry;
use crate::status::Status;
use audit::Audit;
use futures::FutureExt;
use http::header::{AUTHORIZATION, ORIGIN};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
pub use listener::limits;
use listener::{Handler, Tasks};
use query::Query;
use respond::Answer;
use route::{Route, Target};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Who may come in.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Accepted bearer tokens.
    pub tokens: Tokens,
    /// Names by which the API may be addressed.
    pub hosts: Hosts,
    /// File that says who changed what; none is written where it is none.
    pub audit: Option<std::path::PathBuf>,
}

/// Serves the API until `stop`; then watches end, requests in flight finish, and it returns within a second.
///
/// `policy` is a listener with [`limits`].
pub async fn serve(
    listener: TcpListener,
    policy: listen::Listener,
    tls: Arc<rustls::ServerConfig>,
    registry: Registry,
    kubelet: Arc<dyn Kubelet>,
    auth: Auth,
    stop: CancellationToken,
) {
    let ending = stop.clone();
    let audit = Audit::new(auth.audit.clone());
    listener::run(listener, policy, tls, stop, |tasks| {
        Arc::new(Api { registry, kubelet, auth, audit, wrong_tokens: std::sync::Mutex::default(), tasks, stop: ending })
    })
    .await;
}

/// What every request may use.
struct Api {
    registry: Registry,
    kubelet: Arc<dyn Kubelet>,
    auth: Auth,
    audit: Audit,
    wrong_tokens: std::sync::Mutex<listen::WrongTokens>,
    /// Upgraded connections live on after their request.
    tasks: Tasks,
    /// Ends watches and followed logs.
    stop: CancellationToken,
}

/// A request about a resource, with all that its verb needs.
struct Call {
    api: Arc<Api>,
    user: User,
    target: Target,
    query: Query,
    request: Request<Incoming>,
}

impl Call {
    fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    fn method(&self) -> &Method {
        self.request.method()
    }
}

impl Handler for Api {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let head = method == Method::HEAD;
        let answered = AssertUnwindSafe(self.answer(request)).catch_unwind().await;
        let answer = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => {
                tracing::debug!(http.method = %method, http.path = %path, http.status = status.code, "{}", status.message);
                respond::status(&status)
            }
            Err(_) => {
                tracing::error!(http.method = %method, http.path = %path, "a request made the API panic");
                respond::status(&Status::internal("an internal error occurred; the log has more"))
            }
        };
        if head { respond::whole(answer.status(), "application/json", "") } else { answer }
    }
}

impl Api {
    async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Result<Answer, Status> {
        self.check_host(&request)?;
        if request.method() == Method::HEAD {
            *request.method_mut() = Method::GET;
        }
        let route = Route::parse(request.uri().path());
        // Credentials that are given are checked everywhere: wrong ones are refused even where none are needed.
        if request.headers().contains_key(AUTHORIZATION)
            && let Err(wrong) = self.authenticate(request.headers())
        {
            let delay = self.wrong_token();
            tokio::time::sleep(delay).await;
            return Err(wrong);
        }
        // The only routes without a token: they tell nothing that a port scan would not.
        match (&route, request.method()) {
            (Ok(Route::Health), &Method::GET) => {
                return Ok(respond::whole(StatusCode::OK, "text/plain; charset=utf-8", "ok"));
            }
            (Ok(Route::Version), &Method::GET) => return Ok(respond::json(StatusCode::OK, &discovery::version())),
            _ => {}
        }
        let user = self.authenticate(request.headers())?;
        let conn = request.extensions().get::<listen::Conn>().cloned();
        if let Some(conn) = &conn {
            conn.identify(digest(&user.name), PER_USER)
                .map_err(|refused| crowded(refused, "connections are open for this user"))?;
        }
        let user = self.impersonated(user, request.headers())?;
        let query = Query::parse(request.uri().query().unwrap_or_default())?;
        let route = route?;
        let asked = attributes(&route, request.method(), &query, request.uri().path())?;
        if let Decision::Deny(why) = authorize(&user, &asked) {
            if let Some(noted) = self.audit.begin(&self.registry, &user.name, &asked) {
                self.audit.end(&self.registry, noted, 403);
            }
            return Err(Status::forbidden(why)
                .with_details(serde_json::json!({"name": asked.name, "group": asked.group, "kind": asked.resource})));
        }
        let Route::Resource(target) = route else {
            if request.method() != Method::GET {
                return Err(Status::method_not_allowed(
                    "the server does not allow this method on the requested resource",
                ));
            }
            return self.describe(&route, request.headers());
        };
        let noted = self.audit.begin(&self.registry, &user.name, &asked);
        let api = self.clone();
        let place = match conn.filter(|_| asked.verb == "watch" || asked.subresource == "log") {
            Some(conn) => {
                Some(conn.stream().map_err(|refused| crowded(refused, "watches and logs are being followed"))?)
            }
            None => None,
        };
        let answered = verbs::answer(Call { api: self, user, target, query, request }).await;
        let answered = answered.map(|answer| match place {
            Some(place) => answer.map(|body| until_end(body, place)),
            None => answer,
        });
        if let Some(noted) = noted {
            let code = answered.as_ref().map_or_else(|status| status.code, |answer| answer.status().as_u16());
            api.audit.end(&api.registry, noted, code);
        }
        answered
    }

    fn check_host(&self, request: &Request<Incoming>) -> Result<(), Status> {
        let header = |name| request.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let host = listen::authority(request.uri(), request.headers()).map_err(Status::bad_request)?;
        if !host.is_some_and(|host| self.auth.hosts.allows(host)) {
            return Err(Status::forbidden("the Host of the request is not one of this server's names"));
        }
        match header(ORIGIN) {
            Some(origin) if !self.auth.hosts.allows_origin(origin) => {
                Err(Status::forbidden("requests from web pages of another origin are refused"))
            }
            _ => Ok(()),
        }
    }

    /// How long the answer to a wrong token waits. The API listens on loopback alone, so all clients count as one address; correct
    /// tokens never wait.
    fn wrong_token(&self) -> std::time::Duration {
        let mut wrong = self.wrong_tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        wrong.delay(std::net::Ipv4Addr::LOCALHOST.into(), std::time::Instant::now())
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<User, Status> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        bearer
            .and_then(|token| self.auth.tokens.authenticate(token))
            .cloned()
            .ok_or_else(|| Status::new(401, "Unauthorized", "Unauthorized"))
    }

    /// `--as`: the owner may ask as somebody else; a name without a token may do nothing.
    fn impersonated(&self, user: User, headers: &HeaderMap) -> Result<User, Status> {
        let others = headers.keys().any(|name| name.as_str().starts_with("impersonate-") && name != "impersonate-user");
        if others {
            return Err(Status::forbidden(
                "only users can be impersonated here, by --as: groups, uids and extras cannot",
            ));
        }
        let Some(name) = headers.get("impersonate-user") else { return Ok(user) };
        let name = name.to_str().unwrap_or_default();
        if user.role != crate::auth::Role::Owner || user.namespace.is_some() {
            return Err(Status::forbidden(format!(
                "users \"{name}\" is forbidden: User \"{}\" cannot impersonate resource \"users\"",
                user.name
            )));
        }
        self.auth.tokens.user(name).cloned().ok_or_else(|| {
            Status::forbidden(format!("User \"{name}\" is not known to this cluster: owner, presenter and viewer are"))
        })
    }

    fn describe(&self, route: &Route, headers: &HeaderMap) -> Result<Answer, Status> {
        let kinds = self.registry.kinds();
        match route {
            Route::OldOpenApi => Ok(openapi::old(headers)),
            Route::OpenApiIndex => Ok(openapi::index(kinds)),
            Route::OpenApi { group, version } => openapi::document(kinds, group, version, headers),
            _ => discovery::answer(kinds, route, headers),
        }
    }
}

/// Connections that one user may have: as many as one address.
const PER_USER: usize = 1_500;

/// Of a user's name, for the connection policy.
fn digest(name: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// A refusal of the connection policy, in the words of a real API server's priority and fairness.
fn crowded(refused: listen::Refused, what: &str) -> Status {
    let code = refused.status().as_u16();
    let reason = if code == 429 { "TooManyRequests" } else { "ServiceUnavailable" };
    Status::new(code, reason, format!("as many {what} as this server takes; try again later"))
        .with_details(serde_json::json!({"retryAfterSeconds": listen::Refused::RETRY_AFTER.as_secs()}))
}

/// Keeps a stream's place until the answer's end.
fn until_end(body: respond::Body, place: listen::Stream) -> respond::Body {
    let held = body.map_frame(move |frame| {
        let _place = &place;
        frame
    });
    held.boxed_unsync()
}

/// What the request asks to do, as [`authorize`] sees it.
fn attributes(route: &Route, method: &Method, query: &Query, path: &str) -> Result<Attributes, Status> {
    let simple = match *method {
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => return Err(Status::method_not_allowed("the server does not allow this method on the requested resource")),
    };
    let Route::Resource(target) = route else {
        return Ok(Attributes { verb: simple.to_owned(), name: path.to_owned(), ..Attributes::default() });
    };
    let verb = match (simple, &target.name) {
        ("get", _) if query.flag("watch")? => "watch",
        ("get", None) => "list",
        ("delete", None) => "deletecollection",
        _ => simple,
    };
    Ok(Attributes {
        verb: verb.to_owned(),
        group: target.group.clone(),
        resource: target.resource.clone(),
        subresource: target.subresource.clone().unwrap_or_default(),
        namespace: target.namespace.clone().unwrap_or_default(),
        name: target.name.clone().unwrap_or_default(),
    })
}
