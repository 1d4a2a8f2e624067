//! Reads from a proxy's `/config_dump` how it routes a host: Envoy's own dump and our sidecar's.

use crate::json::{list, text, texts};
use serde_json::Value;

/// Shares by subset of the route that takes what no other route of the host takes, in the order of the dump; `""` is the whole Service.
/// A single destination has 100. What has no weight may be missing, as Istio leaves it out. `None` where the proxy does not know the host,
/// or where that route does not forward. `host` is a Service's name in the client's namespace, a longer one, or a full one.
pub fn client_routes(config_dump: &Value, host: &str) -> Option<Vec<(String, u32)>> {
    let host = host.split(':').next().unwrap_or(host).trim_end_matches('.').to_ascii_lowercase();
    let virtual_host =
        route_configs(config_dump).flat_map(|c| list(c, "virtual_hosts")).find(|v| answers_for(v, &host))?;
    let routes = list(virtual_host, "routes");
    // The rest's route stands last; what is before it has conditions.
    let route = routes.iter().find(|r| takes_everything(r)).or(routes.last())?.get("route")?;
    if let Some(clusters) = route.get("weighted_clusters") {
        return list(clusters, "clusters")
            .iter()
            .map(|c| Some((subset(text(c, "name"))?, weight(c.get("weight")?)?)))
            .collect();
    }
    Some(vec![(subset(text(route, "cluster"))?, 100)])
}

/// Revision that the proxy's routes are at; `None` for Envoy, whose versions are no numbers, and where there is no route.
pub fn client_revision(config_dump: &Value) -> Option<u64> {
    entries(config_dump).find_map(|e| text(e, "version_info").parse().ok())
}

/// Entries of `dynamic_route_configs`, from a whole dump or from one that was asked for by `?resource=`.
fn entries(dump: &Value) -> impl Iterator<Item = &Value> {
    list(dump, "configs").iter().flat_map(|config| {
        let inner = list(config, "dynamic_route_configs");
        if inner.is_empty() && config.get("route_config").is_some() { std::slice::from_ref(config) } else { inner }
    })
}

fn route_configs(dump: &Value) -> impl Iterator<Item = &Value> {
    // Inbound configurations have virtual hosts too, but none that a client would name.
    entries(dump).filter_map(|entry| entry.get("route_config"))
}

fn answers_for(virtual_host: &Value, host: &str) -> bool {
    texts(virtual_host, "domains").any(|d| d != "*" && d.split(':').next() == Some(host))
}

fn takes_everything(route: &Value) -> bool {
    let Some(fits) = route.get("match").and_then(Value::as_object) else { return false };
    let everything = fits.get("prefix").and_then(Value::as_str) == Some("/");
    everything && ["headers", "query_parameters", "runtime_fraction"].iter().all(|k| fits.get(*k).is_none())
}

/// `outbound|7777|v1|flaskapp.istio-app.svc.cluster.local` → `v1`.
fn subset(cluster: &str) -> Option<String> {
    let mut parts = cluster.split('|');
    (parts.next()? == "outbound").then(|| parts.nth(1)).flatten().map(String::from)
}

fn weight(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|w| u32::try_from(w).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As an Envoy 1.40 under Istio 1.31 prints it, cut down.
    fn envoys(route: Value) -> Value {
        json!({"configs": [
            {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": {}},
            {"@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump",
             "static_route_configs": [{"route_config": {"name": "static", "virtual_hosts": [{"name": "backend", "domains": ["*"]}]}}],
             "dynamic_route_configs": [
                {"version_info": "2026-11-22T23:00:00Z/12", "last_updated": "2026-11-22T23:00:00.1Z", "route_config": {
                    "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": "7777", "virtual_hosts": [
                        {"name": "allow_any", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "PassthroughCluster"}}]},
                        {"name": "flaskapp.istio-app.svc.cluster.local:7777",
                         "domains": ["flaskapp.istio-app.svc.cluster.local", "flaskapp", "flaskapp.istio-app.svc", "flaskapp.istio-app", "10.96.3.4"],
                         "routes": [{"match": {"prefix": "/", "headers": [{"name": "x"}]}, "route": {"cluster": "outbound|7777|v9|flaskapp.istio-app.svc.cluster.local"}},
                                    {"match": {"prefix": "/"}, "route": route}]}]}}]}]})
    }

    #[test]
    fn envoys_dump_is_read() {
        let name = |subset: &str| format!("outbound|7777|{subset}|flaskapp.istio-app.svc.cluster.local");
        let two = json!({"weighted_clusters": {"clusters": [{"name": name("v1"), "weight": 80}, {"name": name("v2"), "weight": 20}]}});
        for (host, route, read) in [
            ("flaskapp", two.clone(), Some(vec![("v1".to_string(), 80), ("v2".to_string(), 20)])),
            ("flaskapp:7777", two.clone(), Some(vec![("v1".to_string(), 80), ("v2".to_string(), 20)])),
            (
                "flaskapp.istio-app.svc.cluster.local",
                json!({"cluster": name("v2")}),
                Some(vec![("v2".to_string(), 100)]),
            ),
            ("flaskapp", json!({"cluster": name("")}), Some(vec![(String::new(), 100)])),
            ("nobody", two, None),
            ("flaskapp", json!({"cluster": "PassthroughCluster"}), None),
        ] {
            assert_eq!(client_routes(&envoys(route), host), read, "{host}");
        }
        assert_eq!(client_routes(&json!(3), "flaskapp"), None);
        assert_eq!(client_revision(&envoys(json!({}))), None);
    }
}
