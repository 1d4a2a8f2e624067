//! Deployments: a ReplicaSet for each pod template, and the way from one to the next.
//!
//! [`plan`] is pure; it looks at the Deployment, its ReplicaSets and (for `Recreate`) their pods.
//! Source: Kubernetes documentation, "Deployments".
mod rollout;
mod sets;
mod status;
mod template;
#[cfg(test)]
mod tests;
mod want;

use super::claim::{Claim, adopt, claim, claimants, release};
use super::object::{
    self, DEPLOYMENTS, PODS, REPLICA_SETS, annotation, controller_of, int, is_controlled_by, is_deleting, name,
    namespace, text,
};
use super::reconciler::{Controller, Key, Source, View};
use super::step::{How, Step};
use crate::Object;
use crate::status::Status;
use jiff::Timestamp;
use rollout::Rollout;
use sets::{REVISION, Set};
use status::Report;
use std::sync::Arc;
use want::{Strategy, Want};

/// What one plan looks at.
pub(crate) struct Seen {
    pub deployment: Arc<Object>,
    /// ReplicaSets that it controls.
    pub sets: Vec<Arc<Object>>,
    /// Other ReplicaSets of the namespace, whose names are taken.
    pub others: Vec<Arc<Object>>,
    /// Pods of the controlled ReplicaSets.
    pub pods: Vec<Arc<Object>>,
    pub now: Timestamp,
}

/// The next steps of a Deployment; empty where it is as it should be.
pub(crate) fn plan(seen: &Seen) -> Vec<Step> {
    let deployment = &seen.deployment;
    let want = Want::read(deployment);
    let (new, old) = sets::split(deployment, &seen.sets);
    let claimed = claimed(seen);
    if !claimed.is_empty() {
        // Their versions move; the rest is planned when they have.
        return claimed;
    }
    let mut rollout = Rollout { deployment, want: &want, new, old, said: Vec::new() };
    if is_deleting(deployment) {
        return close(seen, &rollout, Vec::new(), report(seen, &rollout).judge());
    }
    let newest = rollout.old.iter().map(Set::revision).max().unwrap_or(0);
    if let Some(new) = &mut rollout.new {
        new.follow(deployment, newest + 1);
    }
    if want.paused || rollout.was_scaled() {
        rollout.rescale();
        let steps = if want.paused { cleanup(&rollout) } else { Vec::new() };
        return close(seen, &rollout, steps, report(seen, &rollout).judge());
    }
    let may_start = match want.strategy {
        Strategy::RollingUpdate { .. } => true,
        Strategy::Recreate => !rollout.stop_old() && !rollout.old_pods_run(&seen.pods),
    };
    let mut is_created = false;
    if may_start && rollout.new.is_none() {
        let replicas = rollout.room_for_new(0);
        let set = sets::new_set(deployment, &want, replicas, newest + 1);
        if let Some(steps) = collision(seen, &set) {
            return steps;
        }
        if replicas > 0 {
            let message = format!("Scaled up replica set {} from 0 to {replicas}", set.name());
            rollout.said.push(Step::say(deployment, "ScalingReplicaSet", message));
        }
        rollout.new = Some(set);
        is_created = true;
    } else if may_start {
        match (want.strategy, &mut rollout.new) {
            (Strategy::RollingUpdate { .. }, _) => rollout.roll(),
            (Strategy::Recreate, Some(new)) => new.scale(want.replicas, &want, deployment, &mut rollout.said),
            (Strategy::Recreate, None) => {}
        }
    }
    let report = Report { is_created, is_rolling: true, ..report(seen, &rollout) };
    let judged = report.judge();
    let create = rollout.new.as_ref().filter(|_| is_created).map(|s| Step::Create(REPLICA_SETS, s.object.clone()));
    let surplus = if judged.is_complete { cleanup(&rollout) } else { Vec::new() };
    close(seen, &rollout, create.into_iter().chain(surplus).collect(), judged)
}

/// ReplicaSets to take in or to let go, by the selector.
fn claimed(seen: &Seen) -> Vec<Step> {
    let all = seen.sets.iter().chain(&seen.others);
    all.filter_map(|set| match claim(&seen.deployment, set) {
        Claim::Adopt => Some(adopt(REPLICA_SETS, set, &seen.deployment, "apps/v1", "Deployment")),
        Claim::Release => Some(release(REPLICA_SETS, set, &seen.deployment)),
        Claim::Ours | Claim::Others => None,
    })
    .collect()
}

/// A report on a Deployment that does not roll.
fn report<'a>(seen: &'a Seen, rollout: &'a Rollout) -> Report<'a> {
    let Rollout { want, new, old, .. } = rollout;
    Report {
        deployment: &seen.deployment,
        want,
        new: new.as_ref(),
        old,
        is_created: false,
        is_rolling: false,
        now: seen.now,
    }
}

/// ReplicaSets first, then what is said about them, then the Deployment's own revision and status.
fn close(seen: &Seen, rollout: &Rollout, first: Vec<Step>, judged: status::Judged) -> Vec<Step> {
    let deployment = &seen.deployment;
    let mut steps = first;
    steps.extend(rollout.old.iter().chain(&rollout.new).filter_map(Set::write));
    steps.extend(rollout.said.iter().cloned());
    let revision = rollout.new.as_ref().and_then(|s| annotation(&s.object, REVISION));
    if let Some(revision) = revision.filter(|r| annotation(deployment, REVISION) != Some(r) && !is_deleting(deployment))
    {
        let patch = serde_json::json!({"metadata": {"annotations": {REVISION: revision}}});
        steps.push(Step::Merge(DEPLOYMENTS, deployment.clone(), patch));
    }
    if deployment.get("status") != Some(&judged.status) {
        steps.push(Step::Status(DEPLOYMENTS, deployment.clone(), judged.status));
    }
    steps.extend(judged.again.map(Step::Again));
    steps
}

/// Old ReplicaSets beyond the history limit, the lowest revision first; only those that have no pods.
fn cleanup(rollout: &Rollout) -> Vec<Step> {
    let mut old: Vec<&Set> = rollout.old.iter().filter(|s| !is_deleting(&s.object)).collect();
    old.sort_by_key(|s| s.revision());
    let surplus = old.len().saturating_sub(rollout.want.history);
    old.into_iter()
        .take(surplus)
        .filter(|s| s.replicas == 0 && s.existing == 0)
        .filter(|s| int(&s.object, "/metadata/generation") <= int(&s.object, "/status/observedGeneration"))
        .map(|s| Step::Delete(REPLICA_SETS, Arc::new(s.object.clone()), How::Background))
        .collect()
}

/// Something else has the hash's name already: count the collision, which gives another hash next time.
///
/// What a Deployment of the same name left behind is no collision: it is about to be collected, and its end is an event.
fn collision(seen: &Seen, set: &Set) -> Option<Vec<Step>> {
    let taken = seen.sets.iter().chain(&seen.others).find(|s| name(s) == set.name())?;
    if !seen.sets.iter().any(|s| name(s) == set.name())
        && controller_of(taken).is_some_and(|r| text(r, "/name") == name(&seen.deployment))
    {
        return Some(Vec::new());
    }
    let mut status =
        seen.deployment.get("status").filter(|s| s.is_object()).cloned().unwrap_or_else(|| serde_json::json!({}));
    status["collisionCount"] = (int(&seen.deployment, "/status/collisionCount").unwrap_or(0) + 1).into();
    Some(vec![Step::Status(DEPLOYMENTS, seen.deployment.clone(), status)])
}

/// Keeps Deployments.
pub(crate) struct Deployments;

impl Controller for Deployments {
    type Key = Key;
    const NAME: &'static str = "deployment-controller";

    fn sources(&self) -> Vec<Source<Key>> {
        vec![
            Source::new(DEPLOYMENTS, |o, _| vec![Key::of(o)]),
            Source::new(REPLICA_SETS, |o, view| claimants(o, view, &DEPLOYMENTS, "Deployment")),
            // Recreate waits for the last old pod to end; nothing else here depends on pods.
            Source::new(PODS, |o, view| {
                let set = controller_of(o).filter(|r| r["kind"] == "ReplicaSet");
                let set = set.and_then(|r| view.get(&REPLICA_SETS, namespace(o), text(r, "/name")));
                match set {
                    Some(set) => Key::of_controller(&set, "Deployment"),
                    None => Vec::new(),
                }
            }),
        ]
    }

    fn plan(&mut self, key: &Key, view: &View, now: Timestamp, _failure: Option<&str>) -> Result<Vec<Step>, Status> {
        let Some(deployment) = view.get(&DEPLOYMENTS, &key.namespace, &key.name) else { return Ok(Vec::new()) };
        let all = view.list(&REPLICA_SETS, &key.namespace)?;
        let (sets, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|s| is_controlled_by(s, &deployment));
        let mut pods = Vec::new();
        if object::text(&deployment, "/spec/strategy/type") == "Recreate" {
            pods = view.list(&PODS, &key.namespace)?;
            pods.retain(|p| sets.iter().any(|s| is_controlled_by(p, s)));
        }
        Ok(plan(&Seen { deployment, sets, others, pods, now }))
    }
}
