//! What was asked of a cluster before the demo is put into it, and what it said. Values alone.
use crate::demo::service_port::NotHttp;
use crate::k8s::Istiod;
use app::text::Message;
use std::collections::BTreeMap;
use wire::Verb;

/// What one question came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// The cluster said this.
    Known(T),
    /// The cluster has no such thing, or no such kind.
    Missing,
    /// It cannot be told, and why: the rights at hand do not do, or nothing answered.
    CannotTell(Message),
}

impl<T> Read<T> {
    /// What was said, where something was.
    pub fn known(&self) -> Option<&T> {
        if let Read::Known(value) = self { Some(value) } else { None }
    }
}

/// One right: a verb on a resource, and what does not work without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// API group; empty for the core.
    pub group: &'static str,
    /// Plural.
    pub resource: &'static str,
    /// Subresource; empty for the resource itself.
    pub sub: &'static str,
    /// Kubernetes' verb.
    pub verb: &'static str,
    /// What of the panel needs it; empty where the panel only does a little less without it.
    pub stops: &'static [Verb],
}

const ISTIO: &str = "networking.istio.io";
const ALL: &[Verb] =
    &[Verb::Deploy, Verb::Client, Verb::Inject, Verb::Route, Verb::Weights, Verb::Load, Verb::Verify, Verb::Teardown];

const fn right(
    group: &'static str,
    resource: &'static str,
    sub: &'static str,
    verb: &'static str,
    stops: &'static [Verb],
) -> Right {
    Right { group, resource, sub, verb, stops }
}

/// Every right the panel uses, by resource; no other. `kubernetes/panel/role.yaml` grants these and no more, but for those on the
/// namespace itself that a Role cannot give: there whoever applies it has made the namespace.
pub const RIGHTS: [Right; 40] = [
    right("", "services", "", "list", ALL),
    right("", "services", "", "watch", ALL),
    right("", "services", "", "create", &[Verb::Deploy, Verb::Client]),
    right("", "services", "", "patch", &[Verb::Deploy, Verb::Client]),
    right("", "services", "", "delete", &[Verb::Teardown]),
    right("apps", "deployments", "", "list", ALL),
    right("apps", "deployments", "", "watch", ALL),
    right("apps", "deployments", "", "create", &[Verb::Deploy, Verb::Client]),
    right("apps", "deployments", "", "patch", &[Verb::Deploy, Verb::Client, Verb::Inject]),
    right("apps", "deployments", "", "delete", &[Verb::Teardown]),
    right("apps", "deployments", "scale", "patch", &[]),
    right("", "pods", "", "list", ALL),
    right("", "pods", "", "watch", ALL),
    right("", "pods", "", "create", &[]),
    right("", "pods", "", "delete", &[]),
    right("", "pods", "exec", "get", &[Verb::Verify]),
    right("", "pods", "exec", "create", &[Verb::Verify]),
    right("", "pods", "portforward", "get", &[Verb::Load]),
    right("", "pods", "portforward", "create", &[Verb::Load]),
    right(ISTIO, "virtualservices", "", "get", &[Verb::Weights]),
    right(ISTIO, "virtualservices", "", "list", &[Verb::Route, Verb::Weights]),
    right(ISTIO, "virtualservices", "", "watch", &[Verb::Route, Verb::Weights]),
    right(ISTIO, "virtualservices", "", "create", &[Verb::Route, Verb::Weights]),
    right(ISTIO, "virtualservices", "", "patch", &[Verb::Route, Verb::Weights]),
    right(ISTIO, "virtualservices", "", "delete", &[Verb::Teardown]),
    right(ISTIO, "destinationrules", "", "get", &[]),
    right(ISTIO, "destinationrules", "", "list", &[Verb::Route, Verb::Weights]),
    right(ISTIO, "destinationrules", "", "watch", &[Verb::Route, Verb::Weights]),
    right(ISTIO, "destinationrules", "", "create", &[Verb::Route, Verb::Weights]),
    right(ISTIO, "destinationrules", "", "patch", &[Verb::Route, Verb::Weights]),
    right(ISTIO, "destinationrules", "", "delete", &[Verb::Teardown]),
    right("coordination.k8s.io", "leases", "", "get", &[]),
    right("coordination.k8s.io", "leases", "", "list", &[]),
    right("coordination.k8s.io", "leases", "", "watch", &[]),
    right("coordination.k8s.io", "leases", "", "create", &[]),
    right("coordination.k8s.io", "leases", "", "update", &[]),
    right("coordination.k8s.io", "leases", "", "delete", &[]),
    right("", "resourcequotas", "", "list", &[]),
    right("", "limitranges", "", "list", &[]),
    right("", "namespaces", "", "get", &[]),
];

/// Rights on the namespace while there is none of its name, or it is the panel's own: it is applied (a patch that may create) and removed.
pub const NAMESPACE_RIGHTS: [Right; 3] = [
    right("", "namespaces", "", "create", &[]),
    right("", "namespaces", "", "patch", &[]),
    right("", "namespaces", "", "delete", &[]),
];

impl Right {
    /// `deployments.apps/scale`, as kubectl and RBAC name it.
    pub fn on(&self) -> String {
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let sub = if self.sub.is_empty() { String::new() } else { format!("/{}", self.sub) };
        format!("{}{group}{sub}", self.resource)
    }
}

/// The namespace, as far as it matters before a deploy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceSeen {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether the panel made it.
    pub ours: bool,
    /// Where it is being removed: what holds it.
    pub terminating: Option<Message>,
}

/// One entry of a MutatingWebhookConfiguration that looks at new pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Webhook {
    /// The configuration's name.
    pub configuration: String,
    /// The `istio.io/rev` label; `default` where there is none.
    pub revision: String,
    /// Whether pods are let through while it does not answer.
    pub fails_open: bool,
    /// Which namespaces it looks at.
    pub namespaces: Selector,
    /// Which pods it looks at.
    pub objects: Selector,
    /// Its Service, `namespace/name`; nothing where it is called by URL.
    pub service: Option<String>,
    /// Whether that Service has a ready endpoint; nothing where it cannot be told.
    pub answers: Option<bool>,
}

/// A label selector's requirements, all of which have to hold.
pub type Selector = Vec<Requirement>;

/// One requirement of a label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// For the first two.
    pub values: Vec<String>,
}

/// What came of `POST pods?dryRun=All`.
#[derive(Clone, Debug, PartialEq)]
pub enum Trial {
    /// It came back with a sidecar.
    Injected {
        /// `an init container` (a native sidecar), or `a container`.
        native: bool,
        /// The sidecar's image.
        image: String,
        /// What the whole pod requests.
        asks: Amount,
    },
    /// It came back as it was sent.
    Plain,
    /// It came back as it was sent, and one in another namespace got a sidecar.
    LeftOut,
    /// Admission refused it; the cluster's words.
    Refused(String),
    /// There is no namespace yet to try it in.
    NoNamespace,
}

/// Requests of pods, or room for them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amount {
    /// Cores.
    pub cpu: f64,
    /// Bytes.
    pub memory: f64,
}

/// What of the demo is in the namespace already: it counts in a quota's use, and is replaced, not added to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Own {
    /// Its pods.
    pub pods: f64,
    /// What these request.
    pub asks: Amount,
    /// Its Services.
    pub services: f64,
    /// Its Deployments.
    pub deployments: f64,
}

/// A ResourceQuota: by resource what is allowed, and what is used of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quota {
    /// Its name.
    pub name: String,
    /// Resource, allowed, used; in base units.
    pub items: Vec<(String, f64, f64)>,
}

/// A LimitRange's item for containers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limit {
    /// The LimitRange's name.
    pub name: String,
    /// Most a container may ask for, where it says.
    pub max: BTreeMap<String, f64>,
    /// Least a container must ask for, where it says.
    pub min: BTreeMap<String, f64>,
    /// Whether containers without a request get one from it.
    pub has_default: bool,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeSeen {
    /// Its name.
    pub name: String,
    /// Why it takes no pods; nothing where it does.
    pub closed: Option<Message>,
    /// What pods may request of it that no pod requests yet.
    pub free: Amount,
    /// Pods it may take still.
    pub free_pods: u32,
}

/// Everything that was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Name of the namespace.
    pub ns: String,
    /// Whom the cluster takes the panel for.
    pub user: String,
    /// The API's version, or why it does not answer; `true` where it answers and refuses the credentials.
    pub version: Result<String, (String, bool)>,
    /// The namespace.
    pub namespace: Read<NamespaceSeen>,
    /// Each right, and whether it is had; nothing where the review could not be asked.
    pub rights: Vec<(Right, Option<bool>)>,
    /// Versions of `networking.istio.io` that serve both kinds, newest first.
    pub istio: Read<Vec<&'static str>>,
    /// Istiods in `istio-system`.
    pub istiods: Read<Vec<Istiod>>,
    /// Webhooks that inject.
    pub webhooks: Read<Vec<Webhook>>,
    /// The trial pod.
    pub trial: Read<Trial>,
    /// What of the demo is there; nothing where it may not be looked at.
    pub own: Own,
    /// The port of the demo's Service, if there is one that speaks no HTTP.
    pub port: Option<NotHttp>,
    /// Quotas of the namespace.
    pub quotas: Read<Vec<Quota>>,
    /// Limits on containers in the namespace.
    pub limits: Read<Vec<Limit>>,
    /// Nodes with what is free on them.
    pub nodes: Read<Vec<NodeSeen>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// `verb group/resource` of every rule in the manifests of a file.
    fn granted(file: &str, kind: &str, name: &str) -> BTreeSet<String> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../kubernetes").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let role = documents.into_iter().find(|d| d["kind"] == kind && d["metadata"]["name"] == name).unwrap();
        let all = |rule: &Value, field: &str| {
            rule[field].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let mut granted = BTreeSet::new();
        for rule in role["rules"].as_array().unwrap() {
            for group in all(rule, "apiGroups") {
                for resource in all(rule, "resources") {
                    granted.extend(all(rule, "verbs").iter().map(|verb| format!("{verb} {group}/{resource}")));
                }
            }
        }
        granted
    }

    #[test]
    fn the_role_grants_what_is_used_and_no_more() {
        let sub = |r: &Right| if r.sub.is_empty() { String::new() } else { format!("/{}", r.sub) };
        let used: BTreeSet<String> =
            RIGHTS.iter().map(|r| format!("{} {}/{}{}", r.verb, r.group, r.resource, sub(r))).collect();
        assert_eq!(used.len(), RIGHTS.len(), "no right is listed twice");
        assert_eq!(granted("panel/role.yaml", "Role", "demo-panel"), used);
        let looks = granted("panel/viewer.yaml", "Role", "demo-panel-viewer");
        assert!(
            looks.iter().all(|right| ["get ", "list ", "watch "].iter().any(|verb| right.starts_with(verb))),
            "{looks:?}"
        );
        let reads = ["deployments", "nodes", "pods", "endpointslices", "mutatingwebhookconfigurations"];
        let of_cluster = granted("panel-preflight/cluster-role.yaml", "ClusterRole", "demo-panel-preflight");
        let resources: BTreeSet<&str> =
            of_cluster.iter().filter_map(|right| right.strip_prefix("list ")?.rsplit('/').next()).collect();
        assert_eq!(
            (resources, of_cluster.len()),
            (reads.into(), reads.len()),
            "what gather.rs lists outside the namespace"
        );
    }
}
