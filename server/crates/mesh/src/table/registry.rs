//! Services and EndpointSlices → hosts with their clusters.

use super::input::{MeshInput, service_name};
use super::rules::{Rule, Rules};
use super::{Cluster, Endpoint, Host, ServicePort, port_protocol};
use crate::json::{label, list, meta, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A ready address, with the labels that put it into subsets.
struct Ready<'a> {
    endpoint: Endpoint,
    port_name: &'a str,
    pod: Option<&'a Value>,
}

/// One host for each Service.
pub(super) fn hosts(input: &MeshInput, rules: &Rules) -> BTreeMap<String, Host> {
    let pods: BTreeMap<(&str, &str), &Value> =
        input.pods.iter().map(|p| ((meta(p, "namespace"), meta(p, "name")), p.as_ref())).collect();
    let mut slices: BTreeMap<(&str, &str), Vec<&Value>> = BTreeMap::new();
    for slice in &input.endpoint_slices {
        if let Some(service) = label(slice, "kubernetes.io/service-name") {
            slices.entry((meta(slice, "namespace"), service)).or_default().push(slice);
        }
    }
    let mut hosts = BTreeMap::new();
    for service in &input.services {
        let (namespace, name) = (meta(service, "namespace"), meta(service, "name"));
        let spec = service.get("spec").unwrap_or(&Value::Null);
        if name.is_empty() || text(spec, "type") == "ExternalName" {
            continue;
        }
        let full = service_name(name, namespace);
        let ready = ready(slices.get(&(namespace, name)).map_or(&[], Vec::as_slice), &pods);
        let rule = rules.get(&full);
        let ports = ports(spec);
        let clusters = ports.iter().flat_map(|port| clusters(port, &ready, rule)).collect();
        hosts.insert(
            full,
            Host {
                name: name.into(),
                namespace: namespace.into(),
                addresses: addresses(spec),
                ports,
                clusters,
                ..Host::default()
            },
        );
    }
    hosts
}

fn addresses(spec: &Value) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = list(spec, "clusterIPs").iter().filter_map(|a| a.as_str()?.parse().ok()).collect();
    if let Ok(first) = text(spec, "clusterIP").parse()
        && !all.contains(&first)
    {
        all.insert(0, first);
    }
    all
}

fn ports(spec: &Value) -> Vec<ServicePort> {
    let udp = |p: &&Value| matches!(text(p, "protocol"), "UDP" | "SCTP");
    let port = |p: &Value| {
        let number = p.get("port").and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok())?;
        Some(ServicePort { port: number, name: text(p, "name").into(), protocol: port_protocol(p) })
    };
    list(spec, "ports").iter().filter(|p| !udp(p)).filter_map(port).collect()
}

/// Ready endpoints of a Service's slices, once each, in a fixed order.
fn ready<'a>(slices: &[&'a Value], pods: &BTreeMap<(&str, &str), &'a Value>) -> Vec<Ready<'a>> {
    let mut all = Vec::new();
    for slice in slices {
        for endpoint in list(slice, "endpoints") {
            // Unknown (absent) is to be read as ready: the EndpointSlice reference.
            if endpoint.pointer("/conditions/ready").and_then(Value::as_bool) == Some(false) {
                continue;
            }
            let target = endpoint.get("targetRef").unwrap_or(&Value::Null);
            let namespace =
                if text(target, "namespace").is_empty() { meta(slice, "namespace") } else { text(target, "namespace") };
            let pod = pods.get(&(namespace, text(target, "name"))).copied();
            for address in list(endpoint, "addresses").iter().filter_map(|a| a.as_str()?.parse::<IpAddr>().ok()) {
                for port in list(slice, "ports") {
                    let Some(number) = port.get("port").and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok())
                    else {
                        continue;
                    };
                    let endpoint = Endpoint {
                        address: SocketAddr::new(address, number),
                        workload: pod.map(crate::inject::workload).unwrap_or_default(),
                        namespace: namespace.into(),
                        app: pod.and_then(|p| label(p, "app")).unwrap_or("").into(),
                        version: pod.and_then(|p| label(p, "version")).unwrap_or("").into(),
                    };
                    all.push(Ready { endpoint, port_name: text(port, "name"), pod });
                }
            }
        }
    }
    all.sort_by_key(|r| r.endpoint.address);
    all.dedup_by(|a, b| a.endpoint.address == b.endpoint.address && a.port_name == b.port_name);
    all
}

/// The whole Service's cluster first, then one for each subset.
fn clusters(port: &ServicePort, ready: &[Ready<'_>], rule: Option<&Rule>) -> Vec<Cluster> {
    let of_port = || ready.iter().filter(|r| r.port_name == port.name);
    let mut all = vec![Cluster {
        port: port.port,
        subset: String::new(),
        endpoints: of_port().map(|r| r.endpoint.clone()).collect(),
        policy: rule.map(|r| r.policy_for(port.port, None)).unwrap_or_default(),
    }];
    for subset in rule.map_or(&[][..], |r| &r.subsets) {
        let chosen = of_port().filter(|r| {
            r.pod.is_some_and(|pod| subset.labels.iter().all(|(name, value)| label(pod, name) == Some(value)))
        });
        all.push(Cluster {
            port: port.port,
            subset: subset.name.clone(),
            endpoints: chosen.map(|r| r.endpoint.clone()).collect(),
            policy: rule.map(|r| r.policy_for(port.port, Some(subset))).unwrap_or_default(),
        });
    }
    all
}
