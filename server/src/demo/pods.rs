//! A pod as `kubectl get pods` prints it. Pure.
//!
//! Source: Kubernetes' printers, `printPod`, with restartable init containers counted among the containers.
use kube::api::DynamicObject;
use serde_json::Value;
use std::collections::BTreeMap;
use wire::PodView;

/// A pod with what the page does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    /// What the page shows.
    pub view: PodView,
    /// Whether every container is ready and it is not ending.
    pub ready: bool,
    /// Whether it was asked to end.
    pub terminating: bool,
    /// Whether it ended for good: `Evicted`, for example. Its controller makes another.
    pub failed: bool,
    /// Whether its sidecar is ready.
    pub sidecar_ready: bool,
    /// What its label or annotation says about a sidecar; nothing where its namespace decides.
    pub wants_sidecar: Option<bool>,
    /// Its `app` label.
    pub app: String,
    /// Why no node takes it, in the scheduler's words; nothing where one does.
    pub unschedulable: Option<String>,
    /// The container whose image it cannot get, and the image.
    pub unpulled: Option<(String, String)>,
    /// What keeps a container from running: kubelet's reason, where it is none of an ordinary start. The STATUS column has the same.
    pub stuck: Option<Stuck>,
}

/// What keeps a container from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// It waits, and not for its turn: `CrashLoopBackOff`, `CreateContainerConfigError`, `Port15001InUse`.
    Waits(String),
    /// It ended with an error and was not started again yet: `Error`, `OOMKilled`.
    Ended(String),
}

const PROXY: &str = "istio-proxy";
/// The label that asks for a sidecar, or for none.
pub const INJECT_LABEL: &str = "sidecar.istio.io/inject";

fn items<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path).and_then(Value::as_str).filter(|s| !s.is_empty())
}

/// Reads a pod.
pub fn read(pod: &DynamicObject) -> PodSeen {
    let labels = pod.metadata.labels.as_ref();
    let label = |key: &str| labels.and_then(|l| l.get(key)).cloned().unwrap_or_default();
    let restartable: Vec<&str> = items(&pod.data, "/spec/initContainers")
        .filter(|c| c["restartPolicy"] == "Always")
        .filter_map(|c| c["name"].as_str())
        .collect();
    let names = items(&pod.data, "/spec/containers").chain(items(&pod.data, "/spec/initContainers"));
    let sidecar = names.into_iter().any(|c| c["name"] == PROXY);
    let statuses: Vec<&Value> = items(&pod.data, "/status/initContainerStatuses")
        .filter(|s| s["name"].as_str().is_some_and(|n| restartable.contains(&n)))
        .chain(items(&pod.data, "/status/containerStatuses"))
        .collect();
    let total = items(&pod.data, "/spec/containers").count() + restartable.len();
    let ready_count = statuses.iter().filter(|s| s["ready"] == true).count();
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let restarts: u64 = statuses.iter().filter_map(|s| s["restartCount"].as_u64()).sum();
    let phase = phase(pod, &restartable);
    let ready = !terminating && total > 0 && ready_count == total && phase == "Running";
    let view = PodView {
        name: pod.metadata.name.clone().unwrap_or_default(),
        workload: workload(pod),
        version: label("version"),
        ready: format!("{ready_count}/{total}"),
        restarts: u32::try_from(restarts).unwrap_or(u32::MAX),
        sidecar,
        created_s: pod.metadata.creation_timestamp.as_ref().map_or(0, |t| u64::try_from(t.0.as_second()).unwrap_or(0)),
        why: if ready { String::new() } else { why(pod, &phase) },
        phase,
    };
    PodSeen {
        ready,
        terminating,
        failed: pod.data["status"]["phase"] == "Failed",
        sidecar_ready: statuses.iter().any(|s| s["name"] == PROXY && s["ready"] == true),
        wants_sidecar: asks_for_sidecar(labels, pod.metadata.annotations.as_ref()),
        app: label("app"),
        unschedulable: unschedulable(pod),
        unpulled: unpulled(pod),
        stuck: stuck(pod),
        view,
    }
}

/// What labels and annotations of a pod or a template say about a sidecar; nothing where they leave it to the namespace. The annotation
/// counts only where there is no label, and never asks for a sidecar; values other than "true" and "false" say nothing. Source: Istio
/// documentation, "Installing the Sidecar", controlling the injection policy.
pub fn asks_for_sidecar(
    labels: Option<&BTreeMap<String, String>>,
    annotations: Option<&BTreeMap<String, String>>,
) -> Option<bool> {
    let said = |all: Option<&BTreeMap<String, String>>| all.and_then(|all| all.get(INJECT_LABEL)).cloned();
    match said(labels) {
        Some(label) => label.parse().ok(),
        None => said(annotations).filter(|value| value == "false").map(|_| false),
    }
}

fn unschedulable(pod: &DynamicObject) -> Option<String> {
    let mut conditions = items(&pod.data, "/status/conditions");
    let said =
        conditions.find(|c| c["type"] == "PodScheduled" && c["status"] == "False" && c["reason"] == "Unschedulable")?;
    Some(said["message"].as_str().unwrap_or_default().trim_end_matches('.').to_owned())
}

/// Kubelet's reasons for an image that is not there.
const NOT_PULLED: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
];

fn unpulled(pod: &DynamicObject) -> Option<(String, String)> {
    let mut statuses =
        items(&pod.data, "/status/initContainerStatuses").chain(items(&pod.data, "/status/containerStatuses"));
    let waiting = statuses.find(|s| text(s, "/state/waiting/reason").is_some_and(|r| NOT_PULLED.contains(&r)))?;
    let mut containers = items(&pod.data, "/spec/initContainers").chain(items(&pod.data, "/spec/containers"));
    let image = containers.find(|c| c["name"] == waiting["name"]).and_then(|c| c["image"].as_str());
    let name = waiting["name"].as_str().unwrap_or_default().to_owned();
    Some((name, image.or(waiting["image"].as_str()).unwrap_or_default().to_owned()))
}

/// Kubelet's reasons for a container that waits for its turn.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// The first container that neither runs, nor waits for its turn, nor has done its work.
fn stuck(pod: &DynamicObject) -> Option<Stuck> {
    let mut statuses =
        items(&pod.data, "/status/initContainerStatuses").chain(items(&pod.data, "/status/containerStatuses"));
    statuses.find_map(|status| {
        if let Some(reason) = text(status, "/state/waiting/reason").filter(|reason| !STARTING.contains(reason)) {
            return Some(Stuck::Waits(reason.to_owned()));
        }
        let code = status.pointer("/state/terminated/exitCode").and_then(Value::as_i64).filter(|code| *code != 0)?;
        Some(Stuck::Ended(
            text(status, "/state/terminated/reason").map_or_else(|| format!("ExitCode:{code}"), str::to_owned),
        ))
    })
}

/// The Deployment's name: the ReplicaSet's without its hash.
fn workload(pod: &DynamicObject) -> String {
    let owner = pod.metadata.owner_references.iter().flatten().find(|o| o.controller == Some(true));
    let hash = pod.metadata.labels.as_ref().and_then(|l| l.get("pod-template-hash"));
    match (owner, hash) {
        (Some(owner), Some(hash)) => owner.name.strip_suffix(&format!("-{hash}")).unwrap_or(&owner.name).to_owned(),
        (Some(owner), None) => owner.name.clone(),
        (None, _) => String::new(),
    }
}

fn phase(pod: &DynamicObject, restartable: &[&str]) -> String {
    let mut reason =
        text(&pod.data, "/status/reason").or(text(&pod.data, "/status/phase")).unwrap_or("Pending").to_owned();
    let mut initializing = false;
    let inits = items(&pod.data, "/spec/initContainers").count();
    for (i, status) in items(&pod.data, "/status/initContainerStatuses").enumerate() {
        let started = status["name"].as_str().is_some_and(|n| restartable.contains(&n)) && status["started"] == true;
        if started || status.pointer("/state/terminated/exitCode").and_then(Value::as_i64) == Some(0) {
            continue;
        }
        let said = text(status, "/state/terminated/reason")
            .or(text(status, "/state/waiting/reason").filter(|r| *r != "PodInitializing"));
        reason = match (said, status.pointer("/state/terminated/exitCode")) {
            (Some(said), _) => format!("Init:{said}"),
            (None, Some(code)) => format!("Init:ExitCode:{code}"),
            (None, None) => format!("Init:{i}/{inits}"),
        };
        initializing = true;
        break;
    }
    if !initializing {
        let mut running = false;
        for status in items(&pod.data, "/status/containerStatuses") {
            if let Some(said) = text(status, "/state/waiting/reason").or(text(status, "/state/terminated/reason")) {
                said.clone_into(&mut reason);
            } else if let Some(code) = status.pointer("/state/terminated/exitCode") {
                reason = format!("ExitCode:{code}");
            } else if status["ready"] == true && status.pointer("/state/running").is_some() {
                running = true;
            }
        }
        if reason == "Completed" && running {
            "Running".clone_into(&mut reason);
        }
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return if reason == "NodeLost" { "Unknown" } else { "Terminating" }.to_owned();
    }
    reason
}

/// Why a pod is not ready, in the cluster's words: a container's message before a condition's.
fn why(pod: &DynamicObject, phase: &str) -> String {
    let containers =
        items(&pod.data, "/status/initContainerStatuses").chain(items(&pod.data, "/status/containerStatuses"));
    for status in containers {
        let said = text(status, "/state/waiting/message")
            .or(text(status, "/state/terminated/message"))
            .or(text(status, "/lastState/terminated/message"));
        if let Some(said) = said {
            return format!("{}: {said}", status["name"].as_str().unwrap_or_default());
        }
    }
    let failing = items(&pod.data, "/status/conditions")
        .filter(|c| c["status"] == "False")
        .find_map(|c| c["message"].as_str().filter(|m| !m.is_empty()));
    failing.unwrap_or(phase).to_owned()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    /// A pod of the demo for tests: `flaskapp-v1`, ready or not, with a sidecar or not.
    pub fn pod(workload: &str, version: &str, ready: bool, sidecar: bool) -> Value {
        let app = if workload.starts_with("flaskapp") { "flaskapp" } else { "sleep" };
        let state = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        let (mut spec_inits, mut inits) = (vec![], vec![]);
        if sidecar {
            spec_inits.push(json!({"name": "istio-proxy", "restartPolicy": "Always"}));
            inits.push(
                json!({"name": "istio-proxy", "ready": ready, "started": true, "restartCount": 0, "state": state}),
            );
        }
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{workload}-abc-12345"), "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": app, "version": version, "pod-template-hash": "abc", "sidecar.istio.io/inject": sidecar.to_string()},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{workload}-abc"), "uid": "u", "controller": true}]},
            "spec": {"initContainers": spec_inits, "containers": [{"name": "flaskapp"}]},
            "status": {"phase": "Running", "initContainerStatuses": inits,
                "containerStatuses": [{"name": "flaskapp", "ready": ready, "restartCount": 1, "state": state}]}})
    }

    #[test]
    fn a_template_asks_for_a_sidecar_by_its_label_and_declines_by_its_annotation_too() {
        let map = |value: Option<&str>| value.map(|v| BTreeMap::from([(INJECT_LABEL.to_owned(), v.to_owned())]));
        for (label, annotation, says) in [
            (None, None, None),
            (Some("true"), None, Some(true)),
            (Some("true"), Some("false"), Some(true)),
            (Some("false"), Some("true"), Some(false)),
            (Some("yes"), Some("false"), None),
            (Some("True"), None, None),
            (None, Some("false"), Some(false)),
            (None, Some("true"), None),
        ] {
            let said = asks_for_sidecar(map(label).as_ref(), map(annotation).as_ref());
            assert_eq!(said, says, "label {label:?}, annotation {annotation:?}");
        }
    }

    #[test]
    fn the_status_column_is_kubectls() {
        let base = pod("flaskapp-v1", "v1", true, true);
        let change = |f: &dyn Fn(&mut Value)| {
            let mut pod = base.clone();
            f(&mut pod);
            let seen = read(&serde_json::from_value(pod).unwrap());
            format!("{} {} {} {}", seen.view.ready, seen.view.phase, seen.view.restarts, seen.view.why)
        };
        for (what, shown, f) in [
            ("ready", "2/2 Running 1 ", (&|_: &mut Value| {}) as &dyn Fn(&mut Value)),
            ("ending", "2/2 Terminating 1 Terminating", &|p| {
                p["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:09Z".into()
            }),
            ("crashing", "1/2 CrashLoopBackOff 3 flaskapp: back-off 10s", &|p| {
                p["status"]["containerStatuses"][0] = json!({"name": "flaskapp", "ready": false, "restartCount": 3,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}});
            }),
            ("sidecar starts", "0/2 Init:0/1 0 Pending", &|p| {
                p["status"] = json!({"phase": "Pending", "initContainerStatuses": [{"name": "istio-proxy", "ready": false, "started": false,
                    "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}]});
            }),
        ] {
            let seen = change(f);
            assert!(seen == shown || (what == "sidecar starts" && seen.starts_with("0/2 Init:0/1")), "{what}: {seen}");
        }
        let seen = read(&serde_json::from_value(base).unwrap());
        assert_eq!((seen.view.workload.as_str(), seen.ready, seen.sidecar_ready), ("flaskapp-v1", true, true));
    }
}
