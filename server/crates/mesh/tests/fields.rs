//! Every field of Istio's VirtualService and DestinationRule: honoured, so that the table changes, or reported. Never ignored.

mod common;

use common::{input, route, rule};
use mesh::{MeshInput, Report, RouteTable};
use serde_json::{Value, json};

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Becomes {
    /// The table is another one with it.
    Honoured,
    /// The object's status names it.
    Reported,
    /// It says what is so anyway.
    Idle,
}
use Becomes::{Honoured, Idle, Reported};

fn demo() -> MeshInput {
    input(7, &[("v1", "127.64.0.2:7777".parse().unwrap()), ("v2", "127.64.0.3:7777".parse().unwrap())])
}

/// Sets a field that is written as `a.b[0].c`.
fn put(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for part in path.split('.') {
        let (name, index) = part
            .split_once('[')
            .map_or((part, None), |(n, i)| (n, Some(i.trim_end_matches(']').parse::<usize>().unwrap())));
        if at.is_null() {
            *at = json!({});
        }
        at = &mut at[name.replace('~', ".")];
        if let Some(index) = index {
            if at.is_null() {
                *at = json!([]);
            }
            let list = at.as_array_mut().unwrap();
            while list.len() <= index {
                list.push(Value::Null);
            }
            at = &mut list[index];
        }
    }
    *at = value;
}

/// Builds the table without and with the field, and says what is wrong with what became of it.
fn check(kind: &'static str, base: &Value, field: &str, value: Value, becomes: Becomes) -> Option<String> {
    let build = |spec: &Value| {
        let input = match kind {
            "VirtualService" => MeshInput { virtual_services: vec![route(spec.clone())], ..demo() },
            _ => MeshInput { destination_rules: vec![rule(spec.clone())], ..demo() },
        };
        RouteTable::build(&input)
    };
    let mut with = base.clone();
    put(&mut with, field, value);
    let ((before, _), (after, reports)) = (build(base), build(&with));
    // The report may name the field or the one it stands in, but not merely the list of all routes.
    let common =
        ["http", "match", "route", "trafficPolicy", "subsets", "portLevelSettings", "retries", "mirrors", "request"];
    let names: Vec<&str> =
        field.split('.').map(|p| p.split('[').next().unwrap()).filter(|p| !common.contains(p)).collect();
    let told = |r: &&Report| {
        r.kind == kind && r.reason == "UnsupportedField" && names.iter().any(|name| r.message.contains(name))
    };
    let reported = reports.iter().any(|r| told(&r));
    let seen = if reported {
        Reported
    } else if before != after {
        Honoured
    } else {
        Idle
    };
    (seen != becomes || (becomes != Reported && !reports.is_empty()))
        .then(|| format!("{kind} {field}: {seen:?}, not {becomes:?}; {reports:?}"))
}

#[test]
fn every_field_of_a_virtual_service_is_honoured_or_reported() {
    let to = json!([{"destination": {"host": "flaskapp", "subset": "v1"}}, {"destination": {"host": "flaskapp", "subset": "v2"}, "weight": 10}]);
    let forward = json!({"hosts": ["flaskapp"], "http": [{"route": to}]});
    let mirrored = json!({"hosts": ["flaskapp"], "http": [{"route": to, "mirrors": [{"destination": {"host": "flaskapp"}}], "mirror": {"host": "flaskapp"}}]});
    let redirect = json!({"hosts": ["flaskapp"], "http": [{"redirect": {"redirectCode": 301}}]});
    let direct = json!({"hosts": ["flaskapp"], "http": [{"directResponse": {"status": 200}}]});
    let mut wrong = Vec::new();
    let mut rows = 0;
    for (base, prefix, fields) in [
        (
            &forward,
            "",
            vec![
                ("exportTo", json!(["."]), Reported),
                ("exportTo", json!(["*"]), Idle),
                ("gateways", json!(["edge"]), Reported),
                ("gateways", json!(["mesh"]), Idle),
                ("tcp", json!([{"route": []}]), Reported),
                ("tls", json!([{"route": []}]), Reported),
                ("sometimes", json!(1), Reported),
            ],
        ),
        (
            &forward,
            "http[0].",
            vec![
                ("name", json!("n"), Honoured),
                ("corsPolicy.allowCredentials", json!(true), Reported),
                ("corsPolicy.allowOrigins[0].exact", json!("http://a"), Reported),
                ("corsPolicy.unmatchedPreflights", json!("IGNORE"), Reported),
                ("delegate.name", json!("other"), Reported),
                ("fault.abort.httpStatus", json!(500), Honoured),
                ("fault.abort.percent", json!(5), Reported),
                ("fault.abort.grpcStatus", json!("UNAVAILABLE"), Reported),
                ("fault.abort.http2Error", json!("x"), Reported),
                ("fault.delay.fixedDelay", json!("1s"), Honoured),
                ("fault.delay.exponentialDelay", json!("1s"), Reported),
                ("headers.request.add.x", json!("1"), Honoured),
                ("headers.request.set.x", json!("1"), Honoured),
                ("headers.request.remove[0]", json!("x"), Honoured),
                ("headers.response.add.x", json!("1"), Honoured),
                ("headers.response.set.x", json!("1"), Honoured),
                ("headers.response.remove[0]", json!("x"), Honoured),
                ("headers.request.set.x", json!("%REQ(a)%"), Reported),
                ("headers.elsewhere.set.x", json!("1"), Reported),
                ("headers.request.replace.x", json!("1"), Reported),
                ("mirror.host", json!("flaskapp"), Honoured),
                ("mirrors[0].destination.host", json!("flaskapp"), Honoured),
                ("retries.attempts", json!(5), Honoured),
                ("retries.backoff", json!("1s"), Reported),
                ("retries.perTryTimeout", json!("1s"), Honoured),
                ("retries.retryOn", json!("5xx"), Honoured),
                ("retries.retryOn", json!("unavailable"), Honoured),
                ("retries.retryOn", json!("retriable-headers"), Reported),
                ("retries.retryIgnorePreviousHosts", json!(false), Reported),
                ("retries.retryRemoteLocalities", json!(true), Reported),
                ("rewrite.authority", json!("a"), Honoured),
                ("rewrite.uri", json!("/"), Honoured),
                ("rewrite.uriRegexRewrite", json!({"match": "a", "rewrite": "b"}), Honoured),
                ("route[0].weight", json!(7), Honoured),
                ("route[0].destination.subset", json!("v2"), Honoured),
                ("route[0].destination.port.number", json!(7777), Honoured),
                ("route[0].destination.sometimes", json!(7777), Reported),
                ("route[0].headers.request.set.x", json!("1"), Honoured),
                ("route[0].headers.response.remove[0]", json!("x"), Honoured),
                ("timeout", json!("1s"), Honoured),
                ("websocketUpgrade", json!(true), Reported),
            ],
        ),
        (
            &mirrored,
            "http[0].",
            vec![
                ("mirror.subset", json!("v1"), Honoured),
                ("mirror.port.number", json!(7777), Honoured),
                ("mirror.sometimes", json!(5), Reported),
                ("mirrorPercent", json!(5), Honoured),
                ("mirror_percent", json!(5), Honoured),
                ("mirrorPercentage.value", json!(5), Honoured),
                ("mirrors[0].percentage.value", json!(5), Honoured),
                ("mirrors[0].destination.subset", json!("v1"), Honoured),
                ("mirrors[0].sometimes", json!(5), Reported),
            ],
        ),
        (
            &forward,
            "http[0].match[0].",
            vec![
                ("authority.exact", json!("a"), Honoured),
                ("gateways", json!(["mesh"]), Honoured),
                ("headers.x.exact", json!("a"), Honoured),
                ("headers.x.prefix", json!("a"), Honoured),
                ("headers.x.regex", json!("a"), Honoured),
                ("headers.x.suffix", json!("a"), Reported),
                ("withoutHeaders.x.exact", json!("a"), Honoured),
                ("queryParams.x.exact", json!("a"), Honoured),
                ("method.exact", json!("GET"), Honoured),
                ("scheme.exact", json!("http"), Honoured),
                ("port", json!(7777), Honoured),
                ("sourceNamespace", json!("a"), Honoured),
                ("sourceLabels.app", json!("a"), Reported),
                ("statPrefix", json!("a"), Reported),
                ("uri.prefix", json!("/a"), Honoured),
                ("uri.suffix", json!("/a"), Reported),
            ],
        ),
        (
            &redirect,
            "http[0].redirect.",
            vec![
                ("authority", json!("a"), Honoured),
                ("derivePort", json!("FROM_REQUEST_PORT"), Honoured),
                ("port", json!(1), Honoured),
                ("prefixRewrite", json!("/"), Honoured),
                ("redirectCode", json!(302), Honoured),
                ("redirectCode", json!(304), Reported),
                ("scheme", json!("https"), Honoured),
                ("uri", json!("/"), Honoured),
                ("sometimes", json!("/"), Reported),
            ],
        ),
        (
            &direct,
            "http[0].directResponse.",
            vec![
                ("status", json!(418), Honoured),
                ("body.string", json!("a"), Honoured),
                ("body.bytes", json!("YQ=="), Reported),
            ],
        ),
    ] {
        for (field, value, becomes) in fields {
            rows += 1;
            wrong.extend(check("VirtualService", base, &format!("{prefix}{field}"), value, becomes));
        }
    }
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_field_of_a_destination_rule_is_honoured_or_reported() {
    let subset = |version: &str| json!({"name": version, "labels": {"version": version}});
    let base = json!({"host": "flaskapp", "subsets": [subset("v1"), subset("v2")], "trafficPolicy": {"portLevelSettings": [{"port": {"number": 80}}]}});
    let policy = [
        ("connectionPool.tcp.connectTimeout", json!("1s"), Honoured),
        ("connectionPool.tcp.idleTimeout", json!("1s"), Reported),
        ("connectionPool.tcp.maxConnections", json!(1), Honoured),
        ("connectionPool.tcp.maxConnectionDuration", json!("1s"), Honoured),
        ("connectionPool.tcp.tcpKeepalive.probes", json!(1), Reported),
        ("connectionPool.http.h2UpgradePolicy", json!("UPGRADE"), Reported),
        ("connectionPool.http.h2UpgradePolicy", json!("DO_NOT_UPGRADE"), Idle),
        ("connectionPool.http.http1MaxPendingRequests", json!(1), Honoured),
        ("connectionPool.http.http2MaxRequests", json!(1), Honoured),
        ("connectionPool.http.http2KeepAlive.interval", json!("1s"), Reported),
        ("connectionPool.http.idleTimeout", json!("1s"), Honoured),
        ("connectionPool.http.maxConcurrentStreams", json!(1), Reported),
        ("connectionPool.http.maxRequestsPerConnection", json!(1), Honoured),
        ("connectionPool.http.maxRetries", json!(1), Honoured),
        ("connectionPool.http.useClientProtocol", json!(true), Reported),
        ("loadBalancer.simple", json!("ROUND_ROBIN"), Honoured),
        ("loadBalancer.simple", json!("RANDOM"), Honoured),
        ("loadBalancer.simple", json!("LEAST_REQUEST"), Idle),
        ("loadBalancer.simple", json!("PASSTHROUGH"), Reported),
        ("loadBalancer.consistentHash.httpHeaderName", json!("a"), Honoured),
        ("loadBalancer.consistentHash.httpQueryParameterName", json!("a"), Honoured),
        ("loadBalancer.consistentHash.useSourceIp", json!(true), Honoured),
        ("loadBalancer.consistentHash.httpCookie", json!({"name": "a", "ttl": "1s", "path": "/"}), Honoured),
        ("loadBalancer.consistentHash.httpCookie", json!({"name": "a", "attributes": [{"name": "a"}]}), Reported),
        ("loadBalancer.consistentHash.minimumRingSize", json!(1024), Reported),
        ("loadBalancer.consistentHash.ringHash.minimumRingSize", json!(1024), Reported),
        ("loadBalancer.consistentHash.maglev.tableSize", json!(65537), Reported),
        ("loadBalancer.localityLbSetting.enabled", json!(true), Reported),
        ("loadBalancer.zoneAwareLbSetting.enabled", json!(true), Reported),
        ("loadBalancer.warmup.duration", json!("1s"), Reported),
        ("loadBalancer.warmupDurationSecs", json!("1s"), Reported),
        ("outlierDetection.baseEjectionTime", json!("1s"), Honoured),
        ("outlierDetection.consecutive5xxErrors", json!(1), Honoured),
        ("outlierDetection.consecutiveErrors", json!(1), Honoured),
        ("outlierDetection.consecutiveGatewayErrors", json!(1), Honoured),
        ("outlierDetection.interval", json!("1s"), Honoured),
        ("outlierDetection.maxEjectionPercent", json!(50), Honoured),
        ("outlierDetection.minHealthPercent", json!(50), Honoured),
        ("outlierDetection.splitExternalLocalOriginErrors", json!(true), Honoured),
        ("outlierDetection.outlierDetectionHttpErrorCodes[0]", json!(418), Reported),
        ("tls.mode", json!("ISTIO_MUTUAL"), Reported),
        ("tls.mode", json!("DISABLE"), Idle),
    ];
    let whole = [
        ("tunnel.protocol", json!("CONNECT"), Reported),
        ("proxyProtocol.version", json!("V1"), Reported),
        ("retryBudget.percent", json!(20), Reported),
    ];
    let mut wrong = Vec::new();
    let mut rows = Vec::new();
    for (prefix, with_whole) in
        [("trafficPolicy.", true), ("subsets[0].trafficPolicy.", true), ("trafficPolicy.portLevelSettings[0].", false)]
    {
        let fields = policy.iter().chain(whole.iter().filter(|_| with_whole));
        rows.extend(fields.map(|(f, v, b)| (format!("{prefix}{f}"), v.clone(), *b)));
    }
    for (field, value, becomes) in [
        ("exportTo", json!(["."]), Reported),
        ("workloadSelector.matchLabels.app", json!("a"), Reported),
        ("subsets[0].labels.version", json!("v2"), Honoured),
        ("subsets[2]", subset("v3"), Honoured),
        ("subsets[0].sometimes", json!(1), Reported),
        ("sometimes", json!(1), Reported),
    ] {
        rows.push((field.to_string(), value, becomes));
    }
    for (field, value, becomes) in &rows {
        // Settings of a port are about that port.
        let mut base = base.clone();
        base["trafficPolicy"]["portLevelSettings"][0]["port"]["number"] =
            json!(if field.contains("portLevel") { 7777 } else { 80 });
        wrong.extend(check("DestinationRule", &base, field, value.clone(), *becomes));
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}
