//! The demo's objects as the panel applies them: the files of `kubernetes/demo`, put into a namespace.
use crate::k8s::{KindName, MANAGED_BY, MANAGER};
use serde_json::{Value, json};
use wire::WorkloadName;

/// The host the demo's route is about: the Service's name.
pub const ROUTE_HOST: &str = "flaskapp";

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
    /// The Deployment of a workload.
    pub fn of(workload: WorkloadName) -> Id {
        match workload {
            WorkloadName::FlaskappV1 => Id::V1,
            WorkloadName::FlaskappV2 => Id::V2,
            WorkloadName::Client => Id::CLIENT,
        }
    }
    /// Everything, in the order it is made.
    pub const ALL: [Id; 7] = [Id::SERVICE, Id::V1, Id::V2, Id::CLIENT_SERVICE, Id::CLIENT, Id::RULE, Id::ROUTE];
}

/// `deployment/flaskapp-v1`.
impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
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
