//! The scheduler: gives each new pod a node that is ready, admits it and has room.
//!
//! [`plan`] is pure. There is one node as a rule; nothing here relies on it. Source: Kubernetes documentation, "Kubernetes Scheduler".
use super::object::{NODES, PODS, condition, is_deleting, is_true, label, name, stamp, text};
use super::reconciler::{Change, Controller, Key, Source, View};
use super::step::{Step, full_name};
use crate::Object;
use crate::status::Status;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Pods of a node that does not say how many it takes; Kubernetes' own default.
const NODE_PODS: i64 = 110;
/// Pods that every namespace may have if the node has room at all: the demo's three twice, while all of them roll out.
const SANDBOX: i64 = 6;

/// What one plan looks at.
pub(crate) struct Seen {
    pub pod: Arc<Object>,
    pub nodes: Vec<Arc<Object>>,
    /// Pods on each node that have not ended.
    pub used: BTreeMap<String, Used>,
    pub now: Timestamp,
}

/// Pods on a node that have not ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// Of all namespaces.
    pub all: i64,
    /// Of the namespace of the pod to schedule.
    pub own: i64,
}

/// Assigns the pod to the node with the fewest pods, or says why none will do.
pub(crate) fn plan(seen: &Seen) -> Vec<Step> {
    let pod = &seen.pod;
    if !text(pod, "/spec/nodeName").is_empty() || is_deleting(pod) || has_ended(pod) {
        return Vec::new();
    }
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    let mut fit = Vec::new();
    for node in &seen.nodes {
        let used = seen.used.get(name(node)).copied().unwrap_or_default();
        match refuses(node, pod, used) {
            Some(why) => *refused.entry(why).or_default() += 1,
            None => fit.push((used.all, name(node))),
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
fn refuses(node: &Object, pod: &Object, used: Used) -> Option<&'static str> {
    let selector = pod.pointer("/spec/nodeSelector").and_then(Value::as_object);
    if node.pointer("/spec/unschedulable").is_some_and(|u| u == true) {
        return Some("node(s) were unschedulable");
    }
    if !is_true(node, "Ready") {
        return Some("node(s) were not ready");
    }
    if selector.is_some_and(|s| s.iter().any(|(k, v)| label(node, k) != v.as_str())) {
        return Some("node(s) didn't match Pod's node affinity/selector");
    }
    let room = node.pointer("/status/allocatable/pods").or_else(|| node.pointer("/status/capacity/pods"));
    let room = room.and_then(|r| r.as_i64().or_else(|| r.as_str()?.parse().ok())).unwrap_or(NODE_PODS);
    if used.all >= room {
        return Some(lacking(node));
    }
    (used.own >= share(room, used))
        .then_some("Too many pods in this namespace, which may have half of what the others leave")
}

/// Pods that one namespace may have on a node: half of what the others leave, so that there is always room for others.
/// Kubernetes has no such bound; there an administrator sets quotas.
fn share(room: i64, used: Used) -> i64 {
    ((room - (used.all - used.own)) / 2).max(SANDBOX)
}

/// What a full node lacks. Its condition `PodCapacity` names the scarcest resource.
fn lacking(node: &Object) -> &'static str {
    match condition(node, "PodCapacity").map(|c| text(c, "/reason")) {
        Some("BoundByMemory") => "Insufficient memory",
        Some("BoundByProcesses") => "Insufficient processes",
        Some("BoundByFileDescriptors") => "Insufficient file descriptors",
        _ => "Too many pods",
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
    let mut status =
        pod.get("status").filter(|s| s.is_object()).cloned().unwrap_or_else(|| json!({"phase": "Pending"}));
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|c| c["type"] != "PodScheduled");
    conditions.push(json!({
        "type": "PodScheduled", "status": "False", "lastProbeTime": null, "lastTransitionTime": stamp(seen.now),
        "reason": "Unschedulable", "message": message,
    }));
    status["conditions"] = conditions.into();
    vec![Step::Status(PODS, pod.clone(), status), Step::warn(pod, "FailedScheduling", message)]
}

/// Which pods take a place on which node. An index, so that a pod is scheduled without a look at all others.
#[derive(Default)]
struct Places {
    node_of: HashMap<Key, String>,
    /// By node.
    running: BTreeMap<String, i64>,
    /// By node and namespace.
    own: HashMap<(String, String), i64>,
}

impl Places {
    fn take(&mut self, key: &Key, node: &str) {
        if self.node_of.get(key).is_some_and(|old| old == node) {
            return;
        }
        self.free(key);
        self.node_of.insert(key.clone(), node.to_owned());
        *self.running.entry(node.to_owned()).or_default() += 1;
        *self.own.entry((node.to_owned(), key.namespace.clone())).or_default() += 1;
    }

    /// Returns whether the pod had a place.
    fn free(&mut self, key: &Key) -> bool {
        let Some(node) = self.node_of.remove(key) else { return false };
        if let Some(count) = self.running.get_mut(&node) {
            *count -= 1;
        }
        let place = (node, key.namespace.clone());
        if let Some(count) = self.own.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                self.own.remove(&place);
            }
        }
        true
    }

    fn of(&self, node: &str, namespace: &str) -> Used {
        let own = self.own.get(&(node.to_owned(), namespace.to_owned())).copied().unwrap_or(0);
        Used { all: self.running.get(node).copied().unwrap_or(0), own }
    }
}

/// Schedules pods, many at a time: a place given away counts from the plan on, not from when the write is on disk.
#[derive(Default)]
pub(crate) struct Scheduler {
    /// Of pods that are bound, and of those whose binding is under way.
    places: Places,
    /// Pods that no node took, by namespace. One that is looked at again is taken out, and put back if it is refused again.
    waiting: BTreeMap<String, BTreeSet<Key>>,
}

impl Scheduler {
    fn wait(&mut self, key: &Key) {
        self.waiting.entry(key.namespace.clone()).or_default().insert(key.clone());
    }

    fn forget(&mut self, key: &Key) {
        if let Some(keys) = self.waiting.get_mut(&key.namespace) {
            keys.remove(key);
            if keys.is_empty() {
                self.waiting.remove(&key.namespace);
            }
        }
    }

    /// A place is free: one pod of each namespace may try, as a namespace that has its share cannot use it.
    fn next(&mut self) -> Vec<Key> {
        let next: Vec<Key> = self.waiting.values_mut().filter_map(BTreeSet::pop_first).collect();
        self.waiting.retain(|_, keys| !keys.is_empty());
        next
    }
}

impl Controller for Scheduler {
    type Key = Key;
    const NAME: &'static str = "default-scheduler";
    const MANAGER: &'static str = "kube-scheduler";
    const WORKERS: usize = 64;

    fn sources(&self) -> Vec<Source<Key>> {
        vec![Source::new(PODS, |o, _| vec![Key::of(o)]), Source::new(NODES, |_, _| Vec::new())]
    }

    fn begin(&mut self, view: &View) {
        self.places = Places::default();
        for pod in view.list(&PODS, "").unwrap_or_default().iter().filter(|p| has_place(p)) {
            self.places.take(&Key::of(pod), text(pod, "/spec/nodeName"));
        }
    }

    fn on(&mut self, source: &Source<Key>, change: Change, object: &Arc<Object>, _view: &View) -> Vec<Key> {
        if source.kind == NODES {
            // A node came, became ready, or takes more pods: those who wait may go.
            return std::mem::take(&mut self.waiting).into_values().flatten().collect();
        }
        let key = Key::of(object);
        if change == Change::There && text(object, "/spec/nodeName").is_empty() && !has_ended(object) {
            return vec![key];
        }
        self.forget(&key);
        if change == Change::There && has_place(object) {
            self.places.take(&key, text(object, "/spec/nodeName"));
            return Vec::new();
        }
        if self.places.free(&key) { self.next() } else { Vec::new() }
    }

    fn plan(&mut self, key: &Key, view: &View, now: Timestamp, _failure: Option<&str>) -> Result<Vec<Step>, Status> {
        self.forget(key);
        let pod = view.get(&PODS, &key.namespace, &key.name).filter(|pod| !has_ended(pod));
        let Some(pod) = pod else {
            // Its end is an event as well, which frees the place if it had one.
            return Ok(Vec::new());
        };
        if has_place(&pod) {
            self.places.take(key, text(&pod, "/spec/nodeName"));
            return Ok(Vec::new());
        }
        // An earlier attempt at this pod has ended without success.
        self.places.free(key);
        let nodes = view.list(&NODES, "")?;
        let used =
            nodes.iter().map(|node| (name(node).to_owned(), self.places.of(name(node), &key.namespace))).collect();
        let steps = plan(&Seen { pod: pod.clone(), nodes, used, now });
        if let Some(Step::Bind { node, .. }) = steps.first() {
            self.places.take(key, node);
        } else if !is_deleting(&pod) {
            self.wait(key);
        }
        Ok(steps)
    }
}

fn has_ended(pod: &Object) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn has_place(pod: &Object) -> bool {
    !text(pod, "/spec/nodeName").is_empty() && !has_ended(pod)
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
        let used = BTreeMap::from([("local".to_owned(), Used { all: running, own: 0 })]);
        show(&plan(&Seen { pod: Arc::new(pod), nodes, used, now: Timestamp::UNIX_EPOCH }))
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
            (
                &pod,
                vec![ready.clone()],
                1,
                vec!["bind p to local".to_owned(), "Scheduled: Successfully assigned n/p to local".to_owned()],
            ),
            (&placed, vec![ready.clone()], 0, vec![]),
            (&pod, vec![], 0, failed("no nodes available to schedule pods")),
            (&pod, vec![ready.clone()], 2, failed("0/1 nodes are available: 1 Too many pods.")),
            (&pod, vec![node("local", "False")], 0, failed("0/1 nodes are available: 1 node(s) were not ready.")),
            (&pod, vec![cordoned], 0, failed("0/1 nodes are available: 1 node(s) were unschedulable.")),
            (
                &picky,
                vec![ready],
                0,
                failed("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
            ),
        ] {
            assert_eq!(steps(pod.clone(), &nodes, running), want);
        }
    }

    #[test]
    fn a_full_node_says_what_it_lacks() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}});
        for (reason, want) in [
            ("BoundByMemory", "0/1 nodes are available: 1 Insufficient memory."),
            ("BoundByProcesses", "0/1 nodes are available: 1 Insufficient processes."),
            ("BoundByFileDescriptors", "0/1 nodes are available: 1 Insufficient file descriptors."),
            ("BoundByConfiguration", "0/1 nodes are available: 1 Too many pods."),
        ] {
            let mut full = node("local", "True");
            full["status"]["conditions"]
                .as_array_mut()
                .unwrap()
                .push(json!({"type": "PodCapacity", "status": "True", "reason": reason}));
            let told = steps(pod.clone(), &[full], 2);
            assert_eq!(told[1], format!("FailedScheduling: {want}"));
        }
    }

    #[test]
    fn a_namespace_has_at_most_half_of_what_the_others_leave() {
        for (room, all, own, fits) in [
            (100, 0, 0, true),
            (100, 49, 49, true),
            (100, 50, 50, false),
            // Others have 40 of 100, which leaves 60.
            (100, 69, 29, true),
            (100, 70, 30, false),
            // A sandbox fits as long as the node is not full.
            (100, 97, 5, true),
            (100, 98, 6, false),
            (4, 3, 3, true),
            (4, 4, 4, false),
        ] {
            let mut node = node("local", "True");
            node["status"]["allocatable"]["pods"] = room.to_string().into();
            assert_eq!(refuses(&node, &json!({}), Used { all, own }).is_none(), fits, "{own} of {all} of {room}");
        }
    }

    #[test]
    fn places_are_counted_once_and_given_back_once() {
        let (a, b) = (Key::new("n", "a"), Key::new("n", "b"));
        let mut places = Places::default();
        for key in [&a, &a, &b] {
            places.take(key, "local");
        }
        let seen =
            |places: &Places| (places.of("local", "n").all, places.of("local", "n").own, places.of("local", "m").own);
        assert_eq!(seen(&places), (2, 2, 0));
        places.take(&a, "other");
        assert_eq!(seen(&places), (1, 1, 0));
        assert_eq!((places.free(&a), places.free(&a), places.free(&b)), (true, false, true));
        assert_eq!(seen(&places), (0, 0, 0));
        assert!(places.own.is_empty() && places.node_of.is_empty(), "nothing is left over");
    }
}
