//! VirtualServices → the routes of the hosts they name.

mod http_route;

use super::input::{MeshInput, Report, Reporter, by_age, full_name};
use super::rules::not_exported;
use super::{Action, Host, Protocol, Route};
use crate::json::{list, meta, texts};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Gives every host the routes of the VirtualService that names it. Exact names go before wildcards, older objects before newer.
pub(super) fn attach(input: &MeshInput, hosts: &mut BTreeMap<String, Host>, reports: &mut Vec<Report>) {
    let services = by_age(&input.virtual_services);
    for wildcards in [false, true] {
        for object in &services {
            let mut report = Reporter { object, kind: "VirtualService", into: reports };
            attach_one(object, wildcards, hosts, &mut report);
        }
    }
}

fn attach_one(object: &Value, wildcards: bool, hosts: &mut BTreeMap<String, Host>, report: &mut Reporter<'_>) {
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let namespace = meta(object, "namespace");
    let id = format!("{namespace}/{}", meta(object, "name"));
    if !wildcards {
        report.only(spec, "spec", &["hosts", "gateways", "http", "exportTo"]);
        not_exported(spec, report);
    }
    let gateways: Vec<&str> = texts(spec, "gateways").collect();
    if !gateways.is_empty() && !gateways.contains(&"mesh") {
        if !wildcards {
            report.unsupported(&format!("spec.gateways ({})", gateways.join(", ")));
        }
        return;
    }
    let named: Vec<(String, bool)> = texts(spec, "hosts")
        .map(|h| (full_name(h, namespace), h.contains('*')))
        .filter(|(_, wild)| *wild == wildcards)
        .collect();
    if named.is_empty() {
        return;
    }
    if let Err(why) = super::check_patterns(spec) {
        report.add("Invalid", format!("no route of this object is used: {why}"));
        return;
    }
    let routes: Vec<Route> = list(spec, "http")
        .iter()
        .enumerate()
        .filter_map(|(i, r)| http_route::read(r, &format!("spec.http[{i}]"), namespace, report))
        .collect();
    check_destinations(&routes, hosts, report);
    for (name, wild) in named {
        let suffix = name.trim_start_matches('*');
        let targets: Vec<String> =
            hosts.keys().filter(|h| if wild { h.ends_with(suffix) } else { **h == name }).cloned().collect();
        if targets.is_empty() {
            let hint =
                if name.ends_with(".svc.cluster.local") { "" } else { "; a name with a dot is taken as a full one" };
            report.add("HostNotFound", format!("host {name} is no Service of the registry{hint}"));
        }
        for target in targets {
            let Some(host) = hosts.get_mut(&target) else { continue };
            if !routes.is_empty() {
                check_protocol(&target, host, report);
            }
            match &host.virtual_service {
                // A wildcard gives way to an exact name in silence: that is what it is for.
                Some(other) if !wild && *other != id => {
                    report.add(
                        "Conflict",
                        format!(
                            "host {target} is not routed by this object: VirtualService {other} is older and has it"
                        ),
                    );
                }
                Some(_) => {}
                None => {
                    host.routes = routes.clone();
                    host.virtual_service = Some(id.clone());
                }
            }
        }
    }
}

/// Says that no port of a host speaks HTTP. A host with one that does is routed there, and needs no word on the others.
fn check_protocol(name: &str, host: &Host, report: &mut Reporter<'_>) {
    if host.ports.is_empty() || host.ports.iter().any(|port| port.protocol != Protocol::Tcp) {
        return;
    }
    let ports: Vec<String> = host.ports.iter().map(|port| format!("{} ({})", port.port, port.name)).collect();
    report.add(
        "PortNotHttp",
        format!(
            "spec.http has no effect on host {name}: by name or appProtocol its port {} does not speak HTTP, so connections are spread over all its endpoints",
            ports.join(", ")
        ),
    );
}

/// Names destinations that lead nowhere.
fn check_destinations(routes: &[Route], hosts: &BTreeMap<String, Host>, report: &mut Reporter<'_>) {
    let mut subsets: HashMap<&str, HashSet<&str>> = HashMap::new();
    for route in routes {
        let destinations = if let Action::Forward(all) = &route.action { all.as_slice() } else { &[] };
        let all = destinations
            .iter()
            .map(|d| (&d.host, d.port, &d.subset))
            .chain(route.mirrors.iter().map(|m| (&m.host, m.port, &m.subset)));
        for (name, port, subset) in all {
            let Some(host) = hosts.get(name) else {
                report.add("HostNotFound", format!("destination {name} is no Service of the registry"));
                continue;
            };
            let known =
                subsets.entry(name).or_insert_with(|| host.clusters.iter().map(|c| c.subset.as_str()).collect());
            if !known.contains(subset.as_str()) && !host.ports.is_empty() {
                report.add(
                    "SubsetMissing",
                    format!("destination {name} has no subset \"{subset}\": no DestinationRule defines it"),
                );
            }
            if let Some(port) = port.filter(|port| !host.ports.iter().any(|p| p.port == *port)) {
                report.add("PortNotFound", format!("destination {name} has no port {port}"));
            }
        }
    }
}
