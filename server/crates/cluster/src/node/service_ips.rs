//! Gives Services their ClusterIPs, in admission, so that a create already answers with one.
use std::collections::HashSet;
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
    let wished = spec["clusterIP"].as_str().filter(|ip| !ip.is_empty()).map(str::to_owned);
    let before = request.old.map_or(&Value::Null, |old| &old["spec"]["clusterIP"]);
    let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let ip = match wished {
        Some(ip) if request.operation == Operation::Update && *before == ip.as_str() => ip,
        Some(ip) => {
            let refused = |why: &str| {
                let cause = Cause::invalid("spec.clusterIPs", &json!([ip]), &format!("failed to allocate IP {ip}: {why}"));
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
                let ip = network.take_service_ip().ok_or_else(|| Status::internal("no ClusterIP is left on this cluster"))?;
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

/// Notes the addresses that stored Services have, and frees those that none has any more.
pub fn adopt<'a>(network: &Network, services: impl Iterator<Item = &'a Arc<Object>>) {
    let used: HashSet<Ipv4Addr> =
        services.filter_map(|service| service["spec"]["clusterIP"].as_str()?.parse().ok()).collect();
    network.settle_service_ips(&used, FORGOTTEN);
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
            registry.create(&kind, Some("default"), object, &WriteOptions::by("test")).await.map(|written| written.object)
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
}
