//! Who may ask at all: Host allow-list, Origin, Sec-Fetch-Site, token; and what a body may be. Before any handler.
use super::AppState;
use super::crowd;
use super::failure::failure;
use super::gate::Refused;
use super::sign_in::{SIGN_IN, come_back};
use app::types::Code;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use listen::{BodyError, BodyLimits};
use std::net::IpAddr;
use std::time::Duration;

/// Largest body: 1 MiB.
const BODY_LIMIT: usize = 1 << 20;
/// Longest wait for a body.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// Names people reach the panel by.
#[derive(Clone, Debug, Default)]
pub struct HostList {
    names: Vec<String>,
    /// Hosts of the public URLs: a page from there is ours, whatever a proxy in front made of the Host.
    public: Vec<String>,
    any_address: bool,
}

impl HostList {
    /// Loopback names, the listen address, and each public URL's host.
    pub fn new(listen: IpAddr, public: &[http::Uri]) -> HostList {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        names.push(listen.to_string());
        let public: Vec<String> = public.iter().filter_map(|u| u.host()).map(|h| bare(h).to_ascii_lowercase()).collect();
        names.extend(public.iter().cloned());
        // An address cannot be rebound by DNS; on all addresses any of ours may be the one.
        HostList { names, public, any_address: listen.is_unspecified() }
    }

    /// Whether an origin's authority is a public URL's.
    fn is_public(&self, authority: &str) -> bool {
        let host = authority.parse::<http::uri::Authority>().map(|a| bare(a.host()).to_ascii_lowercase());
        host.is_ok_and(|host| self.public.contains(&host))
    }

    /// Whether a Host header (or an authority) names us; the port does not matter.
    pub fn allows(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
        let host = bare(authority.host()).to_ascii_lowercase();
        self.names.contains(&host) || (self.any_address && host.parse::<IpAddr>().is_ok())
    }
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Whether the page that asks may: same origin, or a person's own navigation.
fn origin_fits(headers: &HeaderMap, method: &Method, host: &str, hosts: &HostList) -> bool {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let navigation = (method == Method::GET || method == Method::HEAD) && text("sec-fetch-mode") == Some("navigate");
    if navigation {
        return true;
    }
    let site_fits = matches!(text("sec-fetch-site"), None | Some("same-origin" | "none"));
    let origin_fits = match text("origin") {
        None => true,
        // Our pages send no referrer, and then a form's origin is told as `null`: that it is ours the browser says in the other header.
        Some("null") => text("sec-fetch-site") == Some("same-origin"),
        Some(origin) => match origin.split_once("://") {
            // The same authority as asked for (on loopback other ports are other programs); a proxy in front may have changed the Host, then a public URL's name.
            Some((_, authority)) => authority.eq_ignore_ascii_case(host) || hosts.is_public(authority),
            None => false,
        },
    };
    site_fits && origin_fits
}

/// Where a connection comes from; put there by the accept loop.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Refuses what is not for us, then reads the body of what changes something.
pub async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let authority = parts.uri.authority().map(|a| a.as_str().to_owned());
    let host = parts.headers.get(header::HOST).and_then(|h| h.to_str().ok()).map(str::to_owned).or(authority).unwrap_or_default();
    let open = matches!(parts.uri.path(), "/healthz" | "/readyz");
    // Probes of a kubelet name the pod's address.
    if !open && !state.hosts.allows(&host) {
        return failure(Code::ForeignOrigin, "This panel is not served under that name.", "Use its address, or start it with --public-url.").into_response();
    }
    if !origin_fits(&parts.headers, &parts.method, &host, &state.hosts) {
        return failure(Code::ForeignOrigin, "A page of another origin may not use the panel.", "Open the panel's own page.").into_response();
    }
    let from = parts.extensions.get::<Peer>().map_or(IpAddr::from([127, 0, 0, 1]), |p| p.0);
    // The page where people sign in, and what it is drawn with.
    let public = open || parts.uri.path() == SIGN_IN || parts.uri.path().starts_with("/pkg/");
    if !public && let Err(refused) = state.gate.admit(&parts.headers, from) {
        return turned_away(refused, &parts);
    }
    if !public && let Err(refused) = crowd::signed_in(&state, &parts) {
        return *refused;
    }
    if parts.method == Method::GET || parts.method == Method::HEAD {
        return next.run(Request::from_parts(parts, body)).await;
    }
    match read_body(&parts, body).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// To the sign-in page where a person asks for a page; else an answer for programs.
fn turned_away(refused: Refused, parts: &http::request::Parts) -> Response {
    let accepts = parts.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if refused != Refused::TooMany && parts.method == Method::GET && accepts.contains("text/html") && !parts.uri.path().starts_with("/api") {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, format!("{SIGN_IN}{}", come_back(parts.uri.query())))]).into_response();
    }
    if refused == Refused::TooMany {
        return failure(Code::TooManyRequests, "Too many wrong tokens came from this address.", "Wait five minutes, then try again.").into_response();
    }
    let mut response = failure(Code::SignedOut, "A token is needed.", "Open the panel's page to sign in, or send `Authorization: Bearer …`.").into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"demo-panel\""));
    response
}

async fn read_body(parts: &http::request::Parts, body: Body) -> Result<bytes::Bytes, super::failure::Failure> {
    let too_large = || failure(Code::TooLarge, "The body is larger than 1 MiB.", "Send what the README shows: a few bytes of JSON.");
    let (path, headers) = (parts.uri.path(), &parts.headers);
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    if length.is_some_and(|l| l > BODY_LIMIT) {
        return Err(too_large());
    }
    let kind = headers.get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap_or("?"));
    // A form is taken by the sign-in page alone: everything else takes JSON, which no foreign page can send.
    let taken = if path == SIGN_IN { "application/x-www-form-urlencoded" } else { "application/json" };
    let json = kind.is_some_and(|k| k.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case(taken)));
    let not_json = || failure(Code::NotJson, "The body is not JSON.", "Send it with `Content-Type: application/json`.");
    if kind.is_some() && !json {
        return Err(not_json());
    }
    let limits = BodyLimits { bytes: BODY_LIMIT, whole: BODY_PATIENCE, ..BodyLimits::default() };
    let bytes = match listen::collect(body, parts.extensions.get::<listen::Conn>(), limits).await {
        Ok(bytes) => bytes,
        Err(BodyError::TooLarge) => return Err(too_large()),
        Err(BodyError::TooSlow) => return Err(failure(Code::Timeout, "The body did not come within 10 s.", "Try again.")),
        Err(BodyError::Broken(error)) => return Err(failure(Code::BadRequest, format!("The body broke off: {error}."), "Try again.")),
    };
    // Verbs without a body need no type: `curl -X POST` sends neither.
    if bytes.is_empty() || json { Ok(bytes) } else { Err(not_json()) }
}

/// Headers on every answer. A page brings its own content security policy, with its nonce.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_served() {
        let public = ["https://demo.example/".parse().unwrap()];
        let hosts = HostList::new([127, 0, 0, 1].into(), &public);
        for (host, allowed) in [
            ("localhost:3000", true),
            ("127.0.0.1:1", true),
            ("[::1]:3000", true),
            ("LOCALHOST", true),
            ("demo.example", true),
            ("evil.example", false),
            ("localhost.evil.example:3000", false),
            ("192.168.0.2:3000", false),
            ("user@localhost", true),
            ("", false),
        ] {
            assert_eq!(hosts.allows(host), allowed, "{host}");
        }
        assert!(HostList::new([0, 0, 0, 0].into(), &[]).allows("192.168.0.2:3000"));
        assert!(!HostList::new([0, 0, 0, 0].into(), &[]).allows("evil.example"));
    }

    #[test]
    fn other_origins_change_nothing() {
        let hosts = HostList::new([127, 0, 0, 1].into(), &["https://demo.example".parse().unwrap()]);
        let host = "127.0.0.1:3000";
        for (method, headers, fits) in [
            (Method::POST, vec![], true),
            (Method::POST, vec![("origin", "http://127.0.0.1:3000")], true),
            (Method::POST, vec![("origin", "https://demo.example")], true),
            (Method::POST, vec![("origin", "http://127.0.0.1:4000")], false),
            (Method::POST, vec![("origin", "http://evil.example")], false),
            (Method::POST, vec![("origin", "null")], false),
            (Method::POST, vec![("origin", "null"), ("sec-fetch-site", "same-origin")], true),
            (Method::POST, vec![("origin", "null"), ("sec-fetch-site", "cross-site")], false),
            (Method::POST, vec![("sec-fetch-site", "cross-site")], false),
            (Method::POST, vec![("sec-fetch-site", "same-site")], false),
            (Method::POST, vec![("sec-fetch-site", "same-origin")], true),
            (Method::GET, vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], true),
            (Method::GET, vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")], false),
            (Method::POST, vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], false),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in &headers {
                map.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(origin_fits(&map, &method, host, &hosts), fits, "{method} {headers:?}");
        }
    }
}
