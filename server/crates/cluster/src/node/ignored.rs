//! Fields of a pod that this node does not honour. They are accepted, as manifests for other clusters have them, but not in silence.
use serde_json::Value;

use crate::Object;
use crate::kinds::Kind;
use crate::registry::AdmissionHook;

/// Warns whoever writes a pod, or a template of pods.
pub fn admission() -> AdmissionHook {
    std::sync::Arc::new(|request, object| {
        Ok(match spec_of(request.kind, object) {
            Some((at, spec))
                if request.old.is_none_or(|old| spec_of(request.kind, old).map(|(_, spec)| spec) != Some(spec)) =>
            {
                fields(spec, |_| true).into_iter().map(|(field, why)| format!("{at}.{field}: {why}")).collect()
            }
            _ => Vec::new(),
        })
    })
}

fn spec_of<'a>(kind: &Kind, object: &'a Object) -> Option<(&'static str, &'a Value)> {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => Some(("spec", &object["spec"])),
        ("apps", "deployments" | "replicasets") => Some(("spec.template.spec", &object["spec"]["template"]["spec"])),
        _ => None,
    }
}

/// The fields, with what becomes of them; of containers only those that `concerns`.
pub fn fields(spec: &Value, concerns: impl Fn(&Value) -> bool) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    if !spec["activeDeadlineSeconds"].is_null() {
        found.push(("activeDeadlineSeconds".to_owned(), "this node does not end pods after a time"));
    }
    if spec["hostNetwork"] == true {
        found.push(("hostNetwork".to_owned(), "pods of this node keep addresses of their own"));
    }
    for list in ["initContainers", "containers"] {
        for (i, container) in
            spec[list].as_array().into_iter().flatten().enumerate().filter(|(_, container)| concerns(container))
        {
            let mut note = |field: &str, why| found.push((format!("{list}[{i}].{field}"), why));
            let is_list = |field: &str| container[field].as_array().is_some_and(|list| !list.is_empty());
            if is_list("volumeMounts") {
                note("volumeMounts", "this node mounts no volumes");
            }
            if container["workingDir"].as_str().is_some_and(|dir| !dir.is_empty()) {
                note("workingDir", "containers of this node run in /");
            }
            for (hook, why) in [
                ("postStart", "this node runs no postStart hooks"),
                ("preStop", "of preStop hooks this node knows sleep alone"),
            ] {
                let honoured = |action: &str| hook == "preStop" && action == "sleep";
                if container["lifecycle"][hook]
                    .as_object()
                    .is_some_and(|actions| actions.keys().any(|action| !honoured(action)))
                {
                    note(&format!("lifecycle.{hook}"), why);
                }
            }
            for (j, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
                if !port["hostPort"].is_null() {
                    note(&format!("ports[{j}].hostPort"), "ports are reached at the pod's address alone");
                }
            }
            for field in ["stdin", "tty"] {
                if container[field] == true {
                    note(
                        field,
                        "a container of this node has no input and no terminal; kubectl exec -it gives a command one",
                    );
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_honoured_is_named() {
        for (container, field) in [
            (json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}), "containers[0].volumeMounts"),
            (json!({"workingDir": "/app"}), "containers[0].workingDir"),
            (json!({"lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}), "containers[0].lifecycle.preStop"),
            (json!({"lifecycle": {"postStart": {"sleep": {"seconds": 1}}}}), "containers[0].lifecycle.postStart"),
            (
                json!({"ports": [{"containerPort": 1}, {"containerPort": 2, "hostPort": 2}]}),
                "containers[0].ports[1].hostPort",
            ),
            (json!({"tty": true}), "containers[0].tty"),
            (json!({"stdin": false, "volumeMounts": [], "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}), ""),
        ] {
            let found = fields(&json!({"containers": [container]}), |_| true);
            assert_eq!(found.first().map(|(field, _)| field.as_str()).unwrap_or_default(), field, "{container}");
        }
        assert_eq!(fields(&json!({"activeDeadlineSeconds": 5}), |_| true)[0].0, "activeDeadlineSeconds");
    }
}
