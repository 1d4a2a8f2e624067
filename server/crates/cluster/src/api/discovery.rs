//! What there is: versions, groups, resources; aggregated in one answer or piece by piece.
//!
//! Source: Kubernetes API reference, `APIGroupDiscoveryList` (apidiscovery.k8s.io/v2) and `APIResourceList`.
use super::respond::{self, Answer};
use super::reviews::REVIEWS;
use super::route::{Route, no_such_path};
use super::{crds, negotiate, pods};
use crate::kinds::{Kind, Kinds};
use crate::status::Status;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const WRITE_VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const READ_VERBS: [&str; 3] = ["get", "list", "watch"];

/// The Kubernetes version whose API this is.
pub(super) const MINOR: &str = "36";

/// `/version`.
pub(super) fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR, "gitVersion": format!("v1.{MINOR}.0+demo-panel"), "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

/// One resource or subresource.
struct Resource {
    group: String,
    version: String,
    kind: String,
    plural: String,
    singular: String,
    short_names: Vec<String>,
    categories: Vec<String>,
    namespaced: bool,
    verbs: Vec<&'static str>,
    subresources: Vec<Sub>,
}

struct Sub {
    name: String,
    /// Group, version and kind of what it takes.
    kind: (&'static str, &'static str, String),
    verbs: Vec<&'static str>,
}

pub(super) fn answer(kinds: &Kinds, route: &Route, headers: &HeaderMap) -> Result<Answer, Status> {
    let all = resources(kinds);
    let aggregated = negotiate::wants_aggregated_discovery(headers);
    match route {
        Route::CoreVersions if aggregated => Ok(aggregate(&all, true)),
        Route::Groups if aggregated => Ok(aggregate(&all, false)),
        Route::CoreVersions => Ok(ok(&json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }))),
        Route::Groups => {
            let groups: Vec<Value> =
                groups(&all).into_iter().filter(|g| !g.is_empty()).map(|g| group(&all, g)).collect();
            Ok(ok(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})))
        }
        Route::Group(name) if groups(&all).contains(&name.as_str()) => {
            let mut group = group(&all, name);
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            Ok(ok(&group))
        }
        Route::Resources { group, version } => {
            let own: Vec<&Resource> = all.iter().filter(|r| r.group == *group && r.version == *version).collect();
            if own.is_empty() {
                return Err(no_such_path());
            }
            Ok(ok(&json!({
                "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group, version),
                "resources": own.into_iter().flat_map(legacy).collect::<Vec<_>>(),
            })))
        }
        _ => Err(no_such_path()),
    }
}

fn ok(value: &Value) -> Answer {
    respond::json(StatusCode::OK, value)
}

pub(super) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Every group and version that is served, in order.
pub(super) fn group_versions(kinds: &Kinds) -> Vec<(String, String)> {
    let mut seen: Vec<(String, String)> = Vec::new();
    for resource in resources(kinds) {
        let pair = (resource.group, resource.version);
        if !seen.contains(&pair) {
            seen.push(pair);
        }
    }
    seen
}

fn resources(kinds: &Kinds) -> Vec<Resource> {
    let crd = crds::kind();
    let stored = kinds.iter().flat_map(|kind| of_kind(kind, &WRITE_VERBS));
    let reviews = REVIEWS.iter().map(|(group, kind, plural)| Resource {
        group: (*group).to_owned(),
        version: "v1".to_owned(),
        kind: (*kind).to_owned(),
        plural: (*plural).to_owned(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: false,
        verbs: vec!["create"],
        subresources: Vec::new(),
    });
    stored.chain(of_kind(&crd, &READ_VERBS)).chain(reviews).collect()
}

fn of_kind(kind: &Kind, verbs: &[&'static str]) -> Vec<Resource> {
    let mut names = kind.subresources.clone();
    if kind.plural == "pods" && kind.group.is_empty() && !names.iter().any(|name| name == "eviction") {
        names.push("eviction".to_owned());
    }
    kind.versions
        .iter()
        .map(|version| Resource {
            group: kind.group.clone(),
            version: version.clone(),
            kind: kind.kind.clone(),
            plural: kind.plural.clone(),
            singular: kind.singular.clone(),
            short_names: kind.short_names.clone(),
            categories: kind.categories.clone(),
            namespaced: kind.namespaced,
            verbs: verbs.to_vec(),
            subresources: names.iter().map(|name| subresource(kind, name)).collect(),
        })
        .collect()
}

fn subresource(kind: &Kind, name: &str) -> Sub {
    let (what, verbs): ((&str, &str, &str), &[&str]) = match name {
        "scale" => (("autoscaling", "v1", "Scale"), &["get", "patch", "update"]),
        "log" => (("", "", &kind.kind), &["get"]),
        "exec" => (("", "v1", "PodExecOptions"), &["create", "get"]),
        "portforward" => (("", "v1", "PodPortForwardOptions"), &["create", "get"]),
        "binding" => (("", "v1", "Binding"), &["create"]),
        "eviction" => (("policy", "v1", "Eviction"), &["create"]),
        "finalize" => (("", "", &kind.kind), &["update"]),
        _ => (("", "", &kind.kind), &["get", "patch", "update"]),
    };
    let group = match what.0 {
        "autoscaling" => "autoscaling",
        "policy" => "policy",
        _ => "",
    };
    let version = if what.1.is_empty() { "" } else { "v1" };
    debug_assert!(name != "log" || pods::KNOWN.contains(&name));
    Sub {
        name: name.to_owned(),
        kind: (group, version, what.2.to_owned()),
        verbs: verbs.iter().map(|verb| verb_name(verb)).collect(),
    }
}

fn verb_name(verb: &str) -> &'static str {
    WRITE_VERBS.into_iter().find(|known| *known == verb).unwrap_or("get")
}

fn groups(all: &[Resource]) -> Vec<&str> {
    let mut seen: Vec<&str> = Vec::new();
    for resource in all {
        if !seen.contains(&resource.group.as_str()) {
            seen.push(&resource.group);
        }
    }
    seen
}

fn versions<'a>(all: &'a [Resource], group: &str) -> Vec<&'a str> {
    let mut seen: Vec<&str> = Vec::new();
    for resource in all.iter().filter(|r| r.group == group) {
        if !seen.contains(&resource.version.as_str()) {
            seen.push(&resource.version);
        }
    }
    seen
}

fn group(all: &[Resource], name: &str) -> Value {
    let versions: Vec<Value> = versions(all, name)
        .into_iter()
        .map(|v| json!({"groupVersion": group_version(name, v), "version": v}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

fn legacy(resource: &Resource) -> Vec<Value> {
    let mut main = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced, "kind": resource.kind, "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        main["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        main["categories"] = json!(resource.categories);
    }
    let subs = resource.subresources.iter().map(|sub| {
        let mut value = json!({
            "name": format!("{}/{}", resource.plural, sub.name), "singularName": "", "namespaced": resource.namespaced, "kind": sub.kind.2, "verbs": sub.verbs,
        });
        if !sub.kind.0.is_empty() {
            value["group"] = sub.kind.0.into();
            value["version"] = sub.kind.1.into();
        }
        value
    });
    std::iter::once(main).chain(subs).collect()
}

fn aggregate(all: &[Resource], core: bool) -> Answer {
    let items: Vec<Value> = groups(all)
        .into_iter()
        .filter(|group| group.is_empty() == core)
        .map(|group| {
            let versions: Vec<Value> = versions(all, group).into_iter().map(|version| {
            let own = all.iter().filter(|r| r.group == group && r.version == version);
            json!({"version": version, "resources": own.map(aggregated).collect::<Vec<_>>(), "freshness": "Current"})
        }).collect();
            let metadata = if group.is_empty() {
                json!({"creationTimestamp": null})
            } else {
                json!({"name": group, "creationTimestamp": null})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let list = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items});
    let mut answer = ok(&list);
    answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    answer
}

fn aggregated(resource: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut value = json!({
        "resource": resource.plural,
        "responseKind": kind(&resource.group, &resource.version, &resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        value["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        value["categories"] = json!(resource.categories);
    }
    if !resource.subresources.is_empty() {
        let subs: Vec<Value> = resource
            .subresources
            .iter()
            .map(|sub| {
                let (group, version, name) = (sub.kind.0, sub.kind.1, &sub.kind.2);
                let response = if version.is_empty() {
                    kind(&resource.group, &resource.version, name)
                } else {
                    kind(group, version, name)
                };
                json!({"subresource": sub.name, "responseKind": response, "verbs": sub.verbs})
            })
            .collect();
        value["subresources"] = json!(subs);
    }
    value
}
