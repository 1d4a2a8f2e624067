//! ReplicaSets: as many pods of a template as asked for.
//!
//! [`plan`] is pure. Source: Kubernetes documentation, "ReplicaSet"; the order of deletion is that of its "Scaling a ReplicaSet".
use super::claim::{Claim, Claims, adopt, claimants, release};
use super::object::{
    PODS, REPLICA_SETS, annotation, condition, controller_reference, elapsed, int, is_deleting, is_true, list, name,
    namespace, stamp, text, time,
};
use super::reconciler::{Controller, Key, Source, View};
use super::step::{How, Step};
use crate::Object;
use crate::status::Status;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

/// Pods made or deleted by one plan, at most; the rest follows when these are seen.
const BURST: usize = 500;
/// Pods that wait for a node before no more are created. Each costs memory and disk, so a Deployment of a million replicas must not
/// make them all before one is found not to fit.
const WAITING: usize = 100;

/// What one plan looks at.
pub(crate) struct Seen<'a> {
    pub set: Arc<Object>,
    /// Pods of its namespace, whatever their phase.
    pub pods: Vec<Arc<Object>>,
    /// Why the last attempt at this ReplicaSet failed.
    pub failure: Option<&'a str>,
    pub now: Timestamp,
}

/// The next steps of a ReplicaSet; empty where it is as it should be.
pub(crate) fn plan(seen: &Seen) -> Vec<Step> {
    let set = &seen.set;
    let mut steps = Vec::new();
    let mut active: Vec<&Arc<Object>> = Vec::new();
    let claims = Claims::of(set);
    for pod in seen.pods.iter().filter(|p| is_active(p)) {
        match claims.claim(pod) {
            Claim::Ours => active.push(pod),
            Claim::Adopt => {
                steps.push(adopt(PODS, pod, set, "apps/v1", "ReplicaSet"));
                active.push(pod);
            }
            Claim::Release => steps.push(release(PODS, pod, set)),
            Claim::Others => {}
        }
    }
    let wanted = usize::try_from(int(set, "/spec/replicas").unwrap_or(1)).unwrap_or(0);
    let full = if active.len() < wanted { unschedulable(&active) } else { None };
    let (status, again) = status(seen, &active, full.as_deref());
    if set.get("status") != Some(&status) {
        if let Some(why) = full.as_deref().filter(|_| condition(set, "ReplicaFailure").is_none()) {
            steps.push(Step::warn(set, "FailedCreate", why));
        }
        steps.push(Step::Status(REPLICA_SETS, set.clone(), status));
    }
    if !is_deleting(set) {
        if full.is_some() {
            // One that is scheduled or ends is an event.
        } else if active.len() < wanted {
            let missing = (wanted - active.len()).min(BURST);
            steps.extend(std::iter::repeat_with(|| Step::Spawn { owner: set.clone(), pod: pod_of(set) }).take(missing));
        } else {
            let mut surplus = active.clone();
            surplus.sort_by_cached_key(|p| rank(p));
            surplus.truncate((active.len() - wanted).min(BURST));
            steps.extend(surplus.iter().map(|p| Step::Delete(PODS, Arc::clone(p), How::Background)));
            steps.extend(
                surplus.iter().map(|p| Step::say(set, "SuccessfulDelete", format!("Deleted pod: {}", name(p)))),
            );
        }
    }
    steps.extend(again.map(Step::Again));
    steps
}

/// A pod counts until it has ended or is being deleted.
fn is_active(pod: &Object) -> bool {
    !is_deleting(pod) && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Why no more pods are created: many wait for a node already.
fn unschedulable(active: &[&Arc<Object>]) -> Option<String> {
    let unbound = active.iter().filter(|p| text(p, "/spec/nodeName").is_empty());
    let mut waiting = unbound.filter_map(|p| condition(p, "PodScheduled").filter(|c| c["status"] == "False"));
    let last = waiting.nth(WAITING - 1)?;
    Some(format!(
        "{WAITING} pods wait for a node, no more are created until one has found it: {}",
        text(last, "/message")
    ))
}

fn pod_of(set: &Object) -> Object {
    let template = &set["spec"]["template"];
    let mut metadata = Map::new();
    metadata.insert("generateName".into(), format!("{}-", name(set)).into());
    metadata.insert("namespace".into(), namespace(set).into());
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field).filter(|v| !v.is_null()) {
            metadata.insert(field.into(), value.clone());
        }
    }
    metadata.insert("ownerReferences".into(), json!([controller_reference(set, "apps/v1", "ReplicaSet")]));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

/// Who goes first: unassigned, pending, not ready, cheap by annotation, ready for the shortest time, restarted often, newest.
fn rank(pod: &Object) -> impl Ord + use<> {
    let phase = match text(pod, "/status/phase") {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    let is_ready = is_true(pod, "Ready");
    let cost: i64 =
        annotation(pod, "controller.kubernetes.io/pod-deletion-cost").and_then(|c| c.parse().ok()).unwrap_or(0);
    let ready_since = condition(pod, "Ready").filter(|_| is_ready).and_then(|c| time(c, "/lastTransitionTime"));
    let restarts =
        list(pod, "/status/containerStatuses").iter().filter_map(|c| c["restartCount"].as_i64()).max().unwrap_or(0);
    (
        !text(pod, "/spec/nodeName").is_empty(),
        phase,
        is_ready,
        cost,
        Reverse(ready_since),
        Reverse(restarts),
        Reverse(time(pod, "/metadata/creationTimestamp")),
        name(pod).to_owned(),
    )
}

fn status(seen: &Seen, active: &[&Arc<Object>], full: Option<&str>) -> (Value, Option<Duration>) {
    let set = &seen.set;
    let steady = Duration::from_secs(int(set, "/spec/minReadySeconds").unwrap_or(0).max(0).unsigned_abs());
    let (mut ready, mut available, mut again) = (0, 0, None::<Duration>);
    for pod in active.iter().filter(|p| is_true(p, "Ready")) {
        ready += 1;
        let since = condition(pod, "Ready").and_then(|c| time(c, "/lastTransitionTime")).unwrap_or(seen.now);
        let waited = elapsed(since, seen.now);
        if steady.is_zero() || waited >= steady {
            available += 1;
        } else {
            let left = steady - waited;
            again = Some(again.map_or(left, |a| a.min(left)));
        }
    }
    let labels = set.pointer("/spec/template/metadata/labels").and_then(Value::as_object);
    let labelled = active
        .iter()
        .filter(|p| labels.is_none_or(|l| l.iter().all(|(k, v)| p["metadata"]["labels"].get(k) == Some(v))))
        .count();
    let mut status = Map::new();
    status.insert("replicas".into(), active.len().into());
    for (field, count) in
        [("fullyLabeledReplicas", labelled), ("readyReplicas", ready), ("availableReplicas", available)]
    {
        if count > 0 {
            status.insert(field.into(), count.into());
        }
    }
    status.insert("observedGeneration".into(), set["metadata"]["generation"].clone());
    if let Some(failure) = seen.failure.or(full) {
        let since =
            condition(set, "ReplicaFailure").map_or_else(|| stamp(seen.now), |c| c["lastTransitionTime"].clone());
        let failure = json!({
            "type": "ReplicaFailure", "status": "True", "lastTransitionTime": since, "reason": "FailedCreate", "message": failure,
        });
        status.insert("conditions".into(), json!([failure]));
    }
    (status.into(), again)
}

/// Keeps ReplicaSets.
pub(crate) struct ReplicaSets;

impl Controller for ReplicaSets {
    type Key = Key;
    const NAME: &'static str = "replicaset-controller";

    fn sources(&self) -> Vec<Source<Key>> {
        vec![
            Source::new(REPLICA_SETS, |o, _| vec![Key::of(o)]),
            Source::new(PODS, |o, view| claimants(o, view, &REPLICA_SETS, "ReplicaSet")),
        ]
    }

    fn plan(&mut self, key: &Key, view: &View, now: Timestamp, failure: Option<&str>) -> Result<Vec<Step>, Status> {
        let Some(set) = view.get(&REPLICA_SETS, &key.namespace, &key.name) else { return Ok(Vec::new()) };
        let pods = view.list(&PODS, &key.namespace)?;
        Ok(plan(&Seen { set, pods, failure, now }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::show;
    use super::*;

    const NOW: &str = "2026-01-01T00:01:00Z";

    fn set(replicas: i64) -> Value {
        json!({"metadata": {"name": "web-abc", "namespace": "n", "uid": "u", "generation": 1},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}}})
    }

    /// `name phase ready-since`, the last `-` where it is not ready.
    fn pod(row: &str) -> Arc<Object> {
        let [name, phase, since] = row.split(' ').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let ready = if since == "-" { "False" } else { "True" };
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "n", "labels": {"app": "web"}, "ownerReferences": [{"uid": "u", "controller": true}]},
            "spec": {"nodeName": "local"},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": format!("2026-01-01T00:00:{since}Z")}]},
        });
        if name.starts_with("gone") {
            pod["metadata"]["deletionTimestamp"] = NOW.into();
        }
        Arc::new(pod)
    }

    fn steps(set: &Value, pods: &[&str], failure: Option<&str>) -> Vec<Step> {
        let pods = pods.iter().map(|p| pod(p)).collect();
        plan(&Seen { set: Arc::new(set.clone()), pods, failure, now: NOW.parse().unwrap() })
    }

    #[test]
    fn missing_pods_are_made_and_surplus_ones_deleted_the_least_useful_first() {
        for (replicas, pods, want) in [
            (2, vec![], vec!["spawn web-abc-*", "spawn web-abc-*"]),
            (1, vec!["a Running 10"], vec![]),
            (1, vec!["gone Running 10"], vec!["spawn web-abc-*"]),
            (1, vec!["a Failed -"], vec!["spawn web-abc-*"]),
            (1, vec!["a Running 10", "b Pending -"], vec!["delete pods b", "SuccessfulDelete: Deleted pod: b"]),
            (1, vec!["a Running -", "b Running 10"], vec!["delete pods a", "SuccessfulDelete: Deleted pod: a"]),
            (
                1,
                vec!["old Running 10", "new Running 20"],
                vec!["delete pods new", "SuccessfulDelete: Deleted pod: new"],
            ),
            (0, vec!["a Running 10"], vec!["delete pods a", "SuccessfulDelete: Deleted pod: a"]),
        ] {
            let shown: Vec<_> =
                show(&steps(&set(replicas), &pods, None)).into_iter().filter(|s| !s.starts_with("status")).collect();
            assert_eq!(shown, want, "{replicas} of {pods:?}");
        }
    }

    #[test]
    fn a_pod_whose_label_was_changed_is_let_go_and_replaced_and_a_stray_one_taken_in() {
        let mut isolated = Object::clone(&pod("isolated Running 10"));
        isolated["metadata"]["labels"]["app"] = "debug".into();
        let mut stray = Object::clone(&pod("stray Running 10"));
        stray["metadata"]["ownerReferences"] = json!([]);
        for (pods, want) in [
            (vec![isolated.clone()], vec!["update pods isolated", "spawn web-abc-*"]),
            (vec![isolated, stray], vec!["update pods isolated", "update pods stray"]),
        ] {
            let pods = pods.into_iter().map(Arc::new).collect();
            let steps = plan(&Seen { set: Arc::new(set(1)), pods, failure: None, now: NOW.parse().unwrap() });
            let shown: Vec<_> = show(&steps).into_iter().filter(|s| !s.starts_with("status")).collect();
            assert_eq!(shown, want);
        }
    }

    #[test]
    fn a_pod_is_available_once_it_was_ready_for_long_enough() {
        let mut set = set(2);
        set["spec"]["minReadySeconds"] = 30.into();
        let steps = steps(&set, &["a Running 10", "b Running 50"], None);
        let Step::Status(_, _, status) = &steps[0] else { panic!("{steps:?}") };
        assert_eq!(
            *status,
            json!({"replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 2, "availableReplicas": 1, "observedGeneration": 1})
        );
        assert_eq!(steps[1].to_string(), "again in 20000 ms");
    }

    #[test]
    fn no_more_pods_are_created_while_many_wait_for_a_node() {
        let waiting = |count: usize| {
            let mut pods: Vec<Arc<Object>> = vec![pod("runs Running 10")];
            pods.extend((0..count).map(|i| {
                let mut pod = Object::clone(&pod(&format!("p{i} Pending -")));
                pod["spec"] = json!({});
                pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient memory."}]);
                Arc::new(pod)
            }));
            let set = Arc::new(set(10_000));
            plan(&Seen { set, pods, failure: None, now: NOW.parse().unwrap() })
        };
        let spawned = |steps: &[Step]| steps.iter().filter(|s| matches!(s, Step::Spawn { .. })).count();
        assert_eq!(spawned(&waiting(WAITING - 1)), BURST);
        let full = waiting(WAITING);
        assert_eq!(spawned(&full), 0);
        let why = "100 pods wait for a node, no more are created until one has found it: 0/1 nodes are available: 1 Insufficient memory.";
        assert_eq!(show(&full), [format!("FailedCreate: {why}"), "status replicasets web-abc".to_owned()]);
        let Step::Status(_, _, status) = &full[1] else { panic!("{full:?}") };
        assert_eq!((&status["replicas"], &status["conditions"][0]["message"]), (&json!(101), &json!(why)));
    }

    #[test]
    fn a_failure_to_create_is_told_in_the_status_and_tried_again() {
        let steps = steps(&set(1), &[], Some("exceeded quota"));
        let Step::Status(_, _, status) = &steps[0] else { panic!("{steps:?}") };
        assert_eq!(status["conditions"][0]["reason"], "FailedCreate");
        assert_eq!(status["conditions"][0]["message"], "exceeded quota");
        assert_eq!(steps[1].to_string(), "spawn web-abc-*");
    }

    #[test]
    fn nothing_is_left_to_do_once_the_status_is_written() {
        let mut set = set(1);
        set["status"] = json!({"replicas": 1, "fullyLabeledReplicas": 1, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 1});
        assert_eq!(show(&steps(&set, &["a Running 10"], None)), Vec::<String>::new());
    }
}
