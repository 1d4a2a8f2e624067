//! What a namespace says about itself. Pure.
//!
//! Source: Kubernetes API reference, "NamespaceCondition": why a namespace that is being removed is still there.
use app::text::Message;
use app::text::messages::causes;
use k8s_openapi::api::core::v1::Namespace;

/// What keeps a namespace that is being removed: what remains, whose finalizers wait, what failed.
pub fn held(namespace: &Namespace) -> Message {
    let conditions = namespace.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let said: Vec<String> = conditions
        .filter(|c| c.status == "True" && !c.message.as_deref().unwrap_or_default().is_empty())
        .map(|c| c.message.clone().unwrap_or_default().trim_end_matches('.').to_owned())
        .collect();
    if !said.is_empty() {
        return said.join("; ").into();
    }
    let kubernetes = namespace.spec.iter().flat_map(|s| s.finalizers.iter().flatten()).filter(|f| *f != "kubernetes");
    let own: Vec<&String> = kubernetes.chain(namespace.metadata.finalizers.iter().flatten()).collect();
    if own.is_empty() {
        return causes::objects_being_removed();
    }
    let names: Vec<&str> = own.into_iter().map(String::as_str).collect();
    causes::finalizer_waits(names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_namespace_names_what_holds_it() {
        let condition = |kind: &str, status: &str, message: &str| json!({"type": kind, "status": status, "reason": "x", "message": message});
        for (namespace, words) in [
            (json!({}), "its objects are being removed"),
            (
                json!({"metadata": {"finalizers": ["example.com/keep"]}, "spec": {"finalizers": ["kubernetes"]}}),
                "finalizer example.com/keep waits",
            ),
            (
                json!({"status": {"conditions": [
                    condition("NamespaceDeletionDiscoveryFailure", "False", "All resources successfully discovered"),
                    condition("NamespaceContentRemaining", "True", "Some resources are remaining: configmaps. has 1 resource instances"),
                    condition("NamespaceFinalizersRemaining", "True", "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"),
                ]}}),
                "Some resources are remaining: configmaps. has 1 resource instances; Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
            ),
        ] {
            let mut namespace = namespace;
            if namespace["metadata"].is_null() {
                namespace["metadata"] = json!({});
            }
            let read: Namespace = serde_json::from_value(namespace).unwrap();
            assert_eq!(held(&read).en, words);
        }
    }
}
