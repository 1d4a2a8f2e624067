//! What the server fills in. Source: the "Defaults to …" of the Kubernetes API reference.
use crate::Object;
use serde_json::{Map, Value, json};

/// Sets the field where it is absent or null.
fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if object[field].is_null() {
        object[field] = value.into();
    }
}

fn each<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten().filter(|item| item.is_object())
}

/// The field as an object, made where it is absent; `None` where something else stands there.
fn part<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    set(object, field, Value::Object(Map::new()));
    object.get_mut(field).filter(|value| value.is_object())
}

pub(super) fn namespace(o: &mut Object) {
    let Some(name) = o["metadata"]["name"].as_str().map(str::to_owned) else { return };
    if let Some(labels) = part(&mut o["metadata"], "labels") {
        labels["kubernetes.io/metadata.name"] = name.into();
    }
}

pub(super) fn new_namespace(o: &mut Object) {
    if let Some(spec) = part(o, "spec") {
        spec["finalizers"] = json!(["kubernetes"]);
    }
    o["status"] = json!({"phase": "Active"});
}

pub(super) fn pod(o: &mut Object) {
    let Some(spec) = part(o, "spec") else { return };
    pod_spec(spec);
    // What admission adds to pods, and to pods alone: a template keeps what was written.
    set(spec, "serviceAccountName", "default");
    let account = spec["serviceAccountName"].clone();
    set(spec, "serviceAccount", account);
    set(spec, "enableServiceLinks", true);
    set(spec, "priority", 0);
    set(spec, "preemptionPolicy", "PreemptLowerPriority");
}

pub(super) fn new_pod(o: &mut Object) {
    o["status"] = json!({"phase": "Pending", "qosClass": qos(&o["spec"])});
}

/// `status.qosClass`. A request that is missing is what the limit is.
pub(crate) fn qos(spec: &Value) -> &'static str {
    let containers: Vec<&Value> = ["initContainers", "containers"]
        .iter()
        .flat_map(|list| spec[*list].as_array().into_iter().flatten())
        .map(|container| &container["resources"])
        .collect();
    let some =
        |r: &&Value| ["limits", "requests"].iter().any(|f| ["cpu", "memory"].iter().any(|q| !r[*f][*q].is_null()));
    let full = |r: &&Value| {
        ["cpu", "memory"].iter().all(|q| {
            !r["limits"][*q].is_null() && (r["requests"][*q].is_null() || r["limits"][*q] == r["requests"][*q])
        })
    };
    if !containers.iter().any(some) {
        "BestEffort"
    } else if containers.iter().all(full) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn pod_spec(spec: &mut Value) {
    for list in ["initContainers", "containers"] {
        each(spec, list).for_each(container);
    }
    each(spec, "volumes").for_each(volume);
    set(spec, "restartPolicy", "Always");
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", "default-scheduler");
}

fn volume(volume: &mut Value) {
    for (source, field) in [("configMap", "defaultMode"), ("secret", "defaultMode"), ("projected", "defaultMode")] {
        if volume[source].is_object() {
            set(&mut volume[source], field, 420);
        }
    }
    let sources = [
        "configMap",
        "secret",
        "projected",
        "emptyDir",
        "hostPath",
        "downwardAPI",
        "persistentVolumeClaim",
        "csi",
        "ephemeral",
        "nfs",
        "image",
    ];
    if !sources.iter().any(|source| volume.get(source).is_some()) {
        volume["emptyDir"] = json!({});
    }
}

fn container(container: &mut Value) {
    for port in each(container, "ports") {
        set(port, "protocol", "TCP");
    }
    for env in each(container, "env") {
        if let Some(field) = env.pointer_mut("/valueFrom/fieldRef").filter(|f| f.is_object()) {
            set(field, "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container[probe].is_object() {
            self::probe(&mut container[probe]);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(get) = container.pointer_mut(&format!("/lifecycle/{hook}/httpGet")).filter(|g| g.is_object()) {
            http_get(get);
        }
    }
    if let Some(resources) = part(container, "resources")
        && let Some(limits) = resources["limits"].as_object().cloned()
        && let Some(requests) = part(resources, "requests")
    {
        for (quantity, limit) in limits {
            set(requests, &quantity, limit);
        }
    }
    let latest = container["image"].as_str().is_some_and(|image| {
        let name = image.rsplit('/').next().unwrap_or_default();
        !image.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
    });
    set(container, "imagePullPolicy", if latest { "Always" } else { "IfNotPresent" });
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
}

fn probe(probe: &mut Value) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if probe[field].is_null() || probe[field] == 0 {
            probe[field] = value.into();
        }
    }
    if probe["httpGet"].is_object() {
        http_get(&mut probe["httpGet"]);
    }
    if probe["grpc"].is_object() {
        set(&mut probe["grpc"], "service", "");
    }
}

fn http_get(get: &mut Value) {
    set(get, "path", "/");
    set(get, "scheme", "HTTP");
}

fn template(spec: &mut Value) {
    if let Some(template) = part(spec, "template") {
        if template["metadata"].is_null() {
            template["metadata"] = json!({});
        }
        if let Some(spec) = part(template, "spec") {
            pod_spec(spec);
        }
    }
}

pub(super) fn deployment(o: &mut Object) {
    let Some(spec) = part(o, "spec") else { return };
    set(spec, "replicas", 1);
    template(spec);
    if let Some(strategy) = part(spec, "strategy") {
        set(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate"
            && let Some(rolling) = part(strategy, "rollingUpdate")
        {
            set(rolling, "maxUnavailable", "25%");
            set(rolling, "maxSurge", "25%");
        }
    }
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "progressDeadlineSeconds", 600);
}

pub(super) fn replica_set(o: &mut Object) {
    let Some(spec) = part(o, "spec") else { return };
    set(spec, "replicas", 1);
    template(spec);
}

pub(super) fn service(o: &mut Object) {
    let Some(spec) = part(o, "spec") else { return };
    set(spec, "type", "ClusterIP");
    set(spec, "sessionAffinity", "None");
    let external = spec["type"] == "ExternalName";
    for port in each(spec, "ports") {
        set(port, "protocol", "TCP");
        if port["targetPort"].is_null() || port["targetPort"] == 0 || port["targetPort"] == "" {
            port["targetPort"] = port["port"].clone();
        }
    }
    if !external {
        set(spec, "internalTrafficPolicy", "Cluster");
        set(spec, "ipFamilyPolicy", "SingleStack");
        set(spec, "ipFamilies", json!(["IPv4"]));
    }
    if spec["type"] == "NodePort" || spec["type"] == "LoadBalancer" {
        set(spec, "externalTrafficPolicy", "Cluster");
    }
    // clusterIPs mirrors clusterIP, whoever assigned it.
    match spec["clusterIP"].as_str().map(str::to_owned) {
        Some(ip) if !ip.is_empty() => spec["clusterIPs"] = json!([ip]),
        _ => {}
    }
}

pub(super) fn new_service(o: &mut Object) {
    o["status"] = json!({"loadBalancer": {}});
}

/// A PUT that leaves the address out keeps the one that was assigned.
pub(super) fn kept_service(old: &Object, new: &mut Object) {
    if !new["spec"].is_object() || new["spec"]["type"] == "ExternalName" {
        return;
    }
    for field in ["clusterIP", "clusterIPs"] {
        let absent = new["spec"][field].is_null() || new["spec"][field] == "";
        if absent && !old["spec"][field].is_null() {
            new["spec"][field] = old["spec"][field].clone();
        }
    }
}

pub(super) fn event(o: &mut Object) {
    set(o, "type", "Normal");
}
