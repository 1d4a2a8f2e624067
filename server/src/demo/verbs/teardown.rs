//! Removes everything that carries our label, waits until it is gone, and tells what is left and whose it is.
//! Accepted at once. Errors later, in the operation: `forbidden`, `timeout`.
use crate::demo::namespace::facts::{Left, Line};
use crate::demo::namespace::state::{NamespaceState, ToAgent};
use crate::demo::objects::Id;
use crate::demo::plan::Goal;
use crate::demo::plan::observe::mesh_served;
use crate::demo::view::commands;
use crate::demo::virtual_service;
use crate::k8s::{Inventory, KindName, MANAGED_BY, MANAGER, inventory, inventory_of};
use app::text::messages::log;
use tokio::sync::oneshot;
use wire::{ApiError, LoadOrder, Operation, Rate, Verb};

/// Clean-up. It cancels what is under way.
pub async fn teardown(state: &NamespaceState, by: &str) -> Result<Operation, ApiError> {
    let command = commands::teardown(state);
    let line =
        Line { by: by.to_owned(), verb: Some(Verb::Teardown), what: log::clean_up(), command, ..Line::default() };
    // The load ends with its pod anyway; this only makes the end orderly.
    let (answer, _) = oneshot::channel();
    let _ = state.to_agent.try_send(ToAgent::Load(LoadOrder::default(), answer));
    let operation = state.pursue(Verb::Teardown, by, Goal { teardown: true, ..Goal::default() }, line);
    state.facts.send_modify(|f| {
        f.load = Rate::default();
        f.verified = None;
        f.ours = None;
        f.desired_by.clear();
        f.left = Left::default();
    });
    Ok(operation)
}

/// Made in every namespace by Kubernetes or Istio themselves.
const STANDARD: [(&str, &str); 4] = [
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "istio-ca-root-cert"),
    ("ConfigMap", "istio-ca-crl"),
    ("ServiceAccount", "default"),
];

/// What others have in a namespace that is ours: all of it would go with the namespace. In one that is not, what bears the demo's
/// names: that is what stands in the next deploy's way.
pub async fn look_around(state: &NamespaceState, whole: bool) -> Left {
    let (client, ns) = (&state.cluster.client, state.ns.as_str());
    if whole {
        return judge(inventory(client, ns).await, |_, _| true);
    }
    let kinds = KindName::WATCHED
        .into_iter()
        .filter(|kind| *kind != KindName::Pod && !(kind.of_mesh() && !mesh_served(&state.now())));
    let demos =
        |kind: &str, name: &str| Id::ALL.iter().any(|id| id.kind.word() == kind.to_lowercase() && id.name == name);
    let routes = |kind: &str, name: &str| {
        kind == "VirtualService"
            && virtual_service::find(&state.now(), ns)
                .is_some_and(|seen| seen.object.metadata.name.as_deref() == Some(name))
    };
    let left = judge(inventory_of(client, ns, kinds.map(|kind| state.cluster.resource(kind))).await, |kind, name| {
        demos(kind, name) || routes(kind, name)
    });
    // What is not to be removed need not be seen.
    Left { unseen: Vec::new(), ..left }
}

fn judge(seen: Inventory, counts: impl Fn(&str, &str) -> bool) -> Left {
    let mut left = Left { unseen: seen.unseen, ..Left::default() };
    for (resource, meta) in seen.objects {
        let name = meta.name.clone().unwrap_or_default();
        let carries_our_label = meta.labels.as_ref().and_then(|l| l.get(MANAGED_BY)).is_some_and(|v| v == MANAGER);
        // What a controller made here follows its owner, and that is looked at itself.
        let owned = meta.owner_references.iter().flatten().any(|owner| {
            let group = owner.api_version.rsplit_once('/').map_or("", |(group, _)| group);
            seen.namespaced.contains(&(group.to_owned(), owner.kind.clone()))
        });
        let managers: Vec<String> = meta.managed_fields.iter().flatten().filter_map(|e| e.manager.clone()).collect();
        // A Service's, and they go with it.
        let endpoints = resource.kind == "Endpoints" && managers.iter().all(|m| m == "kube-controller-manager");
        // Older clusters make one for each account.
        let account = meta.annotations.as_ref().and_then(|a| a.get("kubernetes.io/service-account.name"));
        let token =
            resource.kind == "Secret" && account.is_some_and(|account| name.starts_with(&format!("{account}-token-")));
        let theirs = !carries_our_label
            && !owned
            && !endpoints
            && !token
            && !STANDARD.contains(&(resource.kind.as_str(), name.as_str()));
        if theirs && counts(&resource.kind, &name) {
            let whose = managers.into_iter().next().unwrap_or_else(|| "somebody else".to_owned());
            left.theirs.push((format!("{}/{name}", resource.kind.to_lowercase()), whose));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::api::{ApiResource, ObjectMeta};
    use serde_json::{Value, json};

    #[test]
    fn what_would_be_lost_with_a_namespace_is_found() {
        let labels = json!({"app.kubernetes.io/managed-by": "demo-panel"});
        let owner = |kind: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": "u"}]);
        let by = |manager: &str| json!([{"manager": manager}]);
        for (what, group, kind, meta, left) in [
            ("ours", "", "Service", json!({"name": "a", "labels": labels}), ""),
            (
                "somebody's role",
                "rbac.authorization.k8s.io",
                "Role",
                json!({"name": "a", "managedFields": by("ann")}),
                "role/a ann",
            ),
            ("a custom resource", "x.io", "Thing", json!({"name": "a"}), "thing/a somebody else"),
            (
                "what a controller made here",
                "apps",
                "ReplicaSet",
                json!({"name": "a", "ownerReferences": owner("Deployment")}),
                "",
            ),
            (
                "what something outside owns",
                "",
                "Secret",
                json!({"name": "a", "ownerReferences": owner("Cluster")}),
                "secret/a somebody else",
            ),
            ("made everywhere", "", "ConfigMap", json!({"name": "kube-root-ca.crt"}), ""),
            (
                "a token of the account",
                "",
                "Secret",
                json!({"name": "default-token-x2", "annotations": {"kubernetes.io/service-account.name": "default"}}),
                "",
            ),
            (
                "a token that somebody made",
                "",
                "Secret",
                json!({"name": "ci", "annotations": {"kubernetes.io/service-account.name": "default"}}),
                "secret/ci somebody else",
            ),
            (
                "a Service's endpoints",
                "",
                "Endpoints",
                json!({"name": "a", "managedFields": by("kube-controller-manager")}),
                "",
            ),
            (
                "endpoints by hand",
                "",
                "Endpoints",
                json!({"name": "a", "managedFields": by("kubectl")}),
                "endpoints/a kubectl",
            ),
        ] as [(&str, &str, &str, Value, &str); 10]
        {
            let resource = ApiResource {
                group: group.into(),
                version: "v1".into(),
                api_version: "v1".into(),
                kind: kind.into(),
                plural: String::new(),
            };
            let meta: ObjectMeta = serde_json::from_value(meta).unwrap();
            let namespaced = [("apps".to_owned(), "Deployment".to_owned())].into();
            let seen = Inventory { objects: vec![(resource, meta)], unseen: vec![], namespaced };
            let shown: Vec<String> =
                judge(seen, |_, _| true).theirs.into_iter().map(|(what, whose)| format!("{what} {whose}")).collect();
            assert_eq!(shown.join(", "), left, "{what}");
        }
        let hidden = Inventory { unseen: vec![("secrets".into(), "forbidden".into())], ..Inventory::default() };
        assert!(!judge(hidden, |_, _| true).is_empty(), "what cannot be seen may be there");
    }
}
