//! Which ready endpoints a Service has: an index over Services and EndpointSlices. Pure; no clock, no I/O.
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use crate::Object;

/// A Service as traffic sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Where it is listened on; none where it is headless.
    pub cluster_ip: Option<Ipv4Addr>,
    /// TCP ports and where their traffic goes; sorted.
    pub ports: BTreeMap<u16, Vec<SocketAddr>>,
    /// Whether clients name the endpoints' own ports, as with `clusterIP: None`.
    pub headless: bool,
}

/// All Services. A snapshot: replaced as a whole when something changes.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// By namespace and name.
    by_name: HashMap<(String, String), Arc<Service>>,
    by_ip: HashMap<Ipv4Addr, Arc<Service>>,
    /// Newest revision of the store among the objects it was built from.
    revision: u64,
}

impl Services {
    /// Builds the index.
    pub fn build<'a>(
        services: impl Iterator<Item = &'a Arc<Object>>,
        slices: impl Iterator<Item = &'a Arc<Object>>,
    ) -> Services {
        let mut of_service: HashMap<(&str, &str), Vec<&Object>> = HashMap::new();
        let mut newest = 0;
        for slice in slices {
            newest = newest.max(revision(slice));
            let namespace = slice["metadata"]["namespace"].as_str().unwrap_or_default();
            if let Some(service) = slice["metadata"]["labels"]["kubernetes.io/service-name"].as_str() {
                of_service.entry((namespace, service)).or_default().push(slice);
            }
        }
        let mut index = Services { revision: newest, ..Services::default() };
        for object in services {
            index.revision = index.revision.max(revision(object));
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            let slices = of_service.get(&(namespace, name)).map(Vec::as_slice).unwrap_or_default();
            let service = Arc::new(read_service(object, namespace, name, slices));
            if let Some(ip) = service.cluster_ip {
                index.by_ip.insert(ip, Arc::clone(&service));
            }
            index.by_name.insert((namespace.to_owned(), name.to_owned()), service);
        }
        index
    }

    /// The Service a host means, as a pod of `namespace` writes it. Source: Kubernetes, "DNS for Services and Pods".
    pub fn find(&self, host: &str, namespace: &str) -> Option<&Arc<Service>> {
        if let Ok(ip) = host.parse() {
            return self.by_ip.get(&ip);
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let short = host.strip_suffix(".svc.cluster.local").or_else(|| host.strip_suffix(".svc")).unwrap_or(&host);
        let qualified = short.len() < host.len();
        let key = match short.split_once('.') {
            Some((name, namespace)) => (namespace.to_owned(), name.to_owned()),
            // `flaskapp.svc` names no namespace.
            None if qualified => return None,
            None => (namespace.to_owned(), short.to_owned()),
        };
        self.by_name.get(&key)
    }

    /// Newest revision of the store among the objects it was built from: who knows that one, knows all of this.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Every Service.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_name.values()
    }
}

impl Service {
    /// Ready endpoints for a port; none where the Service has no such port.
    pub fn endpoints(&self, port: u16) -> Option<&[SocketAddr]> {
        self.ports.get(&port).map(Vec::as_slice)
    }
}

fn revision(object: &Object) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn read_service(object: &Object, namespace: &str, name: &str, slices: &[&Object]) -> Service {
    let spec = &object["spec"];
    let headless = spec["clusterIP"] == "None";
    let mut ports = BTreeMap::new();
    for port in array(&spec["ports"]).iter().filter(|port| is_tcp(port)) {
        let Some(number) = as_port(&port["port"]) else { continue };
        let port_name = port["name"].as_str().unwrap_or_default();
        let endpoints: Vec<SocketAddr> = slices.iter().flat_map(|slice| ready(slice, port_name)).collect();
        if headless {
            endpoints.iter().for_each(|to| ports.entry(to.port()).or_insert_with(Vec::new).push(*to));
        }
        ports.entry(number).or_insert_with(Vec::new).extend(if headless { Vec::new() } else { endpoints });
    }
    for endpoints in ports.values_mut() {
        endpoints.sort_unstable();
        endpoints.dedup();
    }
    Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        cluster_ip: spec["clusterIP"].as_str().and_then(|ip| ip.parse().ok()),
        ports,
        headless,
    }
}

fn ready(slice: &Object, port_name: &str) -> Vec<SocketAddr> {
    let port = array(&slice["ports"])
        .iter()
        .find(|port| is_tcp(port) && port["name"].as_str().unwrap_or_default() == port_name)
        .and_then(|port| as_port(&port["port"]));
    let Some(port) = port else { return Vec::new() };
    array(&slice["endpoints"])
        .iter()
        // Source: EndpointConditions; absent means ready.
        .filter(|endpoint| endpoint["conditions"]["ready"].as_bool().unwrap_or(true))
        .flat_map(|endpoint| array(&endpoint["addresses"]))
        .filter_map(|address| Some(SocketAddr::new(address.as_str()?.parse::<IpAddr>().ok()?, port)))
        .collect()
}

fn is_tcp(port: &Value) -> bool {
    port["protocol"].as_str().unwrap_or("TCP") == "TCP"
}

fn as_port(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A random element. A bias of one in 2³² for so few elements is nobody's.
pub fn pick<T>(from: &[T]) -> Option<&T> {
    let draw = getrandom::u32().unwrap_or(0);
    from.get(((u64::from(draw) * from.len() as u64) >> 32) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn index() -> Services {
        let service = Arc::new(json!({
            "metadata": {"name": "flaskapp", "namespace": "istio-app"},
            "spec": {"clusterIP": "127.64.0.17", "ports": [{"name": "http", "port": 7777}, {"name": "x", "port": 80}]},
        }));
        let slice = Arc::new(json!({
            "metadata": {"namespace": "istio-app", "labels": {"kubernetes.io/service-name": "flaskapp"}},
            "ports": [{"name": "http", "port": 7070}],
            "endpoints": [
                {"addresses": ["127.64.2.1"], "conditions": {"ready": true}},
                {"addresses": ["127.64.2.2"], "conditions": {"ready": false}},
                {"addresses": ["127.64.2.3"]},
            ],
        }));
        Services::build([&service].into_iter(), [&slice].into_iter())
    }

    #[test]
    fn hosts_are_found_as_a_pod_writes_them() {
        let index = index();
        for (host, namespace, found) in [
            ("flaskapp", "istio-app", true),
            ("flaskapp", "default", false),
            ("flaskapp.istio-app", "default", true),
            ("flaskapp.istio-app.svc", "default", true),
            ("flaskapp.istio-app.svc.cluster.local", "default", true),
            ("FlaskApp.istio-app.svc.cluster.local.", "default", true),
            ("flaskapp.svc", "istio-app", false),
            ("127.64.0.17", "default", true),
            ("127.64.2.1", "default", false),
            ("example.com", "default", false),
            ("", "default", false),
        ] {
            assert_eq!(index.find(host, namespace).is_some(), found, "{host} from {namespace}");
        }
    }

    #[test]
    fn only_ready_endpoints_of_the_port_are_used() {
        let index = index();
        let service = index.find("flaskapp", "istio-app").unwrap();
        let shown: Vec<String> = service.endpoints(7777).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.64.2.1:7070", "127.64.2.3:7070"]);
        assert_eq!(service.endpoints(80), Some(&[][..]));
        assert_eq!(service.endpoints(81), None);
    }

    #[test]
    fn every_endpoint_is_picked_about_as_often() {
        let mut counts = [0_u32; 4];
        for _ in 0..4000 {
            counts[*pick(&[0, 1, 2, 3]).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!(pick::<u8>(&[]), None);
    }
}
