//! One HTTP route of a VirtualService, and the destinations of any, as Istio checks them.

use super::{Errors, names};
use crate::json::{fields, list, present, text, texts};
use serde_json::Value;

pub(super) fn http_route(route: &Value, path: &str, errors: &mut Errors) {
    let redirect = present(route, "redirect");
    if redirect.is_some() {
        if !list(route, "route").is_empty() {
            errors.add("HTTP route cannot contain both route and redirect");
        }
        if present(route, "fault").is_some() {
            errors.add("HTTP route cannot contain both fault and redirect");
        }
        if present(route, "rewrite").is_some() {
            errors.add("HTTP route rule cannot contain both rewrite and redirect");
        }
    } else if present(route, "directResponse").is_some() {
        if !list(route, "route").is_empty() {
            errors.add("HTTP route cannot contain both route and direct_response");
        }
    } else if list(route, "route").is_empty() && present(route, "delegate").is_none() {
        errors.add("HTTP route, redirect or direct_response is required");
    }
    for matcher in list(route, "match") {
        http_match(matcher, errors);
    }
    headers(route, errors);
    if let Some(redirect) = redirect {
        if ["uri", "authority", "scheme", "port", "derivePort"].iter().all(|k| present(redirect, k).is_none()) {
            errors.add("redirect must specify URI, authority, scheme, or port");
        }
        if let Some(code) =
            redirect.get("redirectCode").and_then(Value::as_i64).filter(|c| !(300..=399).contains(c) && *c != 0)
        {
            errors.add(format!("{code} is not a valid redirect code, must be 3xx"));
        }
        if !matches!(text(redirect, "scheme"), "" | "http" | "https") {
            errors.add("invalid redirect scheme, must be \"http\" or \"https\"");
        }
    }
    if let Some(status) = route.pointer("/directResponse/status").and_then(Value::as_i64) {
        http_status(status, errors);
    }
    if let Some(retries) = present(route, "retries") {
        check_retries(retries, errors);
    }
    if let Some(rewrite) = present(route, "rewrite") {
        check_rewrite(rewrite, errors);
    }
    if let Some(fault) = present(route, "fault") {
        check_fault(fault, errors);
    }
    destinations(route, path, errors);
    if let Some(mirror) = present(route, "mirror") {
        destination(mirror, &format!("{path}.mirror"), errors);
    }
    if let Some(timeout) = present(route, "timeout") {
        errors.check(names::duration(timeout));
    }
}

fn http_match(matcher: &Value, errors: &mut Errors) {
    for place in ["uri", "scheme", "method", "authority"] {
        if let Some(pattern) = present(matcher, place) {
            string_match(pattern, place, errors);
        }
    }
    for place in ["headers", "queryParams", "withoutHeaders"] {
        for (name, pattern) in fields(matcher, place) {
            if place != "queryParams" {
                errors.check(names::header_name(name, true));
            }
            string_match(pattern, place, errors);
        }
    }
    if let Some(port) = matcher.get("port").and_then(Value::as_i64).filter(|p| *p != 0) {
        errors.check(names::port(port));
    }
    let namespace = text(matcher, "sourceNamespace");
    if !namespace.is_empty() && !names::is_dns1123_label(namespace) {
        errors.add(format!("sourceNamespace match {namespace} is invalid"));
    }
}

fn string_match(pattern: &Value, place: &str, errors: &mut Errors) {
    if let Some(regex) = present(pattern, "regex") {
        errors.check(names::regex(regex.as_str().unwrap_or(""), place));
    }
    if present(pattern, "prefix").is_some() && text(pattern, "prefix").is_empty() && place != "headers" {
        errors.add(format!("\"{place}\": prefix string match should not be empty"));
    }
}

fn headers(holder: &Value, errors: &mut Errors) {
    for (side, authority) in [("request", true), ("response", false)] {
        let Some(side) = holder.get("headers").and_then(|h| h.get(side)) else { continue };
        for operation in ["add", "set"] {
            for (name, value) in fields(side, operation) {
                errors.check(names::header_name(name, authority));
                if value.as_str().is_none_or(|v| http::HeaderValue::from_str(v).is_err()) {
                    errors.add(format!("header value configuration: invalid header value {value}"));
                }
            }
        }
        for name in texts(side, "remove") {
            errors.check(names::header_name(name, false));
        }
    }
}

fn check_retries(retries: &Value, errors: &mut Errors) {
    const KNOWN: [&str; 16] = [
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "envoy-ratelimited",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ];
    let attempts = retries.get("attempts").and_then(Value::as_i64).unwrap_or(0);
    if attempts < 0 {
        errors.add("attempts cannot be negative");
    }
    let timeout = present(retries, "perTryTimeout");
    if attempts == 0
        && (timeout.is_some()
            || !text(retries, "retryOn").is_empty()
            || present(retries, "retryRemoteLocalities").is_some())
    {
        errors.add("http retry policy configured when attempts are set to 0 (disabled)");
    }
    if let Some(timeout) = timeout {
        errors.check(names::duration(timeout));
    }
    for policy in text(retries, "retryOn").split(',').filter(|p| !p.is_empty()) {
        let code = policy.parse::<u16>().is_ok_and(|code| (100..600).contains(&code));
        if !code && !KNOWN.contains(&policy) {
            errors.add(format!("\"{policy}\" is not a valid retryOn policy"));
        }
    }
}

fn check_rewrite(rewrite: &Value, errors: &mut Errors) {
    let regex = present(rewrite, "uriRegexRewrite");
    let uri = !text(rewrite, "uri").is_empty();
    if uri && regex.is_some() {
        errors.add("rewrite may only contain one of URI or UriRegexRewrite");
    } else if !uri && regex.is_none() && text(rewrite, "authority").is_empty() {
        errors.add("rewrite must specify at least one of URI, UriRegexRewrite, or authority. Only one of URI or UriRegexRewrite may be specified");
    }
    for (key, value) in [("uri", text(rewrite, "uri")), ("authority", text(rewrite, "authority"))] {
        errors.check(names::visible(value, &format!("rewrite.{key}")));
    }
    if let Some(regex) = regex {
        errors.check(names::visible(text(regex, "rewrite"), "rewrite.uriRegexRewrite.rewrite"));
        if text(regex, "match").is_empty() || text(regex, "rewrite").is_empty() {
            errors.add(
                "UriRegexRewrite has errors\nUriRegexRewrite requires both Rewrite and Match fields to be specified",
            );
        } else {
            errors.check(names::regex(text(regex, "match"), "HTTPRewrite.UriRegexRewrite.Match"));
        }
    }
}

fn check_fault(fault: &Value, errors: &mut Errors) {
    let (abort, delay) = (present(fault, "abort"), present(fault, "delay"));
    if abort.is_none() && delay.is_none() {
        errors.add("HTTP fault injection must have an abort and/or a delay");
    }
    for part in [abort, delay].into_iter().flatten() {
        if let Some(percent) =
            part.pointer("/percentage/value").and_then(Value::as_f64).filter(|p| !(0.0..=100.0).contains(p))
        {
            errors.add(format!("percentage {percent:.6} is not in range 0..100"));
        }
    }
    if let Some(status) = abort.and_then(|a| a.get("httpStatus")).and_then(Value::as_i64) {
        http_status(status, errors);
    }
    if let Some(fixed) = delay.and_then(|d| present(d, "fixedDelay")) {
        errors.check(names::duration(fixed));
    }
}

fn http_status(status: i64, errors: &mut Errors) {
    if !(200..=600).contains(&status) {
        errors.add(format!("HTTP status {status} is not in range 200-599"));
    }
}

pub(super) fn destinations(route: &Value, path: &str, errors: &mut Errors) {
    let routes = list(route, "route");
    let mut total: i64 = 0;
    for (index, weighted) in routes.iter().enumerate() {
        let path = format!("{path}.route[{index}]");
        match present(weighted, "destination") {
            Some(to) => destination(to, &format!("{path}.destination"), errors),
            None => errors.schema(format!("{path}.destination: Required value")),
        }
        headers(weighted, errors);
        match present(weighted, "weight").map(|w| (w, w.as_i64())) {
            None => {}
            Some((_, Some(weight))) if i32::try_from(weight).is_ok() => {
                if weight < 0 {
                    errors.add(format!("weight {weight} < 0"));
                }
                total += weight;
            }
            Some((other, _)) => errors
                .schema(format!("{path}.weight: Invalid value: {other}: {path}.weight in body must be of type int32")),
        }
    }
    if routes.len() > 1 && total == 0 {
        errors.add("total destination weight = 0");
    }
}

fn destination(to: &Value, path: &str, errors: &mut Errors) {
    match to.get("host") {
        None | Some(Value::Null) => errors.schema(format!("{path}.host: Required value")),
        Some(Value::String(host)) if host == "*" => errors.add("invalid destination host *"),
        Some(Value::String(host)) => errors.check(names::wildcard_domain(host)),
        Some(other) => errors.schema(format!("{path}.host: Invalid value: {other}: must be of type string")),
    }
    let subset = text(to, "subset");
    if !subset.is_empty() {
        errors.check(names::subset_name(subset));
    }
    if let Some(port) = present(to, "port") {
        errors.check(names::port(port.get("number").and_then(Value::as_i64).unwrap_or(0)));
    }
}
