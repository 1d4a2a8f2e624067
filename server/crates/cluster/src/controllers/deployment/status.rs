//! A Deployment's status: counts, and the conditions with the reasons and words that kubectl and people know.
//!
//! Source: Kubernetes documentation, "Deployments": "Deployment status".
use super::super::object::{elapsed, int, list, name, stamp, text, time};
use super::sets::Set;
use super::want::Want;
use crate::Object;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Words that go with a condition: reason and message.
type Said = (&'static str, String);

const AVAILABLE_SET: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// What is known besides the ReplicaSets.
pub(super) struct Report<'a> {
    pub deployment: &'a Object,
    pub want: &'a Want,
    pub new: Option<&'a Set>,
    pub old: &'a [Set],
    /// The current ReplicaSet is made by this plan.
    pub is_created: bool,
    /// The plan rolls; a paused, scaled or ending Deployment's progress is not judged.
    pub is_rolling: bool,
    pub now: Timestamp,
}

/// A status and when to look again: the deadline of a rollout passes without an event.
pub(super) struct Judged {
    pub status: Value,
    pub is_complete: bool,
    pub again: Option<Duration>,
}

impl Report<'_> {
    /// The status that these ReplicaSets give.
    pub fn judge(&self) -> Judged {
        let all = || self.old.iter().chain(self.new);
        let available: i64 = all().map(|s| s.available).sum();
        let counts = Counts {
            replicas: all().map(|s| s.existing).sum(),
            updated: self.new.map_or(0, |s| s.existing),
            ready: all().map(|s| s.ready).sum(),
            available,
            unavailable: (all().map(|s| s.replicas).sum::<i64>() - available).max(0),
        };
        let is_complete = self.new.is_some()
            && [counts.updated, counts.replicas, counts.available].iter().all(|&n| n == self.want.replicas);
        let mut conditions: Vec<Value> = list(self.deployment, "/status/conditions").to_vec();
        self.say_available(&mut conditions, &counts);
        self.say_failure(&mut conditions);
        let again = self.say_progress(&mut conditions, &counts, is_complete);
        Judged { status: self.to_json(&counts, conditions), is_complete, again }
    }

    fn to_json(&self, counts: &Counts, conditions: Vec<Value>) -> Value {
        let mut status = Map::new();
        status.insert("observedGeneration".into(), self.deployment["metadata"]["generation"].clone());
        // Kubernetes leaves zeros out.
        for (field, count) in [
            ("replicas", counts.replicas),
            ("updatedReplicas", counts.updated),
            ("readyReplicas", counts.ready),
            ("availableReplicas", counts.available),
            ("unavailableReplicas", counts.unavailable),
        ] {
            if count > 0 {
                status.insert(field.into(), count.into());
            }
        }
        status.insert("conditions".into(), conditions.into());
        if let Some(collisions) = int(self.deployment, "/status/collisionCount") {
            status.insert("collisionCount".into(), collisions.into());
        }
        status.into()
    }

    fn say_available(&self, conditions: &mut Vec<Value>, counts: &Counts) {
        let is_available = counts.available >= self.want.replicas - self.want.unavailable();
        let (status, said) = if is_available {
            ("True", ("MinimumReplicasAvailable", "Deployment has minimum availability.".to_owned()))
        } else {
            ("False", ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.".to_owned()))
        };
        set(conditions, "Available", status, said, self.now);
    }

    /// A ReplicaSet that cannot make its pods says why; the Deployment repeats it.
    fn say_failure(&self, conditions: &mut Vec<Value>) {
        let failed = self.new.into_iter().chain(self.old).find_map(|s| {
            list(&s.object, "/status/conditions")
                .iter()
                .find(|c| c["type"] == "ReplicaFailure" && c["status"] == "True")
                .cloned()
        });
        let before = conditions.iter().position(|c| c["type"] == "ReplicaFailure");
        match (failed, before) {
            (Some(failed), Some(i)) if text(&conditions[i], "/message") == text(&failed, "/message") => {}
            (Some(mut failed), before) => {
                failed["lastUpdateTime"] = stamp(self.now);
                if let Some(i) = before {
                    conditions.remove(i);
                }
                conditions.push(failed);
            }
            (None, Some(i)) => {
                conditions.remove(i);
            }
            (None, None) => {}
        }
    }

    fn say_progress(&self, conditions: &mut Vec<Value>, counts: &Counts, is_complete: bool) -> Option<Duration> {
        let Some(deadline_s) = self.want.deadline_s else {
            conditions.retain(|c| c["type"] != "Progressing");
            return None;
        };
        let before = conditions.iter().find(|c| c["type"] == "Progressing").cloned().unwrap_or(Value::Null);
        let reason = text(&before, "/reason");
        let whom = match self.new {
            Some(set) => format!("ReplicaSet \"{}\"", set.name()),
            None => format!("Deployment \"{}\"", name(self.deployment)),
        };
        let mut say = |status, said| set(conditions, "Progressing", status, said, self.now);
        if self.want.paused {
            if reason != PAUSED && reason != TIMED_OUT {
                say("Unknown", (PAUSED, "Deployment is paused".to_owned()));
            }
            return None;
        }
        if reason == PAUSED {
            say("Unknown", ("DeploymentResumed", "Deployment is resumed".to_owned()));
            return Some(Duration::from_millis(1));
        }
        if self.is_created {
            let created = self.new.map(|s| format!("Created new replica set \"{}\"", s.name())).unwrap_or_default();
            say("True", ("NewReplicaSetCreated", created));
        } else if let (Value::Null, Some(set)) = (&before, self.new) {
            say("True", ("FoundNewReplicaSet", format!("Found new replica set \"{}\"", set.name())));
        } else if !self.is_rolling || (reason == AVAILABLE_SET && counts.replicas == counts.updated) {
            // A finished rollout stays finished: pods that come and go later are Available's business.
            return None;
        } else if is_complete {
            say("True", (AVAILABLE_SET, format!("{whom} has successfully progressed.")));
            return None;
        } else if counts.are_ahead_of(self.deployment) {
            progress(conditions, format!("{whom} is progressing."), self.now);
        } else if reason != TIMED_OUT && reason != AVAILABLE_SET {
            let since = time(&before, "/lastUpdateTime").unwrap_or(self.now);
            let deadline = Duration::from_secs(deadline_s.max(0).unsigned_abs());
            let waited = elapsed(since, self.now);
            if waited <= deadline {
                return Some(deadline - waited + Duration::from_secs(1));
            }
            say("False", (TIMED_OUT, format!("{whom} has timed out progressing.")));
            return None;
        } else {
            return None;
        }
        Some(Duration::from_secs(deadline_s.max(0).unsigned_abs() + 1))
    }
}

struct Counts {
    replicas: i64,
    updated: i64,
    ready: i64,
    available: i64,
    unavailable: i64,
}

impl Counts {
    /// More new pods, fewer old ones, more that are ready or available: any of these is progress.
    fn are_ahead_of(&self, deployment: &Object) -> bool {
        let before = |field: &str| int(deployment, &format!("/status/{field}")).unwrap_or(0);
        let updated = before("updatedReplicas");
        self.updated > updated
            || self.replicas - self.updated < before("replicas") - updated
            || self.ready > before("readyReplicas")
            || self.available > before("availableReplicas")
    }
}

/// Sets a condition. The same status and reason leave it alone, times included, so that no heartbeat looks like a change.
fn set(conditions: &mut Vec<Value>, kind: &str, status: &str, (reason, message): Said, now: Timestamp) {
    let before = conditions.iter().position(|c| c["type"] == kind);
    if before.is_some_and(|i| conditions[i]["status"] == status && conditions[i]["reason"] == reason) {
        return;
    }
    let since =
        before.filter(|&i| conditions[i]["status"] == status).map(|i| conditions[i]["lastTransitionTime"].clone());
    if let Some(i) = before {
        conditions.remove(i);
    }
    conditions.push(json!({
        "type": kind, "status": status, "lastUpdateTime": stamp(now),
        "lastTransitionTime": since.unwrap_or_else(|| stamp(now)), "reason": reason, "message": message,
    }));
}

/// Progress is noted with its time even where the condition's status and reason stay: the deadline counts from here.
fn progress(conditions: &mut Vec<Value>, message: String, now: Timestamp) {
    let since = conditions
        .iter()
        .find(|c| c["type"] == "Progressing" && c["status"] == "True")
        .map(|c| c["lastTransitionTime"].clone());
    conditions.retain(|c| c["type"] != "Progressing");
    conditions.push(json!({
        "type": "Progressing", "status": "True", "lastUpdateTime": stamp(now),
        "lastTransitionTime": since.unwrap_or_else(|| stamp(now)), "reason": "ReplicaSetUpdated", "message": message,
    }));
}
