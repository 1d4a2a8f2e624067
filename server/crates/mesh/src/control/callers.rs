//! The workloads that have a sidecar, so that the others believe what it says of its pod: a name that a client invents gets no label.

use crate::inject::{has_sidecar, workload};
use crate::json::{label, meta};
use crate::table::MeshInput;
use std::collections::BTreeSet;

/// `workload~namespace~app~version`, as a sidecar names its pod to the next one.
pub(crate) fn caller_name(parts: [&str; 4]) -> String {
    parts.map(|part| part.replace(|c: char| !c.is_ascii_graphic() || c == '~', "")).join("~")
}

/// The names of all pods with a sidecar, each once, in order. Replicas of a Deployment share one.
pub(super) fn callers(input: &MeshInput) -> Vec<String> {
    let pods = input.pods.iter().filter(|pod| has_sidecar(pod));
    let names: BTreeSet<String> = pods
        .map(|pod| caller_name([&workload(pod), meta(pod, "namespace"), label(pod, "app").unwrap_or(""), label(pod, "version").unwrap_or("")]))
        .collect();
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn pod(name: &str, containers: Value) -> Arc<Value> {
        Arc::new(json!({"metadata": {"name": name, "namespace": "a", "labels": {"app": "flaskapp", "version": "v1", "pod-template-hash": "h"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "flaskapp-v1-h", "controller": true}]}, "spec": {"containers": containers}}))
    }

    #[test]
    fn replicas_with_a_sidecar_are_one_caller_and_others_are_none() {
        let injected = || json!([{"name": "app"}, {"name": "istio-proxy"}]);
        let pods = vec![pod("one", injected()), pod("two", injected()), pod("three", json!([{"name": "app"}]))];
        assert_eq!(callers(&MeshInput { pods, ..MeshInput::default() }), ["flaskapp-v1~a~flaskapp~v1"]);
    }
}
