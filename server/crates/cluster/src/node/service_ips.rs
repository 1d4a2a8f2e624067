//! Gives Services their ClusterIPs, in admission, so that a create already answers with one.
use std::collections::{BTreeSet, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::net::Network;
use crate::Object;
use crate::kinds::{Cause, Kind};
use crate::registry::{AdmissionHook, AdmissionRequest, Operation};
use crate::status::Status;

/// An address given to a create that then failed comes back after this; a real one is in the store long before.
pub const FORGOTTEN: Duration = Duration::from_secs(30);

/// The hook. It takes addresses of this node's block and refuses others that would collide.
pub fn admission(network: Arc<Network>) -> AdmissionHook {
    Arc::new(move |request, service| {
        if is_service(request.kind) {
            admit(&network, request, service)?;
        }
        Ok(Vec::new())
    })
}

fn is_service(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.plural == "services"
}

/// Gives the address back where the Service is not stored.
fn give_back(network: &Arc<Network>, request: &AdmissionRequest<'_>, ip: Ipv4Addr) {
    let network = network.clone();
    request.on_failure(move || network.release_service_ip(ip));
}

fn admit(network: &Arc<Network>, request: &AdmissionRequest<'_>, service: &mut Object) -> Result<(), Status> {
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" || spec["clusterIP"] == "None" {
        return Ok(());
    }
    let desired = spec["clusterIP"].as_str().filter(|ip| !ip.is_empty()).map(str::to_owned);
    let before = request.old.map_or(&Value::Null, |old| &old["spec"]["clusterIP"]);
    let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let ip = match desired {
        Some(ip) if request.operation == Operation::Update && *before == ip.as_str() => ip,
        Some(ip) => {
            let refused = |why: &str| {
                let cause =
                    Cause::invalid("spec.clusterIPs", &json!([ip]), &format!("failed to allocate IP {ip}: {why}"));
                Status::invalid("Service", "", &name, &[cause])
            };
            let parsed: Ipv4Addr = ip.parse().map_err(|_| refused("not an IPv4 address"))?;
            if !network.is_service_ip(parsed) {
                return Err(refused("the provided IP is not in the valid range"));
            }
            if !request.dry_run {
                if !network.reserve_service_ip(parsed) {
                    return Err(refused("provided IP is already allocated"));
                }
                give_back(network, request, parsed);
            }
            ip
        }
        None => match before.as_str() {
            Some(kept) if !kept.is_empty() => kept.to_owned(),
            _ => {
                let ip = network.take_service_ip().ok_or_else(|| full(&name))?;
                if request.dry_run {
                    network.release_service_ip(ip);
                } else {
                    give_back(network, request, ip);
                }
                ip.to_string()
            }
        },
    };
    let spec = &mut service["spec"];
    spec["clusterIPs"] = json!([ip]);
    spec["clusterIP"] = ip.into();
    for (key, value) in [("ipFamilies", json!(["IPv4"])), ("ipFamilyPolicy", json!("SingleStack"))] {
        if spec[key].is_null() {
            spec[key] = value;
        }
    }
    Ok(())
}

/// No instance of this program has a free block. A real API server has the same words, but answers 500; it is no defect of the server.
fn full(name: &str) -> Status {
    let why = "failed to allocate a serviceIP: range is full. Delete Services that are no longer needed, or stop other instances";
    Status::invalid("Service", "", name, &[Cause::invalid("spec.clusterIPs", &json!([]), why)])
}

/// Notes the addresses that stored Services have, and frees those that none has any more.
/// Returns the addresses whose block another instance has claimed meanwhile.
pub fn adopt<'a>(network: &Network, services: impl Iterator<Item = &'a Arc<Object>>) -> BTreeSet<Ipv4Addr> {
    let used: HashSet<Ipv4Addr> = services.filter_map(|service| address(service)).collect();
    network.settle_service_ips(&used, FORGOTTEN)
}

/// `spec.clusterIP`, if it is an address.
pub fn address(service: &Object) -> Option<Ipv4Addr> {
    service["spec"]["clusterIP"].as_str()?.parse().ok()
}

/// The event about a Service whose address this instance no longer has: reason and message of Kubernetes' ClusterIP repair controller.
pub fn out_of_range(network: &Network, ip: Ipv4Addr) -> (&'static str, String) {
    let message = format!(
        "Cluster IP [IPv4]:{ip} is not within the service CIDR {}: another instance has its block; please recreate service. \
         Pods reach it by its name all the same",
        network.cidr()
    );
    ("ClusterIPOutOfRange", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Registry, WriteOptions};
    use crate::{Kinds, Store};

    #[tokio::test]
    async fn services_get_addresses_and_keep_them() {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::claim(folder.path()).unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let registry = Registry::open(store, Kinds::builtin(), vec![admission(network.clone())]).unwrap();
        registry.ensure_namespaces(&["default"]).await.unwrap();
        let kind = registry.kinds().find("", "services").unwrap().clone();
        let create = async |name: &str, ip: Value| {
            let spec = json!({"clusterIP": ip, "ports": [{"port": 80}]});
            let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
            registry
                .create(&kind, Some("default"), object, &WriteOptions::by("test"))
                .await
                .map(|written| written.object)
        };
        let first = create("a", Value::Null).await.unwrap();
        let ip = first["spec"]["clusterIP"].clone();
        assert!(network.is_service_ip(ip.as_str().unwrap().parse().unwrap()));
        assert_eq!(first["spec"]["clusterIPs"], json!([ip]));
        assert_ne!(create("b", Value::Null).await.unwrap()["spec"]["clusterIP"], ip);
        assert_eq!(create("c", json!("None")).await.unwrap()["spec"]["clusterIP"], "None");
        for taken in [ip.clone(), json!("10.0.0.1")] {
            let refused = create("d", taken).await.unwrap_err();
            assert_eq!((refused.code, refused.message.contains("failed to allocate IP")), (422, true), "{refused}");
        }
    }

    #[tokio::test]
    async fn an_exhausted_range_is_the_clients_error_in_kubernetes_words() {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::of_one_block(folder.path());
        let store = Store::open(folder.path().join("store")).unwrap();
        let registry = Registry::open(store, Kinds::builtin(), vec![admission(network.clone())]).unwrap();
        registry.ensure_namespaces(&["default"]).await.unwrap();
        while network.take_service_ip().is_some() {}
        let kind = registry.kinds().find("", "services").unwrap().clone();
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one-more"}, "spec": {"ports": [{"port": 80}]}});
        let refused = registry.create(&kind, Some("default"), object, &WriteOptions::by("test")).await.unwrap_err();
        assert_eq!(refused.code, 422, "{refused}");
        assert!(refused.message.contains("failed to allocate a serviceIP: range is full"), "{refused}");
    }
}
