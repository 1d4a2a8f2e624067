//! What a pod's object remembers of runs before this start of the node.
use jiff::Timestamp;
use serde_json::Value;

use super::container::{Ended, State};
use super::pod::Pod;
use crate::Object;

/// Takes over counts and last states; gives the pod's `startTime` where it has run before.
pub fn adopt(pod: &mut Pod, object: &Object) -> Option<Timestamp> {
    let status = &object["status"];
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let all = ["initContainerStatuses", "containerStatuses"];
    for known in all.iter().flat_map(|list| status[*list].as_array().map(Vec::as_slice).unwrap_or_default()) {
        let Some(container) = pod.containers.iter_mut().find(|container| known["name"] == container.spec.name.as_str()) else { continue };
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
                reason: "NodeRestarted".to_owned(),
                message: "The node was stopped while the container ran".to_owned(),
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
