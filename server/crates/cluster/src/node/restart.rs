//! What a pod's object remembers of runs before this start of the node.
use jiff::Timestamp;
use serde_json::{Value, json};

use super::container::{Ended, State};
use super::pod::Pod;
use super::pod_status::seconds;
use super::shared::Shared;
use crate::Object;
use crate::registry::{ListOptions, Patch, Subresource};
use crate::select::FieldSelector;
use crate::status::Status;

/// Takes back what pods were said to be doing when the node ended: nothing of it runs now. To be called before anybody is told of them.
pub async fn forget_runs(shared: &Shared) -> Result<(), Status> {
    let kind = shared.kind("", "pods")?;
    let mine = FieldSelector::parse(&format!("spec.nodeName={}", shared.name))?;
    let pods = shared.registry.list(&kind, None, &ListOptions { fields: mine, ..ListOptions::default() })?;
    for pod in &pods.items {
        let Some(status) = stopped(&pod["status"], Timestamp::now()) else { continue };
        let metadata = &pod["metadata"];
        let (ns, name) = (metadata["namespace"].as_str(), metadata["name"].as_str().unwrap_or_default());
        let patch = Patch::Merge(json!({"status": status}));
        shared.registry.patch(&kind, ns, name, Subresource::Status, patch, &Shared::writes()).await?;
    }
    Ok(())
}

/// A pod's status once the node that ran it has ended; none where nothing ran.
fn stopped(status: &Value, now: Timestamp) -> Option<Value> {
    let mut new = status.clone();
    let mut ran = false;
    for list in ["initContainerStatuses", "containerStatuses"] {
        for container in new[list].as_array_mut().into_iter().flatten() {
            let Some(running) = container["state"].get("running") else { continue };
            container["lastState"] = json!({"terminated": {
                "containerID": container["containerID"], "exitCode": 137, "reason": NODE_RESTARTED.0, "message": NODE_RESTARTED.1,
                "startedAt": running["startedAt"], "finishedAt": seconds(now),
            }});
            container["state"] = json!({"waiting": {"reason": "ContainerCreating"}});
            container["ready"] = false.into();
            container["started"] = false.into();
            ran = true;
        }
    }
    for condition in new["conditions"].as_array_mut().into_iter().flatten() {
        if ran
            && condition["status"] == "True"
            && (condition["type"] == "Ready" || condition["type"] == "ContainersReady")
        {
            condition["status"] = "False".into();
            condition["reason"] = "ContainersNotReady".into();
            condition["message"] = NODE_RESTARTED.1.into();
            condition["lastTransitionTime"] = seconds(now);
        }
    }
    ran.then_some(new)
}

/// Reason and message of a container's end that nobody saw.
const NODE_RESTARTED: (&str, &str) = ("NodeRestarted", "The node was stopped while the container ran");

/// Takes over counts and last states; gives the pod's `startTime` where it has run before.
pub fn adopt(pod: &mut Pod, object: &Object) -> Option<Timestamp> {
    let status = &object["status"];
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let all = ["initContainerStatuses", "containerStatuses"];
    for known in all.iter().flat_map(|list| status[*list].as_array().map(Vec::as_slice).unwrap_or_default()) {
        let Some(container) = pod.containers.iter_mut().find(|container| known["name"] == container.spec.name.as_str())
        else {
            continue;
        };
        container.restarts = known["restartCount"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        let Some(id) = known["containerID"].as_str() else { continue };
        container.ran = true;
        container.id = id.to_owned();
        let now = Timestamp::now();
        let ended = known["state"].get("terminated").or_else(|| known["lastState"].get("terminated"));
        container.last = Some(match (known["state"].get("running"), ended) {
            (None, Some(ended)) => Ended {
                code: ended["exitCode"].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(255),
                signal: None,
                reason: ended["reason"].as_str().unwrap_or("Error").to_owned(),
                message: ended["message"].as_str().unwrap_or_default().to_owned(),
                started: time(&ended["startedAt"]).unwrap_or(now),
                finished: time(&ended["finishedAt"]).unwrap_or(now),
                id: id.to_owned(),
            },
            (running, _) => Ended {
                code: 137,
                signal: None,
                reason: NODE_RESTARTED.0.to_owned(),
                message: NODE_RESTARTED.1.to_owned(),
                started: running.and_then(|running| time(&running["startedAt"])).unwrap_or(now),
                finished: now,
                id: id.to_owned(),
            },
        });
    }
    time(&status["startTime"])
}

/// Shows why no container can be started yet.
pub fn blocked(pod: &mut Pod, reason: &str, message: &str) {
    for container in &mut pod.containers {
        if let State::Waiting { reason: shown, message: text, .. } = &mut container.state {
            *shown = reason.to_owned().into();
            message.clone_into(text);
        }
    }
}

/// Takes that back.
pub fn unblocked(pod: &mut Pod) {
    blocked(pod, if pod.initialized { "ContainerCreating" } else { "PodInitializing" }, "");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_before_a_restart_is_not_called_ready() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let running = json!({"phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [{"name": "a", "containerID": "x://1", "restartCount": 2, "ready": true, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]});
        let after = stopped(&running, now).unwrap();
        let container = &after["containerStatuses"][0];
        assert_eq!(container["ready"], false);
        assert_eq!(container["restartCount"], 2);
        assert_eq!(container["state"]["waiting"]["reason"], "ContainerCreating");
        assert_eq!(container["lastState"]["terminated"]["finishedAt"], "2026-01-01T00:01:00Z");
        assert_eq!(after["conditions"][0]["status"], "False");
        assert_eq!(after["conditions"][1]["status"], "True", "it stays scheduled");
        assert_eq!(stopped(&after, now), None, "once is enough");
        assert_eq!(
            stopped(&json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {}}}]}), now),
            None
        );
    }
}
