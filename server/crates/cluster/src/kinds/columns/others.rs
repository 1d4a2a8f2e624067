//! Cells of every kind but the pod.
use super::text::{age, items, number, or, since};
use crate::{Object, select::LabelSelector};
use serde_json::Value;

pub(crate) fn deployment_ready(o: &Object) -> Value {
    format!("{}/{}", number(&o["status"]["readyReplicas"]), number(&o["spec"]["replicas"])).into()
}

pub(crate) fn up_to_date(o: &Object) -> Value {
    number(&o["status"]["updatedReplicas"]).into()
}

pub(crate) fn available(o: &Object) -> Value {
    number(&o["status"]["availableReplicas"]).into()
}

pub(crate) fn desired(o: &Object) -> Value {
    number(&o["spec"]["replicas"]).into()
}

pub(crate) fn current(o: &Object) -> Value {
    number(&o["status"]["replicas"]).into()
}

pub(crate) fn replicas_ready(o: &Object) -> Value {
    number(&o["status"]["readyReplicas"]).into()
}

pub(crate) fn containers(o: &Object) -> Value {
    joined(items(&o["spec"]["template"]["spec"]["containers"]).map(|c| &c["name"])).into()
}

pub(crate) fn images(o: &Object) -> Value {
    joined(items(&o["spec"]["template"]["spec"]["containers"]).map(|c| &c["image"])).into()
}

pub(crate) fn workload_selector(o: &Object) -> Value {
    LabelSelector::from_json(&o["spec"]["selector"])
        .map(|s| s.to_string())
        .unwrap_or_else(|_| "<error>".to_owned())
        .into()
}

pub(crate) fn service_type(o: &Object) -> Value {
    o["spec"]["type"].clone()
}

pub(crate) fn cluster_ip(o: &Object) -> Value {
    or(&o["spec"]["clusterIP"], "<none>")
}

pub(crate) fn external_ip(o: &Object) -> Value {
    let given = joined(items(&o["spec"]["externalIPs"]));
    match o["spec"]["type"].as_str() {
        Some("ExternalName") => or(&o["spec"]["externalName"], "<none>"),
        Some("LoadBalancer") => {
            let balancers: Vec<&str> = items(&o["status"]["loadBalancer"]["ingress"])
                .filter_map(|i| i["ip"].as_str().or(i["hostname"].as_str()))
                .collect();
            or(&balancers.join(",").into(), "<pending>")
        }
        _ => or(&given.into(), "<none>"),
    }
}

pub(crate) fn service_ports(o: &Object) -> Value {
    let one = |p: &Value| match p["nodePort"].as_i64() {
        Some(node) if node != 0 => format!("{}:{node}/{}", number(&p["port"]), p["protocol"].as_str().unwrap_or("TCP")),
        _ => format!("{}/{}", number(&p["port"]), p["protocol"].as_str().unwrap_or("TCP")),
    };
    or(&items(&o["spec"]["ports"]).map(one).collect::<Vec<_>>().join(",").into(), "<none>")
}

pub(crate) fn service_selector(o: &Object) -> Value {
    or(&LabelSelector::from_map(&o["spec"]["selector"]).to_string().into(), "<none>")
}

pub(crate) fn phase(o: &Object) -> Value {
    o["status"]["phase"].clone()
}

pub(crate) fn node_status(o: &Object) -> Value {
    let ready = items(&o["status"]["conditions"]).find(|c| c["type"] == "Ready");
    let mut words = vec![match ready.map(|c| c["status"] == "True") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    }];
    if o["spec"]["unschedulable"] == true {
        words.push("SchedulingDisabled");
    }
    words.join(",").into()
}

pub(crate) fn node_roles(o: &Object) -> Value {
    let mut roles: Vec<&str> = o["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    roles.sort_unstable();
    or(&roles.join(",").into(), "<none>")
}

pub(crate) fn node_version(o: &Object) -> Value {
    o["status"]["nodeInfo"]["kubeletVersion"].clone()
}

pub(crate) fn node_internal_ip(o: &Object) -> Value {
    node_address(o, "InternalIP")
}

pub(crate) fn node_external_ip(o: &Object) -> Value {
    node_address(o, "ExternalIP")
}

pub(crate) fn node_os(o: &Object) -> Value {
    or(&o["status"]["nodeInfo"]["osImage"], "<unknown>")
}

pub(crate) fn node_kernel(o: &Object) -> Value {
    or(&o["status"]["nodeInfo"]["kernelVersion"], "<unknown>")
}

pub(crate) fn node_runtime(o: &Object) -> Value {
    or(&o["status"]["nodeInfo"]["containerRuntimeVersion"], "<unknown>")
}

fn node_address(o: &Object, of: &str) -> Value {
    let found = items(&o["status"]["addresses"]).find(|a| a["type"] == of);
    or(found.map_or(&Value::Null, |a| &a["address"]), "<none>")
}

pub(crate) fn address_type(o: &Object) -> Value {
    o["addressType"].clone()
}

pub(crate) fn slice_ports(o: &Object) -> Value {
    let ports = items(&o["ports"]).map(|p| p["port"].as_i64().map_or("*".to_owned(), |n| n.to_string()));
    or(&first_three(ports.collect()).into(), "<unset>")
}

pub(crate) fn slice_endpoints(o: &Object) -> Value {
    let addresses =
        items(&o["endpoints"]).flat_map(|e| items(&e["addresses"])).filter_map(|a| a.as_str().map(str::to_owned));
    or(&first_three(addresses.collect()).into(), "<unset>")
}

fn first_three(all: Vec<String>) -> String {
    let more = all.len().saturating_sub(3);
    let shown = all[..all.len().min(3)].join(",");
    if more > 0 { format!("{shown} + {more} more...") } else { shown }
}

pub(crate) fn last_seen(o: &Object) -> Value {
    let last =
        [&o["series"]["lastObservedTime"], &o["lastTimestamp"], &o["eventTime"]].into_iter().find(|t| t.is_string());
    match last {
        Some(time) => since(time).into(),
        None => age(o),
    }
}

pub(crate) fn first_seen(o: &Object) -> Value {
    match [&o["firstTimestamp"], &o["eventTime"]].into_iter().find(|t| t.is_string()) {
        Some(time) => since(time).into(),
        None => age(o),
    }
}

pub(crate) fn event_type(o: &Object) -> Value {
    o["type"].clone()
}

pub(crate) fn event_reason(o: &Object) -> Value {
    o["reason"].clone()
}

pub(crate) fn event_object(o: &Object) -> Value {
    let of = &o["involvedObject"];
    let kind = of["kind"].as_str().unwrap_or_default().to_lowercase();
    format!("{kind}/{}", of["name"].as_str().unwrap_or_default()).into()
}

pub(crate) fn event_subobject(o: &Object) -> Value {
    or(&o["involvedObject"]["fieldPath"], "")
}

pub(crate) fn event_source(o: &Object) -> Value {
    let component = o["source"]["component"].as_str().or(o["reportingComponent"].as_str()).unwrap_or_default();
    match o["source"]["host"].as_str() {
        Some(host) if !host.is_empty() => format!("{component}, {host}").into(),
        _ => component.into(),
    }
}

pub(crate) fn event_message(o: &Object) -> Value {
    o["message"].as_str().unwrap_or_default().trim().into()
}

pub(crate) fn event_count(o: &Object) -> Value {
    let series = number(&o["series"]["count"]);
    if series > 0 { series.into() } else { number(&o["count"]).max(1).into() }
}

pub(crate) fn data_count(o: &Object) -> Value {
    let of = |field: &str| o[field].as_object().map_or(0, serde_json::Map::len);
    (of("data") + of("binaryData")).into()
}

pub(crate) fn secrets(o: &Object) -> Value {
    items(&o["secrets"]).len().into()
}

pub(crate) fn lease_holder(o: &Object) -> Value {
    or(&o["spec"]["holderIdentity"], "")
}

fn joined<'a>(texts: impl Iterator<Item = &'a Value>) -> String {
    texts.filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}
