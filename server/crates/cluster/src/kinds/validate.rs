//! What makes an object invalid, in the API server's words. Only what people get wrong; unknown fields are the schema's.
use super::Cause;
use super::cause::MOST_CAUSES;
use super::names::{
    LABEL_RULE, LABEL_VALUE_RULE, QUALIFIED_RULE, SERVICE_RULE, SUBDOMAIN_RULE, is_label, is_label_value, is_qualified,
    is_subdomain,
};
use crate::{Object, select::LabelSelector};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::IpAddr;

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    value[field].as_array().into_iter().flatten().enumerate()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// What every object's metadata must fulfil.
pub(crate) fn metadata(kind: &str, object: &Object) -> Vec<Cause> {
    let (metadata, mut causes) = (&object["metadata"], Vec::new());
    let (value, name) = (&metadata["name"], text(metadata, "name"));
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else if matches!(kind, "Namespace") && !is_label(name) {
        causes.push(Cause::invalid("metadata.name", value, LABEL_RULE));
    } else if kind == "Service" && (!is_label(name) || name.starts_with(|c: char| c.is_ascii_digit())) {
        causes.push(Cause::invalid("metadata.name", value, SERVICE_RULE));
    } else if !is_subdomain(name) {
        causes.push(Cause::invalid("metadata.name", value, SUBDOMAIN_RULE));
    }
    labels(&metadata["labels"], "metadata.labels", &mut causes);
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        if causes.len() >= MOST_CAUSES {
            break;
        }
        if !is_qualified(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), QUALIFIED_RULE));
        }
        if !value.is_string() {
            causes.push(Cause::invalid("metadata.annotations", value, "must be a string"));
        }
    }
    causes
}

fn labels(labels: &Value, field: &str, causes: &mut Vec<Cause>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        if causes.len() >= MOST_CAUSES {
            break;
        }
        if !is_qualified(key) {
            causes.push(Cause::invalid(field, &json!(key), QUALIFIED_RULE));
        }
        if !value.as_str().is_some_and(is_label_value) {
            causes.push(Cause::invalid(field, value, LABEL_VALUE_RULE));
        }
    }
}

pub(super) fn pod(o: &Object) -> Vec<Cause> {
    let mut causes = Vec::new();
    pod_spec(&o["spec"], "spec", &mut causes);
    causes
}

fn pod_spec(spec: &Value, at: &str, causes: &mut Vec<Cause>) {
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required(&format!("{at}.containers"), ""));
    }
    let mut names = HashSet::new();
    for kind in ["initContainers", "containers"] {
        for (i, container) in list(spec, kind) {
            if causes.len() >= MOST_CAUSES {
                return;
            }
            let at = format!("{at}.{kind}[{i}]");
            let name = text(container, "name");
            if name.is_empty() {
                causes.push(Cause::required(&format!("{at}.name"), ""));
            } else if !is_label(name) {
                causes.push(Cause::invalid(&format!("{at}.name"), &json!(name), LABEL_RULE));
            } else if !names.insert(name) {
                causes.push(Cause::duplicate(&format!("{at}.name"), &json!(name)));
            }
            if text(container, "image").is_empty() {
                causes.push(Cause::required(&format!("{at}.image"), ""));
            }
            container_details(container, &at, kind == "initContainers", causes);
        }
    }
    let policy = &spec["restartPolicy"];
    if !matches!(policy.as_str(), Some("Always" | "OnFailure" | "Never")) {
        causes.push(Cause::unsupported(&format!("{at}.restartPolicy"), policy, &["Always", "OnFailure", "Never"]));
    }
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|s| s < 0) {
        causes.push(Cause::invalid(
            &format!("{at}.terminationGracePeriodSeconds"),
            &spec["terminationGracePeriodSeconds"],
            "must be greater than or equal to 0",
        ));
    }
}

fn container_details(container: &Value, at: &str, init: bool, causes: &mut Vec<Cause>) {
    for (i, port) in list(container, "ports") {
        if causes.len() >= MOST_CAUSES {
            return;
        }
        let field = format!("{at}.ports[{i}].containerPort");
        match port["containerPort"].as_i64() {
            None => causes.push(Cause::required(&field, "")),
            Some(1..=65535) => {}
            Some(_) => {
                causes.push(Cause::invalid(&field, &port["containerPort"], "must be between 1 and 65535, inclusive"))
            }
        }
        protocol(port, &format!("{at}.ports[{i}].protocol"), causes);
    }
    for (i, env) in list(container, "env") {
        if causes.len() >= MOST_CAUSES {
            return;
        }
        if text(env, "name").is_empty() {
            causes.push(Cause::required(&format!("{at}.env[{i}].name"), ""));
        }
    }
    let sidecar = container["restartPolicy"] == "Always";
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if init && !sidecar && !container[probe].is_null() {
            causes.push(Cause::forbidden(
                &format!("{at}.{probe}"),
                "may not be set for init containers without restartPolicy=Always",
            ));
        }
    }
}

fn protocol(port: &Value, field: &str, causes: &mut Vec<Cause>) {
    if !matches!(port["protocol"].as_str(), Some("TCP" | "UDP" | "SCTP")) {
        causes.push(Cause::unsupported(field, &port["protocol"], &["SCTP", "TCP", "UDP"]));
    }
}

/// Of a pod's spec only images and a few times may change; the node and its names are decided once.
pub(super) fn pod_update(old: &Object, new: &Object) -> Vec<Cause> {
    if fixed_part(old) == fixed_part(new) {
        return Vec::new();
    }
    vec![Cause::forbidden(
        "spec",
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    )]
}

fn fixed_part(pod: &Object) -> Value {
    let mut spec = pod["spec"].clone();
    if let Some(map) = spec.as_object_mut() {
        map.retain(|field, value| !value.is_null() && field != "activeDeadlineSeconds" && field != "tolerations");
    }
    for kind in ["initContainers", "containers"] {
        for container in spec.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(map) = container.as_object_mut() {
                map.remove("image");
            }
        }
    }
    spec
}

pub(super) fn workload(o: &Object) -> Vec<Cause> {
    let (spec, mut causes) = (&o["spec"], Vec::new());
    let template_labels = &spec["template"]["metadata"]["labels"];
    let selector = &spec["selector"];
    at_least_zero(&spec["replicas"], "spec.replicas", &mut causes);
    if selector.is_null() {
        causes.push(Cause::required("spec.selector", ""));
    }
    match LabelSelector::from_json(selector) {
        Err(e) => causes.push(Cause::invalid("spec.selector", selector, &e.message)),
        Ok(parsed) if !selector.is_null() => {
            if parsed.is_empty() {
                causes.push(Cause::invalid("spec.selector", selector, "empty selector is invalid for deployment"));
            } else if !parsed.matches_labels(template_labels) {
                let value = if template_labels.is_null() { json!({}) } else { template_labels.clone() };
                causes.push(Cause::invalid(
                    "spec.template.metadata.labels",
                    &value,
                    "`selector` does not match template `labels`",
                ));
            }
        }
        Ok(_) => {}
    }
    labels(template_labels, "spec.template.metadata.labels", &mut causes);
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if !policy.is_null() && policy != "Always" {
        causes.push(Cause::unsupported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
    pod_spec(&spec["template"]["spec"], "spec.template.spec", &mut causes);
    let strategy = &spec["strategy"];
    if !strategy.is_null() && !matches!(strategy["type"].as_str(), Some("RollingUpdate" | "Recreate")) {
        causes.push(Cause::unsupported("spec.strategy.type", &strategy["type"], &["Recreate", "RollingUpdate"]));
    }
    if strategy["type"] == "Recreate" && !strategy["rollingUpdate"].is_null() {
        causes.push(Cause::forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        ));
    }
    let rolling = &strategy["rollingUpdate"];
    for (field, most) in [("maxUnavailable", 100), ("maxSurge", i64::from(i32::MAX))] {
        count_or_percent(&rolling[field], &format!("spec.strategy.rollingUpdate.{field}"), most, &mut causes);
    }
    for field in ["minReadySeconds", "progressDeadlineSeconds", "revisionHistoryLimit"] {
        at_least_zero(&spec[field], &format!("spec.{field}"), &mut causes);
    }
    let zero = |v: &Value| *v == 0 || *v == "0" || *v == "0%";
    if zero(&rolling["maxUnavailable"]) && zero(&rolling["maxSurge"]) {
        causes.push(Cause::invalid(
            "spec.strategy.rollingUpdate.maxUnavailable",
            &rolling["maxUnavailable"],
            "may not be 0 when `maxSurge` is 0",
        ));
    }
    causes
}

/// The API's type is a 32-bit number.
fn at_least_zero(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    if value.as_i64().is_some_and(|n| n < 0) {
        causes.push(Cause::invalid(field, value, "must be greater than or equal to 0"));
    } else if value.as_i64().is_some_and(|n| n > i64::from(i32::MAX))
        || value.as_u64().is_some_and(|n| n > i32::MAX as u64)
    {
        causes.push(Cause::invalid(field, value, &format!("must be less than or equal to {}", i32::MAX)));
    }
}

/// A number, or a percentage of at most `most`.
fn count_or_percent(value: &Value, field: &str, most: i64, causes: &mut Vec<Cause>) {
    let Some(text) = value.as_str() else { return at_least_zero(value, field, causes) };
    let digits =
        text.strip_suffix('%').filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    match digits.map(|digits| digits.parse::<i64>().unwrap_or(i64::MAX)) {
        None => causes.push(Cause::invalid(field, value, "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')")),
        Some(percent) if percent > most => causes.push(Cause::invalid(field, value, "must not be greater than 100%")),
        Some(_) => {}
    }
}

pub(super) fn workload_update(old: &Object, new: &Object) -> Vec<Cause> {
    if old["spec"]["selector"] == new["spec"]["selector"] {
        return Vec::new();
    }
    vec![Cause::invalid("spec.selector", &new["spec"]["selector"], "field is immutable")]
}

pub(super) fn service(o: &Object) -> Vec<Cause> {
    let (spec, mut causes) = (&o["spec"], Vec::new());
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !kinds.contains(&text(spec, "type")) {
        causes.push(Cause::unsupported("spec.type", &spec["type"], &kinds));
    }
    let headless = spec["clusterIP"] == "None";
    if list(spec, "ports").count() == 0 && !headless && spec["type"] != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let many = list(spec, "ports").count() > 1;
    if list(spec, "ports").count() > MOST_SERVICE_PORTS {
        causes.push(Cause::too_many("spec.ports", list(spec, "ports").count(), MOST_SERVICE_PORTS));
        return causes;
    }
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for (i, port) in list(spec, "ports") {
        let at = format!("spec.ports[{i}]");
        match port["port"].as_i64() {
            Some(1..=65535) => {}
            _ => causes.push(Cause::invalid(
                &format!("{at}.port"),
                &json!(port["port"].as_i64().unwrap_or(0)),
                "must be between 1 and 65535, inclusive",
            )),
        }
        let name = text(port, "name");
        if many && name.is_empty() {
            causes.push(Cause::required(&format!("{at}.name"), ""));
        } else if !name.is_empty() && !is_label(name) {
            causes.push(Cause::invalid(&format!("{at}.name"), &json!(name), LABEL_RULE));
        } else if !name.is_empty() && !names.insert(name) {
            causes.push(Cause::duplicate(&format!("{at}.name"), &json!(name)));
        }
        if !numbers.insert((port["port"].as_i64(), text(port, "protocol"))) {
            causes.push(Cause::duplicate(&at, &json!({"port": port["port"], "protocol": port["protocol"]})));
        }
        protocol(port, &format!("{at}.protocol"), &mut causes);
    }
    for (i, ip) in list(spec, "externalIPs") {
        let why = match ip.as_str().unwrap_or_default().parse::<IpAddr>() {
            Ok(ip) => special_ip(ip),
            Err(_) => Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        };
        if let Some(why) = why {
            causes.push(Cause::invalid(&format!("spec.externalIPs[{i}]"), ip, why));
        }
    }
    labels(&spec["selector"], "spec.selector", &mut causes);
    causes
}

/// Why an address cannot be an endpoint's, in the words of Kubernetes' `ValidateNonSpecialIP`; `None` if it can. An IPv4 address that is
/// written as one of IPv6 is judged as IPv4.
pub(crate) fn special_ip(ip: IpAddr) -> Option<&'static str> {
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if ip.is_unspecified() {
        Some(if ip.is_ipv4() { "may not be unspecified (0.0.0.0)" } else { "may not be unspecified (::)" })
    } else if ip.is_loopback() {
        Some("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    } else if link_local {
        Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    } else if ip.is_multicast() {
        Some("may not be in the multicast range (224.0.0.0/4, ff00::/8)")
    } else {
        None
    }
}

pub(super) fn service_update(old: &Object, new: &Object) -> Vec<Cause> {
    let (before, after) = (&old["spec"]["clusterIP"], &new["spec"]["clusterIP"]);
    let assigned = before.as_str().is_some_and(|ip| !ip.is_empty());
    if !assigned || before == after || new["spec"]["type"] == "ExternalName" {
        return Vec::new();
    }
    vec![Cause::invalid("spec.clusterIPs[0]", after, "may not change once set")]
}

/// Ports of a Service: each is listened on, and meets every endpoint.
const MOST_SERVICE_PORTS: usize = 250;
/// Source: Kubernetes' validation of EndpointSlices, for these three.
const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_SLICE_PORTS: usize = 100;
/// Addresses times ports of a slice: so many places to send a request to.
const MOST_PLACES: usize = 20_000;

/// What is too long of an EndpointSlice.
fn too_many_endpoints(o: &Object) -> Option<Cause> {
    let (endpoints, ports) = (list(o, "endpoints").count(), list(o, "ports").count());
    if endpoints > MOST_ENDPOINTS {
        return Some(Cause::too_many("endpoints", endpoints, MOST_ENDPOINTS));
    }
    if ports > MOST_SLICE_PORTS {
        return Some(Cause::too_many("ports", ports, MOST_SLICE_PORTS));
    }
    let addresses = |endpoint: &Value| list(endpoint, "addresses").count();
    if let Some((i, found)) =
        list(o, "endpoints").map(|(i, endpoint)| (i, addresses(endpoint))).find(|(_, found)| *found > MOST_ADDRESSES)
    {
        return Some(Cause::too_many(&format!("endpoints[{i}].addresses"), found, MOST_ADDRESSES));
    }
    let places = ports * list(o, "endpoints").map(|(_, endpoint)| addresses(endpoint)).sum::<usize>();
    (places > MOST_PLACES).then(|| Cause::too_many("endpoints", places, MOST_PLACES))
}

pub(super) fn endpoint_slice(o: &Object) -> Vec<Cause> {
    if let Some(cause) = too_many_endpoints(o) {
        return vec![cause];
    }
    let kinds = ["FQDN", "IPv4", "IPv6"];
    if kinds.contains(&text(o, "addressType")) {
        return Vec::new();
    }
    if o["addressType"].is_null() {
        return vec![Cause::required("addressType", "")];
    }
    vec![Cause::unsupported("addressType", &o["addressType"], &kinds)]
}
