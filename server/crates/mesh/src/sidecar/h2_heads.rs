//! Heads of HTTP/2 streams on their way: what [`super::heads`] does to bytes of HTTP/1.1, done to hyper's own types.
use super::changes::{is_framing, is_host, set_host};
use super::http1::{Known, known, tokens};
use super::outbound::{Plan, Via};
use super::shared::Shared;
use super::spell::push_uuid;
use crate::table::HeaderOps;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};

/// The request as it goes to the upstream: its target rewritten, its headers as a proxy passes them on; nothing where the target is none.
pub(super) fn rewritten<B>(
    shared: &Shared,
    mut request: Request<B>,
    authority: &str,
    path: &str,
    plan: &Plan,
    outbound: bool,
    http2: bool,
) -> Option<Request<B>> {
    let route = plan.via.as_ref().map(Via::route);
    let authority = route.and_then(|r| r.rewrite.authority.as_deref()).unwrap_or(authority);
    let operations = plan.via.as_ref().map(Via::request_changes);
    let authority = operations.as_ref().and_then(set_host).unwrap_or(authority);
    let path = plan.target.as_deref().unwrap_or(path);
    let uri = if http2 { format!("http://{authority}{path}") } else { path.to_string() };
    *request.uri_mut() = uri.parse::<Uri>().ok()?;
    *request.version_mut() = if http2 { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
    let headers = request.headers_mut();
    strip_hop_headers(headers);
    // Forged, or of an earlier hop, as in a head of HTTP/1.1.
    let not_sent = |name: &&HeaderName| {
        matches!(known(name.as_str()), Known::Internal | Known::PeerMetadata | Known::Host)
            || (outbound && known(name.as_str()) == Known::Attempt)
    };
    for name in headers.keys().filter(not_sent).cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
    if !http2 && let Ok(host) = HeaderValue::from_str(authority) {
        headers.insert(header::HOST, host);
    }
    if !headers.contains_key("x-request-id")
        && let Ok(id) = HeaderValue::from_bytes(&uuid(shared))
    {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    headers.remove("expect");
    if outbound {
        if !headers.contains_key("x-b3-traceid") && !headers.contains_key("b3") {
            let (a, b) = (shared.draw(), shared.draw());
            for (name, value) in [
                ("x-b3-traceid", format!("{a:016x}{b:016x}")),
                ("x-b3-spanid", format!("{b:016x}")),
                ("x-b3-sampled", "0".into()),
            ] {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.insert(HeaderName::from_static(name), value);
                }
            }
        }
        if !headers.contains_key("x-forwarded-proto") {
            headers.insert(HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static("http"));
        }
        headers.insert(HeaderName::from_static("x-envoy-attempt-count"), HeaderValue::from_static("1"));
        if let Some(original) = plan.original.as_ref().and_then(|p| HeaderValue::from_str(p).ok()) {
            headers.insert(HeaderName::from_static("x-envoy-original-path"), original);
        }
    }
    if outbound && let Ok(metadata) = HeaderValue::from_str(&shared.metadata) {
        headers.insert(HeaderName::from_static("x-envoy-peer-metadata"), metadata);
    }
    if let Some(operations) = &operations {
        apply(headers, operations);
    }
    Some(request)
}

/// A request id of its own.
fn uuid(shared: &Shared) -> Vec<u8> {
    let mut id = Vec::with_capacity(36);
    push_uuid(&mut id, [shared.draw(), shared.draw()]);
    id
}

/// Takes out what is meant for one connection alone (RFC 9110, section 7.6.1).
pub(super) fn strip_hop_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|list| tokens(list.as_bytes()))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !is_framing(name.as_str()))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "transfer-encoding",
        "upgrade",
        "x-mesh-not-sent",
    ] {
        headers.remove(name);
    }
}

/// Carries out a route's header operations.
pub(super) fn apply(headers: &mut HeaderMap, operations: &[Option<&HeaderOps>; 2]) {
    for ops in operations.iter().flatten() {
        for name in ops.remove.iter().filter(|name| !is_framing(name)) {
            headers.remove(name);
        }
        // What says where a message ends, and whose it is, is nobody's to change here.
        let pair = |(n, v): &(String, String)| {
            Some((HeaderName::from_bytes(n.as_bytes()).ok()?, HeaderValue::from_str(v).ok()?))
        };
        let free = |(n, _): &&(String, String)| !is_framing(n) && !is_host(n);
        for (name, value) in ops.set.iter().filter(free).filter_map(pair) {
            headers.insert(name, value);
        }
        for (name, value) in ops.add.iter().filter(free).filter_map(pair) {
            headers.append(name, value);
        }
    }
}
