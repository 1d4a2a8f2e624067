//! EndpointSlices: the addresses of a Service's pods, and which of them take requests.
//!
//! [`plan`] is pure. Pods whose named target ports resolve differently stand in slices of their own.
//! Source: Kubernetes documentation, "EndpointSlices", "Conditions".
use super::object::{
    ENDPOINT_SLICES, PODS, SERVICES, annotate, controller_reference, is_deleting, is_true, label, list, name,
    namespace, selects, stamp, text, uid,
};
use super::reconciler::{Controller, Key, Source, View};
use super::step::{How, Step};
use crate::Object;
use crate::status::Status;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Endpoints of one slice, as in Kubernetes: a pod that changes is written with at most so many others.
const SLICE: usize = 100;
const TRIGGERED: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// What one plan looks at.
pub(crate) struct Seen {
    pub service: Arc<Object>,
    /// Pods of the Service's namespace.
    pub pods: Vec<Arc<Object>>,
    /// Slices of ours that name the Service.
    pub slices: Vec<Arc<Object>>,
    pub now: Timestamp,
}

/// Creates, updates and deletes slices until they say what the pods are.
pub(crate) fn plan(seen: &Seen) -> Vec<Step> {
    let service = &seen.service;
    let Some(selector) = service.pointer("/spec/selector").and_then(Value::as_object).filter(|s| !s.is_empty()) else {
        // Without a selector the slices are somebody else's.
        return Vec::new();
    };
    if is_deleting(service) || text(service, "/spec/type") == "ExternalName" {
        return Vec::new();
    }
    let mut groups: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    let mut pods: Vec<&Arc<Object>> = seen.pods.iter().filter(|p| selects(selector, p)).collect();
    pods.sort_by_key(|p| name(p));
    for pod in pods {
        let Some(endpoint) = endpoint(service, pod) else { continue };
        let ports = ports(service, pod);
        groups.entry(ports.to_string()).or_insert_with(|| (ports, Vec::new())).1.push(endpoint);
    }
    if groups.is_empty() {
        // An empty slice says "no endpoints"; no slice would say "not looked yet".
        groups.insert(String::new(), (json!([]), Vec::new()));
    }
    reconcile(seen, groups.into_values().collect())
}

/// Keeps a slice with the same ports, re-uses one whose ports are no longer wanted, creates what is missing, deletes what is left.
fn reconcile(seen: &Seen, wanted: Vec<(Value, Vec<Value>)>) -> Vec<Step> {
    let mut left: Vec<&Arc<Object>> = seen.slices.iter().filter(|s| !is_deleting(s)).collect();
    left.sort_by_key(|s| name(s));
    let mut steps = Vec::new();
    let mut homeless = Vec::new();
    for (ports, endpoints) in wanted {
        let (same, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|s| s["ports"] == ports);
        left = others;
        let parts = spread(&same, endpoints);
        // Without endpoints one slice stays, and says so.
        let is_empty = parts.iter().all(Vec::is_empty);
        let mut parts = parts.into_iter();
        for (i, slice) in same.into_iter().enumerate() {
            let part = parts.next().unwrap_or_default();
            if part.is_empty() && !(is_empty && i == 0) {
                left.push(slice);
            } else {
                steps.extend(updated(seen, slice, (ports.clone(), part)));
            }
        }
        homeless.extend(parts.map(|part| (ports.clone(), part)));
    }
    for group in homeless {
        match left.is_empty() {
            false => steps.extend(updated(seen, left.remove(0), group)),
            true => steps.push(Step::Create(ENDPOINT_SLICES, slice(seen, group))),
        }
    }
    steps.extend(left.into_iter().map(|s| Step::Delete(ENDPOINT_SLICES, s.clone(), How::Background)));
    steps
}

/// Endpoints by slice, of slices with the same ports: each stays where it is, new ones fill the slices up, and what is left over
/// needs slices of its own. At least one part.
fn spread(slices: &[&Arc<Object>], endpoints: Vec<Value>) -> Vec<Vec<Value>> {
    if slices.len() <= 1 && endpoints.len() <= SLICE {
        return vec![endpoints];
    }
    let identity = |endpoint: &Value| text(endpoint, "/targetRef/uid").to_owned();
    let homes: HashMap<String, usize> = slices
        .iter()
        .enumerate()
        .rev()
        .flat_map(|(i, s)| list(s, "/endpoints").iter().map(move |e| (identity(e), i)))
        .collect();
    let mut parts: Vec<Vec<Value>> = vec![Vec::new(); slices.len()];
    let mut new = Vec::new();
    for endpoint in endpoints {
        match homes.get(&identity(&endpoint)).filter(|i| parts[**i].len() < SLICE) {
            Some(i) => parts[*i].push(endpoint),
            None => new.push(endpoint),
        }
    }
    let mut open = 0;
    for endpoint in new {
        while parts.get(open).is_some_and(|part| part.len() >= SLICE) {
            open += 1;
        }
        if open == parts.len() {
            parts.push(Vec::new());
        }
        parts[open].push(endpoint);
    }
    parts.iter_mut().for_each(|part| part.sort_by(|a, b| text(a, "/targetRef/name").cmp(text(b, "/targetRef/name"))));
    parts
}

fn updated(seen: &Seen, old: &Arc<Object>, (ports, endpoints): (Value, Vec<Value>)) -> Option<Step> {
    let endpoints = Value::from(endpoints);
    let labels = labels(&seen.service);
    if old["ports"] == ports && old["endpoints"] == endpoints && old["metadata"]["labels"] == labels {
        return None;
    }
    let mut slice = Object::clone(old);
    slice["metadata"]["labels"] = labels;
    slice["ports"] = ports;
    slice["endpoints"] = endpoints;
    annotate(&mut slice, TRIGGERED, stamp(seen.now).as_str().unwrap_or_default());
    Some(Step::Update(ENDPOINT_SLICES, slice))
}

fn slice(seen: &Seen, (ports, endpoints): (Value, Vec<Value>)) -> Object {
    let service = &seen.service;
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", name(service)), "namespace": namespace(service), "labels": labels(service),
            "annotations": {TRIGGERED: stamp(seen.now)},
            "ownerReferences": [controller_reference(service, "v1", "Service")],
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    })
}

fn labels(service: &Object) -> Value {
    let mut labels = service.pointer("/metadata/labels").and_then(Value::as_object).cloned().unwrap_or_default();
    if service.pointer("/spec/clusterIP").is_some_and(|ip| ip == "None") {
        labels.insert("service.kubernetes.io/headless".into(), "".into());
    }
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels.insert(SERVICE_NAME.into(), name(service).into());
    labels.into()
}

/// The pod's endpoint; none before it has an address and after it has ended.
fn endpoint(service: &Object, pod: &Object) -> Option<Value> {
    let address = text(pod, "/status/podIP");
    if address.is_empty() || matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return None;
    }
    let (serving, terminating) = (is_true(pod, "Ready"), is_deleting(pod));
    let regardless = service.pointer("/spec/publishNotReadyAddresses").is_some_and(|p| p == true);
    let mut endpoint = Map::new();
    endpoint.insert("addresses".into(), json!([address]));
    endpoint.insert(
        "conditions".into(),
        json!({"ready": (serving && !terminating) || regardless, "serving": serving || regardless, "terminating": terminating}),
    );
    let hostname = text(pod, "/spec/hostname");
    if !hostname.is_empty() && text(pod, "/spec/subdomain") == name(service) {
        endpoint.insert("hostname".into(), hostname.into());
    }
    if !text(pod, "/spec/nodeName").is_empty() {
        endpoint.insert("nodeName".into(), text(pod, "/spec/nodeName").into());
    }
    endpoint.insert(
        "targetRef".into(),
        json!({"kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod)}),
    );
    Some(endpoint.into())
}

/// The Service's ports as this pod serves them. A named port that the pod does not have is left out.
fn ports(service: &Object, pod: &Object) -> Value {
    let ports = list(service, "/spec/ports").iter().filter_map(|port| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let number = match port.get("targetPort").filter(|t| !t.is_null()).unwrap_or(&port["port"]) {
            Value::String(named) => container_port(pod, named, protocol)?,
            number => number.as_i64()?,
        };
        let mut resolved =
            json!({"name": port["name"].as_str().unwrap_or_default(), "port": number, "protocol": protocol});
        if let Some(app) = port.get("appProtocol").filter(|a| a.is_string()) {
            resolved["appProtocol"] = app.clone();
        }
        Some(resolved)
    });
    ports.collect::<Vec<_>>().into()
}

fn container_port(pod: &Object, named: &str, protocol: &str) -> Option<i64> {
    let sidecars = list(pod, "/spec/initContainers").iter().filter(|c| c["restartPolicy"] == "Always");
    list(pod, "/spec/containers")
        .iter()
        .chain(sidecars)
        .flat_map(|c| list(c, "/ports"))
        .find(|p| p["name"] == named && p["protocol"].as_str().unwrap_or("TCP") == protocol)
        .and_then(|p| p["containerPort"].as_i64())
}

/// Keeps EndpointSlices.
pub(crate) struct EndpointSlices;

impl Controller for EndpointSlices {
    type Key = Key;
    const NAME: &'static str = "endpointslice-controller";

    fn sources(&self) -> Vec<Source<Key>> {
        vec![
            Source::new(SERVICES, |o, _| vec![Key::of(o)]),
            Source::new(ENDPOINT_SLICES, |o, _| {
                let service = label(o, SERVICE_NAME).filter(|_| label(o, MANAGED_BY) == Some(MANAGER));
                service.map(|s| Key::new(namespace(o), s)).into_iter().collect()
            }),
            // Every Service of the namespace: the pod's labels may just have left a selector.
            Source::new(PODS, |o, view| {
                let services = view.list(&SERVICES, namespace(o)).unwrap_or_default();
                services.iter().map(|s| Key::of(s)).collect()
            }),
        ]
    }

    fn plan(&mut self, key: &Key, view: &View, now: Timestamp, _failure: Option<&str>) -> Result<Vec<Step>, Status> {
        let Some(service) = view.get(&SERVICES, &key.namespace, &key.name) else { return Ok(Vec::new()) };
        let mut slices = view.list(&ENDPOINT_SLICES, &key.namespace)?;
        slices.retain(|s| label(s, SERVICE_NAME) == Some(&key.name) && label(s, MANAGED_BY) == Some(MANAGER));
        Ok(plan(&Seen { service, pods: view.list(&PODS, &key.namespace)?, slices, now }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::show;
    use super::*;

    fn service(target: Value) -> Value {
        json!({"metadata": {"name": "web", "namespace": "n", "uid": "s", "labels": {"team": "a"}},
            "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": target}]}})
    }

    fn pod(name: &str, app: &str, ready: &str, port: i64) -> Value {
        json!({"metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": app}},
            "spec": {"nodeName": "local", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": port}]}]},
            "status": {"podIP": "127.64.0.2", "phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn steps(service: &Value, pods: &[Value], slices: &[Value]) -> Vec<Step> {
        let arcs = |objects: &[Value]| objects.iter().cloned().map(Arc::new).collect::<Vec<_>>();
        plan(&Seen {
            service: Arc::new(service.clone()),
            pods: arcs(pods),
            slices: arcs(slices),
            now: Timestamp::UNIX_EPOCH,
        })
    }

    fn created(steps: &[Step]) -> Vec<Value> {
        steps
            .iter()
            .map(|s| match s {
                Step::Create(_, o) | Step::Update(_, o) => o.clone(),
                other => panic!("{other}"),
            })
            .collect()
    }

    #[test]
    fn conditions_follow_readiness_and_deletion() {
        let mut leaving = pod("a", "web", "True", 7777);
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        for (pod, want) in [
            (pod("a", "web", "True", 7777), json!({"ready": true, "serving": true, "terminating": false})),
            (pod("a", "web", "False", 7777), json!({"ready": false, "serving": false, "terminating": false})),
            (leaving, json!({"ready": false, "serving": true, "terminating": true})),
        ] {
            let slices = created(&steps(&service(7777.into()), &[pod], &[]));
            assert_eq!(slices[0]["endpoints"][0]["conditions"], want);
        }
    }

    #[test]
    fn a_slice_names_its_service_its_pods_and_the_ports_they_serve() {
        let slices = created(&steps(
            &service("web".into()),
            &[pod("a", "web", "True", 7777), pod("b", "other", "True", 1)],
            &[],
        ));
        assert_eq!(slices[0]["metadata"]["labels"], json!({"team": "a", MANAGED_BY: MANAGER, SERVICE_NAME: "web"}));
        assert_eq!(slices[0]["ports"], json!([{"name": "http", "port": 7777, "protocol": "TCP"}]));
        assert_eq!(slices[0]["endpoints"].as_array().unwrap().len(), 1);
        assert_eq!(slices[0]["endpoints"][0]["targetRef"]["name"], "a");
    }

    #[test]
    fn pods_whose_named_port_differs_get_slices_of_their_own() {
        let pods = [pod("a", "web", "True", 1), pod("b", "web", "True", 2)];
        assert_eq!(created(&steps(&service("web".into()), &pods, &[])).len(), 2);
    }

    #[test]
    fn a_slice_that_is_right_is_left_alone_and_one_too_many_is_deleted() {
        let (service, pods) = (service(7777.into()), [pod("a", "web", "True", 7777)]);
        let mut slice = created(&steps(&service, &pods, &[])).remove(0);
        slice["metadata"]["name"] = "web-1".into();
        assert_eq!(show(&steps(&service, &pods, &[slice.clone()])), Vec::<String>::new());
        let mut second = slice.clone();
        second["metadata"]["name"] = "web-2".into();
        assert_eq!(show(&steps(&service, &pods, &[slice.clone(), second])), ["delete endpointslices web-2"]);
        assert_eq!(show(&steps(&service, &[], &[slice])), ["update endpointslices web-1"]);
    }

    #[test]
    fn a_pod_that_comes_or_goes_changes_one_slice_of_a_hundred_endpoints() {
        let service = service(7777.into());
        let pods: Vec<Value> = (0..250).map(|i| pod(&format!("p{i:03}"), "web", "True", 7777)).collect();
        let mut slices = created(&steps(&service, &pods, &[]));
        let sizes =
            |slices: &[Value]| slices.iter().map(|s| s["endpoints"].as_array().unwrap().len()).collect::<Vec<_>>();
        assert_eq!(sizes(&slices), [100, 100, 50]);
        for (i, slice) in slices.iter_mut().enumerate() {
            slice["metadata"]["name"] = format!("web-{i}").into();
        }
        assert_eq!(show(&steps(&service, &pods, &slices)), Vec::<String>::new());
        assert_eq!(show(&steps(&service, &pods[1..], &slices)), ["update endpointslices web-0"]);
        let mut more = pods.clone();
        more.push(pod("p000-new", "web", "True", 7777));
        assert_eq!(show(&steps(&service, &more, &slices)), ["update endpointslices web-2"]);
        let last = steps(&service, &pods[200..], &slices);
        assert_eq!(show(&last), ["delete endpointslices web-0", "delete endpointslices web-1"]);
    }

    #[test]
    fn a_service_without_selector_is_left_to_others() {
        let mut service = service(7777.into());
        service["spec"]["selector"] = json!({});
        assert_eq!(show(&steps(&service, &[pod("a", "web", "True", 1)], &[])), Vec::<String>::new());
    }
}
