//! The table as Envoy's `/config_dump` shows it (`envoy.admin.v3.ConfigDump`), so that one reader serves Envoy's sidecars and ours.

use crate::table::{Action, Host, Match, Protocol, Route, RouteTable, StringMatch, cluster_name};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ADMIN: &str = "type.googleapis.com/envoy.admin.v3";
const ROUTE_CONFIGURATION: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

/// The whole dump. `namespace` is the sidecar's own: short names resolve in it.
pub(crate) fn config_dump(table: &RouteTable, namespace: &str) -> Value {
    json!({"configs": [
        {"@type": format!("{ADMIN}.ClustersConfigDump"), "version_info": table.revision.to_string(), "dynamic_active_clusters": clusters(table)},
        {"@type": format!("{ADMIN}.RoutesConfigDump"), "dynamic_route_configs": routes(table, namespace)},
    ]})
}

/// `?resource=dynamic_route_configs`: the entries alone, each with its type; `None` where there is no such resource.
pub(crate) fn resource(table: &RouteTable, namespace: &str, resource: &str) -> Option<Value> {
    let (entries, kind) = match resource {
        "dynamic_route_configs" => (routes(table, namespace), "RoutesConfigDump.DynamicRouteConfig"),
        "dynamic_active_clusters" => (clusters(table), "ClustersConfigDump.DynamicCluster"),
        _ => return None,
    };
    let typed = entries.into_iter().map(|mut entry| {
        entry["@type"] = format!("{ADMIN}.{kind}").into();
        entry
    });
    Some(json!({"configs": typed.collect::<Vec<_>>()}))
}

fn clusters(table: &RouteTable) -> Vec<Value> {
    let of_host = |(name, host): (&String, &std::sync::Arc<Host>)| {
        let name = name.clone();
        host.clusters.clone().into_iter().map(move |c| {
            json!({"version_info": table.revision.to_string(), "cluster": {
                "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": c.name(&name), "type": "EDS"}})
        })
    };
    table.hosts.iter().flat_map(of_host).collect()
}

/// One route configuration for each port, named after it, as Istio names them.
fn routes(table: &RouteTable, namespace: &str) -> Vec<Value> {
    let mut by_port: BTreeMap<u16, Vec<Value>> = BTreeMap::new();
    for (name, host) in &table.hosts {
        for port in host.ports.iter().filter(|p| p.protocol != Protocol::Tcp) {
            by_port.entry(port.port).or_default().push(virtual_host(name, host, port.port, namespace, table));
        }
    }
    by_port
        .into_iter()
        .map(|(port, hosts)| {
            json!({"version_info": table.revision.to_string(), "route_config": {
                "@type": ROUTE_CONFIGURATION, "name": port.to_string(), "virtual_hosts": hosts, "validate_clusters": false}})
        })
        .collect()
}

fn virtual_host(name: &str, host: &Host, port: u16, namespace: &str, table: &RouteTable) -> Value {
    let routes: Vec<Value> = if host.routes.is_empty() {
        vec![
            json!({"name": "default", "match": {"prefix": "/"}, "route": {"cluster": cluster_name(port, "", name), "timeout": "0s"}}),
        ]
    } else {
        host.routes.iter().flat_map(|route| envoy_routes(route, port, table)).collect()
    };
    json!({"name": format!("{name}:{port}"), "domains": domains(name, host, namespace), "routes": routes, "include_request_attempt_count": true})
}

/// The names under which a pod of `namespace` reaches a host.
pub(crate) fn domains(name: &str, host: &Host, namespace: &str) -> Vec<String> {
    let mut all = vec![name.to_string()];
    if host.namespace == namespace {
        all.push(host.name.clone());
    }
    all.push(format!("{}.{}", host.name, host.namespace));
    all.push(format!("{}.{}.svc", host.name, host.namespace));
    all.extend(host.addresses.iter().map(|a| a.to_string()));
    all
}

/// One of Envoy's routes for each match.
fn envoy_routes(route: &Route, port: u16, table: &RouteTable) -> Vec<Value> {
    let action = envoy_action(route, port, table);
    let matches: Vec<Value> = if route.matches.is_empty() {
        vec![json!({"prefix": "/"})]
    } else {
        route.matches.iter().map(envoy_match).collect()
    };
    let one = |fits: Value| {
        let mut envoy = json!({"match": fits});
        if !route.name.is_empty() {
            envoy["name"] = route.name.clone().into();
        }
        let (key, value) = &action;
        envoy[*key] = value.clone();
        envoy
    };
    matches.into_iter().map(one).collect()
}

fn envoy_action(route: &Route, port: u16, table: &RouteTable) -> (&'static str, Value) {
    let timeout = route.timeout_ms.map_or("0s".to_string(), |ms| format!("{}s", ms as f64 / 1000.0));
    match &route.action {
        Action::Redirect(to) => {
            ("redirect", json!({"path_redirect": to.uri, "host_redirect": to.authority, "response_code": to.code}))
        }
        Action::Respond { status, body } => {
            ("direct_response", json!({"status": status, "body": {"inline_string": body}}))
        }
        Action::Forward(destinations) => {
            let cluster = |d: &crate::table::Destination| {
                let port = table.hosts.get(&d.host).map_or(port, |h| h.destination_port(d.port, port));
                cluster_name(port, &d.subset, &d.host)
            };
            match destinations.as_slice() {
                [only] => ("route", json!({"cluster": cluster(only), "timeout": timeout})),
                // Istio leaves out what has no weight.
                many => {
                    let weighted: Vec<Value> = many
                        .iter()
                        .filter(|d| d.weight > 0)
                        .map(|d| json!({"name": cluster(d), "weight": d.weight}))
                        .collect();
                    ("route", json!({"weighted_clusters": {"clusters": weighted}, "timeout": timeout}))
                }
            }
        }
    }
}

fn envoy_match(m: &Match) -> Value {
    let mut out = match &m.uri {
        Some(StringMatch::Exact(path)) => json!({"path": path}),
        Some(StringMatch::Prefix(prefix)) => json!({"prefix": prefix}),
        Some(StringMatch::Regex(pattern)) => json!({"safe_regex": {"regex": pattern.source()}}),
        Some(StringMatch::Present) | None => json!({"prefix": "/"}),
    };
    if m.ignore_uri_case {
        out["case_sensitive"] = false.into();
    }
    let mut headers = Vec::new();
    for (name, pattern) in [(":method", &m.method), (":authority", &m.authority), (":scheme", &m.scheme)] {
        headers.extend(pattern.as_ref().map(|p| header_match(name, p, false)));
    }
    headers.extend(m.headers.iter().map(|(n, p)| header_match(n, p, false)));
    headers.extend(m.without_headers.iter().map(|(n, p)| header_match(n, p, true)));
    if !headers.is_empty() {
        out["headers"] = headers.into();
    }
    if !m.query.is_empty() {
        out["query_parameters"] =
            m.query.iter().map(|(n, p)| json!({"name": n, "string_match": string_match(p)})).collect();
    }
    out
}

fn header_match(name: &str, pattern: &StringMatch, invert: bool) -> Value {
    let mut out = match pattern {
        StringMatch::Present => json!({"name": name, "present_match": true}),
        other => json!({"name": name, "string_match": string_match(other)}),
    };
    if invert {
        out["invert_match"] = true.into();
    }
    out
}

fn string_match(pattern: &StringMatch) -> Value {
    match pattern {
        StringMatch::Present => json!({"prefix": ""}),
        StringMatch::Exact(text) => json!({"exact": text}),
        StringMatch::Prefix(text) => json!({"prefix": text}),
        StringMatch::Regex(pattern) => json!({"safe_regex": {"regex": pattern.source()}}),
    }
}
