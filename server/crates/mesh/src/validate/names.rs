//! Names, ports, headers and durations, checked as Istio checks them.

use serde_json::Value;

pub(super) fn is_dns1123_label(value: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
    let bytes = value.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= 63
        && bytes.iter().all(|c| inner(*c))
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
}

/// A domain name that may begin with a wildcard (`*`, `*.example.com`, `*-foo`).
pub(super) fn wildcard_domain(domain: &str) -> Result<(), String> {
    if domain.len() > 255 {
        return Err(format!("domain name \"{domain}\" too long (max 255)"));
    }
    if domain.is_empty() {
        return Err("empty domain name not allowed".into());
    }
    let (first, rest) = domain.split_once('.').map_or((domain, None), |(a, b)| (a, Some(b)));
    let wildcard = first == "*" || first.strip_prefix("*-").is_some_and(is_dns1123_label) || is_dns1123_label(first);
    if !wildcard {
        return Err(format!("domain name \"{domain}\" invalid (label \"{first}\" invalid)"));
    }
    for label in rest.into_iter().flat_map(|r| r.split('.')) {
        if !is_dns1123_label(label) {
            return Err(format!("domain name \"{}\" invalid (label \"{label}\" invalid)", rest.unwrap_or("")));
        }
    }
    Ok(())
}

/// What goes into a request's first line or Host as it is written. Istio lets a line end through here; whoever does may write whole
/// requests of their own.
pub(super) fn visible(value: &str, place: &str) -> Result<(), String> {
    if crate::table::is_visible(value) {
        Ok(())
    } else {
        Err(format!("{place} {value:?} is invalid: only visible ASCII characters may be sent"))
    }
}

pub(super) fn subset_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("subset name cannot be empty".into());
    }
    if !is_dns1123_label(name) {
        return Err(format!("subset name is invalid: {name}"));
    }
    Ok(())
}

pub(super) fn port(number: i64) -> Result<(), String> {
    if (1..=65535).contains(&number) {
        Ok(())
    } else {
        Err(format!("port number {number} must be in the range 1..65535"))
    }
}

/// A header name in a match or an operation. `host` and pseudo headers may be set, not added to a response.
pub(super) fn header_name(name: &str, authority_allowed: bool) -> Result<(), String> {
    if name.is_empty() {
        return Err("header name cannot be empty".into());
    }
    let authority = name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority");
    if (name.starts_with(':') || authority) && !(authority && authority_allowed) {
        return Err(format!("invalid header \"{name}\": header cannot have \":\" prefix or be \"host\""));
    }
    if !authority && http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("header name {name} is not a valid header name"));
    }
    Ok(())
}

/// A label's value as a selector of pods.
pub(super) fn label(key: &str, value: &str) -> Result<(), String> {
    let part = |s: &str| {
        s.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
            && s.len() <= 63
            && s.as_bytes().first().is_none_or(u8::is_ascii_alphanumeric)
            && s.as_bytes().last().is_none_or(u8::is_ascii_alphanumeric)
    };
    let name = key.rsplit_once('/').map_or(key, |(_, n)| n);
    if name.is_empty() || !part(name) {
        return Err(format!("invalid tag key: \"{key}\""));
    }
    if !part(value) {
        return Err(format!("invalid tag value: \"{value}\""));
    }
    Ok(())
}

pub(super) fn regex(pattern: &str, place: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err(format!("\"{place}\": regex string match should not be empty"));
    }
    if pattern.len() > 1024 {
        return Err(format!("\"{place}\": regex is too large, max length allowed is 1024"));
    }
    crate::table::Pattern::new(pattern).map(|_| ()).map_err(|why| {
        format!("\"{place}\": error parsing regexp: {why}: `{pattern}`; Istio uses RE2 style regex-based match (https://github.com/google/re2/wiki/Syntax)")
    })
}

/// A duration of at least 1 ms, as protobuf's JSON (`1.5s`) and Istio's CRDs (`1h2m3s4ms`) write it.
pub(super) fn duration(value: &Value) -> Result<(), String> {
    match value.as_str().and_then(crate::table::duration_ms) {
        Some(0) => Err("duration must be greater than 1ms".into()),
        Some(_) => Ok(()),
        None => Err(format!("invalid duration {value}")),
    }
}
