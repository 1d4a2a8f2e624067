//! Refuses endpoints with addresses that lead to this machine and not to a pod, in admission and in the API server's words.
//!
//! Source: k8s.io/kubernetes, `ValidateNonSpecialIP`. Pods of this cluster have loopback addresses, so those of this instance are allowed;
//! whether a pod is behind them is decided when a connection is made ([`super::listening`]).
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use super::net::Network;
use crate::Object;
use crate::kinds::{Cause, Kind, special_ip};
use crate::registry::AdmissionHook;
use crate::status::Status;

/// The hook.
pub fn admission(network: Arc<Network>) -> AdmissionHook {
    Arc::new(move |request, object| {
        if is_slice(request.kind) {
            let causes = causes(&network, request.old, object);
            if !causes.is_empty() {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                return Err(Status::invalid(&request.kind.kind, &request.kind.group, name, &causes));
            }
        }
        Ok(Vec::new())
    })
}

fn is_slice(kind: &Kind) -> bool {
    kind.group == "discovery.k8s.io" && kind.plural == "endpointslices"
}

/// What is wrong with the addresses that `old` does not have: after a restart a slice may still name an address of the run before.
fn causes(network: &Network, old: Option<&Object>, slice: &Object) -> Vec<Cause> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let before: std::collections::HashSet<Value> =
        old.iter().flat_map(|old| list(&old["endpoints"])).flat_map(|endpoint| list(&endpoint["addresses"])).collect();
    let named = slice["addressType"] == "FQDN";
    let mut causes = Vec::new();
    for (i, endpoint) in list(&slice["endpoints"]).iter().enumerate() {
        for (j, address) in
            list(&endpoint["addresses"]).iter().enumerate().filter(|(_, address)| !before.contains(address))
        {
            let text = address.as_str().unwrap_or_default();
            let why = match text.parse::<IpAddr>() {
                // A name that reads as an address would be taken for one.
                Ok(ip) => special_ip(ip).filter(|_| !is_own(network, ip)),
                Err(_) if named => None,
                Err(_) => Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            };
            if let Some(why) = why {
                causes.push(Cause::invalid(&format!("endpoints[{i}].addresses[{j}]"), address, why));
            }
        }
    }
    causes
}

fn is_own(network: &Network, ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if network.owns(ip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn endpoints_name_pods_and_other_machines_but_not_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::claim(folder.path()).unwrap();
        let own = network.pod().unwrap().pod_ip().to_string();
        let other = Network::claim(folder.path()).unwrap().node_ip().to_string();
        let loopback = "may not be in the loopback range (127.0.0.0/8, ::1/128)";
        for (address, why) in [
            (own.as_str(), ""),
            ("10.1.2.3", ""),
            ("2001:db8::1", ""),
            ("127.0.0.1", loopback),
            (other.as_str(), loopback),
            ("::1", loopback),
            ("::ffff:127.0.0.1", loopback),
            ("0.0.0.0", "may not be unspecified"),
            ("::", "may not be unspecified"),
            ("169.254.169.254", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
            ("fe80::1", "link-local range"),
            ("::ffff:169.254.1.1", "link-local range"),
            ("224.0.0.1", "multicast range"),
            ("ff02::1", "multicast range"),
            ("239.1.1.1", "multicast range"),
            ("localhost", "must be a valid IP address"),
            ("2130706433", "must be a valid IP address"),
            ("0x7f000001", "must be a valid IP address"),
            ("127.1", "must be a valid IP address"),
            ("", "must be a valid IP address"),
        ] {
            let slice = json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1", address]}]});
            let found = causes(&network, None, &slice);
            let shown: Vec<&str> = found.iter().map(|cause| cause.field.as_str()).collect();
            assert_eq!(shown, if why.is_empty() { vec![] } else { vec!["endpoints[0].addresses[1]"] }, "{address}");
            assert!(found.iter().all(|cause| cause.message.contains(why)), "{address}: {found:?}");
            assert!(causes(&network, Some(&slice), &slice).is_empty(), "{address}: it was there before");
        }
        let named = |address: &str| {
            causes(&network, None, &json!({"addressType": "FQDN", "endpoints": [{"addresses": [address]}]})).len()
        };
        assert_eq!((named("db.example"), named("127.0.0.1")), (0, 1));
    }
}
