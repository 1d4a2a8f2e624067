//! Heads in hyper's types as they are sent on: of streams, and of requests of HTTP/1.1 whose upstream speaks HTTP/2.

use super::header_rules::{Answered, RequestRules, ResponseRules, says_its_length, sent_authority};
use crate::sidecar::headers::known::{Known, known};
use crate::sidecar::route::decision::Plan;
use crate::sidecar::shared::Shared;
use http::{HeaderMap, HeaderValue, Uri, header, request};
use http1::tokens;

/// The head as it goes to the upstream, which speaks HTTP/2 or HTTP/1.1. `None` where the target is none.
pub(crate) fn rewritten(
    shared: &Shared,
    head: request::Parts,
    authority: &str,
    path: &str,
    plan: &Plan,
    http2: bool,
    has_body: bool,
) -> Option<request::Parts> {
    let mut head = head;
    let of_stream = head.version == http::Version::HTTP_2;
    let host = sent_authority(plan, authority);
    let target = plan.target.as_deref().unwrap_or(path);
    let uri = if http2 { format!("http://{host}{target}") } else { target.to_string() };
    head.uri = uri.parse::<Uri>().ok()?;
    head.version = if http2 { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
    let came = std::mem::take(&mut head.headers);
    let mut headers = HeaderMap::with_capacity(came.len() + 8);
    if !http2 {
        headers.insert(header::HOST, HeaderValue::from_str(host).ok()?);
    }
    let named = names_of_connection(&came);
    let mut rules = RequestRules::new(shared, plan, false);
    for (name, value) in &came {
        // hyper frames the body by itself.
        let goes_on = known(name.as_str()) != Known::TransferEncoding;
        if goes_on && rules.keeps(name.as_str(), value.as_bytes(), || is_named(&named, name.as_str())) {
            headers.append(name.clone(), value.clone());
        }
    }
    if of_stream {
        join_cookies(&mut headers);
    }
    if !http2 && !has_body && !rules.has_length && says_its_length(head.method.as_str()) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    rules.finish(&mut headers, authority);
    head.headers = headers;
    Some(head)
}

/// HTTP/2 may spread a cookie over several headers; whoever reads it next may not know that (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let all: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if all.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// An answer's headers as they go back.
pub(crate) fn answered(came: &HeaderMap, answered: &Answered<'_>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(came.len() + 4);
    let named = names_of_connection(came);
    let mut rules = ResponseRules::new(answered, false);
    for (name, value) in came {
        if rules.keeps(name.as_str(), || is_named(&named, name.as_str())) {
            headers.append(name.clone(), value.clone());
        }
    }
    rules.finish(&mut headers);
    headers
}

/// The names that are meant for one connection alone (RFC 9110, section 7.6.1).
fn names_of_connection(headers: &HeaderMap) -> Vec<&[u8]> {
    headers.get_all(header::CONNECTION).iter().flat_map(|list| tokens(list.as_bytes())).collect()
}

fn is_named(named: &[&[u8]], name: &str) -> bool {
    named.iter().any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
}
