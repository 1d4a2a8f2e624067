//! What is left to do: `plan(goal, observed)`. Pure; the actor reads, writes and waits.
pub mod observe;
pub mod reconciler;

use crate::demo::objects::Id;
use crate::k8s::KindName;
use app::text::Message;
use app::text::messages::steps;
use std::collections::{BTreeMap, BTreeSet};

/// What verbs asked for and is not done. A newer verb is merged in; clean-up replaces everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goal {
    /// Objects that shall be there and ready.
    pub present: BTreeSet<Id>,
    /// Whether a workload's pods shall have a sidecar.
    pub inject: BTreeMap<Id, bool>,
    /// Whether the route shall be there.
    pub route: Option<bool>,
    /// Everything of ours shall go.
    pub teardown: bool,
}

impl Goal {
    /// What is asked for when `newer` comes on top of this.
    pub fn superseded_by(mut self, newer: Goal) -> Goal {
        if newer.teardown || self.teardown {
            return newer;
        }
        self.present.extend(newer.present);
        self.inject.extend(newer.inject);
        self.route = newer.route.or(self.route);
        self
    }
}

/// Whose a thing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It is not there.
    #[default]
    Absent,
    /// It carries our label.
    Ours,
    /// Somebody else made it.
    Foreign,
    /// It is being removed.
    Terminating,
}

/// One object, as far as planning needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectSeen {
    /// Whose it is.
    pub presence: Presence,
    /// For preconditions.
    pub uid: Option<String>,
    /// What a Deployment's template says about sidecars.
    pub inject: Option<bool>,
    /// Whether somebody scaled it to 0.
    pub scaled_to_zero: bool,
    /// Whether a pod of it asks for a sidecar and has none: only a new pod can get one.
    pub ignored: bool,
    /// Whether a Deployment's rollout is done and all its pods are ready, or why not. Other kinds are always ready.
    pub waiting: Option<Message>,
}

/// What the cluster holds.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The namespace.
    pub namespace: Presence,
    /// What holds a namespace that is being removed.
    pub held: Option<Message>,
    /// The demo's objects by their names; absent ones may be left out.
    pub objects: BTreeMap<Id, ObjectSeen>,
    /// Other objects in the namespace that carry our label.
    pub strays: Vec<(KindName, String, Option<String>)>,
    /// Names of pods of ours that still exist.
    pub pods: Vec<String>,
    /// Whether DestinationRule and VirtualService are served.
    pub mesh: bool,
    /// Why these cannot be seen, though they are served.
    pub mesh_unseen: Option<String>,
    /// Whether the route names a subset that no DestinationRule defines.
    pub subset_missing: bool,
    /// Whether the namespace holds anything that is not ours; nothing while it has not been looked.
    pub otherwise_empty: Option<bool>,
    /// What this operation has applied already.
    pub applied: BTreeSet<Id>,
}

impl Observed {
    fn seen(&self, id: Id) -> ObjectSeen {
        self.objects.get(&id).cloned().unwrap_or_default()
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the namespace.
    EnsureNamespace,
    /// Apply an object; a Deployment's pods say this about sidecars.
    Apply(Id, Option<bool>),
    /// A Deployment that was scaled to 0 gets a replica.
    ScaleUp(Id),
    /// Delete an object that was seen with this uid.
    Delete(KindName, String, Option<String>),
    /// See whether the namespace holds anything else.
    LookAround,
    /// Delete the namespace.
    DeleteNamespace,
    /// Nothing to do until the cluster changes; what is waited for.
    Wait(Message),
    /// It cannot be done.
    Refuse(Refusal),
}

/// Why a goal cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An object of this name is somebody else's.
    NotOurs(Id),
    /// There is nothing to inject.
    NotDeployed(Id),
    /// Istio's kinds are not served.
    NoMesh,
    /// They are, and may not be looked at; the cluster's words.
    MeshUnseen(String),
}

const WORKLOADS: [Id; 3] = [Id::V1, Id::V2, Id::CLIENT];

/// What is left to do, in order; empty when done. Same input, same answer.
pub fn plan(goal: &Goal, seen: &Observed) -> Vec<Step> {
    if goal.teardown { teardown(seen) } else { build(goal, seen) }
}

fn build(goal: &Goal, seen: &Observed) -> Vec<Step> {
    let mut steps = Vec::new();
    if !goal.present.is_empty() {
        match seen.namespace {
            Presence::Terminating => return vec![Step::Wait(namespace_gone(seen))],
            Presence::Absent => steps.push(Step::EnsureNamespace),
            Presence::Ours | Presence::Foreign => {}
        }
    }
    let mut waiting = Vec::new();
    for id in Id::ALL {
        let object = seen.seen(id);
        let inject = goal.inject.get(&id).copied();
        let wanted = goal.present.contains(&id);
        match object.presence {
            Presence::Absent if inject.is_some() && !wanted => return vec![Step::Refuse(Refusal::NotDeployed(id))],
            Presence::Foreign if wanted || inject.is_some() => return vec![Step::Refuse(Refusal::NotOurs(id))],
            Presence::Terminating if wanted || inject.is_some() => waiting.push(steps::old_one_gone(id.to_string())),
            _ => {}
        }
        let made_anew = object.ignored && inject == Some(true) && !seen.applied.contains(&id);
        let inject_differs = inject.is_some_and(|want| object.inject != Some(want)) || made_anew;
        if object.presence != Presence::Terminating && ((wanted && !seen.applied.contains(&id)) || inject_differs) {
            steps.push(Step::Apply(id, inject.or(object.inject)));
        } else if wanted && object.presence == Presence::Absent {
            // Applied, but the watch has not shown it yet.
            waiting.push(steps::appear(id.to_string()));
        }
        if wanted && object.scaled_to_zero {
            steps.push(Step::ScaleUp(id));
        }
        if let Some(why) = object.waiting.filter(|_| (wanted || inject.is_some()) && WORKLOADS.contains(&id)) {
            waiting.push(why);
        }
    }
    match goal.route {
        Some(true) => {
            // The subsets come first: a route to a subset that a proxy does not know fails requests.
            if !seen.mesh {
                return vec![Step::Refuse(Refusal::NoMesh)];
            }
            if let Some(why) = &seen.mesh_unseen {
                return vec![Step::Refuse(Refusal::MeshUnseen(why.clone()))];
            }
            for id in [Id::RULE, Id::ROUTE] {
                let lacking = id == Id::RULE && seen.subset_missing;
                match seen.seen(id).presence {
                    Presence::Foreign if lacking => return vec![Step::Refuse(Refusal::NotOurs(id))],
                    Presence::Ours if lacking && seen.applied.contains(&id) => waiting.push(steps::subsets_appear()),
                    Presence::Ours if lacking => steps.push(Step::Apply(id, None)),
                    Presence::Absent if seen.applied.contains(&id) => waiting.push(steps::appear(id.to_string())),
                    Presence::Absent => steps.push(Step::Apply(id, None)),
                    Presence::Terminating => waiting.push(steps::old_one_gone(id.to_string())),
                    Presence::Ours | Presence::Foreign => {}
                }
            }
        }
        Some(false) => {
            for id in [Id::ROUTE, Id::RULE] {
                let object = seen.seen(id);
                match object.presence {
                    Presence::Foreign => return vec![Step::Refuse(Refusal::NotOurs(id))],
                    Presence::Ours => steps.push(Step::Delete(id.kind, id.name.to_owned(), object.uid)),
                    Presence::Terminating => waiting.push(steps::gone(id.to_string())),
                    Presence::Absent => {}
                }
            }
        }
        None => {}
    }
    if !waiting.is_empty() {
        steps.push(Step::Wait(Message::joined(waiting)));
    }
    steps
}

fn namespace_gone(seen: &Observed) -> Message {
    seen.held.as_ref().map_or_else(steps::namespace_gone, steps::namespace_gone_held)
}

fn teardown(seen: &Observed) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut waiting = Vec::new();
    // The route first, so that no proxy routes to subsets that are gone.
    for id in Id::ALL.into_iter().rev() {
        let object = seen.seen(id);
        match object.presence {
            Presence::Ours => steps.push(Step::Delete(id.kind, id.name.to_owned(), object.uid)),
            Presence::Terminating => waiting.push(id.to_string()),
            Presence::Absent | Presence::Foreign => {}
        }
    }
    for (kind, name, uid) in &seen.strays {
        steps.push(Step::Delete(*kind, name.clone(), uid.clone()));
    }
    waiting.extend(seen.pods.iter().map(|pod| format!("pod/{pod}")));
    if !waiting.is_empty() {
        steps.push(Step::Wait(steps::gone(waiting.join(", "))));
    }
    if !steps.is_empty() {
        return steps;
    }
    match (seen.namespace, seen.otherwise_empty) {
        (Presence::Ours | Presence::Foreign, None) => vec![Step::LookAround],
        (Presence::Ours, Some(true)) => vec![Step::DeleteNamespace],
        (Presence::Terminating, _) => vec![Step::Wait(namespace_gone(seen))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(ours: bool) -> ObjectSeen {
        ObjectSeen {
            presence: if ours { Presence::Ours } else { Presence::Foreign },
            inject: Some(false),
            ..ObjectSeen::default()
        }
    }

    fn show(steps: &[Step]) -> String {
        let one = |s: &Step| match s {
            Step::EnsureNamespace => "+ns".to_owned(),
            Step::Apply(id, inject) => format!("+{id}{}", inject.map_or(String::new(), |i| format!("({i})"))),
            Step::ScaleUp(id) => format!("scale {id}"),
            Step::Delete(kind, name, _) => format!("-{}/{name}", kind.word()),
            Step::LookAround => "look".to_owned(),
            Step::DeleteNamespace => "-ns".to_owned(),
            Step::Wait(_) => "wait".to_owned(),
            Step::Refuse(r) => format!("{r:?}").split('(').next().unwrap_or_default().to_owned(),
        };
        steps.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn seen(objects: &[(Id, ObjectSeen)]) -> Observed {
        Observed {
            namespace: Presence::Ours,
            objects: objects.iter().cloned().collect(),
            mesh: true,
            ..Observed::default()
        }
    }

    #[test]
    fn a_plan_is_what_is_missing_in_order() {
        let app = Goal { present: [Id::SERVICE, Id::V1].into(), ..Goal::default() };
        let inject = Goal { inject: [(Id::V1, true)].into(), ..Goal::default() };
        let route = Goal { route: Some(true), ..Goal::default() };
        let unroute = Goal { route: Some(false), ..Goal::default() };
        let clean = Goal { teardown: true, ..Goal::default() };
        let starting = ObjectSeen { waiting: Some("pod x".into()), ..ready(true) };
        let ignored = ObjectSeen { ignored: true, inject: Some(true), ..ready(true) };
        let empty = ObjectSeen { scaled_to_zero: true, ..ready(true) };
        let both = [(Id::SERVICE, ready(true)), (Id::V1, ready(true))];
        let applied = Observed { applied: [Id::SERVICE, Id::V1].into(), ..seen(&both) };
        let no_mesh = Observed { mesh: false, ..seen(&[]) };
        let absent = Observed { namespace: Presence::Absent, ..seen(&[]) };
        let full = Observed { otherwise_empty: Some(false), ..seen(&[]) };
        let alone = Observed { otherwise_empty: Some(true), ..seen(&[]) };
        let pods = Observed { pods: vec!["p".to_owned()], ..seen(&[]) };
        for (what, goal, seen, steps) in [
            ("nothing there", &app, absent, "+ns +service/flaskapp +deployment/flaskapp-v1"),
            ("applied and ready", &app, applied.clone(), ""),
            (
                "applied, pods start",
                &app,
                Observed { objects: [(Id::SERVICE, ready(true)), (Id::V1, starting)].into(), ..applied.clone() },
                "wait",
            ),
            (
                "applied, not seen yet",
                &app,
                Observed { objects: [(Id::SERVICE, ready(true))].into(), ..applied.clone() },
                "wait",
            ),
            (
                "scaled to 0",
                &app,
                Observed { objects: [(Id::SERVICE, ready(true)), (Id::V1, empty)].into(), ..applied },
                "scale deployment/flaskapp-v1",
            ),
            ("somebody else's", &app, seen(&[(Id::SERVICE, ready(false))]), "NotOurs"),
            ("inject", &inject, seen(&both), "+deployment/flaskapp-v1(true)"),
            (
                "pods came without the sidecar they ask for",
                &inject,
                seen(&[(Id::SERVICE, ready(true)), (Id::V1, ignored)]),
                "+deployment/flaskapp-v1(true)",
            ),
            ("inject what is not there", &inject, seen(&[]), "NotDeployed"),
            ("subsets before weights", &route, seen(&[]), "+destinationrule/flaskapp +virtualservice/flaskapp-vs"),
            ("route is there", &route, seen(&[(Id::RULE, ready(true)), (Id::ROUTE, ready(false))]), ""),
            (
                "a subset of the route is missing",
                &route,
                Observed { subset_missing: true, ..seen(&[(Id::RULE, ready(true)), (Id::ROUTE, ready(true))]) },
                "+destinationrule/flaskapp",
            ),
            (
                "in somebody's rule",
                &route,
                Observed { subset_missing: true, ..seen(&[(Id::RULE, ready(false)), (Id::ROUTE, ready(true))]) },
                "NotOurs",
            ),
            (
                "the mesh may not be looked at",
                &route,
                Observed { mesh_unseen: Some("forbidden".to_owned()), ..seen(&[]) },
                "MeshUnseen",
            ),
            ("no mesh", &route, no_mesh, "NoMesh"),
            (
                "weights before subsets",
                &unroute,
                seen(&[(Id::RULE, ready(true)), (Id::ROUTE, ready(true))]),
                "-virtualservice/flaskapp-vs -destinationrule/flaskapp",
            ),
            ("clean up", &clean, seen(&both), "-deployment/flaskapp-v1 -service/flaskapp"),
            ("others' objects stay", &clean, seen(&[(Id::SERVICE, ready(false))]), "look"),
            ("pods are ending", &clean, pods, "wait"),
            (
                "somebody's namespace is looked at, too",
                &clean,
                Observed { namespace: Presence::Foreign, ..seen(&[]) },
                "look",
            ),
            (
                "and stays",
                &clean,
                Observed { namespace: Presence::Foreign, otherwise_empty: Some(true), ..seen(&[]) },
                "",
            ),
            ("namespace in use", &clean, full, ""),
            ("namespace empty", &clean, alone, "-ns"),
        ] {
            assert_eq!(show(&plan(goal, &seen)), steps, "{what}");
        }
    }

    #[test]
    fn clean_up_cancels_what_was_asked_before() {
        let deploy = Goal { present: [Id::V1].into(), ..Goal::default() };
        let clean = Goal { teardown: true, ..Goal::default() };
        assert_eq!(deploy.clone().superseded_by(clean.clone()), clean);
        assert_eq!(clean.superseded_by(deploy.clone()), deploy);
        let inject = Goal { inject: [(Id::V1, true)].into(), ..Goal::default() };
        assert_eq!(
            deploy.superseded_by(inject),
            Goal { present: [Id::V1].into(), inject: [(Id::V1, true)].into(), ..Goal::default() }
        );
    }
}
