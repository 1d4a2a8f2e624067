//! A Deployment's ReplicaSets: which is the current one, their revisions, and edits gathered into one write each.
//!
//! Source: Kubernetes documentation, "Deployments"; annotations as kubectl's `rollout` reads them.
use super::super::object::{self, KindName, REPLICA_SETS, annotate, annotation, int, name, text};
use super::super::step::Step;
use super::template;
use super::want::Want;
use crate::Object;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations that say something of the object they stand on, and so are not handed from a Deployment to its ReplicaSet.
const OWN: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
];

/// A ReplicaSet as this plan leaves it.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// As it is to be written.
    pub object: Object,
    /// Pods asked for, as of this plan.
    pub replicas: i64,
    /// `status.replicas`: pods that exist.
    pub existing: i64,
    /// `status.readyReplicas`.
    pub ready: i64,
    /// `status.availableReplicas`.
    pub available: i64,
    /// When it was made; ties are broken by name.
    pub created: Option<Timestamp>,
    is_changed: bool,
}

impl Set {
    /// Reads a ReplicaSet.
    pub fn read(object: &Object) -> Set {
        let count = |field: &str| int(object, &format!("/status/{field}")).unwrap_or(0);
        Set {
            replicas: int(object, "/spec/replicas").unwrap_or(1),
            existing: count("replicas"),
            ready: count("readyReplicas"),
            available: count("availableReplicas"),
            created: object::time(object, "/metadata/creationTimestamp"),
            object: object.clone(),
            is_changed: false,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        name(&self.object)
    }

    /// Its revision; 0 where it has none yet.
    pub fn revision(&self) -> i64 {
        annotation(&self.object, REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
    }

    /// Replicas of the Deployment when it was last scaled.
    pub fn desired(&self) -> Option<i64> {
        annotation(&self.object, DESIRED).and_then(|n| n.parse().ok())
    }

    /// Replicas of the Deployment plus surge when it was last scaled.
    pub fn max(&self) -> Option<i64> {
        annotation(&self.object, MAX).and_then(|n| n.parse().ok())
    }

    /// Asks for so many pods, and notes what the Deployment wanted at the time. Adds the event where the number changes.
    pub fn scale(&mut self, to: i64, want: &Want, deployment: &Arc<Object>, said: &mut Vec<Step>) {
        let to = to.max(0);
        if to != self.replicas {
            let way = if to > self.replicas { "up" } else { "down" };
            said.push(Step::say(
                deployment,
                "ScalingReplicaSet",
                format!("Scaled {way} replica set {} from {} to {to}", self.name(), self.replicas),
            ));
            self.replicas = to;
            self.object["spec"]["replicas"] = to.into();
            self.is_changed = true;
        }
        self.is_changed |= note_scale(&mut self.object, want);
    }

    /// Brings the current ReplicaSet's annotations and revision in line with its Deployment.
    pub fn follow(&mut self, deployment: &Object, revision: i64) {
        let old = self.revision();
        self.is_changed |= hand_down(deployment, &mut self.object);
        if old < revision {
            if old > 0 {
                let history = match annotation(&self.object, REVISION_HISTORY) {
                    Some(before) if !before.is_empty() => format!("{before},{old}"),
                    _ => old.to_string(),
                };
                annotate(&mut self.object, REVISION_HISTORY, &history);
            }
            annotate(&mut self.object, REVISION, &revision.to_string());
            self.is_changed = true;
        }
        let ready_s = deployment["spec"].get("minReadySeconds").cloned();
        if int(&self.object, "/spec/minReadySeconds").unwrap_or(0)
            != ready_s.as_ref().and_then(Value::as_i64).unwrap_or(0)
        {
            self.object["spec"]["minReadySeconds"] = ready_s.unwrap_or_else(|| 0.into());
            self.is_changed = true;
        }
    }

    /// The write that this plan's edits come to.
    pub fn write(&self) -> Option<Step> {
        const KIND: KindName = REPLICA_SETS;
        self.is_changed.then(|| Step::Update(KIND, self.object.clone()))
    }
}

/// The current ReplicaSet (the oldest of those with the Deployment's template) and the others, oldest first.
pub(super) fn split(deployment: &Object, all: &[Arc<Object>]) -> (Option<Set>, Vec<Set>) {
    let mut sets: Vec<Set> = all.iter().map(|rs| Set::read(rs)).collect();
    sets.sort_by(|a, b| (a.created, a.name()).cmp(&(b.created, b.name())));
    let current =
        sets.iter().position(|s| template::same(&s.object["spec"]["template"], &deployment["spec"]["template"]));
    let current = current.map(|i| sets.remove(i));
    (current, sets)
}

/// The ReplicaSet of a Deployment's template, of which there is none yet.
pub(super) fn new_set(deployment: &Object, want: &Want, replicas: i64, revision: i64) -> Set {
    let hash = template::hash(&deployment["spec"]["template"], int(deployment, "/status/collisionCount").unwrap_or(0));
    let template = template::with_hash(&deployment["spec"]["template"], &hash);
    let mut selector = deployment["spec"]["selector"].clone();
    if !selector["matchLabels"].is_object() {
        selector["matchLabels"] = json!({});
    }
    selector["matchLabels"][template::HASH_LABEL] = hash.as_str().into();
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", name(deployment)),
            "namespace": text(deployment, "/metadata/namespace"),
            "labels": template["metadata"]["labels"],
            "ownerReferences": [object::controller_reference(deployment, "apps/v1", "Deployment")],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    });
    if let Some(seconds) = int(deployment, "/spec/minReadySeconds").filter(|&s| s > 0) {
        object["spec"]["minReadySeconds"] = seconds.into();
    }
    hand_down(deployment, &mut object);
    annotate(&mut object, REVISION, &revision.to_string());
    note_scale(&mut object, want);
    Set::read(&object)
}

fn note_scale(set: &mut Object, want: &Want) -> bool {
    let desired = annotate(set, DESIRED, &want.replicas.to_string());
    let max = annotate(set, MAX, &(want.replicas + want.surge()).to_string());
    desired || max
}

/// Copies the Deployment's annotations, so that `rollout history` finds a revision's change-cause on its ReplicaSet.
fn hand_down(deployment: &Object, set: &mut Object) -> bool {
    let empty = Map::new();
    let annotations = deployment.pointer("/metadata/annotations").and_then(Value::as_object).unwrap_or(&empty);
    let mut is_changed = false;
    for (key, value) in annotations.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
        is_changed |= annotate(set, key, value.as_str().unwrap_or_default());
    }
    is_changed
}
