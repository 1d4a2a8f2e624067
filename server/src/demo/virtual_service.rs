//! What a VirtualService says about the demo's host, and the same with other weights. Pure.
//!
//! `http` is one atomic list under server-side apply, so a change of weights is written as the whole list.
use crate::demo::objects::{Id, ROUTE_HOST};
use crate::k8s::{Cache, CachedObject, KindName};
use app::text::Message;
use app::text::messages::causes;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::Split;

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

/// Whether a VirtualService is about requests between pods: without `gateways`, or with `mesh` among them.
pub fn in_mesh(object: &DynamicObject) -> bool {
    let gateways = object.data["spec"]["gateways"].as_array().map_or(&[][..], Vec::as_slice);
    gateways.is_empty() || gateways.iter().any(|g| g == "mesh")
}

/// VirtualServices that route the demo's host in the mesh, oldest first: of several for one host Istio takes the oldest.
fn about<'a>(cache: &'a Cache, ns: &str) -> Vec<&'a Arc<CachedObject>> {
    let names = |seen: &&Arc<CachedObject>| {
        let hosts = seen.object.data["spec"]["hosts"].as_array();
        in_mesh(&seen.object) && hosts.into_iter().flatten().any(|h| h.as_str().is_some_and(|h| is_demo_host(h, ns)))
    };
    let mut found: Vec<&Arc<CachedObject>> = cache.all(KindName::VirtualService).filter(names).collect();
    // By name where two came in the same second; the cache's order is that.
    found.sort_by_key(|seen| seen.object.metadata.creation_timestamp.as_ref().map(|t| t.0));
    found
}

/// The VirtualService that routes the demo's host, else the one of our name, which may say something else.
pub fn find<'a>(cache: &'a Cache, ns: &str) -> Option<&'a Arc<CachedObject>> {
    about(cache, ns).into_iter().next().or_else(|| cache.get(KindName::VirtualService, Id::ROUTE.name))
}

/// Names of VirtualServices for the same host that Istio does not look at, because an older one is.
pub fn passed_over(cache: &Cache, ns: &str) -> Vec<String> {
    about(cache, ns).into_iter().skip(1).filter_map(|seen| seen.object.metadata.name.clone()).collect()
}

/// Whether a rule takes whatever comes. Source: Istio's "VirtualService" reference, `HTTPRoute.match`.
fn takes_all(rule: &Value) -> bool {
    let anything = |m: &Value| match m.as_object() {
        Some(fields) => {
            fields.iter().all(|(field, value)| field == "name" || field == "uri" && *value == json!({"prefix": "/"}))
        }
        None => false,
    };
    rule["match"].as_array().is_none_or(|all| all.is_empty() || all.iter().any(anything))
}

/// The rule of `http` that decides: the first that takes whatever comes, as none below it is ever looked at; where there is no such,
/// or where that sends elsewhere, the last above it, all of whose destinations are the demo's host.
fn rule_index(http: &Value, ns: &str) -> Option<usize> {
    let decides = |rule: &Value| {
        let route = rule["route"].as_array();
        route.is_some_and(|r| {
            !r.is_empty() && r.iter().all(|d| d["destination"]["host"].as_str().is_some_and(|h| is_demo_host(h, ns)))
        })
    };
    let rules = http.as_array()?;
    let looked_at = rules.iter().position(takes_all).map_or(rules.len(), |first| first + 1);
    rules[..looked_at].iter().rposition(decides)
}

/// Where the deciding rule is, and the subsets of its destinations in their order. Nothing where a subset is named twice, or none.
pub fn destinations(object: &DynamicObject, ns: &str) -> Option<(usize, Vec<String>)> {
    let http = &object.data["spec"]["http"];
    let index = rule_index(http, ns)?;
    let route = http[index]["route"].as_array()?;
    let subsets: Option<Vec<String>> =
        route.iter().map(|d| d["destination"]["subset"].as_str().map(str::to_owned)).collect();
    let subsets = subsets?;
    let once = subsets.iter().collect::<std::collections::BTreeSet<_>>().len() == subsets.len();
    once.then_some((index, subsets))
}

/// The weights a VirtualService means. Nothing where it has no rule for the host, or destinations without subset.
pub fn split(object: &DynamicObject, ns: &str) -> Option<Split> {
    if !in_mesh(object) {
        return None;
    }
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
pub fn defined_subsets(cache: &Cache, ns: &str) -> Vec<String> {
    let about =
        |seen: &&Arc<CachedObject>| seen.object.data["spec"]["host"].as_str().is_some_and(|h| is_demo_host(h, ns));
    let rules = cache.all(KindName::DestinationRule).filter(about);
    let subsets = rules.flat_map(|s| s.object.data["spec"]["subsets"].as_array().into_iter().flatten());
    subsets.filter_map(|s| s["name"].as_str()).map(str::to_owned).collect()
}

/// The version that a subset's pods carry, as the DestinationRule says; the subset's own name where it says nothing of versions.
pub fn version_of(cache: &Cache, ns: &str, subset: &str) -> String {
    let about =
        |seen: &&Arc<CachedObject>| seen.object.data["spec"]["host"].as_str().is_some_and(|h| is_demo_host(h, ns));
    let rules = cache.all(KindName::DestinationRule).filter(about);
    let mut subsets = rules.flat_map(|s| s.object.data["spec"]["subsets"].as_array().into_iter().flatten());
    let labelled = subsets.find(|s| s["name"] == subset).and_then(|s| s["labels"]["version"].as_str());
    labelled.unwrap_or(subset).to_owned()
}

/// The shares by version, not by subset: what requests are counted by.
pub fn by_version(cache: &Cache, ns: &str, split: &Split) -> Option<Split> {
    let mut shares: Vec<(String, u32)> = Vec::new();
    for (subset, weight) in split.iter() {
        let version = version_of(cache, ns, subset);
        match shares.iter_mut().find(|(known, _)| *known == version) {
            Some((_, share)) => *share += u32::from(weight.percent()),
            None => shares.push((version, u32::from(weight.percent()))),
        }
    }
    Split::normalised(shares.iter().map(|(version, share)| (version.as_str(), *share))).ok()
}

/// `http` with these weights; whatever else its rules say stays. Nothing where no rule is about the host.
pub fn with_weights(http: &Value, split: &Split, ns: &str) -> Option<Value> {
    let mut http = http.clone();
    let index = rule_index(&http, ns)?;
    let rule = &mut http[index];
    let written = rule["route"].as_array()?.clone();
    let mut route = Vec::new();
    for (i, old) in written.iter().enumerate() {
        let mut destination = old.clone();
        destination["weight"] = portion(&written, i, split).into();
        route.push(destination);
    }
    let named = |name: &str| written.iter().any(|d| d["destination"]["subset"] == name);
    for (name, weight) in split.iter().filter(|(name, _)| !named(name)) {
        let mut destination = written.first().cloned().unwrap_or_default();
        destination["destination"]["subset"] = name.into();
        destination["weight"] = weight.percent().into();
        route.push(destination);
    }
    rule["route"] = route.into();
    Some(http)
}

/// The share of the destination at `i`: its subset's, divided among destinations of that subset as they were (their headers differ, say).
fn portion(written: &[Value], i: usize, split: &Split) -> u64 {
    let subset = written[i]["destination"]["subset"].as_str().unwrap_or_default();
    let same: Vec<(usize, u64)> = written
        .iter()
        .enumerate()
        .filter(|(_, d)| d["destination"]["subset"].as_str() == Some(subset))
        .map(|(at, d)| (at, d["weight"].as_u64().unwrap_or(0)))
        .collect();
    let (share, sum) = (u64::from(split.percent(subset)), same.iter().map(|(_, w)| w).sum::<u64>());
    let before = |n: usize| same.iter().take(n).map(|(_, w)| w).sum::<u64>();
    let place = same.iter().position(|(at, _)| *at == i).unwrap_or(0);
    match sum {
        0 => {
            if place == 0 {
                share
            } else {
                0
            }
        }
        // Rounded at the borders, so that the parts sum to the share.
        _ => before(place + 1) * share / sum - before(place) * share / sum,
    }
}

/// What a route says besides the weights of the demo's host, or instead of them; for people, in clauses.
pub fn says_more(object: &DynamicObject, ns: &str) -> Vec<Message> {
    let spec = &object.data["spec"];
    let rules = spec["http"].as_array().map_or(&[][..], Vec::as_slice);
    let mut more = Vec::new();
    if !in_mesh(object) {
        let gateways: Vec<&str> = spec["gateways"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        return vec![causes::gateways_only(gateways.join(", "))];
    }
    let deciding = rule_index(&spec["http"], ns);
    match deciding {
        Some(index) => {
            let above = rules.iter().take(index).count();
            if above > 0 {
                more.push(causes::rules_above(above.to_string()));
            }
            if !takes_all(&rules[index]) {
                more.push(causes::weights_for_some());
            }
            if split(object, ns).is_none() {
                more.push(causes::no_subsets());
            }
            for (field, phrase) in [
                ("fault", causes::injects_faults()),
                ("mirror", causes::mirrors()),
                ("mirrors", causes::mirrors()),
                ("redirect", causes::redirects()),
            ] {
                if !rules[index][field].is_null() {
                    more.push(phrase);
                }
            }
        }
        None if rules.is_empty() => more.push(causes::no_http_rule()),
        None => more.push(causes::no_rule_for_demo()),
    }
    let below = deciding.filter(|index| takes_all(&rules[*index])).map_or(0, |index| rules.len() - index - 1);
    if below > 0 {
        more.push(causes::rules_below(below.to_string()));
    }
    let others =
        spec["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|h| !is_demo_host(h, ns));
    let others: Vec<&str> = others.collect();
    if !others.is_empty() {
        more.push(causes::other_hosts(others.join(", ")));
    }
    if deciding.is_some()
        && ["tcp", "tls"].iter().any(|field| spec[*field].as_array().is_some_and(|rules| !rules.is_empty()))
    {
        more.push(causes::other_protocols());
    }
    more
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
        serde_json::from_value(json!({"metadata": {"name": "x"}, "spec": {"hosts": ["flaskapp"], "http": http}}))
            .unwrap()
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
    fn the_rule_that_decides_is_the_first_that_takes_all() {
        let on = |prefix: &str, subset: &str| json!({"match": [{"uri": {"prefix": prefix}}], "route": [dest(subset, Some(1))]});
        let all = |subset: &str| json!({"route": [dest(subset, Some(1))]});
        let away = json!({"route": [{"destination": {"host": "other"}}]});
        for (what, http, decides) in [
            ("one", json!([all("v1")]), "v1"),
            ("the first of two", json!([all("v1"), all("v2")]), "v1"),
            ("below matches", json!([on("/a", "v1"), all("v2")]), "v2"),
            ("a match of everything is one", json!([on("/", "v1"), all("v2")]), "v1"),
            ("matches alone: the last", json!([on("/a", "v1"), on("/b", "v2")]), "v2"),
            ("everything else goes elsewhere", json!([on("/a", "v1"), away, all("v2")]), "v1"),
        ] {
            let read = split(&vs(http), "n").and_then(|s| s.iter().next().map(|(name, _)| name.to_owned()));
            assert_eq!(read.as_deref(), Some(decides), "{what}");
        }
    }

    #[test]
    fn of_several_routes_the_oldest_in_the_mesh_decides() {
        let vs = |name: &str, age: u32, gateways: Value| {
            let spec = json!({"hosts": ["flaskapp"], "gateways": gateways});
            json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": name, "creationTimestamp": format!("2026-01-01T00:00:{:02}Z", 50 - age)}, "spec": spec})
        };
        let name = |cache: &Cache| find(cache, "n").and_then(|s| s.object.metadata.name.clone()).unwrap();
        let cache = Cache::of(vec![
            vs("flaskapp-vs", 1, json!([])),
            vs("older", 9, json!([])),
            vs("front", 20, json!(["front"])),
        ]);
        assert_eq!((name(&cache).as_str(), passed_over(&cache, "n")), ("older", vec!["flaskapp-vs".to_owned()]));
        let cache = Cache::of(vec![vs("flaskapp-vs", 1, json!(["mesh"])), vs("newer", 0, json!([]))]);
        assert_eq!(name(&cache), "flaskapp-vs");
    }

    #[test]
    fn a_subset_stands_for_the_version_its_labels_name() {
        let rule = json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "r"},
            "spec": {"host": "flaskapp", "subsets": [{"name": "stable", "labels": {"version": "v1"}}, {"name": "canary", "labels": {"version": "v2"}}]}});
        let cache = Cache::of(vec![rule]);
        let split = Split::normalised([("stable", 80), ("canary", 20)]).unwrap();
        assert_eq!(by_version(&cache, "n", &split), Split::normalised([("v1", 80), ("v2", 20)]).ok());
        assert_eq!(version_of(&cache, "n", "v3"), "v3", "what no rule defines is taken at its word");
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
    fn destinations_of_one_subset_share_its_weight_and_keep_their_fields() {
        let mut marked = dest("v1", Some(25));
        marked["headers"] = json!({"request": {"set": {"x": "y"}}});
        let http = json!([{ "route": [dest("v1", Some(50)), dest("v2", Some(25)), marked.clone()] }]);
        let changed = with_weights(&http, &Split::v1_v2(40).unwrap(), "n").unwrap();
        marked["weight"] = 20.into();
        assert_eq!(changed[0]["route"], json!([dest("v1", Some(40)), dest("v2", Some(40)), marked]));
        let three = Split::normalised([("v1", 20), ("v2", 60), ("v3", 20)]).unwrap();
        let changed =
            with_weights(&json!([{ "route": [dest("v1", Some(60)), dest("v2", Some(40))] }]), &three, "n").unwrap();
        assert_eq!(changed[0]["route"], json!([dest("v1", Some(20)), dest("v2", Some(60)), dest("v3", Some(20))]));
    }

    #[test]
    fn what_a_route_says_besides_weights_is_told() {
        let plain = json!({"hosts": ["flaskapp"], "http": [{"route": [dest("v1", Some(80)), dest("v2", Some(20))]}]});
        let with = |field: &str, value: Value| {
            let mut spec = plain.clone();
            spec[field] = value;
            spec
        };
        for (what, spec, told) in [
            ("weights alone", plain.clone(), ""),
            (
                "another host",
                with("hosts", json!(["flaskapp", "other.n.svc.cluster.local"])),
                "it is about other.n.svc.cluster.local as well",
            ),
            ("tcp", with("tcp", json!([{"route": []}])), "it routes TCP or TLS as well"),
            (
                "tcp alone",
                json!({"hosts": ["flaskapp"], "tcp": [{"route": []}]}),
                "it has no rule for HTTP, and weights of TCP or TLS are not the panel's",
            ),
            (
                "a match above",
                with(
                    "http",
                    json!([{"match": [{"headers": {"x": {"exact": "y"}}}], "route": [dest("v2", None)]}, {"route": [dest("v1", Some(1)), dest("v2", Some(1))]}]),
                ),
                "1 rule(s) above it are for matching requests only, and stay as they are",
            ),
            (
                "a match itself",
                with("http", json!([{"match": [{"uri": {"prefix": "/a"}}], "route": [dest("v1", Some(1))]}])),
                "its weights are for matching requests only",
            ),
            (
                "two that take all",
                with("http", json!([{"route": [dest("v1", Some(1))]}, {"route": [dest("v2", Some(1))]}])),
                "1 rule(s) below it are never looked at",
            ),
            (
                "a gateway's",
                with("gateways", json!(["front"])),
                "it is for requests through front alone, and `mesh` is not among its gateways",
            ),
            ("the mesh's as well", with("gateways", json!(["front", "mesh"])), ""),
            (
                "no subsets",
                with("http", json!([{"route": [{"destination": {"host": "flaskapp"}}]}])),
                "its destinations name no subsets, or have no weight at all",
            ),
            (
                "others' destinations",
                with("http", json!([{"route": [{"destination": {"host": "other"}}]}])),
                "no rule of it sends to flaskapp alone, so there are no weights to show",
            ),
        ] {
            let object: DynamicObject =
                serde_json::from_value(json!({"metadata": {"name": "x"}, "spec": spec})).unwrap();
            assert_eq!(Message::joined(says_more(&object, "n")).en, told, "{what}");
        }
    }

    #[test]
    fn the_host_is_known_in_all_its_forms() {
        for (host, is) in [
            ("flaskapp", true),
            ("flaskapp.n", true),
            ("flaskapp.n.svc.cluster.local", true),
            ("flaskapp.m", false),
            ("flaskapp2", false),
        ] {
            assert_eq!(is_demo_host(host, "n"), is, "{host}");
        }
    }
}
