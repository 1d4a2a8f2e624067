//! `/scale` and `/binding`: a small object that stands for one field of the whole.
use super::{Patch, Registry};
use crate::Object;
use crate::kinds::{Cause, Kind};
use crate::patch;
use crate::select::LabelSelector;
use crate::status::Status;
use serde_json::{Value, json};

impl Registry {
    /// `autoscaling/v1 Scale` of a workload. Errors: 404.
    pub fn scale(&self, kind: &Kind, ns: Option<&str>, name: &str) -> Result<Object, Status> {
        if !kind.has("scale") {
            return Err(Status::new(404, "NotFound", "the server could not find the requested resource"));
        }
        Ok(of(&*self.get(kind, ns, name)?))
    }
}

/// The Scale of a workload.
pub(crate) fn of(workload: &Object) -> Object {
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = workload["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    let selector = LabelSelector::from_json(&workload["spec"]["selector"]).unwrap_or_default().to_string();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": workload["spec"]["replicas"].as_i64().unwrap_or(0)},
        "status": {"replicas": workload["status"]["replicas"].as_i64().unwrap_or(0), "selector": selector},
    })
}

/// The workload with the Scale's replicas. Errors: 422 where they are no number ≥ 0.
pub(super) fn put(workload: &Object, scale: &Object) -> Result<Object, Status> {
    let wanted = scale["spec"].get("replicas").unwrap_or(&Value::Null);
    // An absent number is 0, as it is for the real server's Scale type.
    let replicas = if wanted.is_null() { Some(0) } else { wanted.as_i64() };
    let Some(replicas) = replicas.filter(|n| (0..=i64::from(i32::MAX)).contains(n)) else {
        let name = workload["metadata"]["name"].as_str().unwrap_or_default();
        let cause = Cause::invalid("spec.replicas", wanted, "must be greater than or equal to 0");
        return Err(Status::invalid("Scale", "autoscaling", name, &[cause]));
    };
    if workload["spec"]["replicas"] == replicas {
        let mut same = workload.clone();
        same["metadata"]["resourceVersion"] = scale["metadata"]["resourceVersion"].clone();
        return Ok(same);
    }
    let mut new = workload.clone();
    new["spec"]["replicas"] = replicas.into();
    new["metadata"]["resourceVersion"] = scale["metadata"]["resourceVersion"].clone();
    Ok(new)
}

/// The workload after a patch of its Scale.
pub(super) fn patch(workload: &Object, patch: &Patch) -> Result<Object, Status> {
    let scale = of(workload);
    let patched = match patch {
        Patch::Json(operations) => patch::json(&scale, operations)?,
        Patch::Merge(changes) | Patch::Strategic(changes) | Patch::Apply(changes) => patch::merge(&scale, changes),
    };
    put(workload, &patched)
}

/// The pod with its node. Errors: 409 where it has another one, 400 without a target.
pub(super) fn bind(pod: &Object, binding: &Object) -> Result<Object, Status> {
    let node = binding["target"]["name"]
        .as_str()
        .filter(|node| !node.is_empty())
        .ok_or_else(|| Status::bad_request("Binding: target.name: Required value"))?;
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    match pod["spec"]["nodeName"].as_str().filter(|bound| !bound.is_empty()) {
        Some(bound) => {
            Err(Status::conflict("pods/binding", name, &format!("pod {name} is already assigned to node \"{bound}\"")))
        }
        None => {
            let mut new = pod.clone();
            new["spec"]["nodeName"] = node.into();
            let scheduled =
                json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": super::prepare::now()});
            match new["status"]["conditions"].as_array_mut() {
                Some(conditions) => {
                    conditions.retain(|c| c["type"] != "PodScheduled");
                    conditions.push(scheduled);
                }
                None => new["status"]["conditions"] = json!([scheduled]),
            }
            Ok(new)
        }
    }
}
