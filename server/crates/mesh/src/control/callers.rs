//! The workloads that have a sidecar, so that the others believe what it says of its pod: a name that a client invents gets no label.

use crate::inject::{has_sidecar, workload};
use crate::json::{label, meta};
use crate::table::MeshInput;
use std::collections::{BTreeMap, BTreeSet};

/// `workload~namespace~app~version`, as a sidecar names its pod to the next one.
pub(crate) fn caller_name(parts: [&str; 4]) -> String {
    parts.map(|part| part.replace(|c: char| !c.is_ascii_graphic() || c == '~', "")).join("~")
}

/// The names of all pods with a sidecar by namespace, each once. Replicas of a Deployment share one.
pub(super) fn callers(input: &MeshInput) -> BTreeMap<String, BTreeSet<String>> {
    let mut callers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pod in input.pods.iter().filter(|pod| has_sidecar(pod)) {
        let namespace = meta(pod, "namespace");
        let name = caller_name([
            &workload(pod),
            namespace,
            label(pod, "app").unwrap_or(""),
            label(pod, "version").unwrap_or(""),
        ]);
        callers.entry(namespace.to_owned()).or_default().insert(name);
    }
    callers
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn pod(name: &str, containers: Value) -> Arc<Value> {
        Arc::new(
            json!({"metadata": {"name": name, "namespace": "a", "labels": {"app": "flaskapp", "version": "v1", "pod-template-hash": "h"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "flaskapp-v1-h", "controller": true}]}, "spec": {"containers": containers}}),
        )
    }

    #[test]
    fn replicas_with_a_sidecar_are_one_caller_and_others_are_none() {
        let injected = || json!([{"name": "app"}, {"name": "istio-proxy"}]);
        let pods = vec![pod("one", injected()), pod("two", injected()), pod("three", json!([{"name": "app"}]))];
        let named = callers(&MeshInput { pods, ..MeshInput::default() });
        assert_eq!(named, BTreeMap::from([("a".to_owned(), BTreeSet::from(["flaskapp-v1~a~flaskapp~v1".to_owned()]))]));
    }
}
