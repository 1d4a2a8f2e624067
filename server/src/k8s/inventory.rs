//! Everything a namespace holds, of whatever kind the cluster serves: metadata alone, so that nobody's Secret is read for it.
//!
//! Source: Kubernetes documentation, "API discovery"; a kind is asked for in the first version that names it.
use super::client::reason_of;
use super::discovery::document;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, ObjectMeta};
use serde_json::Value;
use std::collections::BTreeSet;

/// Objects asked for at once.
const PAGE: u32 = 250;

/// What was found, and what could not be looked at.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Each object's kind, and its metadata.
    pub objects: Vec<(ApiResource, ObjectMeta)>,
    /// Kinds that could not be listed, or groups whose kinds could not be had, each with the cluster's words.
    pub unseen: Vec<(String, String)>,
    /// Group and kind of everything that lives in namespaces: an owner of another kind does not go with the namespace.
    pub namespaced: BTreeSet<(String, String)>,
}

/// Lists every kind that can be listed and deleted in a namespace, page by page. What cannot be had is told, never left out.
pub async fn inventory(client: &Client, ns: &str) -> Inventory {
    let mut found = Inventory::default();
    for (path, group, version) in versions(client, &mut found.unseen).await {
        match document(client, &path).await {
            Ok(Some(said)) => {
                for kind in kinds(&said, &group, &version) {
                    if found.namespaced.insert((kind.group.clone(), kind.kind.clone())) {
                        list(client, ns, &kind, &mut found).await;
                    }
                }
            }
            Ok(None) => {}
            Err(error) => found.unseen.push((path.trim_start_matches("/apis/").to_owned(), reason_of(&error))),
        }
    }
    found
}

/// Lists some kinds only; as above.
pub async fn inventory_of(client: &Client, ns: &str, kinds: impl IntoIterator<Item = ApiResource>) -> Inventory {
    let mut found = Inventory::default();
    for kind in kinds {
        found.namespaced.insert((kind.group.clone(), kind.kind.clone()));
        list(client, ns, &kind, &mut found).await;
    }
    found
}

/// The path, group and version of everything that is served; a group's preferred version first.
async fn versions(client: &Client, unseen: &mut Vec<(String, String)>) -> Vec<(String, String, String)> {
    let mut all = vec![("/api/v1".to_owned(), String::new(), "v1".to_owned())];
    let groups = match document(client, "/apis").await {
        Ok(groups) => groups.unwrap_or_default(),
        Err(error) => {
            unseen.push(("the cluster's kinds".to_owned(), reason_of(&error)));
            return all;
        }
    };
    for group in groups["groups"].as_array().into_iter().flatten() {
        let name = group["name"].as_str().unwrap_or_default();
        let preferred = group["preferredVersion"]["version"].as_str().unwrap_or_default();
        let mut served: Vec<&str> =
            group["versions"].as_array().into_iter().flatten().filter_map(|v| v["version"].as_str()).collect();
        served.sort_by_key(|version| *version != preferred);
        all.extend(
            served.into_iter().map(|version| (format!("/apis/{name}/{version}"), name.to_owned(), version.to_owned())),
        );
    }
    all
}

/// The kinds of one version that live in namespaces and are stored: what cannot be deleted (metrics, reviews) is nobody's to lose.
fn kinds(said: &Value, group: &str, version: &str) -> Vec<ApiResource> {
    let stored = |r: &&Value| {
        let can = |verb: &str| r["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|v| v == verb));
        r["namespaced"] == true
            && can("list")
            && can("delete")
            && r["name"].as_str().is_some_and(|name| !name.contains('/'))
    };
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let resources = said["resources"].as_array().into_iter().flatten().filter(stored);
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let one = |r: &Value| ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.clone(),
        kind: text(&r["kind"]),
        plural: text(&r["name"]),
    };
    resources.map(one).collect()
}

async fn list(client: &Client, ns: &str, kind: &ApiResource, found: &mut Inventory) {
    // They tell what happened, and are gone within the hour.
    if kind.kind == "Event" {
        return;
    }
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), ns, kind);
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match api.list_metadata(&params).await {
            Ok(page) => page,
            // Its definition was removed meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => return,
            Err(error) => {
                let name =
                    if kind.group.is_empty() { kind.plural.clone() } else { format!("{}.{}", kind.plural, kind.group) };
                found.unseen.push((name, reason_of(&error)));
                return;
            }
        };
        let next = page.metadata.continue_.filter(|token| !token.is_empty());
        found.objects.extend(page.items.into_iter().map(|object| (kind.clone(), object.metadata)));
        match next {
            Some(token) => params = ListParams::default().limit(PAGE).continue_token(&token),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_stored_in_namespaces_is_asked_for() {
        let resource = |name: &str, namespaced: bool, verbs: &[&str]| json!({"name": name, "kind": name, "namespaced": namespaced, "verbs": verbs});
        let said = json!({"resources": [
            resource("roles", true, &["create", "delete", "list"]),
            resource("roles/status", true, &["delete", "list"]),
            resource("clusterroles", false, &["delete", "list"]),
            resource("podmetrics", true, &["get", "list"]),
            resource("reviews", true, &["create"]),
        ]});
        let asked: Vec<String> =
            kinds(&said, "g", "v1").into_iter().map(|k| format!("{}/{}", k.api_version, k.plural)).collect();
        assert_eq!(asked, ["g/v1/roles"]);
    }
}
