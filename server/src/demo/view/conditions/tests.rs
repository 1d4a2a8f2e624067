//! Objects and facts in, conditions out.
use super::*;
use crate::demo::namespace::facts::Facts;
use crate::demo::plan::observe::{demo_pods, observe};
use crate::demo::pods::tests::pod;
use crate::demo::virtual_service;
use crate::k8s::{Cache, Reach};
use serde_json::{Value, json};

/// The condition of a kind: its reason and message.
fn told(kind: &str, objects: Vec<Value>, facts: &Facts) -> (String, String) {
    let cache = Cache::of(objects);
    let (observed, pods, reach) = (observe(&cache), demo_pods(&cache), Reach::default());
    let desired = virtual_service::find(&cache, "n").and_then(|seen| virtual_service::split(&seen.object, "n"));
    let scene = Scene {
        ns: "n",
        cache: &cache,
        observed: &observed,
        pods: &pods,
        facts,
        reach: &reach,
        desired: desired.as_ref(),
        claim: None,
    };
    let found = conditions(&scene).into_iter().find(|c| c.kind == kind).unwrap();
    assert!(!found.zh.is_empty(), "{found:?}");
    (found.reason, found.message)
}

fn istio(kind: &str, name: &str, spec: Value, status: Value) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": "n"}, "spec": spec, "status": status})
}

fn route(subsets: &[(&str, u32)], status: Value) -> Value {
    let to: Vec<Value> = subsets
        .iter()
        .map(|(subset, weight)| json!({"destination": {"host": "flaskapp", "subset": subset}, "weight": weight}))
        .collect();
    istio("VirtualService", "flaskapp-vs", json!({"hosts": ["flaskapp"], "http": [{"route": to}]}), status)
}

#[test]
fn what_the_mesh_leaves_out_of_a_route_is_told() {
    let ignored = json!({"conditions": [{"type": "Reconciled", "status": "False", "reason": "Unsupported", "message": "spec.http[0].corsPolicy is not supported"}]});
    let analysed = json!({"validationMessages": [
        {"type": {"name": "ReferencedResourceNotFound", "code": "IST0101"}, "level": "ERROR", "documentationUrl": "x"},
        {"type": {"code": "IST0102"}, "level": "INFO"},
    ]});
    for (what, status, reason, message) in [
        ("nothing said", json!({}), "RouteHonoured", "The mesh reports nothing it leaves out of the route."),
        (
            "reconciled",
            json!({"conditions": [{"type": "Reconciled", "status": "True"}]}),
            "RouteHonoured",
            "The mesh reports nothing it leaves out of the route.",
        ),
        (
            "a field",
            ignored,
            "RouteInPart",
            "The mesh does not do all that the route asks for: virtualservice/flaskapp-vs: spec.http[0].corsPolicy is not supported.",
        ),
        (
            "Istio's analysis",
            analysed,
            "RouteInPart",
            "The mesh does not do all that the route asks for: virtualservice/flaskapp-vs: ReferencedResourceNotFound (IST0101).",
        ),
    ] {
        let said = told(kinds::ROUTE_HONOURED, vec![route(&[("v1", 1)], status)], &Facts::default());
        assert_eq!((said.0.as_str(), said.1.as_str()), (reason, message), "{what}");
    }
}

#[test]
fn a_subset_is_ready_where_pods_of_its_version_are() {
    let rule = istio(
        "DestinationRule",
        "flaskapp",
        json!({"host": "flaskapp", "subsets": [{"name": "stable", "labels": {"version": "v1"}}]}),
        json!({}),
    );
    let said = told(
        kinds::WEIGHTS_APPLY,
        vec![rule.clone(), route(&[("stable", 100)], json!({})), pod("flaskapp-v1", "v1", true, true)],
        &Facts::default(),
    );
    assert_eq!(said.0, "WeightsApply", "{}", said.1);
    let said = told(
        kinds::WEIGHTS_APPLY,
        vec![rule, route(&[("stable", 100)], json!({})), pod("flaskapp-v2", "v2", true, true)],
        &Facts::default(),
    );
    assert_eq!(said.0, "VersionNotReady", "{}", said.1);
}

#[test]
fn a_port_that_speaks_no_http_takes_the_weights_their_effect() {
    let service = |port: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "flaskapp", "namespace": "n"}, "spec": {"ports": [port]}});
    let http = service(json!({"port": 7777, "name": "http"}));
    let tcp = service(json!({"port": 7777, "name": "tcp-web"}));
    let client = || pod("simple-flask-app-client", "v1", true, true);
    for (what, kind, service, client, reason) in [
        ("named http", kinds::WEIGHTS_APPLY, &http, client(), "WeightsApply"),
        ("named tcp", kinds::WEIGHTS_APPLY, &tcp, client(), "PortNotHttp"),
        ("named tcp", kinds::ROUTE_ACKNOWLEDGED, &tcp, client(), "PortNotHttp"),
        (
            "a client without a sidecar comes first",
            kinds::WEIGHTS_APPLY,
            &tcp,
            pod("simple-flask-app-client", "v1", true, false),
            "ClientHasNoSidecar",
        ),
    ] {
        let objects = vec![
            service.clone(),
            istio(
                "DestinationRule",
                "flaskapp",
                json!({"host": "flaskapp", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}),
                json!({}),
            ),
            route(&[("v1", 100)], json!({})),
            pod("flaskapp-v1", "v1", true, true),
            client,
        ];
        let (told, message) = told(kind, objects, &Facts::default());
        assert_eq!(told, reason, "{what}: {message}");
        assert!(told != "PortNotHttp" || message.contains("(its name is tcp-web)"), "{message}");
    }
}

#[test]
fn a_pod_that_was_made_before_the_label_is_told() {
    let deployment = |inject: Option<&str>, paused: bool, updated: u32| {
        let labels = inject.map_or(json!({}), |inject| json!({"sidecar.istio.io/inject": inject}));
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "flaskapp-v1", "generation": 2, "labels": {"app.kubernetes.io/managed-by": "demo-panel"}},
            "spec": {"replicas": 1, "paused": paused, "template": {"metadata": {"labels": labels}}},
            "status": {"observedGeneration": 2, "replicas": 1, "updatedReplicas": updated, "availableReplicas": 1}})
    };
    let mut plain = pod("flaskapp-v1", "v1", true, false);
    if let Some(labels) = plain["metadata"]["labels"].as_object_mut() {
        labels.remove("sidecar.istio.io/inject");
    }
    let mut enabled = Facts::default();
    enabled.namespace_labels.insert("istio-injection".to_owned(), "enabled".to_owned());
    for (what, deployment, facts, reason) in [
        ("nobody asks", deployment(None, false, 1), Facts::default(), "NotInjected"),
        ("the namespace asks since", deployment(None, false, 1), enabled.clone(), "InjectionIgnored"),
        ("it does, and the template declines", deployment(Some("false"), false, 1), enabled, "NotInjected"),
        (
            "the template asks, and a rollout makes it anew",
            deployment(Some("true"), false, 0),
            Facts::default(),
            "Injecting",
        ),
        (
            "the template asks, and the rollout is paused",
            deployment(Some("true"), true, 0),
            Facts::default(),
            "InjectionIgnored",
        ),
    ] {
        let said = told(kinds::INJECTED, vec![deployment, plain.clone()], &facts);
        assert_eq!(said.0, reason, "{what}: {}", said.1);
        assert!(
            reason != "InjectionIgnored" || said.1.ends_with("it was made before the label."),
            "{what}: {}",
            said.1
        );
    }
}
