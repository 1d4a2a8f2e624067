//! Consistent hashing: what of a request decides its endpoint.
use crate::sidecar::shared::Shared;
use crate::sidecar::upstream::balance::hash;
use crate::sidecar::upstream::routing::LiveCluster;
use crate::table::{Balance, Headers};

/// The key of consistent hashing, and the cookie it was made up for where the client has none and is to be given one.
pub(super) fn hash_key(
    shared: &Shared,
    cluster: &LiveCluster,
    headers: &dyn Headers,
    path: &str,
) -> (Option<u64>, Option<String>) {
    let key = |value: &str| Some(hash(value.as_bytes()));
    match &cluster.policy.balance {
        Balance::HashHeader(name) => (headers.value(name).and_then(|v| key(&v)), None),
        Balance::HashQuery(name) => (
            path.split_once('?').and_then(|(_, query)| crate::table::query_value(query, name)).and_then(|v| key(&v)),
            None,
        ),
        // Everything that goes out comes from this pod.
        Balance::HashSourceIp => (key("this pod"), None),
        Balance::HashCookie(cookie) => match (cookie_value(headers, &cookie.name), cookie.ttl_ms) {
            (Some(value), _) => (key(&value), None),
            (None, Some(ttl_ms)) => {
                let value = format!("{:016x}", shared.draw());
                let age = if ttl_ms >= 1000 { format!("; Max-Age={}", ttl_ms / 1000) } else { String::new() };
                let path = if cookie.path.is_empty() { String::new() } else { format!("; Path={}", cookie.path) };
                let text = format!("{}=\"{value}\"{age}{path}; HttpOnly", cookie.name);
                (key(&value), Some(text).filter(|t| http::HeaderValue::from_str(t).is_ok()))
            }
            (None, None) => (None, None),
        },
        Balance::LeastRequest | Balance::RoundRobin | Balance::Random => (None, None),
    }
}

fn cookie_value(headers: &dyn Headers, name: &str) -> Option<String> {
    let all = headers.value("cookie")?;
    let mut pairs = all.split([';', ',']).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(n, _)| *n == name).map(|(_, v)| v.trim_matches('"').to_string())
}
