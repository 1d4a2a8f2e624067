//! One entry of a VirtualService's `http` list.

use crate::json::{fields, list, present, text};
use crate::table::input::{Reporter, full_name};
use crate::table::{
    Action, Destination, Fault, HeaderChanges, HeaderOps, Match, Mirror, Pattern, Redirect, Retries, RetryOn, Rewrite,
    Route, StringMatch, duration_ms, is_visible,
};
use serde_json::Value;

/// Reads it; what is not honoured goes to `report`. `None` where nothing of it can be used.
pub(super) fn read(value: &Value, path: &str, namespace: &str, report: &mut Reporter<'_>) -> Option<Route> {
    report.only(
        value,
        path,
        &[
            "name",
            "match",
            "route",
            "redirect",
            "directResponse",
            "timeout",
            "retries",
            "rewrite",
            "headers",
            "fault",
            "mirror",
            "mirrors",
            "mirrorPercentage",
            "mirrorPercent",
            "mirror_percent",
        ],
    );
    let mut matches = Vec::new();
    let written = list(value, "match");
    for (index, item) in written.iter().enumerate() {
        matches.extend(read_match(item, &format!("{path}.match[{index}]"), report));
    }
    if !written.is_empty() && matches.is_empty() {
        // None of its matches can be used: taking everything instead would be wrong.
        return None;
    }
    Some(Route {
        name: text(value, "name").into(),
        matches,
        action: action(value, path, namespace, report),
        timeout_ms: duration_ms(text(value, "timeout")).filter(|ms| *ms > 0),
        retries: present(value, "retries").map(|r| retries(r, &format!("{path}.retries"), report)),
        rewrite: present(value, "rewrite").map(|r| rewrite(r, &format!("{path}.rewrite"), report)).unwrap_or_default(),
        headers: headers(value, path, report),
        fault: present(value, "fault").map(|f| fault(f, &format!("{path}.fault"), report)).unwrap_or_default(),
        mirrors: mirrors(value, path, namespace, report),
    })
}

fn action(value: &Value, path: &str, namespace: &str, report: &mut Reporter<'_>) -> Action {
    if let Some(redirect) = present(value, "redirect") {
        report.only(
            redirect,
            &format!("{path}.redirect"),
            &["uri", "prefixRewrite", "authority", "scheme", "port", "derivePort", "redirectCode"],
        );
        let part = |key: &str| Some(text(redirect, key).to_string()).filter(|s| !s.is_empty());
        let code = number(redirect, "redirectCode").filter(|c| *c != 0).unwrap_or(301);
        if ![301, 302, 303, 307, 308].contains(&code) {
            report.unsupported(&format!("{path}.redirect.redirectCode ({code})"));
        }
        return Action::Redirect(Redirect {
            uri: part("uri"),
            prefix: part("prefixRewrite"),
            authority: part("authority"),
            scheme: part("scheme"),
            port: number(redirect, "port"),
            request_port: text(redirect, "derivePort") == "FROM_REQUEST_PORT",
            code,
        });
    }
    if let Some(direct) = present(value, "directResponse") {
        report.only(direct, &format!("{path}.directResponse"), &["status", "body"]);
        let body = direct.get("body").unwrap_or(&Value::Null);
        report.only(body, &format!("{path}.directResponse.body"), &["string"]);
        return Action::Respond { status: number(direct, "status").unwrap_or(200), body: text(body, "string").into() };
    }
    let destination = |(index, weighted): (usize, &Value)| {
        let to = weighted.get("destination").unwrap_or(&Value::Null);
        let path = format!("{path}.route[{index}]");
        report.only(weighted, &path, &["destination", "weight", "headers"]);
        report.only(to, &format!("{path}.destination"), &["host", "port", "subset"]);
        Destination {
            host: full_name(text(to, "host"), namespace),
            port: to.get("port").and_then(|p| number(p, "number")),
            subset: text(to, "subset").into(),
            weight: weighted.get("weight").and_then(Value::as_u64).and_then(|w| u32::try_from(w).ok()).unwrap_or(0),
            headers: headers(weighted, &path, report),
        }
    };
    Action::Forward(list(value, "route").iter().enumerate().map(destination).collect())
}

fn mirrors(route: &Value, path: &str, namespace: &str, report: &mut Reporter<'_>) -> Vec<Mirror> {
    if let Some(to) = present(route, "mirror") {
        report.only(to, &format!("{path}.mirror"), &["host", "port", "subset"]);
    }
    for (index, mirror) in list(route, "mirrors").iter().enumerate() {
        report.only(mirror, &format!("{path}.mirrors[{index}]"), &["destination", "percentage"]);
    }
    let one = |to: &Value, percent: Option<f64>| Mirror {
        host: full_name(text(to, "host"), namespace),
        port: to.get("port").and_then(|p| number(p, "number")),
        subset: text(to, "subset").into(),
        percent: percent.unwrap_or(100.0),
    };
    let percent = route
        .pointer("/mirrorPercentage/value")
        .or(route.get("mirrorPercent"))
        .or(route.get("mirror_percent"))
        .and_then(Value::as_f64);
    let first = present(route, "mirror").map(|to| one(to, percent));
    let rest = list(route, "mirrors")
        .iter()
        .filter_map(|m| Some(one(present(m, "destination")?, m.pointer("/percentage/value").and_then(Value::as_f64))));
    first.into_iter().chain(rest).collect()
}

fn number(value: &Value, key: &str) -> Option<u16> {
    value.get(key)?.as_u64().and_then(|n| u16::try_from(n).ok())
}

fn read_match(value: &Value, path: &str, report: &mut Reporter<'_>) -> Option<Match> {
    const KNOWN: [&str; 12] = [
        "name",
        "uri",
        "ignoreUriCase",
        "method",
        "scheme",
        "authority",
        "port",
        "headers",
        "withoutHeaders",
        "queryParams",
        "sourceNamespace",
        "gateways",
    ];
    report.only(value, path, &KNOWN);
    let gateways: Vec<&str> = crate::json::texts(value, "gateways").collect();
    if !gateways.is_empty() && !gateways.contains(&"mesh") {
        return None;
    }
    // A condition that cannot be checked must not be left out: the match would take more than was meant.
    let unknown =
        value.as_object()?.iter().any(|(k, v)| !KNOWN.contains(&k.as_str()) && k != "statPrefix" && !v.is_null());
    if unknown {
        return None;
    }
    let patterns = ["uri", "method", "scheme", "authority"]
        .into_iter()
        .filter_map(|key| Some((key.to_string(), present(value, key)?)));
    let maps = ["headers", "withoutHeaders", "queryParams"]
        .into_iter()
        .flat_map(|key| fields(value, key).map(move |(name, v)| (format!("{key}.{name}"), v)));
    let mut unreadable = false;
    for (place, pattern) in patterns.chain(maps) {
        report.only(pattern, &format!("{path}.{place}"), &["exact", "prefix", "regex"]);
        unreadable |=
            pattern.as_object().is_some_and(|o| o.keys().any(|k| !["exact", "prefix", "regex"].contains(&k.as_str())));
    }
    if unreadable {
        return None;
    }
    let mut invalid = None;
    let mut single = |key: &str| present(value, key).and_then(|v| string_match(v).map_err(|e| invalid = Some(e)).ok());
    let (uri, method, scheme, authority) = (single("uri"), single("method"), single("scheme"), single("authority"));
    let mut many = |key: &str, lower: bool| {
        fields(value, key)
            .filter_map(|(name, v)| {
                let pattern = string_match(v).map_err(|e| invalid = Some(e)).ok()?;
                Some((if lower { name.to_ascii_lowercase() } else { name.to_string() }, pattern))
            })
            .collect::<Vec<_>>()
    };
    let (headers, without_headers, query) =
        (many("headers", true), many("withoutHeaders", true), many("queryParams", false));
    if let Some(error) = invalid {
        report.add("Invalid", format!("{path} is not used: {error}"));
        return None;
    }
    Some(Match {
        uri,
        ignore_uri_case: value.get("ignoreUriCase").and_then(Value::as_bool).unwrap_or(false),
        method,
        scheme,
        authority,
        port: number(value, "port").filter(|p| *p != 0),
        source_namespace: Some(text(value, "sourceNamespace").to_string()).filter(|s| !s.is_empty()),
        headers,
        without_headers,
        query,
    })
}

fn string_match(value: &Value) -> Result<StringMatch, String> {
    if let Some(exact) = value.get("exact").and_then(Value::as_str) {
        return Ok(StringMatch::Exact(exact.into()));
    }
    if let Some(prefix) = value.get("prefix").and_then(Value::as_str) {
        return Ok(StringMatch::Prefix(prefix.into()));
    }
    match value.get("regex").and_then(Value::as_str) {
        // `*` alone is what Istio's documents once used for "is there".
        Some(regex) if regex != "*" => {
            Pattern::new(regex).map(StringMatch::Regex).map_err(|e| format!("pattern {regex}: {e}"))
        }
        _ => Ok(StringMatch::Present),
    }
}

/// Istio's own, where `retryOn` is not written.
const DEFAULT_RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

fn retries(value: &Value, path: &str, report: &mut Reporter<'_>) -> Retries {
    report.only(value, path, &["attempts", "perTryTimeout", "retryOn"]);
    if value.get("retryIgnorePreviousHosts").and_then(Value::as_bool) == Some(false) {
        report.unsupported(&format!("{path}.retryIgnorePreviousHosts (false)"));
    }
    let written = Some(text(value, "retryOn")).filter(|t| !t.is_empty()).unwrap_or(DEFAULT_RETRY_ON);
    let mut retries = Retries {
        attempts: value.get("attempts").and_then(Value::as_u64).and_then(|a| u32::try_from(a).ok()).unwrap_or(0),
        per_try_timeout_ms: duration_ms(text(value, "perTryTimeout")).filter(|ms| *ms > 0),
        on: Vec::new(),
        codes: Vec::new(),
    };
    for policy in written.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        if let Ok(code) = policy.parse::<u16>() {
            retries.codes.push(code);
            continue;
        }
        let on = match policy {
            "5xx" => RetryOn::ServerError,
            "gateway-error" => RetryOn::GatewayError,
            "reset" => RetryOn::Reset,
            "reset-before-request" => RetryOn::ResetBeforeRequest,
            "connect-failure" => RetryOn::ConnectFailure,
            "retriable-4xx" => RetryOn::Retriable4xx,
            "cancelled" => RetryOn::Grpc(1),
            "deadline-exceeded" => RetryOn::Grpc(4),
            "resource-exhausted" => RetryOn::Grpc(8),
            "internal" => RetryOn::Grpc(13),
            "unavailable" => RetryOn::Grpc(14),
            "refused-stream" => RetryOn::RefusedStream,
            // The word only says that numbers are meant.
            "retriable-status-codes" => continue,
            other => {
                report.unsupported(&format!("{path}.retryOn ({other})"));
                continue;
            }
        };
        retries.on.push(on);
    }
    retries
}

fn rewrite(value: &Value, path: &str, report: &mut Reporter<'_>) -> Rewrite {
    report.only(value, path, &["uri", "authority", "uriRegexRewrite"]);
    let mut part = |holder: &Value, key: &str, path: &str| {
        let written = text(holder, key);
        if !is_visible(written) {
            report.add("Invalid", format!("{path}.{key} is not used: only visible ASCII characters may be sent"));
            return None;
        }
        Some(written.to_string()).filter(|s| !s.is_empty())
    };
    let (uri, authority) = (part(value, "uri", path), part(value, "authority", path));
    let with = present(value, "uriRegexRewrite")
        .and_then(|r| Some((r, part(r, "rewrite", &format!("{path}.uriRegexRewrite"))?)));
    let regex = with.and_then(|(r, with)| match Pattern::new(text(r, "match")) {
        Ok(pattern) => Some((pattern, with)),
        Err(error) => {
            report.add("Invalid", format!("{path}.uriRegexRewrite is not used: {error}"));
            None
        }
    });
    Rewrite { uri, regex, authority }
}

fn fault(value: &Value, path: &str, report: &mut Reporter<'_>) -> Fault {
    report.only(value, path, &["delay", "abort"]);
    // Where nothing is said, nothing is done: Istio leaves Envoy's percentage at 0. The older `percent` is a delay's alone.
    let percent = |part: &Value, older: &str| match present(part, "percentage") {
        Some(percentage) => percentage.get("value").and_then(Value::as_f64).unwrap_or(0.0),
        None => part.get(older).and_then(Value::as_f64).unwrap_or(0.0),
    };
    let mut fault = Fault::default();
    if let Some(delay) = present(value, "delay") {
        report.only(delay, &format!("{path}.delay"), &["fixedDelay", "percentage", "percent"]);
        fault.delay = duration_ms(text(delay, "fixedDelay")).map(|ms| (ms, percent(delay, "percent")));
    }
    if let Some(abort) = present(value, "abort") {
        report.only(abort, &format!("{path}.abort"), &["httpStatus", "percentage"]);
        fault.abort = number(abort, "httpStatus").map(|status| (status, percent(abort, "")));
    }
    fault
}

fn headers(holder: &Value, path: &str, report: &mut Reporter<'_>) -> HeaderChanges {
    let all = holder.get("headers").unwrap_or(&Value::Null);
    report.only(all, &format!("{path}.headers"), &["request", "response"]);
    for side in ["request", "response"] {
        let ops = all.get(side).unwrap_or(&Value::Null);
        let path = format!("{path}.headers.{side}");
        report.only(ops, &path, &["set", "add", "remove"]);
        for (key, (name, value)) in ["set", "add"].into_iter().flat_map(|key| fields(ops, key).map(move |f| (key, f))) {
            // Envoy would put something in its place.
            if value.as_str().is_some_and(|v| v.matches('%').count() > 1) {
                report.unsupported(&format!("{path}.{key}.{name} ({})", value.as_str().unwrap_or("")));
            }
        }
    }
    let side = |side: &str| {
        let ops = holder.get("headers").and_then(|h| h.get(side)).unwrap_or(&Value::Null);
        let pairs = |key: &str| {
            fields(ops, key).filter_map(|(n, v)| Some((n.to_ascii_lowercase(), v.as_str()?.to_string()))).collect()
        };
        HeaderOps {
            set: pairs("set"),
            add: pairs("add"),
            remove: crate::json::texts(ops, "remove").map(str::to_ascii_lowercase).collect(),
        }
    };
    HeaderChanges { request: side("request"), response: side("response") }
}
