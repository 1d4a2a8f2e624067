//! From objects to decisions, without a socket.

mod common;

use common::{input, route, rule, service, split};
use mesh::{Action, Headers, MeshInput, RequestView, RouteTable, TableUpdate, pick_weighted, route_for};
use serde_json::{Value, json};
use std::borrow::Cow;

const FLASKAPP: &str = "flaskapp.istio-app.svc.cluster.local";

fn demo() -> MeshInput {
    input(7, &[("v1", "127.64.0.2:7777".parse().unwrap()), ("v2", "127.64.0.3:7777".parse().unwrap())])
}

fn with_route(spec: Value) -> MeshInput {
    MeshInput { virtual_services: vec![route(spec)], ..demo() }
}

struct Pairs(Vec<(&'static str, &'static str)>);

impl Headers for Pairs {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| Cow::Borrowed(*v))
    }
}

/// `METHOD target header=value …` → the name of the route it meets.
fn ask(table: &RouteTable, request: &'static str) -> String {
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let headers = Pairs(words.map(|w| w.split_once('=').unwrap()).collect());
    let view = RequestView {
        method,
        target,
        authority: "flaskapp:7777",
        scheme: "http",
        port: 7777,
        source_namespace: "istio-app",
        headers: &headers,
    };
    route_for(&table.hosts[FLASKAPP], &view).map_or("none".into(), |m| m.route.name.clone())
}

#[test]
fn first_match_wins_whatever_is_matched() {
    let to = json!([{"destination": {"host": "flaskapp", "subset": "v1"}}]);
    let named = |name: &str, matches: Value| json!({"name": name, "match": matches, "route": to});
    let (table, reports) = RouteTable::build(&with_route(json!({"hosts": ["flaskapp"], "http": [
        named("exact", json!([{"uri": {"exact": "/a"}}])),
        named("regex", json!([{"uri": {"regex": "/r[0-9]+"}}])),
        named("post", json!([{"method": {"exact": "POST"}, "uri": {"prefix": "/p"}}])),
        named("user", json!([{"headers": {"End-User": {"exact": "jason"}}}])),
        named("cookie", json!([{"headers": {"cookie": {"regex": "^(.*?;)?(user=beta)(;.*)?$"}}}])),
        named("query", json!([{"queryParams": {"v": {"exact": "a%20b"}}}, {"queryParams": {"w": {"regex": "[0-9]+"}}}])),
        named("case", json!([{"uri": {"prefix": "/CASE"}, "ignoreUriCase": true}])),
        named("without", json!([{"uri": {"prefix": "/w"}, "withoutHeaders": {"x-skip": {}}}])),
        named("elsewhere", json!([{"sourceNamespace": "other"}])),
        named("port", json!([{"port": 80}])),
        {"name": "rest", "route": to},
        named("never", json!([{"uri": {"prefix": "/"}}])),
    ]})));
    assert_eq!(reports, []);
    for (request, name) in [
        ("GET /a", "exact"),
        ("GET /a?x=1", "exact"),
        ("GET /ab", "rest"),
        ("GET /r12", "regex"),
        ("GET /r12x", "rest"),
        ("POST /p/q", "post"),
        ("GET /p/q", "rest"),
        ("GET / end-user=jason", "user"),
        ("GET / end-user=jasonx", "rest"),
        ("GET / cookie=a=b;user=beta", "cookie"),
        ("GET /?v=a%20b", "query"),
        ("GET /?x=1&w=42", "query"),
        ("GET /?w=x", "rest"),
        ("GET /case/1", "case"),
        ("GET /w", "without"),
        ("GET /w x-skip=1", "rest"),
    ] {
        assert_eq!(ask(&table, request), name, "{request}");
    }
}

#[test]
fn without_a_match_nothing_is_taken() {
    let (table, _) = RouteTable::build(&with_route(json!({"hosts": ["flaskapp"], "http": [
        {"name": "a", "match": [{"uri": {"exact": "/a"}}], "route": [{"destination": {"host": "flaskapp"}}]}]})));
    assert_eq!(ask(&table, "GET /b"), "none");
}

#[test]
fn subsets_hold_the_endpoints_their_labels_choose() {
    let mut input = demo();
    let mut unready = (*input.endpoint_slices[0]).clone();
    unready["endpoints"][0]["addresses"] = json!(["127.64.0.7"]);
    unready["endpoints"][0]["conditions"]["ready"] = json!(false);
    input.endpoint_slices.push(unready.into());
    let (table, reports) = RouteTable::build(&input);
    assert_eq!(reports, []);
    let host = &table.hosts[FLASKAPP];
    let addresses = |subset: &str| {
        host.cluster(7777, subset).unwrap().endpoints.iter().map(|e| e.address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(addresses(""), ["127.64.0.2:7777", "127.64.0.3:7777"]);
    assert_eq!(addresses("v1"), ["127.64.0.2:7777"]);
    assert_eq!(addresses("v2"), ["127.64.0.3:7777"]);
    let v2 = &host.cluster(7777, "v2").unwrap().endpoints[0];
    assert_eq!((v2.workload.as_str(), v2.app.as_str(), v2.version.as_str()), ("flaskapp-v2", "flaskapp", "v2"));
}

#[test]
fn what_is_not_honoured_is_said() {
    let to = json!([{"destination": {"host": "flaskapp", "subset": "v1"}}]);
    let service = |http: Value| json!({"hosts": ["flaskapp"], "http": [http]});
    for (spec, reason, part) in [
        (
            service(json!({"route": [{"destination": {"host": "flaskapp", "subset": "v3"}}]})),
            "SubsetMissing",
            "no subset \"v3\"",
        ),
        (
            service(json!({"route": [{"destination": {"host": "gone"}}]})),
            "HostNotFound",
            "destination gone.istio-app.svc.cluster.local",
        ),
        (
            service(json!({"route": [{"destination": {"host": "flaskapp", "port": {"number": 9}}}]})),
            "PortNotFound",
            "no port 9",
        ),
        (
            service(json!({"route": to, "corsPolicy": {"allowMethods": ["GET"]}})),
            "UnsupportedField",
            "spec.http[0].corsPolicy",
        ),
        (
            service(json!({"route": to, "match": [{"uri": {"suffix": "/a"}}]})),
            "UnsupportedField",
            "spec.http[0].match[0].uri.suffix",
        ),
        (
            service(json!({"route": to, "mirrors": [{"destination": {"host": "gone"}}]})),
            "HostNotFound",
            "destination gone.istio-app",
        ),
        (
            service(json!({"route": to, "match": [{"sourceLabels": {"app": "x"}}]})),
            "UnsupportedField",
            "spec.http[0].match[0].sourceLabels",
        ),
        (service(json!({"route": to, "match": [{"uri": {"regex": "("}}]})), "Invalid", "spec.http[0].match[0]"),
        (
            service(json!({"route": to, "retries": {"attempts": 1, "retryOn": "retriable-headers"}})),
            "UnsupportedField",
            "retryOn (retriable-headers)",
        ),
        (
            service(json!({"route": to, "rewrite": {"authority": "a\r\nx-evil: 1"}})),
            "Invalid",
            "spec.http[0].rewrite.authority",
        ),
        (service(json!({"route": to, "rewrite": {"uri": "/a b"}})), "Invalid", "spec.http[0].rewrite.uri"),
        (
            service(json!({"route": to, "rewrite": {"uriRegexRewrite": {"match": "a", "rewrite": "b\0"}}})),
            "Invalid",
            "spec.http[0].rewrite.uriRegexRewrite.rewrite",
        ),
        (
            json!({"hosts": ["nobody"], "http": [{"route": to}]}),
            "HostNotFound",
            "host nobody.istio-app.svc.cluster.local",
        ),
        (json!({"hosts": ["flaskapp.istio-app"], "http": [{"route": to}]}), "HostNotFound", "taken as a full one"),
        (
            json!({"hosts": ["flaskapp"], "gateways": ["edge"], "http": [{"route": to}]}),
            "UnsupportedField",
            "spec.gateways",
        ),
        (json!({"hosts": ["flaskapp"], "tcp": [{"route": to}]}), "UnsupportedField", "spec.tcp"),
        (
            json!({"hosts": ["flaskapp"], "exportTo": ["."], "http": [{"route": to}]}),
            "UnsupportedField",
            "spec.exportTo",
        ),
    ] {
        let (_, reports) = RouteTable::build(&with_route(spec.clone()));
        assert!(
            reports.iter().any(|r| r.reason == reason && r.message.contains(part) && r.kind == "VirtualService"),
            "{spec}: {reports:?}"
        );
    }
    for (spec, part) in [
        (
            json!({"host": "flaskapp", "trafficPolicy": {"outlierDetection": {"outlierDetectionHttpErrorCodes": [418]}}}),
            "outlierDetectionHttpErrorCodes",
        ),
        (json!({"host": "flaskapp", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}), "tls.mode (ISTIO_MUTUAL)"),
        (
            json!({"host": "flaskapp", "trafficPolicy": {"connectionPool": {"http": {"useClientProtocol": true}}}}),
            "connectionPool.http.useClientProtocol",
        ),
        (
            json!({"host": "flaskapp", "trafficPolicy": {"loadBalancer": {"simple": "PASSTHROUGH"}}}),
            "simple (PASSTHROUGH)",
        ),
    ] {
        let (_, reports) = RouteTable::build(&MeshInput { destination_rules: vec![rule(spec.clone())], ..demo() });
        assert!(reports.iter().any(|r| r.message.contains(part)), "{spec}: {reports:?}");
    }
}

#[test]
fn an_older_route_keeps_the_host() {
    let mut newer = (*split(0, 100)).clone();
    newer["metadata"]["name"] = json!("aaa");
    newer["metadata"]["creationTimestamp"] = json!("2026-02-01T00:00:00Z");
    let input = MeshInput { virtual_services: vec![newer.into(), split(100, 0)], ..demo() };
    let (table, reports) = RouteTable::build(&input);
    assert_eq!(table.hosts[FLASKAPP].virtual_service.as_deref(), Some("istio-app/flaskapp-vs"));
    assert_eq!((reports[0].name.as_str(), reports[0].reason), ("aaa", "Conflict"));
}

#[test]
fn a_wildcard_gives_way_to_an_exact_name() {
    let mut wild = (*route(json!({"hosts": ["*.svc.cluster.local"], "http": [{"name": "wild", "route": [{"destination": {"host": "flaskapp"}}]}]}))).clone();
    wild["metadata"]["name"] = json!("wild");
    let mut input = MeshInput { virtual_services: vec![wild.into(), split(1, 1)], ..demo() };
    input.services.push(service("other", "web", json!([{"port": 80}])));
    let (table, _) = RouteTable::build(&input);
    assert_eq!(table.hosts[FLASKAPP].virtual_service.as_deref(), Some("istio-app/flaskapp-vs"));
    assert_eq!(table.hosts["web.other.svc.cluster.local"].virtual_service.as_deref(), Some("istio-app/wild"));
}

#[test]
fn a_table_survives_the_wire() {
    let spec = json!({"hosts": ["flaskapp"], "http": [{
        "match": [{"uri": {"regex": "/x.*"}, "headers": {"a": {}}}], "timeout": "1.5s", "retries": {"attempts": 3, "perTryTimeout": "200ms", "retryOn": "5xx,503"},
        "rewrite": {"uri": "/y", "authority": "z"}, "fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 0.1}}, "abort": {"httpStatus": 500}},
        "headers": {"request": {"set": {"X-A": "1"}, "remove": ["X-B"]}, "response": {"add": {"x-c": "2"}}},
        "route": [{"destination": {"host": "flaskapp", "subset": "v1"}, "weight": 60}, {"destination": {"host": "flaskapp", "subset": "v2"}, "weight": 20}]},
        {"redirect": {"uri": "/there", "redirectCode": 302}}]});
    let (table, reports) = RouteTable::build(&with_route(spec));
    assert_eq!(reports, []);
    let line = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<RouteTable>(&line).unwrap(), table);
    insta::assert_snapshot!(serde_json::to_string_pretty(&table.hosts[FLASKAPP].routes).unwrap());
    let Action::Forward(to) = &table.hosts[FLASKAPP].routes[0].action else { panic!() };
    assert_eq!(pick_weighted(to, u64::MAX / 4 * 3 - 9).unwrap().subset, "v1");
}

#[test]
fn an_update_brings_an_older_table_up_to_date() {
    let (mut table, _) = RouteTable::build(&demo());
    let (newer, _) = RouteTable::build(&MeshInput { virtual_services: vec![split(80, 20)], revision: 8, ..demo() });
    table.hosts.insert("old".into(), Default::default());
    table.apply(TableUpdate {
        revision: 8,
        full: false,
        set: newer.hosts.clone(),
        gone: vec!["old".into()],
        ..TableUpdate::default()
    });
    assert_eq!(table, newer);
}

#[test]
fn odd_objects_break_nothing() {
    let odd = [
        json!(null),
        json!({"spec": 7}),
        json!({"metadata": [], "spec": {"http": [null, 3, {"route": [null]}], "hosts": [null, ""], "ports": [{"port": 99999999}]}}),
    ];
    let all: Vec<_> = odd.iter().cloned().map(std::sync::Arc::new).collect();
    RouteTable::build(&MeshInput {
        virtual_services: all.clone(),
        destination_rules: all.clone(),
        services: all.clone(),
        endpoint_slices: all.clone(),
        pods: all,
        revision: 1,
    });
}

#[test]
fn ports_of_http2_have_retries_and_mirrors_too() {
    let to = |host: &str| json!([{"destination": {"host": host}}]);
    let mut input = demo();
    input.services.push(service("istio-app", "grpc", json!([{"name": "grpc", "port": 50051}])));
    for http in [
        json!({"route": to("grpc"), "retries": {"attempts": 1, "perTryTimeout": "1s", "retryOn": "refused-stream,unavailable,reset"}}),
        json!({"route": to("grpc"), "mirror": {"host": "flaskapp"}}),
        json!({"route": to("flaskapp"), "mirror": {"host": "grpc"}}),
        json!({"route": to("flaskapp"), "retries": {"attempts": 1}, "mirror": {"host": "flaskapp"}}),
    ] {
        let (_, reports) = RouteTable::build(&MeshInput {
            virtual_services: vec![route(json!({"hosts": ["flaskapp"], "http": [http]}))],
            ..input.clone()
        });
        let told: Vec<&str> = reports.iter().map(|r| r.message.as_str()).collect();
        assert!(told.is_empty(), "{http}: {told:?}");
    }
}
