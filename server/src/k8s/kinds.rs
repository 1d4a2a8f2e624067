//! The kinds that the panel reads and writes, and how it marks what it made.
use super::discovery::ISTIO;
use kube::api::{ApiResource, DynamicObject};

/// Field manager of everything the panel writes, and the value of its label.
pub const MANAGER: &str = "demo-panel";
/// The label that says who made an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
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

/// Whether an object carries the panel's label.
pub fn ours(object: &DynamicObject) -> bool {
    object.metadata.labels.as_ref().and_then(|l| l.get(MANAGED_BY)).is_some_and(|v| v == MANAGER)
}
