//! A RouteTable as the static configuration of an Envoy: what Istio's control plane would have sent it. Pure.

use mesh::{
    Action, Balance, Cluster, Destination, Fault, HeaderOps, Host, Match, Policy, Protocol, Retries, RetryOn, Route,
    RouteTable, StringMatch, cluster_name,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const TYPE: &str = "type.googleapis.com/envoy";

/// One listener for each port of a Service, at a free port of `127.0.0.1` and named after it.
pub fn bootstrap(table: &RouteTable, namespace: &str) -> Value {
    let ports: BTreeSet<u16> = table.hosts.values().flat_map(|h| &h.ports).map(|p| p.port).collect();
    let listeners: Vec<Value> = ports.iter().map(|port| listener(table, *port, namespace)).collect();
    let clusters: Vec<Value> =
        table.hosts.iter().flat_map(|(name, host)| host.clusters.iter().map(move |c| cluster(name, host, c))).collect();
    json!({
        "admin": {"address": socket("127.0.0.1", 0)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {"overload": {"global_downstream_max_connections": 50000}}}]},
    })
}

fn socket(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

/// As Istio's at the address of a Service whose port speaks no HTTP: bytes to its endpoints, whatever a VirtualService says of HTTP.
fn bytes_listener(table: &RouteTable, port: u16) -> Option<Value> {
    let is_tcp = |host: &Host| host.ports.iter().any(|p| p.port == port && p.protocol == Protocol::Tcp);
    let (name, _) = table.hosts.iter().find(|(_, host)| is_tcp(host))?;
    let proxy = json!({
        "@type": format!("{TYPE}.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
        "stat_prefix": port.to_string(),
        "cluster": cluster_name(port, "", name),
    });
    Some(json!({"name": port.to_string(), "address": socket("127.0.0.1", 0),
           "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}]}))
}

fn listener(table: &RouteTable, port: u16, namespace: &str) -> Value {
    if let Some(bytes) = bytes_listener(table, port) {
        return bytes;
    }
    let manager = json!({
        "@type": format!("{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": port.to_string(),
        "use_remote_address": false,
        "normalize_path": true,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": routes(table, port, namespace),
        "http_filters": [
            {"name": "envoy.filters.http.fault", "typed_config": {"@type": format!("{TYPE}.extensions.filters.http.fault.v3.HTTPFault")}},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": format!("{TYPE}.extensions.filters.http.router.v3.Router")}},
        ],
    });
    json!({"name": port.to_string(), "address": socket("127.0.0.1", 0),
           "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]})
}

fn routes(table: &RouteTable, port: u16, namespace: &str) -> Value {
    let known =
        table.hosts.iter().filter(|(_, h)| h.ports.iter().any(|p| p.port == port && p.protocol != Protocol::Tcp));
    let mut hosts: Vec<Value> = known.map(|(name, host)| virtual_host(table, name, host, port, namespace)).collect();
    // Istio's REGISTRY_ONLY, with the status this proxy gives.
    hosts.push(json!({"name": "block_all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 403}}]}));
    json!({"name": port.to_string(), "virtual_hosts": hosts, "ignore_port_in_host_matching": true, "validate_clusters": false})
}

fn virtual_host(table: &RouteTable, name: &str, host: &Host, port: u16, namespace: &str) -> Value {
    let mut domains = vec![
        name.to_string(),
        format!("{}.{}", host.name, host.namespace),
        format!("{}.{}.svc", host.name, host.namespace),
    ];
    if host.namespace == namespace {
        domains.push(host.name.clone());
    }
    let plain = Route {
        action: Action::Forward(vec![Destination { host: name.into(), ..Destination::default() }]),
        ..Route::default()
    };
    let written = if host.routes.is_empty() { std::slice::from_ref(&plain) } else { &host.routes };
    let routes: Vec<Value> = written.iter().flat_map(|r| route(table, r, port, namespace)).collect();
    json!({"name": name, "domains": domains, "routes": routes, "include_request_attempt_count": true})
}

/// One of Envoy's for each match; what is decided by port or namespace is decided here, as Istio does.
fn route(table: &RouteTable, route: &Route, port: u16, namespace: &str) -> Vec<Value> {
    let here =
        |m: &&Match| m.port.is_none_or(|p| p == port) && m.source_namespace.as_deref().is_none_or(|n| n == namespace);
    let matches: Vec<Value> = if route.matches.is_empty() {
        vec![json!({"prefix": "/"})]
    } else {
        route.matches.iter().filter(here).map(route_match).collect()
    };
    let one = |fits: Value| {
        let mut out = json!({"match": fits});
        action(table, route, port, &mut out);
        headers("request", &route.headers.request, &mut out);
        headers("response", &route.headers.response, &mut out);
        if route.fault != Fault::default() {
            out["typed_per_filter_config"] = json!({"envoy.filters.http.fault": fault(&route.fault)});
        }
        out
    };
    matches.into_iter().map(one).collect()
}

fn route_match(m: &Match) -> Value {
    let mut out = match &m.uri {
        Some(StringMatch::Exact(path)) => json!({"path": path}),
        Some(StringMatch::Prefix(prefix)) => json!({"prefix": prefix}),
        Some(StringMatch::Regex(pattern)) => json!({"safe_regex": {"regex": pattern.source()}}),
        Some(StringMatch::Present) | None => json!({"prefix": "/"}),
    };
    if m.ignore_uri_case {
        out["case_sensitive"] = false.into();
    }
    let mut all = Vec::new();
    for (name, pattern) in [(":method", &m.method), (":authority", &m.authority), (":scheme", &m.scheme)] {
        all.extend(pattern.as_ref().map(|p| header_match(name, p)));
    }
    all.extend(m.headers.iter().map(|(n, p)| header_match(n, p)));
    all.extend(m.without_headers.iter().map(|(n, p)| {
        let mut out = header_match(n, p);
        out["invert_match"] = true.into();
        if *p != StringMatch::Present {
            out["treat_missing_header_as_empty"] = true.into();
        }
        out
    }));
    if !all.is_empty() {
        out["headers"] = all.into();
    }
    let query = |(name, pattern): &(String, StringMatch)| match pattern {
        StringMatch::Present => json!({"name": name, "present_match": true}),
        other => json!({"name": name, "string_match": string_match(other)}),
    };
    if !m.query.is_empty() {
        out["query_parameters"] = m.query.iter().map(query).collect();
    }
    out
}

fn header_match(name: &str, pattern: &StringMatch) -> Value {
    match pattern {
        StringMatch::Present => json!({"name": name, "present_match": true}),
        other => json!({"name": name, "string_match": string_match(other)}),
    }
}

fn string_match(pattern: &StringMatch) -> Value {
    match pattern {
        StringMatch::Present => json!({"prefix": ""}),
        StringMatch::Exact(text) => json!({"exact": text}),
        StringMatch::Prefix(text) => json!({"prefix": text}),
        StringMatch::Regex(pattern) => json!({"safe_regex": {"regex": pattern.source()}}),
    }
}

fn action(table: &RouteTable, route: &Route, port: u16, out: &mut Value) {
    match &route.action {
        Action::Redirect(to) => {
            let code = match to.code {
                302 => "FOUND",
                303 => "SEE_OTHER",
                307 => "TEMPORARY_REDIRECT",
                308 => "PERMANENT_REDIRECT",
                _ => "MOVED_PERMANENTLY",
            };
            out["redirect"] = json!({"response_code": code});
            for (key, value) in
                [("path_redirect", &to.uri), ("host_redirect", &to.authority), ("scheme_redirect", &to.scheme)]
            {
                if let Some(value) = value {
                    out["redirect"][key] = value.clone().into();
                }
            }
            if let Some(prefix) = &to.prefix {
                out["redirect"]["prefix_rewrite"] = prefix.clone().into();
            }
            if let Some(port) = to.port.or(to.request_port.then_some(port)) {
                out["redirect"]["port_redirect"] = port.into();
            }
        }
        Action::Respond { status, body } => {
            out["direct_response"] = json!({"status": status});
            if !body.is_empty() {
                out["direct_response"]["body"] = json!({"inline_string": body});
            }
        }
        Action::Forward(destinations) => out["route"] = forward(table, route, destinations, port),
    }
}

fn forward(table: &RouteTable, route: &Route, destinations: &[Destination], port: u16) -> Value {
    let resolved = |host: &str, written: Option<u16>| {
        table.hosts.get(host).map_or(written.unwrap_or(port), |h| h.destination_port(written, port))
    };
    let named = |d: &Destination| cluster_name(resolved(&d.host, d.port), &d.subset, &d.host);
    let mut out = json!({"timeout": seconds(route.timeout_ms.unwrap_or(0))});
    match destinations {
        [only] if only.headers == Default::default() => out["cluster"] = named(only).into(),
        many => {
            let weighted = many.iter().filter(|d| d.weight > 0 || many.len() == 1).map(|d| {
                let mut one = json!({"name": named(d), "weight": d.weight.max(1)});
                headers("request", &d.headers.request, &mut one);
                headers("response", &d.headers.response, &mut one);
                one
            });
            out["weighted_clusters"] = json!({"clusters": weighted.collect::<Vec<_>>()});
        }
    }
    if let Some((pattern, with)) = &route.rewrite.regex {
        out["regex_rewrite"] = json!({"pattern": {"regex": pattern.source()}, "substitution": with});
    } else if let Some(uri) = &route.rewrite.uri {
        out["prefix_rewrite"] = uri.clone().into();
    }
    if let Some(authority) = &route.rewrite.authority {
        out["host_rewrite_literal"] = authority.clone().into();
    }
    if let Some(policy) = retry_policy(route.retries.as_ref()) {
        out["retry_policy"] = policy;
    }
    let mirrors: Vec<Value> = route.mirrors.iter().map(|m| {
        json!({"cluster": cluster_name(resolved(&m.host, m.port), &m.subset, &m.host), "runtime_fraction": {"default_value": percent(m.percent)}})
    }).collect();
    if !mirrors.is_empty() {
        out["request_mirror_policies"] = mirrors.into();
    }
    let hashed =
        destinations.iter().filter_map(|d| table.hosts.get(&d.host)?.cluster(resolved(&d.host, d.port), &d.subset));
    let hashes: Vec<Value> = hashed.filter_map(|c| hash_policy(&c.policy)).collect();
    if !hashes.is_empty() {
        out["hash_policy"] = hashes.into();
    }
    out
}

/// Istio's default where the route says nothing; none where it says 0 attempts.
fn retry_policy(retries: Option<&Retries>) -> Option<Value> {
    let defaults = Retries::default();
    let retries = retries.unwrap_or(&defaults);
    if retries.attempts == 0 {
        return None;
    }
    let mut on: Vec<&str> = retries
        .on
        .iter()
        .map(|on| match on {
            RetryOn::ServerError => "5xx",
            RetryOn::GatewayError => "gateway-error",
            RetryOn::Reset => "reset",
            RetryOn::ResetBeforeRequest => "reset-before-request",
            RetryOn::ConnectFailure => "connect-failure",
            RetryOn::Retriable4xx => "retriable-4xx",
            RetryOn::Grpc(1) => "cancelled",
            RetryOn::Grpc(4) => "deadline-exceeded",
            RetryOn::Grpc(8) => "resource-exhausted",
            RetryOn::Grpc(13) => "internal",
            RetryOn::RefusedStream => "refused-stream",
            RetryOn::Grpc(_) => "unavailable",
        })
        .collect();
    if !retries.codes.is_empty() {
        on.push("retriable-status-codes");
    }
    let mut out = json!({
        "retry_on": on.join(","), "num_retries": retries.attempts, "retriable_status_codes": retries.codes,
        "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts",
                                  "typed_config": {"@type": format!("{TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")}}],
        "host_selection_retry_max_attempts": "5",
    });
    if let Some(ms) = retries.per_try_timeout_ms {
        out["per_try_timeout"] = seconds(ms).into();
    }
    Some(out)
}

fn hash_policy(policy: &Policy) -> Option<Value> {
    match &policy.balance {
        Balance::HashHeader(name) => Some(json!({"header": {"header_name": name}})),
        Balance::HashCookie(cookie) => {
            let mut out = json!({"cookie": {"name": cookie.name}});
            if let Some(ttl) = cookie.ttl_ms {
                out["cookie"]["ttl"] = seconds(ttl).into();
            }
            if !cookie.path.is_empty() {
                out["cookie"]["path"] = cookie.path.clone().into();
            }
            Some(out)
        }
        Balance::HashSourceIp => Some(json!({"connection_properties": {"source_ip": true}})),
        Balance::HashQuery(name) => Some(json!({"query_parameter": {"name": name}})),
        _ => None,
    }
}

fn headers(side: &str, ops: &HeaderOps, out: &mut Value) {
    let one = |(name, value): &(String, String), action: &str| json!({"header": {"key": name, "value": value}, "append_action": action});
    let added: Vec<Value> = ops
        .set
        .iter()
        .map(|h| one(h, "OVERWRITE_IF_EXISTS_OR_ADD"))
        .chain(ops.add.iter().map(|h| one(h, "APPEND_IF_EXISTS_OR_ADD")))
        .collect();
    if !added.is_empty() {
        out[format!("{side}_headers_to_add")] = added.into();
    }
    if !ops.remove.is_empty() {
        out[format!("{side}_headers_to_remove")] = ops.remove.clone().into();
    }
}

fn fault(fault: &Fault) -> Value {
    let mut out = json!({"@type": format!("{TYPE}.extensions.filters.http.fault.v3.HTTPFault")});
    if let Some((ms, _)) = fault.delay {
        out["delay"] = json!({"fixed_delay": seconds(ms)});
    }
    if let Some((status, _)) = fault.abort {
        out["abort"] = json!({"http_status": status});
    }
    // As Istio's: what is not said is left to Envoy.
    for (part, share) in [("delay", fault.delay.map(|f| f.1)), ("abort", fault.abort.map(|f| f.1))] {
        if let Some(share) = share.filter(|s| *s > 0.0) {
            out[part]["percentage"] = percent(share);
        }
    }
    out
}

fn percent(share: f64) -> Value {
    json!({"numerator": (share * 10_000.0) as u32, "denominator": "MILLION"})
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}s", ms / 1000, ms % 1000)
}

fn cluster(name: &str, host: &Host, cluster: &Cluster) -> Value {
    let endpoints: Vec<Value> = cluster
        .endpoints
        .iter()
        .map(|e| json!({"endpoint": {"address": socket(&e.address.ip().to_string(), e.address.port())}}))
        .collect();
    let full = cluster.name(name);
    let policy = match cluster.policy.balance {
        Balance::LeastRequest => "LEAST_REQUEST",
        Balance::RoundRobin => "ROUND_ROBIN",
        Balance::Random => "RANDOM",
        _ => "RING_HASH",
    };
    let http2 = host.ports.iter().any(|p| p.port == cluster.port && p.protocol == Protocol::Http2);
    let speaks = if http2 { json!({"http2_protocol_options": {}}) } else { json!({"http_protocol_options": {}}) };
    let mut options = json!({"@type": format!("{TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions"), "explicit_http_config": speaks});
    let mut out = json!({
        "name": full, "type": "STATIC", "lb_policy": policy,
        "connect_timeout": seconds(cluster.policy.connect_timeout_ms.unwrap_or(10_000)),
        "load_assignment": {"cluster_name": full, "endpoints": [{"lb_endpoints": endpoints}]},
        // Without the window endpoints that are left out leave at once, not with others of the same second.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
    });
    limits(&cluster.policy, &mut options, &mut out);
    out["typed_extension_protocol_options"] =
        json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options});
    out
}

/// Connection pools and outlier ejection of a DestinationRule.
fn limits(policy: &Policy, options: &mut Value, out: &mut Value) {
    let limits = &policy.limits;
    let most = |limit: Option<u32>| limit.unwrap_or(u32::MAX);
    out["circuit_breakers"] = json!({"thresholds": [{
        "max_connections": most(limits.connections), "max_pending_requests": most(limits.pending), "max_requests": most(limits.requests), "max_retries": most(limits.retries)}]});
    let mut common = json!({});
    if let Some(requests) = limits.per_connection {
        common["max_requests_per_connection"] = requests.into();
    }
    if let Some(ms) = limits.idle_ms {
        common["idle_timeout"] = seconds(ms).into();
    }
    if let Some(ms) = limits.age_ms {
        common["max_connection_duration"] = seconds(ms).into();
    }
    options["common_http_protocol_options"] = common;
    if let Some(rule) = &policy.outlier {
        let enforced = |threshold: u32| if threshold > 0 { 100 } else { 0 };
        out["outlier_detection"] = json!({
            "consecutive_5xx": rule.server_errors.max(1), "enforcing_consecutive_5xx": enforced(rule.server_errors),
            "consecutive_gateway_failure": rule.gateway_errors.max(1), "enforcing_consecutive_gateway_failure": enforced(rule.gateway_errors),
            "split_external_local_origin_errors": rule.local_errors.is_some(), "consecutive_local_origin_failure": rule.local_errors.unwrap_or(5),
            "interval": seconds(rule.interval_ms), "base_ejection_time": seconds(rule.base_ms), "max_ejection_percent": rule.max_percent,
            "enforcing_success_rate": 0});
        out["common_lb_config"]["healthy_panic_threshold"]["value"] = rule.min_health_percent.into();
    }
}
