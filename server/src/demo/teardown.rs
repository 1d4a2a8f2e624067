//! Removes everything that carries our label, waits until it is gone, and tells what is left and whose it is.
//! Accepted at once. Errors later, in the operation: `forbidden`, `timeout`.
use super::facts::Line;
use super::plan::Goal;
use super::space::{Space, ToAgent};
use crate::k8s::{MANAGER, api_error, ours};
use app::types::{ApiError, LoadRequest, Operation, Rate, Verb};
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use tokio::sync::oneshot;

/// Clean-up. It cancels what is under way.
pub async fn teardown(space: &Space, by: &str) -> Result<Operation, ApiError> {
    let command = format!("kubectl -n {} delete virtualservices,destinationrules,deployments,services -l app.kubernetes.io/managed-by={MANAGER}", space.ns);
    let line = Line { by: by.to_owned(), verb: Some(Verb::Teardown), what: "clean up".to_owned(), command, ..Line::default() };
    // The load ends with its pod anyway; this only makes the end orderly.
    let (answer, _) = oneshot::channel();
    let _ = space.to_agent.try_send(ToAgent::Load(LoadRequest { rate: Rate::default(), requests: None }, answer));
    let operation = space.pursue(Verb::Teardown, by, Goal { teardown: true, ..Goal::default() }, line);
    space.facts.send_modify(|f| {
        f.load = Rate::default();
        f.verified = None;
        f.ours = None;
        f.wished_by.clear();
        f.left.clear();
    });
    Ok(operation)
}

/// Kinds that make a namespace somebody's. What controllers make from these follows them.
const KINDS: [(&str, &str, &str, &str); 13] = [
    ("", "v1", "Pod", "pods"),
    ("", "v1", "Service", "services"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("", "v1", "Secret", "secrets"),
    ("", "v1", "ServiceAccount", "serviceaccounts"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("apps", "v1", "Deployment", "deployments"),
    ("apps", "v1", "StatefulSet", "statefulsets"),
    ("apps", "v1", "DaemonSet", "daemonsets"),
    ("batch", "v1", "Job", "jobs"),
    ("batch", "v1", "CronJob", "cronjobs"),
    ("networking.istio.io", "v1", "VirtualService", "virtualservices"),
    ("networking.istio.io", "v1", "DestinationRule", "destinationrules"),
];

/// Made in every namespace by Kubernetes or Istio themselves.
const STANDARD: [(&str, &str); 4] =
    [("ConfigMap", "kube-root-ca.crt"), ("ConfigMap", "istio-ca-root-cert"), ("ConfigMap", "istio-ca-crl"), ("ServiceAccount", "default")];

/// What others have in the namespace, and who they are. What may not be listed is not known to be there.
pub async fn look_around(space: &Space) -> Result<Vec<(String, String)>, ApiError> {
    let mut left = Vec::new();
    for (group, version, kind, plural) in KINDS {
        // Istio's kinds in the version that this cluster serves.
        let version = if group == "networking.istio.io" { space.cluster.istio_version() } else { version };
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let resource = ApiResource { group: group.into(), version: version.into(), api_version, kind: kind.into(), plural: plural.into() };
        let api: Api<DynamicObject> = Api::namespaced_with(space.cluster.client.clone(), space.ns.as_str(), &resource);
        let listed = match api.list(&ListParams::default().limit(20)).await {
            Ok(listed) => listed,
            Err(kube::Error::Api(status)) if matches!(status.code, 403..=405) => continue,
            Err(error) => return Err(api_error(&format!("list {plural}"), &error)),
        };
        for object in listed.items.into_iter().filter(|o| !ours(o)) {
            let name = object.metadata.name.clone().unwrap_or_default();
            let owned = object.metadata.owner_references.as_ref().is_some_and(|o| !o.is_empty());
            let token = kind == "Secret" && object.data["type"] == "kubernetes.io/service-account-token";
            if !owned && !token && !STANDARD.contains(&(kind, name.as_str())) {
                let entries = object.metadata.managed_fields.unwrap_or_default();
                let whose = entries.into_iter().find_map(|e| e.manager).unwrap_or_else(|| "somebody else".to_owned());
                left.push((format!("{}/{name}", kind.to_lowercase()), whose));
            }
        }
    }
    Ok(left)
}
