//! The scheduler: gives each new pod a node that is ready, admits it and has room.
//!
//! [`plan`] is pure. There is one node as a rule; nothing here relies on it. Source: Kubernetes documentation, "Kubernetes Scheduler".
use super::object::{NODES, PODS, condition, is_deleting, is_true, label, name, namespace, stamp, text};
use super::shell::{Change, Controller, Key, Source, View};
use super::step::{Step, full_name};
use crate::Object;
use crate::status::Status;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pods of a node that does not say how many it takes; Kubernetes' own default.
const NODE_PODS: i64 = 110;

/// What one plan looks at.
pub(crate) struct Seen {
    pub pod: Arc<Object>,
    pub nodes: Vec<Arc<Object>>,
    /// Pods on each node that have not ended.
    pub running: BTreeMap<String, i64>,
    pub now: Timestamp,
}

/// Assigns the pod to the node with the fewest pods, or says why none will do.
pub(crate) fn plan(seen: &Seen) -> Vec<Step> {
    let pod = &seen.pod;
    if !text(pod, "/spec/nodeName").is_empty() || is_deleting(pod) || matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return Vec::new();
    }
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    let mut fit = Vec::new();
    for node in &seen.nodes {
        let running = seen.running.get(name(node)).copied().unwrap_or(0);
        match refuses(node, pod, running) {
            Some(why) => *refused.entry(why).or_default() += 1,
            None => fit.push((running, name(node))),
        }
    }
    match fit.into_iter().min() {
        Some((_, node)) => vec![
            Step::Bind { pod: pod.clone(), node: node.to_owned() },
            Step::say(pod, "Scheduled", format!("Successfully assigned {} to {node}", full_name(pod))),
        ],
        None => unschedulable(seen, &refused),
    }
}

/// Why this node does not take the pod, in Kubernetes' words.
fn refuses(node: &Object, pod: &Object, running: i64) -> Option<&'static str> {
    let selector = pod.pointer("/spec/nodeSelector").and_then(Value::as_object);
    if node.pointer("/spec/unschedulable").is_some_and(|u| u == true) {
        Some("node(s) were unschedulable")
    } else if !is_true(node, "Ready") {
        Some("node(s) were not ready")
    } else if selector.is_some_and(|s| s.iter().any(|(k, v)| label(node, k) != v.as_str())) {
        Some("node(s) didn't match Pod's node affinity/selector")
    } else {
        let room = node.pointer("/status/allocatable/pods").or_else(|| node.pointer("/status/capacity/pods"));
        let room = room.and_then(|r| r.as_i64().or_else(|| r.as_str()?.parse().ok())).unwrap_or(NODE_PODS);
        (running >= room).then_some("Too many pods")
    }
}

fn unschedulable(seen: &Seen, refused: &BTreeMap<&str, usize>) -> Vec<Step> {
    let whys: Vec<String> = refused.iter().map(|(why, count)| format!("{count} {why}")).collect();
    let message = match whys.is_empty() {
        true => "no nodes available to schedule pods".to_owned(),
        false => format!("0/{} nodes are available: {}.", seen.nodes.len(), whys.join(", ")),
    };
    let pod = &seen.pod;
    if condition(pod, "PodScheduled").is_some_and(|c| c["status"] == "False" && c["message"] == message.as_str()) {
        return Vec::new();
    }
    let mut status = pod.get("status").filter(|s| s.is_object()).cloned().unwrap_or_else(|| json!({"phase": "Pending"}));
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|c| c["type"] != "PodScheduled");
    conditions.push(json!({
        "type": "PodScheduled", "status": "False", "lastProbeTime": null, "lastTransitionTime": stamp(seen.now),
        "reason": "Unschedulable", "message": message,
    }));
    status["conditions"] = conditions.into();
    vec![Step::Status(PODS, pod.clone(), status), Step::warn(pod, "FailedScheduling", message)]
}

/// Schedules pods, many at a time: a place given away counts from the plan on, not from when the write is on disk.
#[derive(Default)]
pub(crate) struct Scheduler {
    /// Node of each pod whose binding is under way.
    assumed: BTreeMap<Key, String>,
}

impl Controller for Scheduler {
    type Key = Key;
    const NAME: &'static str = "default-scheduler";
    const MANAGER: &'static str = "kube-scheduler";
    const WORKERS: usize = 64;

    fn sources(&self) -> Vec<Source<Key>> {
        vec![
            // Bound and deleted ones too: that ends their assumption.
            Source::new(PODS, |o, _| vec![Key::of(o)]),
            // A node came, or became ready: those who wait may go.
            Source::new(NODES, |_, view| waiting(view)),
        ]
    }

    fn on(&mut self, source: &Source<Key>, change: Change, object: &Arc<Object>, view: &View) -> Vec<Key> {
        let mut keys = (source.keys)(object, view);
        if change == Change::Gone && source.kind == PODS {
            // Its place is free.
            keys.extend(waiting(view));
        }
        keys
    }

    fn plan(&mut self, key: &Key, view: &View, now: Timestamp, _failure: Option<&str>) -> Result<Vec<Step>, Status> {
        // An earlier attempt at this pod has ended, well or not.
        self.assumed.remove(key);
        let Some(pod) = view.get(&PODS, &key.namespace, &key.name) else { return Ok(Vec::new()) };
        if !text(&pod, "/spec/nodeName").is_empty() {
            return Ok(Vec::new());
        }
        let mut running: BTreeMap<String, i64> = BTreeMap::new();
        for other in view.list(&PODS, "")?.iter().filter(|p| !matches!(text(p, "/status/phase"), "Succeeded" | "Failed")) {
            let node = text(other, "/spec/nodeName");
            let node = if node.is_empty() { self.assumed.get(&Key::of(other)).map_or("", String::as_str) } else { node };
            *running.entry(node.to_owned()).or_default() += 1;
        }
        let steps = plan(&Seen { pod, nodes: view.list(&NODES, "")?, running, now });
        if let Some(Step::Bind { node, .. }) = steps.first() {
            self.assumed.insert(key.clone(), node.clone());
        }
        Ok(steps)
    }
}

fn waiting(view: &View) -> Vec<Key> {
    let pods = view.list(&PODS, "").unwrap_or_default();
    pods.iter().filter(|p| text(p, "/spec/nodeName").is_empty() && !namespace(p).is_empty()).map(|p| Key::of(p)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::step::show;
    use super::*;

    fn node(name: &str, ready: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"disk": "ssd"}}, "status": {"allocatable": {"pods": "2"}, "conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn steps(pod: Value, nodes: &[Value], running: i64) -> Vec<String> {
        let nodes = nodes.iter().cloned().map(Arc::new).collect();
        let running = BTreeMap::from([("local".to_owned(), running)]);
        show(&plan(&Seen { pod: Arc::new(pod), nodes, running, now: Timestamp::UNIX_EPOCH }))
    }

    #[test]
    fn a_pod_is_assigned_or_told_why_not() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}});
        let mut picky = pod.clone();
        picky["spec"] = json!({"nodeSelector": {"disk": "tape"}});
        let mut placed = pod.clone();
        placed["spec"] = json!({"nodeName": "local"});
        let mut cordoned = node("local", "True");
        cordoned["spec"] = json!({"unschedulable": true});
        let ready = node("local", "True");
        let failed = |why: &str| vec!["status pods p".to_owned(), format!("FailedScheduling: {why}")];
        for (pod, nodes, running, want) in [
            (&pod, vec![ready.clone()], 1, vec!["bind p to local".to_owned(), "Scheduled: Successfully assigned n/p to local".to_owned()]),
            (&placed, vec![ready.clone()], 0, vec![]),
            (&pod, vec![], 0, failed("no nodes available to schedule pods")),
            (&pod, vec![ready.clone()], 2, failed("0/1 nodes are available: 1 Too many pods.")),
            (&pod, vec![node("local", "False")], 0, failed("0/1 nodes are available: 1 node(s) were not ready.")),
            (&pod, vec![cordoned], 0, failed("0/1 nodes are available: 1 node(s) were unschedulable.")),
            (&picky, vec![ready], 0, failed("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")),
        ] {
            assert_eq!(steps(pod.clone(), &nodes, running), want);
        }
    }
}
