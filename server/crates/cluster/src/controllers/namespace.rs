//! Namespaces: the built-in ones exist, each has its default ServiceAccount, and one that ends empties itself first.
//!
//! [`plan`] is pure. Source: Kubernetes documentation, "Namespaces"; `NamespaceSpec.finalizers`.
use super::object::{
    CONFIG_MAPS, KindName, NAMESPACES, PODS, SERVICE_ACCOUNTS, elapsed, is_deleting, list, name, namespace, stamp, time,
};
use super::reconciler::{Change, Controller, Key, Source, View};
use super::step::{How, Step};
use crate::Object;
use crate::status::Status;
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// What every cluster has.
const BUILT_IN: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];
/// Holds a namespace until it is empty.
const FINALIZER: &str = "kubernetes";

/// For so long whoever deletes a namespace together with what is in it (`kubectl delete -f folder`) finds it still there. A real API
/// server deletes nothing for 5 s; this one ends the pods meanwhile, which takes longest.
const PODS_FIRST: Duration = Duration::from_secs(5);
/// The same where no pods are left.
const NO_PODS: Duration = Duration::from_millis(1500);

/// What one plan looks at.
pub(crate) struct Seen {
    pub name: String,
    /// None where it does not exist.
    pub namespace: Option<Arc<Object>>,
    pub has_account: bool,
    pub has_root: bool,
    /// Certificate of the API's authority, for `kube-root-ca.crt`.
    pub root: Option<Arc<str>>,
    /// Everything in it; looked up only where it ends.
    pub contents: Vec<(KindName, Arc<Object>)>,
    pub now: Timestamp,
}

/// The next steps of a namespace.
pub(crate) fn plan(seen: &Seen) -> Vec<Step> {
    let Some(namespace) = &seen.namespace else {
        let is_built_in = BUILT_IN.contains(&seen.name.as_str());
        let create = || {
            Step::Create(NAMESPACES, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": seen.name}}))
        };
        return is_built_in.then(create).into_iter().collect();
    };
    if is_deleting(namespace) {
        return empty(seen, namespace);
    }
    let mut steps = Vec::new();
    if !seen.has_account {
        steps.push(Step::Create(
            SERVICE_ACCOUNTS,
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": seen.name}}),
        ));
    }
    if let Some(root) = seen.root.as_deref().filter(|_| !seen.has_root) {
        steps.push(Step::Create(
            CONFIG_MAPS,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": seen.name}, "data": {"ca.crt": root}}),
        ));
    }
    steps
}

fn empty(seen: &Seen, namespace: &Arc<Object>) -> Vec<Step> {
    if !list(namespace, "/spec/finalizers").iter().any(|f| f == FINALIZER) {
        return Vec::new();
    }
    if seen.contents.is_empty() {
        return vec![Step::Finalize(namespace.clone())];
    }
    let since = elapsed(time(namespace, "/metadata/deletionTimestamp").unwrap_or(seen.now), seen.now);
    let patience = patience(&seen.contents);
    let now = |kind: &KindName| since >= patience || *kind == PODS;
    let mut steps: Vec<Step> = seen
        .contents
        .iter()
        .filter(|(kind, o)| now(kind) && !is_deleting(o))
        .map(|(kind, o)| Step::Delete(kind.clone(), o.clone(), How::Background))
        .collect();
    if since < patience {
        steps.push(Step::Again(patience - since));
        return steps;
    }
    if steps.is_empty() {
        steps.extend(said(seen, namespace));
        // Each end is an event; the clock is for finalizers that somebody takes away without an end.
        steps.push(Step::Again(Duration::from_secs(2)));
    }
    steps
}

/// How long what is not a pod stays. What the cluster itself puts into each namespace need not.
fn patience(contents: &[(KindName, Arc<Object>)]) -> Duration {
    let is_furniture = |kind: &KindName, o: &Object| match &*kind.plural {
        "serviceaccounts" => name(o) == "default",
        "configmaps" => name(o) == "kube-root-ca.crt",
        "events" => true,
        _ => false,
    };
    match contents {
        contents if contents.iter().any(|(kind, _)| *kind == PODS) => PODS_FIRST,
        contents if contents.iter().all(|(kind, o)| is_furniture(kind, o)) => Duration::ZERO,
        _ => NO_PODS,
    }
}

/// What still keeps it, in the condition that `kubectl describe namespace` shows.
fn said(seen: &Seen, namespace: &Arc<Object>) -> Option<Step> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for (kind, _) in &seen.contents {
        let resource =
            if kind.group.is_empty() { format!("{}.", kind.plural) } else { format!("{}.{}", kind.plural, kind.group) };
        match counts.iter_mut().find(|(r, _)| *r == resource) {
            Some((_, count)) => *count += 1,
            None => counts.push((resource, 1)),
        }
    }
    let counts: Vec<String> =
        counts.into_iter().map(|(resource, n)| format!("{resource} has {n} resource instances")).collect();
    let message = format!("Some resources are remaining: {}", counts.join(", "));
    let old = list(namespace, "/status/conditions").iter().find(|c| c["type"] == "NamespaceContentRemaining");
    if old.is_some_and(|c| c["message"] == message.as_str()) {
        return None;
    }
    let since = old.map_or_else(|| stamp(seen.now), |c| c["lastTransitionTime"].clone());
    let mut status = namespace.get("status").filter(|s| s.is_object()).cloned().unwrap_or_else(|| json!({}));
    status["conditions"] = json!([{
        "type": "NamespaceContentRemaining", "status": "True", "lastTransitionTime": since, "reason": "SomeResourcesRemain", "message": message,
    }]);
    Some(Step::Status(NAMESPACES, namespace.clone(), status))
}

/// Keeps namespaces.
pub(crate) struct Namespaces {
    /// All kinds whose objects live in namespaces.
    pub kinds: Vec<KindName>,
    /// Certificate of the API's authority.
    pub root: Option<Arc<str>>,
}

impl Controller for Namespaces {
    type Key = Key;
    const NAME: &'static str = "namespace-controller";

    fn seeds(&self) -> Vec<Key> {
        BUILT_IN.iter().map(|name| Key::new("", name)).collect()
    }

    fn sources(&self) -> Vec<Source<Key>> {
        let namespaces = Source::new(NAMESPACES, |o, _| vec![Key::of(o)]);
        let contents = self.kinds.iter().map(|kind| Source::new(kind.clone(), |o, _| vec![Key::new("", namespace(o))]));
        std::iter::once(namespaces).chain(contents).collect()
    }

    fn on(&mut self, source: &Source<Key>, change: Change, object: &Arc<Object>, view: &View) -> Vec<Key> {
        // Contents matter when they end: then the default account is made anew, or an ending namespace may be empty.
        let matters = source.kind == NAMESPACES || change == Change::Gone;
        if matters { (source.keys)(object, view) } else { Vec::new() }
    }

    fn plan(&mut self, key: &Key, view: &View, now: Timestamp, _failure: Option<&str>) -> Result<Vec<Step>, Status> {
        let namespace = view.get(&NAMESPACES, "", &key.name);
        let mut contents = Vec::new();
        if namespace.as_ref().is_some_and(|n| is_deleting(n)) {
            for kind in &self.kinds {
                contents.extend(view.list(kind, &key.name)?.into_iter().map(|o| (kind.clone(), o)));
            }
        }
        Ok(plan(&Seen {
            has_account: view.get(&SERVICE_ACCOUNTS, &key.name, "default").is_some(),
            has_root: view.get(&CONFIG_MAPS, &key.name, "kube-root-ca.crt").is_some(),
            name: key.name.clone(),
            root: self.root.clone(),
            namespace,
            contents,
            now,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::show;
    use super::*;
    use serde_json::Value;

    fn seen(name: &str, namespace: Option<Value>, contents: Vec<(KindName, Value)>) -> Seen {
        Seen {
            name: name.to_owned(),
            namespace: namespace.map(Arc::new),
            has_account: false,
            has_root: false,
            root: Some("PEM".into()),
            contents: contents.into_iter().map(|(k, o)| (k, Arc::new(o))).collect(),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_namespace_is_furnished_and_a_built_in_one_is_made() {
        let active = json!({"metadata": {"name": "n"}, "spec": {"finalizers": [FINALIZER]}});
        assert_eq!(
            show(&plan(&seen("n", Some(active), vec![]))),
            ["create serviceaccounts default", "create configmaps kube-root-ca.crt"]
        );
        assert_eq!(show(&plan(&seen("default", None, vec![]))), ["create namespaces default"]);
        assert_eq!(show(&plan(&seen("other", None, vec![]))), Vec::<String>::new());
    }

    #[test]
    fn an_ending_namespace_empties_itself_waits_and_goes() {
        let ending = json!({"metadata": {"name": "n", "deletionTimestamp": "1970-01-01T00:00:00Z"}, "spec": {"finalizers": [FINALIZER]}});
        let pod = || (PODS, json!({"metadata": {"name": "p"}}));
        let leaving = || (PODS, json!({"metadata": {"name": "p", "deletionTimestamp": "1970-01-01T00:00:00Z"}}));
        let settings = || (CONFIG_MAPS, json!({"metadata": {"name": "c"}}));
        let root = || (CONFIG_MAPS, json!({"metadata": {"name": "kube-root-ca.crt"}}));
        for (after, contents, want) in [
            // Whoever deletes what is in it one by one finds it, while its pods end.
            (0, vec![settings(), pod()], vec!["delete pods p", "again in 5000 ms"]),
            (1, vec![settings(), leaving()], vec!["again in 4000 ms"]),
            (1, vec![settings()], vec!["again in 500 ms"]),
            (2, vec![settings()], vec!["delete configmaps c"]),
            (0, vec![root()], vec!["delete configmaps kube-root-ca.crt"]),
            (6, vec![settings(), leaving()], vec!["delete configmaps c"]),
            (6, vec![leaving()], vec!["status namespaces n", "again in 2000 ms"]),
            (0, vec![], vec!["finalize n"]),
        ] {
            let mut seen = seen("n", Some(ending.clone()), contents);
            seen.now = Timestamp::from_second(after).unwrap();
            assert_eq!(show(&plan(&seen)), want);
        }
    }
}
