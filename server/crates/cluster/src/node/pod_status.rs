//! A pod's `status` from what the node knows. Pure. Source: Kubernetes API reference, `PodStatus`; kubelet's words.
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::container::{Container, Ended, State};
use super::pod::Pod;
use super::spec::Role;
use crate::Object;
use crate::kinds::qos;

/// What a status says besides the containers.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `podIP`; none before it has one.
    pub pod_ip: Option<Ipv4Addr>,
    /// `hostIP`.
    pub host_ip: Ipv4Addr,
    /// When the node took the pod.
    pub started: Timestamp,
    /// Why nothing can be started, with a reason; shown as the pod's own.
    pub trouble: Option<(String, String)>,
}

/// The whole status. `before` gives the times of conditions that did not change, and conditions of others.
pub fn build(pod: &Pod, facts: &Facts, before: &Object, now: Timestamp) -> Value {
    let (inits, apps): (Vec<&Container>, Vec<&Container>) =
        pod.containers.iter().partition(|container| container.spec.role != Role::App);
    let mut status = json!({
        "phase": pod.phase(),
        "conditions": conditions(pod, facts, before, now),
        "hostIP": facts.host_ip.to_string(),
        "hostIPs": [{"ip": facts.host_ip.to_string()}],
        "startTime": seconds(facts.started),
        "containerStatuses": apps.iter().map(|container| container_status(container)).collect::<Vec<_>>(),
        "qosClass": qos(&before["spec"]),
    });
    if let Some(ip) = facts.pod_ip {
        status["podIP"] = ip.to_string().into();
        status["podIPs"] = json!([{"ip": ip.to_string()}]);
    }
    if !inits.is_empty() {
        status["initContainerStatuses"] = inits.iter().map(|container| container_status(container)).collect();
    }
    // null removes what an earlier write said: statuses are written as merge patches.
    let (reason, message) = facts.trouble.clone().map_or((Value::Null, Value::Null), |(r, m)| (r.into(), m.into()));
    status["reason"] = reason;
    status["message"] = message;
    if let Some(generation) = before["metadata"]["generation"].as_i64() {
        status["observedGeneration"] = generation.into();
    }
    status
}

fn conditions(pod: &Pod, facts: &Facts, before: &Object, now: Timestamp) -> Value {
    let over = matches!(pod.phase(), "Succeeded" | "Failed");
    // Sidecars count for readiness as apps do.
    let unready: Vec<&str> = pod
        .containers
        .iter()
        .filter(|container| container.spec.role != Role::Init && !container.ready)
        .map(|container| container.spec.name.as_str())
        .collect();
    let incomplete: Vec<&str> = pod
        .containers
        .iter()
        .filter(|container| match container.spec.role {
            Role::Init => !container.succeeded(),
            Role::Sidecar => !container.started,
            Role::App => false,
        })
        .map(|container| container.spec.name.as_str())
        .collect();
    let ready = if over {
        Err(("PodCompleted", String::new()))
    } else if unready.is_empty() {
        Ok(())
    } else {
        Err(("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))))
    };
    let initialized = if pod.initialized {
        Ok(())
    } else {
        Err(("ContainersNotInitialized", format!("containers with incomplete status: [{}]", incomplete.join(" "))))
    };
    let network = if facts.pod_ip.is_some() { Ok(()) } else { Err(("", String::new())) };
    let old = before["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut all = vec![
        condition("PodReadyToStartContainers", network, old, now),
        condition("Initialized", initialized, old, now),
        condition("Ready", ready.clone(), old, now),
        condition("ContainersReady", ready, old, now),
    ];
    let is_new = |kept: &&Value| all.iter().all(|mine| mine["type"] != kept["type"]);
    let mut kept: Vec<Value> = old.iter().filter(is_new).cloned().collect();
    if !kept.iter().any(|one| one["type"] == "PodScheduled") {
        kept.push(condition("PodScheduled", Ok(()), old, now));
    }
    all.append(&mut kept);
    all.into()
}

fn condition(kind: &str, state: Result<(), (&str, String)>, old: &[Value], now: Timestamp) -> Value {
    let value = if state.is_ok() { "True" } else { "False" };
    let since = old
        .iter()
        .find(|one| one["type"] == kind && one["status"] == value)
        .map(|one| one["lastTransitionTime"].clone())
        .filter(Value::is_string)
        .unwrap_or_else(|| seconds(now));
    let mut condition = json!({"type": kind, "status": value, "lastProbeTime": null, "lastTransitionTime": since});
    if let Err((reason, message)) = state {
        for (key, text) in [("reason", reason), ("message", &message)] {
            if !text.is_empty() {
                condition[key] = text.into();
            }
        }
    }
    condition
}

fn container_status(container: &Container) -> Value {
    let state = match &container.state {
        State::Waiting { reason, message, .. } => {
            let mut waiting = json!({"reason": reason});
            if !message.is_empty() {
                waiting["message"] = message.as_str().into();
            }
            json!({"waiting": waiting})
        }
        State::Starting => json!({"waiting": {"reason": "ContainerCreating"}}),
        State::Running(since) => json!({"running": {"startedAt": seconds(since.wall)}}),
        State::Ended => container.last.as_ref().map_or_else(|| json!({}), terminated),
    };
    // The newest finished run is the state itself once nothing follows it.
    let last =
        container.last.as_ref().filter(|_| container.state != State::Ended).map_or_else(|| json!({}), terminated);
    let completed = container.spec.role == Role::Init && container.succeeded();
    let mut status = Map::new();
    status.insert("name".into(), container.spec.name.as_str().into());
    status.insert("state".into(), state);
    status.insert("lastState".into(), last);
    status.insert("ready".into(), (container.ready || completed).into());
    status.insert("restartCount".into(), container.restarts.into());
    status.insert("image".into(), container.spec.image.as_str().into());
    status.insert(
        "imageID".into(),
        if container.id.is_empty() { String::new() } else { format!("process://{}", container.spec.image) }.into(),
    );
    if !container.id.is_empty() {
        status.insert("containerID".into(), container.id.as_str().into());
    }
    status.insert("started".into(), container.started.into());
    status.into()
}

fn terminated(ended: &Ended) -> Value {
    let mut terminated = json!({
        "exitCode": ended.code, "reason": ended.reason,
        "startedAt": seconds(ended.started), "finishedAt": seconds(ended.finished), "containerID": ended.id,
    });
    if let Some(signal) = ended.signal {
        terminated["signal"] = signal.into();
    }
    if !ended.message.is_empty() {
        terminated["message"] = ended.message.as_str().into();
    }
    json!({"terminated": terminated})
}

/// A time as Kubernetes writes it: whole seconds.
pub fn seconds(at: Timestamp) -> Value {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::container::Now;
    use crate::node::pod_events::Input;
    use crate::node::process::Exit;
    use crate::node::spec::PodSpec;
    use std::time::Duration;

    #[test]
    fn a_pod_is_told_from_pending_to_ready_and_after_a_crash() {
        let object = json!({"metadata": {}, "spec": {
            "initContainers": [{"name": "istio-proxy", "restartPolicy": "Always"}],
            "containers": [{"name": "app", "image": "simple-flask-app"}],
        }});
        let mut pod = Pod::new("p".into(), &PodSpec::read(&object));
        let ip = Ipv4Addr::LOCALHOST;
        let facts = Facts { pod_ip: Some(ip), host_ip: ip, started: Timestamp::UNIX_EPOCH, trouble: None };
        let show = |pod: &Pod| {
            let status = build(pod, &facts, &object, Timestamp::UNIX_EPOCH);
            let of = |kind: &str| {
                let all = status["conditions"].as_array().unwrap();
                all.iter().find(|one| one["type"] == kind).unwrap()["status"].as_str().unwrap().to_owned()
            };
            let app = &status["containerStatuses"][0];
            let state = app["state"].as_object().unwrap().keys().next().unwrap().clone();
            let reason = app["state"]["waiting"]["reason"].as_str().unwrap_or("-").to_owned();
            let phase = status["phase"].as_str().unwrap().to_owned();
            format!("{phase} init={} ready={} {state} {reason} {}", of("Initialized"), of("Ready"), app["restartCount"])
        };
        let now = Now { mono: Duration::ZERO, wall: Timestamp::UNIX_EPOCH };
        assert_eq!(show(&pod), "Pending init=False ready=False waiting PodInitializing 0");
        pod.handle(now, Input::Tick);
        pod.handle(now, Input::Started { index: 0, id: "process://1".into() });
        assert_eq!(show(&pod), "Pending init=True ready=False waiting ContainerCreating 0");
        pod.handle(now, Input::Started { index: 1, id: "process://2".into() });
        assert_eq!(show(&pod), "Running init=True ready=True running - 0");
        for _ in 0..2 {
            pod.handle(now, Input::Exited { index: 1, exit: Exit { code: 1, signal: None }, oom: false });
            if matches!(pod.containers[1].state, State::Starting) {
                pod.handle(now, Input::Started { index: 1, id: "process://3".into() });
            }
        }
        assert_eq!(show(&pod), "Running init=True ready=False waiting CrashLoopBackOff 1");
    }
}
