//! Decides what a user may do. Pure: same user, same request, same answer; access reviews answer from it too.
use serde_json::{Value, json};

/// What a token's holder may do at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything, everywhere.
    Owner,
    /// Runs the demo: changes what lies in namespaces, and reads the rest.
    Presenter,
    /// Looks on: reads, without secrets and without entering pods.
    Viewer,
}

impl Role {
    /// As it is written in the table of tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Presenter => "presenter",
            Role::Viewer => "viewer",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Role> {
        [Role::Owner, Role::Presenter, Role::Viewer].into_iter().find(|role| role.as_str() == text)
    }
}

/// Somebody who was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Shown in refusals and by `kubectl auth whoami`.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The one namespace they may touch; all where it is `None`.
    pub namespace: Option<String>,
}

impl User {
    /// From its parts.
    pub fn new(name: &str, role: Role, namespace: Option<String>) -> User {
        User { name: name.to_owned(), role, namespace }
    }

    /// Groups, as SelfSubjectReview shows them.
    pub fn groups(&self) -> Vec<&'static str> {
        match self.role {
            Role::Owner => vec!["system:masters", "system:authenticated"],
            Role::Presenter => vec!["demo-panel:presenters", "system:authenticated"],
            Role::Viewer => vec!["demo-panel:viewers", "system:authenticated"],
        }
    }
}

/// What is asked for: a resource, or (where `resource` is empty) a path. Names and meanings are `ResourceAttributes`'.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// The plural.
    pub resource: String,
    /// Empty for the main resource.
    pub subresource: String,
    /// Empty: cluster-wide, or all namespaces.
    pub namespace: String,
    /// Empty: all of them; of a path the path.
    pub name: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go ahead.
    Allow,
    /// With the reason, for people.
    Deny(String),
}

const READS: [&str; 3] = ["get", "list", "watch"];
/// What everybody may ask: what they are, and may.
const REVIEWS: [&str; 3] = ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];
/// Resources outside namespaces, which a presenter only reads. A namespace is one: deploying makes it.
const CLUSTER_SCOPED: [&str; 6] = [
    "nodes",
    "persistentvolumes",
    "customresourcedefinitions",
    "clusterroles",
    "clusterrolebindings",
    "priorityclasses",
];
/// GET on these enters a pod.
const ENTER: [&str; 4] = ["exec", "attach", "portforward", "proxy"];

/// May `user` do this?
pub fn authorize(user: &User, asked: &Attributes) -> Decision {
    let reads = READS.contains(&asked.verb.as_str()) && !ENTER.contains(&asked.subresource.as_str());
    if user.role == Role::Owner && user.namespace.is_none() {
        return Decision::Allow;
    }
    if asked.resource.is_empty() {
        // Discovery, OpenAPI, health.
        return if asked.verb == "get" { Decision::Allow } else { refuse(user, asked, "paths are only read") };
    }
    if REVIEWS.contains(&asked.resource.as_str()) {
        return if asked.verb == "create" { Decision::Allow } else { refuse(user, asked, "reviews are only created") };
    }
    if let Some(own) = &user.namespace {
        let own_namespace_object = asked.resource == "namespaces" && asked.name == *own;
        if asked.namespace != *own && !(own_namespace_object && reads) {
            return refuse(user, asked, &format!("the token is for the namespace {own}"));
        }
    }
    match user.role {
        Role::Owner => Decision::Allow,
        Role::Presenter if reads => Decision::Allow,
        Role::Presenter if CLUSTER_SCOPED.contains(&asked.resource.as_str()) => {
            refuse(user, asked, "a presenter only reads what is outside namespaces")
        }
        Role::Presenter if is_system(asked) => {
            refuse(user, asked, "a presenter does not change the cluster's own namespaces")
        }
        Role::Presenter => Decision::Allow,
        Role::Viewer if asked.resource == "secrets" => refuse(user, asked, "a viewer reads no secrets"),
        Role::Viewer if reads => Decision::Allow,
        Role::Viewer => refuse(user, asked, "a viewer only looks on"),
    }
}

/// Whether it is about one of the cluster's own namespaces, or in one; without a name it is about all of them.
fn is_system(asked: &Attributes) -> bool {
    let is_system = |namespace: &str| namespace.starts_with("kube-") || namespace == "default";
    if asked.resource == "namespaces" {
        return is_system(&asked.name) || asked.verb == "deletecollection";
    }
    asked.namespace.starts_with("kube-")
}

/// The words of a real API server, with ours after the colon.
fn refuse(user: &User, asked: &Attributes, why: &str) -> Decision {
    if asked.resource.is_empty() {
        return Decision::Deny(format!(
            "forbidden: User \"{}\" cannot {} path \"{}\": {why}",
            user.name, asked.verb, asked.name
        ));
    }
    let resource = if asked.subresource.is_empty() {
        asked.resource.clone()
    } else {
        format!("{}/{}", asked.resource, asked.subresource)
    };
    let full =
        if asked.group.is_empty() { asked.resource.clone() } else { format!("{}.{}", asked.resource, asked.group) };
    let named = if asked.name.is_empty() { String::new() } else { format!(" \"{}\"", asked.name) };
    let scope = match asked.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    Decision::Deny(format!(
        "{full}{named} is forbidden: User \"{}\" cannot {} resource \"{resource}\" in API group \"{}\" {scope}: {why}",
        user.name, asked.verb, asked.group
    ))
}

/// The same as `status` of a SelfSubjectRulesReview, for `kubectl auth can-i --list`. Coarser than [`authorize`], as there.
pub fn rules(user: &User, namespace: &str) -> Value {
    let paths = json!([{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version"]}]);
    let reviews = json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io", "authentication.k8s.io"], "resources": REVIEWS});
    let everything = |verbs: &[&str]| json!({"verbs": verbs, "apiGroups": ["*"], "resources": ["*"]});
    let elsewhere = user.namespace.as_ref().is_some_and(|own| own != namespace);
    let mut resources = vec![reviews];
    if !elsewhere {
        resources.push(match user.role {
            Role::Owner => everything(&["*"]),
            Role::Presenter if namespace.starts_with("kube-") => everything(&READS),
            Role::Presenter => {
                everything(&["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"])
            }
            Role::Viewer => everything(&READS),
        });
    }
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Attributes {
        // verb group/resource/subresource namespace name; `-` is empty
        let word = |w: &str| if w == "-" { String::new() } else { w.to_owned() };
        let words: Vec<&str> = line.split_whitespace().collect();
        let parts: Vec<&str> = words[1].split('/').collect();
        Attributes {
            verb: word(words[0]),
            group: word(parts[0]),
            resource: word(parts[1]),
            subresource: word(parts.get(2).unwrap_or(&"-")),
            namespace: word(words.get(2).unwrap_or(&"-")),
            name: word(words.get(3).unwrap_or(&"-")),
        }
    }

    #[test]
    fn who_may_do_what() {
        let owner = User::new("owner", Role::Owner, None);
        let presenter = User::new("presenter", Role::Presenter, None);
        let viewer = User::new("viewer", Role::Viewer, None);
        let tenant = User::new("tenant", Role::Owner, Some("team-a".into()));
        for (line, allowed) in [
            // owner, presenter, viewer, owner of team-a
            ("delete -/nodes - n", [true, false, false, false]),
            ("get -/nodes - n", [true, true, true, false]),
            ("create -/namespaces - istio-app", [true, true, false, false]),
            ("get -/namespaces - team-a", [true, true, true, true]),
            ("delete -/namespaces - team-a", [true, true, false, false]),
            ("delete -/namespaces - kube-system", [true, false, false, false]),
            ("patch -/namespaces - default", [true, false, false, false]),
            ("update -/namespaces/finalize - kube-node-lease", [true, false, false, false]),
            ("deletecollection -/namespaces", [true, false, false, false]),
            ("get -/namespaces - kube-system", [true, true, true, false]),
            ("patch apps/deployments istio-app v1", [true, true, false, false]),
            ("patch apps/deployments team-a v1", [true, true, false, true]),
            ("update apps/deployments/scale team-a v1", [true, true, false, true]),
            ("list -/pods", [true, true, true, false]),
            ("watch -/pods team-a", [true, true, true, true]),
            ("get -/pods/log istio-app p", [true, true, true, false]),
            ("get -/pods/exec istio-app p", [true, true, false, false]),
            ("create -/pods/exec team-a p", [true, true, false, true]),
            ("get -/pods/portforward istio-app p", [true, true, false, false]),
            ("get -/secrets istio-app s", [true, true, false, false]),
            ("delete -/pods kube-system p", [true, false, false, false]),
            ("create authorization.k8s.io/selfsubjectaccessreviews", [true, true, true, true]),
            ("get -/- - /apis", [true, true, true, true]),
            ("create -/- - /apis", [true, false, false, false]),
        ] {
            for (user, allowed) in [&owner, &presenter, &viewer, &tenant].into_iter().zip(allowed) {
                assert_eq!(authorize(user, &asked(line)) == Decision::Allow, allowed, "{} {line}", user.name);
            }
        }
    }

    #[test]
    fn a_refusal_reads_as_the_real_one() {
        let viewer = User::new("viewer", Role::Viewer, None);
        let Decision::Deny(words) = authorize(&viewer, &asked("patch apps/deployments/scale istio-app v1")) else {
            panic!("allowed")
        };
        assert_eq!(
            words,
            "deployments.apps \"v1\" is forbidden: User \"viewer\" cannot patch resource \"deployments/scale\" in API group \"apps\" in the namespace \"istio-app\": a viewer only looks on"
        );
    }
}
