//! What a VirtualService says about the demo's host, and the same with other weights. Pure.
//!
//! `http` is one atomic list under server-side apply, so a change of weights is written as the whole list.
use crate::k8s::{Id, KindName, ROUTE_HOST, Seen, World};
use app::types::Split;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use std::sync::Arc;

/// Whether a VirtualService's or DestinationRule's host means the demo's Service.
pub fn is_demo_host(host: &str, ns: &str) -> bool {
    match host.strip_prefix(ROUTE_HOST) {
        Some("") => true,
        Some(rest) => {
            let base = format!(".{ns}");
            rest == base || rest == format!("{base}.svc") || rest == format!("{base}.svc.cluster.local")
        }
        None => false,
    }
}

/// The VirtualService that routes the demo's host: ours by name, else the first that names the host.
pub fn find<'a>(world: &'a World, ns: &str) -> Option<&'a Arc<Seen>> {
    let about = |seen: &&Arc<Seen>| {
        let hosts = seen.object.data["spec"]["hosts"].as_array();
        hosts.into_iter().flatten().any(|h| h.as_str().is_some_and(|h| is_demo_host(h, ns)))
    };
    world.get(KindName::VirtualService, Id::ROUTE.name).or_else(|| world.all(KindName::VirtualService).find(about))
}

/// The rule of `http` that decides: the last one, all of whose destinations are the demo's host.
fn rule_index(http: &Value, ns: &str) -> Option<usize> {
    let decides = |rule: &Value| {
        let route = rule["route"].as_array();
        route.is_some_and(|r| !r.is_empty() && r.iter().all(|d| d["destination"]["host"].as_str().is_some_and(|h| is_demo_host(h, ns))))
    };
    http.as_array()?.iter().rposition(decides)
}

/// The weights a VirtualService means. Nothing where it has no rule for the host, or destinations without subset.
pub fn split(object: &DynamicObject, ns: &str) -> Option<Split> {
    let http = &object.data["spec"]["http"];
    let route = http[rule_index(http, ns)?]["route"].as_array()?;
    let written: Option<Vec<(&str, u32)>> = route
        .iter()
        .map(|d| {
            let weight = d["weight"].as_u64().unwrap_or(0);
            Some((d["destination"]["subset"].as_str()?, u32::try_from(weight).ok()?))
        })
        .collect();
    Split::normalised(written?).ok()
}

/// Subsets a VirtualService sends to.
pub fn subsets(object: &DynamicObject) -> Vec<String> {
    let rules = object.data["spec"]["http"].as_array().into_iter().flatten();
    let routes = rules.flat_map(|r| r["route"].as_array().into_iter().flatten());
    routes.filter_map(|d| d["destination"]["subset"].as_str()).map(str::to_owned).collect()
}

/// Subsets that DestinationRules define for the host.
pub fn defined_subsets(world: &World, ns: &str) -> Vec<String> {
    let about = |seen: &&Arc<Seen>| seen.object.data["spec"]["host"].as_str().is_some_and(|h| is_demo_host(h, ns));
    let rules = world.all(KindName::DestinationRule).filter(about);
    let subsets = rules.flat_map(|s| s.object.data["spec"]["subsets"].as_array().into_iter().flatten());
    subsets.filter_map(|s| s["name"].as_str()).map(str::to_owned).collect()
}

/// `http` with these weights; whatever else its rules say stays. Nothing where no rule is about the host.
pub fn with_weights(http: &Value, split: &Split, ns: &str) -> Option<Value> {
    let mut http = http.clone();
    let index = rule_index(&http, ns)?;
    let rule = &mut http[index];
    let written = rule["route"].as_array()?.clone();
    let mut names: Vec<&str> = written.iter().filter_map(|d| d["destination"]["subset"].as_str()).collect();
    for (name, _) in split.iter() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.dedup();
    let destination = |name: &str| {
        let mut d = written.iter().find(|d| d["destination"]["subset"] == name).or(written.first()).cloned().unwrap_or_default();
        d["destination"]["subset"] = name.into();
        d["weight"] = split.percent(name).into();
        d
    };
    rule["route"] = names.into_iter().map(destination).collect();
    Some(http)
}

/// A fresh `http` for the host.
pub fn new_http(split: &Split) -> Value {
    let route: Vec<Value> = split
        .iter()
        .map(|(name, weight)| json!({"destination": {"host": ROUTE_HOST, "subset": name}, "weight": weight.percent()}))
        .collect();
    json!([{ "route": route }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vs(http: Value) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": "x"}, "spec": {"hosts": ["flaskapp"], "http": http}})).unwrap()
    }

    fn dest(subset: &str, weight: Option<u32>) -> Value {
        let mut d = json!({"destination": {"host": "flaskapp", "subset": subset}});
        if let Some(weight) = weight {
            d["weight"] = weight.into();
        }
        d
    }

    #[test]
    fn what_others_wrote_is_read_as_istio_does() {
        for (route, read) in [
            (json!([dest("v1", Some(60)), dest("v2", Some(20))]), "75/25"),
            (json!([dest("v2", None)]), "100"),
            (json!([dest("v1", Some(0)), dest("v2", Some(0))]), "none"),
            (json!([{"destination": {"host": "flaskapp"}}]), "none"),
            (json!([{"destination": {"host": "other", "subset": "v1"}}]), "none"),
        ] {
            let seen = split(&vs(json!([{ "route": route }])), "n").map_or("none".to_owned(), |s| s.to_string());
            assert_eq!(seen, read, "{route}");
        }
    }

    #[test]
    fn a_change_of_weights_keeps_what_else_the_route_says() {
        let http = json!([
            {"match": [{"headers": {"x": {"exact": "y"}}}], "route": [{"destination": {"host": "other"}}]},
            {"timeout": "3s", "route": [dest("v1", Some(100))]},
        ]);
        let changed = with_weights(&http, &Split::v1_v2(20).unwrap(), "n").unwrap();
        assert_eq!(changed[0], http[0]);
        assert_eq!(changed[1]["timeout"], "3s");
        assert_eq!(changed[1]["route"], json!([dest("v1", Some(80)), dest("v2", Some(20))]));
    }

    #[test]
    fn the_host_is_known_in_all_its_forms() {
        for (host, is) in [("flaskapp", true), ("flaskapp.n", true), ("flaskapp.n.svc.cluster.local", true), ("flaskapp.m", false), ("flaskapp2", false)] {
            assert_eq!(is_demo_host(host, "n"), is, "{host}");
        }
    }
}
