//! What a cluster serves of Istio, which control plane it has, and whom it takes the panel for: asked, never assumed.
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Istio's API group.
pub const ISTIO: &str = "networking.istio.io";
/// Its versions, newest first. All of them are the same objects.
pub const KNOWN: [&str; 3] = ["v1", "v1beta1", "v1alpha3"];

/// The versions that serve both VirtualService and DestinationRule, newest first; empty where Istio's kinds are not there.
/// Errors: the cluster does not answer, or does not let the panel ask.
pub async fn istio_versions(client: &Client) -> Result<Vec<&'static str>, kube::Error> {
    let Some(group) = document(client, &format!("/apis/{ISTIO}")).await? else { return Ok(Vec::new()) };
    let mut served = Vec::new();
    for version in newest_first(&group) {
        let resources = document(client, &format!("/apis/{ISTIO}/{version}")).await?.unwrap_or_default();
        let has =
            |plural: &str| resources["resources"].as_array().is_some_and(|all| all.iter().any(|r| r["name"] == plural));
        if has("virtualservices") && has("destinationrules") {
            served.push(version);
        }
    }
    Ok(served)
}

/// The versions we know that a group's discovery document names.
fn newest_first(group: &Value) -> Vec<&'static str> {
    let named: Vec<&str> =
        group["versions"].as_array().into_iter().flatten().filter_map(|v| v["version"].as_str()).collect();
    KNOWN.into_iter().filter(|version| named.contains(version)).collect()
}

/// A document of discovery; nothing where it is not there.
pub async fn document(client: &Client, path: &str) -> Result<Option<Value>, kube::Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    match client.request::<Value>(request).await {
        Ok(document) => Ok(Some(document)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// An istiod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Istiod {
    /// Its Deployment.
    pub name: String,
    /// The `istio.io/rev` label; `default` where there is none.
    pub revision: String,
    /// Tag of its image.
    pub version: String,
    /// Ready replicas.
    pub ready: u32,
    /// Wanted replicas.
    pub wanted: u32,
}

/// The value of a label that is there and not empty.
pub fn label(labels: Option<&BTreeMap<String, String>>, key: &str) -> Option<String> {
    labels.and_then(|l| l.get(key)).filter(|v| !v.is_empty()).cloned()
}

/// Istiods in `istio-system`. Errors: it cannot be looked at.
pub async fn istiods(client: &Client) -> Result<Vec<Istiod>, kube::Error> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), "istio-system");
    let listed = api.list(&ListParams::default().labels("app=istiod")).await?;
    Ok(listed.items.into_iter().map(istiod).collect())
}

fn istiod(deployment: Deployment) -> Istiod {
    let (spec, status) = (deployment.spec.unwrap_or_default(), deployment.status.unwrap_or_default());
    let image =
        spec.template.spec.and_then(|s| s.containers.into_iter().next()).and_then(|c| c.image).unwrap_or_default();
    Istiod {
        name: deployment.metadata.name.unwrap_or_default(),
        revision: label(deployment.metadata.labels.as_ref(), "istio.io/rev").unwrap_or_else(|| "default".to_owned()),
        version: tag(&image),
        ready: u32::try_from(status.ready_replicas.unwrap_or(0)).unwrap_or(0),
        wanted: u32::try_from(spec.replicas.unwrap_or(1)).unwrap_or(1),
    }
}

/// The tag of an image; a registry's port is none.
fn tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split_once(':').map_or("", |(_, tag)| tag).split('@').next().unwrap_or_default().to_owned()
}

/// How people call a mesh: by istiod's version and revision where it can be seen, else by what is served.
pub fn mesh_name(istiods: &[Istiod], serves: &str) -> String {
    match istiods.iter().max_by_key(|i| (i.ready > 0, i.revision == "default")) {
        Some(istiod) => format!("Istio {}, revision {}", istiod.version, istiod.revision).replace(" ,", ","),
        None => format!("Istio {ISTIO}/{serves}"),
    }
}

/// Whom the cluster takes the panel for; nothing where it does not say.
pub async fn whoami(client: &Client) -> Option<String> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let said = post(client, "/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await.ok()?;
    said["status"]["userInfo"]["username"].as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Asks a review of oneself; nothing is stored by it.
pub async fn post(client: &Client, path: &str, body: &Value) -> Result<Value, kube::Error> {
    let bytes = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
    let request = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json").body(bytes);
    client.request(request.map_err(kube::Error::HttpError)?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_tag_is_not_its_registrys_port() {
        for (image, version) in
            [("docker.io/istio/pilot:1.31.0", "1.31.0"), ("localhost:5000/pilot", ""), ("pilot:1@sha256:ab", "1")]
        {
            assert_eq!(tag(image), version, "{image}");
        }
    }

    #[test]
    fn a_mesh_is_called_by_its_control_plane_or_by_what_it_serves() {
        let one = |version: &str, revision: &str, ready| Istiod {
            version: version.into(),
            revision: revision.into(),
            ready,
            ..Istiod::default()
        };
        for (istiods, name) in [
            (vec![one("1.31.0", "default", 1)], "Istio 1.31.0, revision default"),
            (vec![one("1.30.2", "default", 0), one("1.31.0", "canary", 1)], "Istio 1.31.0, revision canary"),
            (vec![], "Istio networking.istio.io/v1beta1"),
        ] {
            assert_eq!(mesh_name(&istiods, "v1beta1"), name);
        }
    }

    #[test]
    fn the_newest_known_version_comes_first() {
        let group =
            |versions: &[&str]| json!({"versions": versions.iter().map(|v| json!({"version": v})).collect::<Vec<_>>()});
        for (served, order) in [
            (vec!["v1alpha3", "v1beta1", "v1"], vec!["v1", "v1beta1", "v1alpha3"]),
            (vec!["v1beta1", "v1alpha3"], vec!["v1beta1", "v1alpha3"]),
            (vec!["v2"], vec![]),
        ] {
            assert_eq!(newest_first(&group(&served)), order);
        }
    }
}
