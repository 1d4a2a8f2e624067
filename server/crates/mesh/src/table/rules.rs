//! DestinationRules → subsets and traffic policies by host.

use super::input::{MeshInput, Report, Reporter, by_age, full_name};
use super::{Balance, HashCookie, Limits, Outlier, Policy, duration_ms};
use crate::json::{fields, list, meta, present, text};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// What DestinationRules say, by the host's full name.
pub(super) type Rules = BTreeMap<String, Rule>;

/// What is said of one host; several rules of one host are merged, the oldest first.
#[derive(Default)]
pub(super) struct Rule {
    pub(super) subsets: Vec<Subset>,
    policy: Option<PolicyLevels>,
}

pub(super) struct Subset {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    policy: Option<PolicyLevels>,
}

/// A `trafficPolicy`: of all ports, and of single ones.
struct PolicyLevels {
    all: PartialPolicy,
    ports: Vec<(u16, PartialPolicy)>,
}

#[derive(Clone, Default)]
struct PartialPolicy {
    balance: Option<Balance>,
    connect_timeout_ms: Option<u64>,
    limits: Option<Limits>,
    outlier: Option<Outlier>,
}

impl Rule {
    /// A port's own settings replace the rule's whole; a subset's go before the rule's (`PortTrafficPolicy`).
    pub(super) fn policy_for(&self, port: u16, subset: Option<&Subset>) -> Policy {
        let level = |levels: Option<&PolicyLevels>| {
            levels
                .map(|l| l.ports.iter().find(|(p, _)| *p == port).map_or(&l.all, |(_, policy)| policy).clone())
                .unwrap_or_default()
        };
        let (own, host) = (level(subset.and_then(|s| s.policy.as_ref())), level(self.policy.as_ref()));
        Policy {
            balance: own.balance.or(host.balance).unwrap_or_default(),
            connect_timeout_ms: own.connect_timeout_ms.or(host.connect_timeout_ms),
            limits: own.limits.or(host.limits).unwrap_or_default(),
            outlier: own.outlier.or(host.outlier),
        }
    }
}

/// Reads all DestinationRules.
pub(super) fn subsets(input: &MeshInput, reports: &mut Vec<Report>) -> Rules {
    let mut rules = Rules::new();
    for object in by_age(&input.destination_rules) {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let mut report = Reporter { object, kind: "DestinationRule", into: reports };
        let host = full_name(text(spec, "host"), meta(object, "namespace"));
        report.only(spec, "spec", &["host", "subsets", "trafficPolicy", "exportTo"]);
        not_exported(spec, &mut report);
        let matches_service =
            |name: &str| host == name || host.strip_prefix('*').is_some_and(|suffix| name.ends_with(suffix));
        let services = input.services.iter().map(|s| super::input::service_name(meta(s, "name"), meta(s, "namespace")));
        let hosts: Vec<String> = services.filter(|name| matches_service(name)).collect();
        if hosts.is_empty() {
            report.add("HostNotFound", format!("host {host} is no Service of the registry"));
        }
        let policy = spec.get("trafficPolicy").and_then(|p| traffic_policy(p, "spec.trafficPolicy", &mut report));
        let subsets: Vec<Subset> = list(spec, "subsets")
            .iter()
            .enumerate()
            .map(|(i, s)| subset(s, &format!("spec.subsets[{i}]"), &mut report))
            .collect();
        // A wildcard rule names many hosts; the rule of each is its own copy.
        for name in hosts {
            merge(rules.entry(name).or_default(), &policy, &subsets, &mut report);
        }
    }
    rules
}

fn merge(rule: &mut Rule, policy: &Option<PolicyLevels>, subsets: &[Subset], report: &mut Reporter<'_>) {
    if let Some(policy) = policy {
        if rule.policy.is_some() {
            report.add(
                "Conflict",
                "spec.trafficPolicy is not used: an older DestinationRule of the same host has one".into(),
            );
        } else {
            rule.policy = Some(policy.copy());
        }
    }
    let mut names: HashSet<String> = rule.subsets.iter().map(|s| s.name.clone()).collect();
    for subset in subsets {
        if !names.insert(subset.name.clone()) {
            report.add(
                "Conflict",
                format!("subset {} is not used: an older DestinationRule of the same host has it", subset.name),
            );
        } else {
            rule.subsets.push(Subset {
                name: subset.name.clone(),
                labels: subset.labels.clone(),
                policy: subset.policy.as_ref().map(PolicyLevels::copy),
            });
        }
    }
}

impl PolicyLevels {
    fn copy(&self) -> PolicyLevels {
        PolicyLevels { all: self.all.clone(), ports: self.ports.clone() }
    }
}

fn subset(value: &Value, path: &str, report: &mut Reporter<'_>) -> Subset {
    report.only(value, path, &["name", "labels", "trafficPolicy"]);
    let labels =
        fields(value, "labels").filter_map(|(name, v)| Some((name.to_string(), v.as_str()?.to_string()))).collect();
    let policy = value.get("trafficPolicy").and_then(|p| traffic_policy(p, &format!("{path}.trafficPolicy"), report));
    Subset { name: text(value, "name").into(), labels, policy }
}

fn traffic_policy(value: &Value, path: &str, report: &mut Reporter<'_>) -> Option<PolicyLevels> {
    if value.is_null() {
        return None;
    }
    report.only(value, path, &["loadBalancer", "connectionPool", "outlierDetection", "portLevelSettings", "tls"]);
    let all = partial(value, path, report);
    let mut ports = Vec::new();
    for (index, level) in list(value, "portLevelSettings").iter().enumerate() {
        let path = format!("{path}.portLevelSettings[{index}]");
        report.only(level, &path, &["port", "loadBalancer", "connectionPool", "outlierDetection", "tls"]);
        if let Some(port) = level.pointer("/port/number").and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok()) {
            ports.push((port, partial(level, &path, report)));
        }
    }
    Some(PolicyLevels { all, ports })
}

fn partial(value: &Value, path: &str, report: &mut Reporter<'_>) -> PartialPolicy {
    if let Some(tls) = present(value, "tls")
        && text(tls, "mode") != "DISABLE"
        && !text(tls, "mode").is_empty()
    {
        report.unsupported(&format!("{path}.tls.mode ({})", text(tls, "mode")));
    }
    let pool = present(value, "connectionPool");
    PartialPolicy {
        balance: present(value, "loadBalancer").and_then(|b| balance(b, &format!("{path}.loadBalancer"), report)),
        connect_timeout_ms: pool.and_then(|p| duration_ms(p.pointer("/tcp/connectTimeout")?.as_str()?)),
        limits: pool.map(|p| limits(p, &format!("{path}.connectionPool"), report)),
        outlier: present(value, "outlierDetection").map(|o| outlier(o, &format!("{path}.outlierDetection"), report)),
    }
}

/// 0 is "not said", as in Istio.
fn limits(pool: &Value, path: &str, report: &mut Reporter<'_>) -> Limits {
    report.only(pool, path, &["tcp", "http"]);
    let (tcp, http) = (pool.get("tcp").unwrap_or(&Value::Null), pool.get("http").unwrap_or(&Value::Null));
    report.only(tcp, &format!("{path}.tcp"), &["connectTimeout", "maxConnections", "maxConnectionDuration"]);
    report.only(
        http,
        &format!("{path}.http"),
        &[
            "http1MaxPendingRequests",
            "http2MaxRequests",
            "maxRequestsPerConnection",
            "maxRetries",
            "idleTimeout",
            "h2UpgradePolicy",
        ],
    );
    if text(http, "h2UpgradePolicy") == "UPGRADE" {
        report.unsupported(&format!("{path}.http.h2UpgradePolicy (UPGRADE)"));
    }
    let number = |from: &Value, key: &str| {
        from.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)
    };
    let time = |from: &Value, key: &str| duration_ms(text(from, key)).filter(|ms| *ms > 0);
    Limits {
        connections: number(tcp, "maxConnections"),
        pending: number(http, "http1MaxPendingRequests"),
        requests: number(http, "http2MaxRequests"),
        retries: number(http, "maxRetries"),
        per_connection: number(http, "maxRequestsPerConnection"),
        idle_ms: time(http, "idleTimeout"),
        age_ms: time(tcp, "maxConnectionDuration"),
    }
}

fn outlier(value: &Value, path: &str, report: &mut Reporter<'_>) -> Outlier {
    report.only(
        value,
        path,
        &[
            "consecutiveErrors",
            "consecutive5xxErrors",
            "consecutiveGatewayErrors",
            "splitExternalLocalOriginErrors",
            "consecutiveLocalOriginFailures",
            "interval",
            "baseEjectionTime",
            "maxEjectionPercent",
            "minHealthPercent",
        ],
    );
    let number = |key: &str| value.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let time = |key: &str, default: u64| duration_ms(text(value, key)).filter(|ms| *ms > 0).unwrap_or(default);
    let split = value.get("splitExternalLocalOriginErrors").and_then(Value::as_bool).unwrap_or(false);
    Outlier {
        server_errors: number("consecutive5xxErrors").unwrap_or(5),
        // The field's old name meant gateway errors.
        gateway_errors: number("consecutiveGatewayErrors").or(number("consecutiveErrors")).unwrap_or(0),
        local_errors: split.then(|| number("consecutiveLocalOriginFailures").unwrap_or(5)),
        interval_ms: time("interval", 10_000),
        base_ms: time("baseEjectionTime", 30_000),
        max_percent: number("maxEjectionPercent").filter(|n| *n > 0).unwrap_or(10),
        min_health_percent: number("minHealthPercent").unwrap_or(0),
    }
}

fn balance(value: &Value, path: &str, report: &mut Reporter<'_>) -> Option<Balance> {
    report.only(value, path, &["simple", "consistentHash"]);
    if let Some(hash) = present(value, "consistentHash") {
        report.only(
            hash,
            &format!("{path}.consistentHash"),
            &["httpHeaderName", "httpCookie", "httpQueryParameterName", "useSourceIp", "ringHash", "maglev"],
        );
        // Which endpoint a key leads to hangs on no ring and no table here; it only stays the same.
        for kind in ["ringHash", "maglev"] {
            report.only(hash.get(kind).unwrap_or(&Value::Null), &format!("{path}.consistentHash.{kind}"), &[]);
        }
        if !text(hash, "httpHeaderName").is_empty() {
            return Some(Balance::HashHeader(text(hash, "httpHeaderName").to_ascii_lowercase()));
        }
        if !text(hash, "httpQueryParameterName").is_empty() {
            return Some(Balance::HashQuery(text(hash, "httpQueryParameterName").into()));
        }
        let cookie = hash.get("httpCookie").unwrap_or(&Value::Null);
        if !text(cookie, "name").is_empty() {
            report.only(cookie, &format!("{path}.consistentHash.httpCookie"), &["name", "path", "ttl"]);
            let (name, path) = (text(cookie, "name").into(), text(cookie, "path").into());
            return Some(Balance::HashCookie(HashCookie {
                name,
                path,
                ttl_ms: present(cookie, "ttl").and_then(|ttl| duration_ms(ttl.as_str()?)),
            }));
        }
        if hash.get("useSourceIp").and_then(Value::as_bool) == Some(true) {
            return Some(Balance::HashSourceIp);
        }
        return None;
    }
    match text(value, "simple") {
        "ROUND_ROBIN" => Some(Balance::RoundRobin),
        "RANDOM" => Some(Balance::Random),
        "LEAST_REQUEST" | "LEAST_CONN" => Some(Balance::LeastRequest),
        "" | "UNSPECIFIED" => None,
        other => {
            report.unsupported(&format!("{path}.simple ({other})"));
            None
        }
    }
}

/// Visibility other than everywhere is not honoured, and said so.
pub(super) fn not_exported(spec: &Value, report: &mut Reporter<'_>) {
    let to: Vec<&str> = crate::json::texts(spec, "exportTo").collect();
    if !to.is_empty() && to != ["*"] {
        report.unsupported("spec.exportTo");
    }
}
