//! Who may ask at all: Host allow-list, Origin, Sec-Fetch-Site, token; and what a body may be. Before any handler.
use super::AppState;
use super::auth::Refused;
use super::connection_limits;
use super::failure::failure;
use super::peer::Peer;
use super::sign_in::{SIGN_IN, come_back};
use app::text::messages::errors;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use listen::{BodyError, BodyLimits};
use std::net::IpAddr;
use std::time::Duration;
use wire::Code;

/// Largest body: 1 MiB.
const BODY_LIMIT: usize = 1 << 20;
/// Longest wait for a body.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Names and origins people reach the panel by.
#[derive(Clone, Debug)]
pub struct HostList {
    names: Vec<String>,
    /// Origins of the public URLs: a page from there is ours, whatever a proxy in front made of the Host.
    public: Vec<Origin>,
    any_address: bool,
    /// Scheme by which browsers reach us.
    scheme: &'static str,
}

/// Scheme, host and port of a page. Source: RFC 6454, "The Web Origin Concept", section 4.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    fn parse(text: &str) -> Option<Origin> {
        Origin::of(&text.parse().ok()?)
    }

    fn of(uri: &http::Uri) -> Option<Origin> {
        Origin::at(uri.scheme_str()?, uri.authority()?)
    }

    /// `None` if the scheme has no default port and the authority names none.
    fn at(scheme: &str, authority: &Authority) -> Option<Origin> {
        let scheme = scheme.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let port = authority.port_u16().or(default)?;
        Some(Origin { scheme, host: bare(authority.host()).to_ascii_lowercase(), port })
    }
}

impl HostList {
    /// Loopback names, the listen address, and the public URLs. `tls`: browsers reach the panel by TLS, its own or a proxy's.
    pub fn new(listen: IpAddr, public: &[http::Uri], tls: bool) -> HostList {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        names.push(listen.to_string());
        names.extend(public.iter().filter_map(|url| url.host()).map(|host| bare(host).to_ascii_lowercase()));
        let public = public.iter().filter_map(Origin::of).collect();
        // An address cannot be rebound by DNS; on all addresses any of ours may be the one.
        HostList { names, public, any_address: listen.is_unspecified(), scheme: if tls { "https" } else { "http" } }
    }

    /// Whether a Host header (or an authority) names us; the port does not matter.
    pub fn allows(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let host = bare(authority.host()).to_ascii_lowercase();
        self.names.contains(&host) || (self.any_address && host.parse::<IpAddr>().is_ok())
    }

    /// Whether a page of this origin is ours: the origin of what was asked for, or of a public URL.
    fn is_ours(&self, origin: &str, host: &str) -> bool {
        let Some(origin) = Origin::parse(origin) else { return false };
        let asked = host.parse().ok().and_then(|authority| Origin::at(self.scheme, &authority));
        asked.as_ref() == Some(&origin) || self.public.contains(&origin)
    }
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Whether the page that asks may: same origin, or a person who opens the panel's page. A frame of another site may not, nor may
/// another site's link open an API address: it would hold a live stream that nobody can read.
fn origin_fits(parts: &http::request::Parts, host: &str, hosts: &HostList) -> bool {
    let text = |name: &str| parts.headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    let opens_page =
        text("sec-fetch-mode") == Some("navigate") && matches!(text("sec-fetch-dest"), None | Some("document"));
    if reads && opens_page && !parts.uri.path().starts_with("/api") {
        return true;
    }
    let site_fits = matches!(text("sec-fetch-site"), None | Some("same-origin" | "none"));
    let origin_fits = match text("origin") {
        None => true,
        // Our pages send no referrer, and then the origin of a form is `null`: the browser confirms the same origin in Sec-Fetch-Site.
        Some("null") => text("sec-fetch-site") == Some("same-origin"),
        // On loopback other ports are other programs.
        Some(origin) => hosts.is_ours(origin, host),
    };
    site_fits && origin_fits
}

/// Refuses what is not for us, then reads the body of what changes something.
pub async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let host = match listen::authority(&parts.uri, &parts.headers) {
        Ok(host) => host.unwrap_or_default().to_owned(),
        Err(why) => return failure(Code::BadRequest, errors::host_wrong(why), errors::send_one_host()).into_response(),
    };
    // Probes of a kubelet name the pod's address, which is among the names of a panel that listens on all addresses.
    if !state.hosts.allows(&host) {
        return failure(Code::ForeignOrigin, errors::not_this_host(), errors::use_its_address()).into_response();
    }
    if !origin_fits(&parts, &host, &state.hosts) {
        return failure(Code::ForeignOrigin, errors::foreign_page(), errors::open_own_page()).into_response();
    }
    let from = parts.extensions.get::<Peer>().map_or(IpAddr::from([127, 0, 0, 1]), |p| p.0);
    // The page where people sign in, and what it is drawn with.
    let public = matches!(parts.uri.path(), "/healthz" | "/readyz")
        || parts.uri.path() == SIGN_IN
        || parts.uri.path().starts_with("/pkg/");
    if !public && let Err(refused) = state.gate.admit(&parts.headers, from) {
        if let Refused::Wrong(delay) = refused {
            tokio::time::sleep(delay).await;
        }
        return turned_away(&parts);
    }
    if !public && let Err(refused) = connection_limits::signed_in(&state, &parts) {
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
fn turned_away(parts: &http::request::Parts) -> Response {
    let accepts = parts.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if parts.method == Method::GET && accepts.contains("text/html") && !parts.uri.path().starts_with("/api") {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, format!("{SIGN_IN}{}", come_back(parts.uri.query())))])
            .into_response();
    }
    let mut response = failure(Code::SignedOut, errors::token_needed(), errors::sign_in()).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"demo-panel\""));
    response
}

async fn read_body(parts: &http::request::Parts, body: Body) -> Result<bytes::Bytes, super::failure::Failure> {
    let too_large = || failure(Code::TooLarge, errors::body_too_large(), errors::send_small());
    let (path, headers) = (parts.uri.path(), &parts.headers);
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
    if length.is_some_and(|l| l > BODY_LIMIT) {
        return Err(too_large());
    }
    let kind = headers.get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap_or("?"));
    // A form is taken by the sign-in page alone: everything else takes JSON, which no foreign page can send.
    let taken = if path == SIGN_IN { "application/x-www-form-urlencoded" } else { "application/json" };
    let json = kind.is_some_and(|k| k.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case(taken)));
    let not_json = || failure(Code::NotJson, errors::not_json(), errors::send_json());
    if kind.is_some() && !json {
        return Err(not_json());
    }
    let limits = BodyLimits { bytes: BODY_LIMIT, whole: BODY_PATIENCE, ..BodyLimits::default() };
    let bytes = match listen::collect(body, parts.extensions.get::<listen::Conn>(), limits).await {
        Ok(bytes) => bytes,
        Err(BodyError::TooLarge) => return Err(too_large()),
        Err(BodyError::TooSlow) => {
            return Err(failure(Code::Timeout, errors::body_too_slow(), errors::try_again()));
        }
        Err(BodyError::Broken(error)) => {
            return Err(failure(Code::BadRequest, errors::body_broken(error.to_string()), errors::try_again()));
        }
    };
    // Verbs without a body need no type: `curl -X POST` sends neither.
    if bytes.is_empty() || json { Ok(bytes) } else { Err(not_json()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_served() {
        let public = ["https://demo.example/".parse().unwrap()];
        let hosts = HostList::new([127, 0, 0, 1].into(), &public, false);
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
        assert!(HostList::new([0, 0, 0, 0].into(), &[], false).allows("192.168.0.2:3000"));
        assert!(!HostList::new([0, 0, 0, 0].into(), &[], false).allows("evil.example"));
    }

    fn parts(method: Method, target: &str, headers: &[(&'static str, &'static str)]) -> http::request::Parts {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap().into_parts().0
    }

    #[test]
    fn other_origins_change_nothing_and_hold_nothing() {
        let public = ["https://demo.example".parse().unwrap()];
        let (plain, tls) =
            (HostList::new([127, 0, 0, 1].into(), &public, false), HostList::new([127, 0, 0, 1].into(), &public, true));
        let host = "127.0.0.1:3000";
        let (cross, navigate) = (("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"));
        for (method, path, headers, fits) in [
            (Method::POST, "/", vec![], true),
            (Method::POST, "/", vec![("origin", "http://127.0.0.1:3000")], true),
            (Method::POST, "/", vec![("origin", "https://127.0.0.1:3000")], false),
            (Method::POST, "/", vec![("origin", "https://demo.example")], true),
            (Method::POST, "/", vec![("origin", "https://demo.example:443")], true),
            (Method::POST, "/", vec![("origin", "http://demo.example")], false),
            (Method::POST, "/", vec![("origin", "http://demo.example:8080")], false),
            (Method::POST, "/", vec![("origin", "https://demo.example:8443")], false),
            (Method::POST, "/", vec![("origin", "https://demo.example.evil.example")], false),
            (Method::POST, "/", vec![("origin", "https://evil.example")], false),
            (Method::POST, "/", vec![("origin", "http://127.0.0.1:4000")], false),
            (Method::POST, "/", vec![("origin", "http://127.0.0.1")], false),
            (Method::POST, "/", vec![("origin", "file://")], false),
            (Method::POST, "/", vec![("origin", "null")], false),
            (Method::POST, "/", vec![("origin", "null"), ("sec-fetch-site", "same-origin")], true),
            (Method::POST, "/", vec![("origin", "null"), cross], false),
            (Method::POST, "/", vec![cross], false),
            (Method::POST, "/", vec![("sec-fetch-site", "same-site")], false),
            (Method::POST, "/", vec![("sec-fetch-site", "same-origin")], true),
            (Method::POST, "/", vec![cross, navigate], false),
            (Method::GET, "/", vec![cross, navigate], true),
            (Method::GET, "/", vec![cross, navigate, ("sec-fetch-dest", "document")], true),
            (Method::GET, "/", vec![cross, navigate, ("sec-fetch-dest", "iframe")], false),
            (Method::GET, "/", vec![cross, navigate, ("sec-fetch-dest", "object")], false),
            (Method::GET, "/", vec![cross, ("sec-fetch-mode", "cors")], false),
            (Method::GET, "/api/demo/live", vec![cross, navigate, ("sec-fetch-dest", "iframe")], false),
            (Method::GET, "/api/demo/live", vec![cross, navigate, ("sec-fetch-dest", "document")], false),
            (
                Method::GET,
                "/api/demo/status",
                vec![("sec-fetch-site", "none"), navigate, ("sec-fetch-dest", "document")],
                true,
            ),
        ] {
            let request = parts(method, path, &headers);
            assert_eq!(origin_fits(&request, host, &plain), fits, "{} {path} {headers:?}", request.method);
        }
        for (hosts, origin, fits) in [(&tls, "https://127.0.0.1:3000", true), (&tls, "http://127.0.0.1:3000", false)] {
            assert_eq!(origin_fits(&parts(Method::POST, "/", &[("origin", origin)]), host, hosts), fits, "{origin}");
        }
    }
}
