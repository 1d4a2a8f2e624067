//! A pod's READY, STATUS and RESTARTS. Source: kubectl's documented output, "Pod Lifecycle" and "Sidecar Containers".
use super::text::{items, number, or, since};
use crate::Object;
use serde_json::Value;

/// What `kubectl get pods` shows of a pod.
pub(crate) struct PodSummary {
    /// Ready containers, native sidecars included.
    pub ready: usize,
    /// Containers that count: the app's and native sidecars.
    pub total: usize,
    /// `Running`, `Init:0/1`, `CrashLoopBackOff`, `Terminating` …
    pub status: String,
    /// Restarts of the containers that count.
    pub restarts: i64,
    /// When the last of these ended, as RFC 3339.
    pub last_restart: Option<String>,
}

/// Restart counts and the newest end among some containers.
#[derive(Default)]
struct Restarts {
    count: i64,
    last: Option<String>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += number(&container["restartCount"]);
        let ended = container["lastState"]["terminated"]["finishedAt"].as_str();
        // RFC 3339 in UTC sorts as text.
        if ended > self.last.as_deref() {
            self.last = ended.map(str::to_owned);
        }
    }
}

/// Derives the line that people read from a pod's spec and status.
pub(crate) fn pod_summary(pod: &Object) -> PodSummary {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let phase = status["phase"].as_str().unwrap_or("Unknown");
    let sidecar =
        |name: &Value| items(&spec["initContainers"]).any(|c| &c["name"] == name && c["restartPolicy"] == "Always");
    let sidecars = items(&spec["initContainers"]).filter(|c| c["restartPolicy"] == "Always").count();

    let mut shown = status["reason"].as_str().filter(|r| !r.is_empty()).unwrap_or(phase).to_owned();
    if condition(status, "PodScheduled", |c| c["reason"] == "SchedulingGated") {
        shown = "SchedulingGated".to_owned();
    }
    let (mut all, mut of_sidecars, mut ready, mut initializing) = (Restarts::default(), Restarts::default(), 0, false);
    for (done, container) in items(&status["initContainerStatuses"]).enumerate() {
        let is_sidecar = sidecar(&container["name"]);
        all.add(container);
        if is_sidecar {
            of_sidecars.add(container);
        }
        let (terminated, waiting) = (&container["state"]["terminated"], &container["state"]["waiting"]);
        if !terminated.is_null() && number(&terminated["exitCode"]) == 0 {
            continue;
        }
        if is_sidecar && container["started"] == true {
            ready += usize::from(container["ready"] == true);
            continue;
        }
        initializing = true;
        let reason = waiting["reason"].as_str().filter(|r| !r.is_empty() && *r != "PodInitializing");
        shown = if !terminated.is_null() {
            format!("Init:{}", ended(terminated))
        } else if let Some(reason) = reason {
            format!("Init:{reason}")
        } else {
            format!("Init:{done}/{}", items(&spec["initContainers"]).len())
        };
        break;
    }
    if !initializing || condition(status, "Initialized", |c| c["status"] == "True") {
        all = of_sidecars;
        let mut running = false;
        for container in items(&status["containerStatuses"]).rev() {
            all.add(container);
            let state = &container["state"];
            if let Some(reason) = state["waiting"]["reason"].as_str().filter(|r| !r.is_empty()) {
                shown = reason.to_owned();
            } else if !state["terminated"].is_null() {
                shown = ended(&state["terminated"]);
            } else if container["ready"] == true && !state["running"].is_null() {
                running = true;
                ready += 1;
            }
        }
        if shown == "Completed" && running {
            let is_ready = condition(status, "Ready", |c| c["status"] == "True");
            shown = if is_ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        if status["reason"] == "NodeLost" {
            shown = "Unknown".to_owned();
        } else if !matches!(phase, "Succeeded" | "Failed") {
            shown = "Terminating".to_owned();
        }
    }
    let total = items(&spec["containers"]).len() + sidecars;
    PodSummary { ready, total, status: shown, restarts: all.count, last_restart: all.last }
}

fn condition(status: &Value, of: &str, holds: impl Fn(&Value) -> bool) -> bool {
    items(&status["conditions"]).any(|c| c["type"] == of && holds(c))
}

fn ended(terminated: &Value) -> String {
    match terminated["reason"].as_str() {
        Some(reason) if !reason.is_empty() => reason.to_owned(),
        _ if number(&terminated["signal"]) != 0 => format!("Signal:{}", terminated["signal"]),
        _ => format!("ExitCode:{}", number(&terminated["exitCode"])),
    }
}

pub(crate) fn ready(pod: &Object) -> Value {
    let s = pod_summary(pod);
    format!("{}/{}", s.ready, s.total).into()
}

pub(crate) fn status(pod: &Object) -> Value {
    pod_summary(pod).status.into()
}

pub(crate) fn restarts(pod: &Object) -> Value {
    let s = pod_summary(pod);
    match s.last_restart {
        Some(last) if s.restarts > 0 => format!("{} ({} ago)", s.restarts, since(&last.into())).into(),
        _ => s.restarts.to_string().into(),
    }
}

pub(crate) fn ip(pod: &Object) -> Value {
    let first = &pod["status"]["podIPs"][0]["ip"];
    or(if first.is_null() { &pod["status"]["podIP"] } else { first }, "<none>")
}

pub(crate) fn node_name(pod: &Object) -> Value {
    or(&pod["spec"]["nodeName"], "<none>")
}

pub(crate) fn nominated_node(pod: &Object) -> Value {
    or(&pod["status"]["nominatedNodeName"], "<none>")
}

pub(crate) fn readiness_gates(pod: &Object) -> Value {
    let gates = items(&pod["spec"]["readinessGates"]);
    if gates.len() == 0 {
        return "<none>".into();
    }
    let total = gates.len();
    let open = gates
        .filter(|gate| {
            items(&pod["status"]["conditions"]).any(|c| c["type"] == gate["conditionType"] && c["status"] == "True")
        })
        .count();
    format!("{open}/{total}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_read_as_kubectl_prints_them() {
        let running = json!({"name": "app", "ready": true, "restartCount": 0, "state": {"running": {}}});
        let one = json!({"containers": [{"name": "app"}]});
        let with_sidecar =
            json!({"initContainers": [{"name": "proxy", "restartPolicy": "Always"}], "containers": [{"name": "app"}]});
        let crash = json!({"name": "app", "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        let proxy =
            json!({"name": "proxy", "ready": true, "started": true, "restartCount": 1, "state": {"running": {}}});
        let proxy_starting =
            json!({"name": "proxy", "ready": false, "started": false, "restartCount": 0, "state": {"running": {}}});
        let proxy_failed = json!({"name": "proxy", "restartCount": 0, "state": {"terminated": {"exitCode": 2}}});
        let ended = |code: i64, reason: &str| json!({"name": "app", "restartCount": 0, "state": {"terminated": {"exitCode": code, "reason": reason}}});
        for (spec, status, deleting, line) in [
            (&one, json!({"phase": "Pending"}), false, "0/1 Pending 0"),
            (&one, json!({"phase": "Running", "containerStatuses": [running]}), false, "1/1 Running 0"),
            (&one, json!({"phase": "Running", "containerStatuses": [running]}), true, "1/1 Terminating 0"),
            (&one, json!({"phase": "Running", "containerStatuses": [crash]}), false, "0/1 CrashLoopBackOff 3"),
            (
                &one,
                json!({"phase": "Succeeded", "containerStatuses": [ended(0, "Completed")]}),
                false,
                "0/1 Completed 0",
            ),
            (&one, json!({"phase": "Failed", "containerStatuses": [ended(1, "")]}), false, "0/1 ExitCode:1 0"),
            (&one, json!({"phase": "Failed", "reason": "Evicted"}), false, "0/1 Evicted 0"),
            (
                &with_sidecar,
                json!({"phase": "Running", "initContainerStatuses": [proxy], "containerStatuses": [running]}),
                false,
                "2/2 Running 1",
            ),
            (
                &with_sidecar,
                json!({"phase": "Pending", "initContainerStatuses": [proxy_starting]}),
                false,
                "0/2 Init:0/1 0",
            ),
            (
                &with_sidecar,
                json!({"phase": "Pending", "initContainerStatuses": [proxy_failed]}),
                false,
                "0/2 Init:ExitCode:2 0",
            ),
        ] {
            let mut pod = json!({"metadata": {}, "spec": spec, "status": status});
            if deleting {
                pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            let s = pod_summary(&pod);
            assert_eq!(format!("{}/{} {} {}", s.ready, s.total, s.status, s.restarts), line);
        }
    }
}
