//! The demo's objects as the panel applies them: the files of `kubernetes/demo`, put into a namespace.
use super::discover::ISTIO;
use kube::api::{ApiResource, DynamicObject};
use serde_json::{Value, json};

/// Field manager of everything the panel writes, and the value of its label.
pub const MANAGER: &str = "demo-panel";
/// The label that says who made an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The host the demo's route is about: the Service's name.
pub const ROUTE_HOST: &str = "flaskapp";

/// The kinds the panel deals with, in the order it shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KindName {
    /// `v1` Namespace; not watched.
    Namespace,
    /// `v1` Service.
    Service,
    /// `apps/v1` Deployment.
    Deployment,
    /// `networking.istio.io` DestinationRule.
    DestinationRule,
    /// `networking.istio.io` VirtualService.
    VirtualService,
    /// `v1` Pod.
    Pod,
}

impl KindName {
    /// The kinds that are watched in a namespace.
    pub const WATCHED: [KindName; 5] =
        [KindName::Service, KindName::Deployment, KindName::DestinationRule, KindName::VirtualService, KindName::Pod];

    /// How Kubernetes names it; `istio` is the version of Istio's kinds.
    pub fn resource(self, istio: &str) -> ApiResource {
        let (group, version, kind, plural) = match self {
            KindName::Namespace => ("", "v1", "Namespace", "namespaces"),
            KindName::Service => ("", "v1", "Service", "services"),
            KindName::Deployment => ("apps", "v1", "Deployment", "deployments"),
            KindName::DestinationRule => (ISTIO, istio, "DestinationRule", "destinationrules"),
            KindName::VirtualService => (ISTIO, istio, "VirtualService", "virtualservices"),
            KindName::Pod => ("", "v1", "Pod", "pods"),
        };
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// Lower-case word, as `kubectl` prints it.
    pub fn word(self) -> &'static str {
        match self {
            KindName::Namespace => "namespace",
            KindName::Service => "service",
            KindName::Deployment => "deployment",
            KindName::DestinationRule => "destinationrule",
            KindName::VirtualService => "virtualservice",
            KindName::Pod => "pod",
        }
    }

    /// Whether it is one of Istio's, which may be missing.
    pub fn of_mesh(self) -> bool {
        matches!(self, KindName::DestinationRule | KindName::VirtualService)
    }
}

/// One of the demo's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Its kind.
    pub kind: KindName,
    /// Its name.
    pub name: &'static str,
}

impl Id {
    const fn new(kind: KindName, name: &'static str) -> Id {
        Id { kind, name }
    }
    /// Service `flaskapp`.
    pub const SERVICE: Id = Id::new(KindName::Service, "flaskapp");
    /// Deployment of version 1.
    pub const V1: Id = Id::new(KindName::Deployment, "flaskapp-v1");
    /// Deployment of version 2.
    pub const V2: Id = Id::new(KindName::Deployment, "flaskapp-v2");
    /// Service of the client.
    pub const CLIENT_SERVICE: Id = Id::new(KindName::Service, "simple-flask-app-client");
    /// Deployment of the client.
    pub const CLIENT: Id = Id::new(KindName::Deployment, "simple-flask-app-client");
    /// The subsets.
    pub const RULE: Id = Id::new(KindName::DestinationRule, "flaskapp");
    /// The weights.
    pub const ROUTE: Id = Id::new(KindName::VirtualService, "flaskapp-vs");
    /// Everything, in the order it is made.
    pub const ALL: [Id; 7] = [Id::SERVICE, Id::V1, Id::V2, Id::CLIENT_SERVICE, Id::CLIENT, Id::RULE, Id::ROUTE];
}

/// `deployment/flaskapp-v1`.
impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
}

/// Whether an object carries the panel's label.
pub fn ours(object: &DynamicObject) -> bool {
    object.metadata.labels.as_ref().and_then(|l| l.get(MANAGED_BY)).is_some_and(|v| v == MANAGER)
}

/// Where the demo's image comes from.
pub struct ImageSource {
    /// Its name, with a registry and a tag where they are needed.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
    /// Secret of the demo's namespace that opens the registry.
    pub pull_secret: Option<String>,
}

/// The parsed files.
pub struct Manifests {
    objects: Vec<Value>,
    source: ImageSource,
}

const FILES: [(&str, &str); 5] = [
    ("00-namespace.yaml", include_str!("../../../kubernetes/demo/00-namespace.yaml")),
    ("flaskapp.yaml", include_str!("../../../kubernetes/demo/flaskapp.yaml")),
    ("client.yaml", include_str!("../../../kubernetes/demo/client.yaml")),
    ("destination-rule.yaml", include_str!("../../../kubernetes/demo/destination-rule.yaml")),
    ("virtual-service.yaml", include_str!("../../../kubernetes/demo/virtual-service.yaml")),
];

impl Manifests {
    /// Reads the embedded files. `source` replaces the demo's image. Errors: a file is not YAML, or lacks an object.
    pub fn parse(source: ImageSource) -> Result<Manifests, String> {
        let mut objects = Vec::new();
        for (file, text) in FILES {
            let read: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| format!("{file}: {e}"))?;
            objects.extend(read);
        }
        let manifests = Manifests { objects, source };
        match Id::ALL.into_iter().find(|id| manifests.base(*id).is_none()) {
            Some(id) => Err(format!("the manifests lack {id}")),
            None => Ok(manifests),
        }
    }

    fn base(&self, id: Id) -> Option<&Value> {
        self.objects
            .iter()
            .find(|o| o["kind"] == id.kind.resource("v1").kind.as_str() && o["metadata"]["name"] == id.name)
    }

    /// The namespace itself.
    pub fn namespace(&self, ns: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns, "labels": {MANAGED_BY: MANAGER}}})
    }

    /// One object for a namespace; `inject` is what a Deployment's pods say about sidecars.
    pub fn object(&self, id: Id, ns: &str, inject: Option<bool>) -> Value {
        let mut object = self.base(id).cloned().unwrap_or_default();
        object["metadata"]["namespace"] = ns.into();
        if id.kind == KindName::Deployment {
            let template = &mut object["spec"]["template"];
            if let Some(inject) = inject {
                template["metadata"]["labels"]["sidecar.istio.io/inject"] = inject.to_string().into();
            }
            for container in template["spec"]["containers"].as_array_mut().into_iter().flatten() {
                container["image"] = self.source.image.as_str().into();
                container["imagePullPolicy"] = self.source.pull_policy.as_str().into();
            }
            if let Some(secret) = &self.source.pull_secret {
                template["spec"]["imagePullSecrets"] = json!([{"name": secret}]);
            }
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_is_in_the_files_and_carries_the_label() {
        let source = ImageSource {
            image: "registry/simple-flask-app:1".into(),
            pull_policy: "Always".into(),
            pull_secret: Some("mirror".into()),
        };
        let manifests = Manifests::parse(source).unwrap();
        for id in Id::ALL {
            let object = manifests.object(id, "n", Some(true));
            assert_eq!(object["apiVersion"], id.kind.resource("v1").api_version.as_str(), "{id}");
            assert_eq!(object["metadata"]["labels"][MANAGED_BY], MANAGER, "{id}");
            assert_eq!(object["metadata"]["namespace"], "n", "{id}");
            if id.kind == KindName::Deployment {
                let template = &object["spec"]["template"];
                assert_eq!(template["metadata"]["labels"]["sidecar.istio.io/inject"], "true", "{id}");
                let container = &template["spec"]["containers"][0];
                assert_eq!(
                    (&container["image"], &container["imagePullPolicy"]),
                    (&json!("registry/simple-flask-app:1"), &json!("Always")),
                    "{id}"
                );
                assert_eq!(template["spec"]["imagePullSecrets"], json!([{"name": "mirror"}]), "{id}");
            }
        }
    }
}
