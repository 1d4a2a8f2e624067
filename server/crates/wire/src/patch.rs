//! What changed from one status to the next: the event `status-patch` of the live stream.
//!
//! **Invariant:** a patch, applied to the status that it was made from, gives the status that it was made for, or [`StatusPatch::between`]
//! gives no patch at all: then the whole status is sent.
use crate::{
    ClusterView, Condition, Generators, LoadView, LogEntry, Milestones, Namespace, Operation, PodView, RouteClaim,
    Split, Status, TimesMs,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The fields of a [`Status`] that changed; the others are left out. A list holds the elements that are new or changed, each one complete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct StatusPatch {
    /// Only in a whole status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Replaces the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterView>,
    /// Conditions that changed, by `type`; a new one goes to the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Pods that changed, by `name`; the list stays sorted by `created_s`, then by `name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodView>,
    /// Names of pods that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods_gone: Vec<String>,
    /// Replaces the field; `null` where there is no route any more.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub desired: Option<Option<Split>>,
    /// Replaces the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_by: Option<String>,
    /// Replaces the field.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub claim: Option<Option<RouteClaim>>,
    /// Replaces the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadView>,
    /// Replaces the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generators: Option<Generators>,
    /// Replaces the field; `null` where nothing is being done any more.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub operation: Option<Option<Operation>>,
    /// Log entries that changed, by `id`; the list stays sorted, the newest `id` first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogEntry>,
    /// New `times` of log entries of which nothing else changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log_times: Vec<LogTimes>,
    /// Ids of log entries that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log_gone: Vec<u64>,
    /// Replaces the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milestones: Option<Milestones>,
    /// Replaces the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<BTreeMap<String, String>>,
}

/// New times of one log entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogTimes {
    /// The entry's id.
    pub id: u64,
    /// Its times.
    pub times: TimesMs,
}

/// A field that is there is `Some`, also where it is `null`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl StatusPatch {
    /// The patch that turns `old` into `new`. Returns `None` if no patch does: a condition is gone, or a list is not in the order
    /// that patches keep. O(n log n) in the number of pods.
    pub fn between(old: &Status, new: &Status) -> Option<StatusPatch> {
        let changed = |condition: &&Condition| old.condition(&condition.kind) != Some(condition);
        let old_pods: BTreeMap<&str, &PodView> = old.pods.iter().map(|pod| (pod.name.as_str(), pod)).collect();
        let new_pods: BTreeSet<&str> = new.pods.iter().map(|pod| pod.name.as_str()).collect();
        let old_log: BTreeMap<u64, &LogEntry> = old.log.iter().map(|entry| (entry.id, entry)).collect();
        let new_log: BTreeSet<u64> = new.log.iter().map(|entry| entry.id).collect();
        let mut patch = StatusPatch {
            namespace: (old.namespace != new.namespace).then(|| new.namespace.clone()),
            cluster: (old.cluster != new.cluster).then(|| new.cluster.clone()),
            conditions: new.conditions.iter().filter(changed).cloned().collect(),
            pods: new.pods.iter().filter(|pod| old_pods.get(pod.name.as_str()) != Some(pod)).cloned().collect(),
            pods_gone: old_pods
                .keys()
                .filter(|name| !new_pods.contains(*name))
                .map(|name| (*name).to_owned())
                .collect(),
            desired: (old.desired != new.desired).then(|| new.desired.clone()),
            desired_by: (old.desired_by != new.desired_by).then(|| new.desired_by.clone()),
            claim: (old.claim != new.claim).then(|| new.claim.clone()),
            load: (old.load != new.load).then_some(new.load),
            generators: (old.generators != new.generators).then_some(new.generators),
            operation: (old.operation != new.operation).then(|| new.operation.clone()),
            log: Vec::new(),
            log_times: Vec::new(),
            log_gone: old_log.keys().filter(|id| !new_log.contains(id)).copied().collect(),
            milestones: (old.milestones != new.milestones).then(|| new.milestones.clone()),
            commands: (old.commands != new.commands).then(|| new.commands.clone()),
        };
        for entry in &new.log {
            match old_log.get(&entry.id) {
                Some(known) if *known == entry => {}
                Some(known)
                    if entry.times.is_some() && LogEntry { times: entry.times, ..(*known).clone() } == *entry =>
                {
                    patch.log_times.extend(entry.times.map(|times| LogTimes { id: entry.id, times }));
                }
                _ => patch.log.push(entry.clone()),
            }
        }
        let mut patched = old.clone();
        patch.clone().apply(&mut patched);
        (patched == *new).then_some(patch)
    }

    /// Changes `status`, which must be the one that the patch was made from.
    pub fn apply(self, status: &mut Status) {
        replace(&mut status.namespace, self.namespace);
        replace(&mut status.cluster, self.cluster);
        for condition in self.conditions {
            match status.conditions.iter_mut().find(|known| known.kind == condition.kind) {
                Some(known) => *known = condition,
                None => status.conditions.push(condition),
            }
        }
        let mut stale: BTreeSet<String> = BTreeSet::new();
        for name in self.pods.iter().map(|pod| &pod.name).chain(&self.pods_gone) {
            stale.insert(name.clone());
        }
        let older = |one: &PodView, other: &PodView| (one.created_s, &one.name) < (other.created_s, &other.name);
        merge(&mut status.pods, self.pods, |pod| stale.contains(&pod.name), older);
        replace(&mut status.desired, self.desired);
        replace(&mut status.desired_by, self.desired_by);
        replace(&mut status.claim, self.claim);
        replace(&mut status.load, self.load);
        replace(&mut status.generators, self.generators);
        replace(&mut status.operation, self.operation);
        replace(&mut status.milestones, self.milestones);
        for LogTimes { id, times } in self.log_times {
            if let Some(entry) = status.log.iter_mut().find(|entry| entry.id == id) {
                entry.times = Some(times);
            }
        }
        // Short lists: the log has at most 50 entries.
        let changed: Vec<u64> = self.log.iter().map(|entry| entry.id).collect();
        let stale = |entry: &LogEntry| changed.contains(&entry.id) || self.log_gone.contains(&entry.id);
        merge(&mut status.log, self.log, stale, |one, other| one.id > other.id);
        replace(&mut status.commands, self.commands);
    }
}

/// A whole status is a patch of an empty one: the browser needs code to read one of the two only.
impl From<StatusPatch> for Status {
    fn from(whole: StatusPatch) -> Status {
        let mut status = Status::empty(&Namespace::default(), &ClusterView::default());
        whole.apply(&mut status);
        status
    }
}

fn replace<T>(field: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *field = new;
    }
}

/// Drops the stale elements of a sorted list, and puts the changed ones, which are sorted as well, where they belong.
fn merge<T>(list: &mut Vec<T>, changed: Vec<T>, stale: impl Fn(&T) -> bool, before: impl Fn(&T, &T) -> bool) {
    let mut changed = changed.into_iter().peekable();
    for known in std::mem::take(list) {
        if stale(&known) {
            continue;
        }
        while let Some(next) = changed.next_if(|next| before(next, &known)) {
            list.push(next);
        }
        list.push(known);
    }
    list.extend(changed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiError, Code, ConditionStatus, Verb, Words, kinds};
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    fn pod((name, created_s, restarts): (u8, u64, u32)) -> PodView {
        PodView {
            name: format!("flaskapp-v1-{name}"),
            workload: "flaskapp-v1".to_owned(),
            version: "v1".to_owned(),
            ready: "2/2".to_owned(),
            phase: "Running".to_owned(),
            restarts,
            sidecar: true,
            created_s,
            why: String::new(),
        }
    }

    fn entry(id: u64, (what, times, failed): (u8, Option<u8>, bool)) -> LogEntry {
        LogEntry {
            id,
            at_ms: id * 1000,
            by: "curl".to_owned(),
            verb: Some(Verb::Weights),
            what: what.to_string(),
            zh: String::new(),
            command: String::new(),
            split: Split::v1_v2(what).ok(),
            times: times.map(|ms| TimesMs { accepted: Some(f64::from(ms)), ..TimesMs::default() }),
            error: failed.then(|| ApiError::new(Code::Refused, Words::default(), Words::default())),
        }
    }

    fn condition(kind: &str, message: u8) -> Condition {
        Condition {
            kind: kind.to_owned(),
            status: ConditionStatus::True,
            reason: String::new(),
            message: message.to_string(),
            zh: String::new(),
            args: BTreeMap::new(),
        }
    }

    fn operation(id: u64) -> Operation {
        Operation {
            id,
            verb: Verb::Deploy,
            by: "curl".to_owned(),
            since: 1,
            step: String::new(),
            zh: String::new(),
            error: None,
        }
    }

    prop_compose! {
        /// A status as the panel makes them, out of few values, so that two of them have much in common.
        fn status()(
            cluster in 0..2_u8,
            messages in vec(0..2_u8, 3),
            pods in btree_map(0..6_u8, (0..3_u64, 0..2_u32), 0..6),
            desired in proptest::option::of(0..3_u8),
            claim in proptest::option::of(0..2_u8),
            rate in 0..2_u8,
            operating in proptest::option::of(0..2_u64),
            log in btree_map(0..8_u64, (0..2_u8, proptest::option::of(0..2_u8), any::<bool>()), 0..8),
            commands in btree_map("[ab]", "[ab]", 0..3),
        ) -> Status {
            let kinds = [kinds::DEPLOYED, kinds::INJECTED, kinds::CLEAN];
            let mut pods: Vec<PodView> = pods.into_iter().map(|(name, (created_s, restarts))| pod((name, created_s, restarts))).collect();
            pods.sort_by(|one, other| (one.created_s, &one.name).cmp(&(other.created_s, &other.name)));
            Status {
                cluster: ClusterView { user: cluster.to_string(), ..ClusterView::default() },
                namespace: Default::default(),
                conditions: kinds.iter().zip(messages).map(|(kind, message)| condition(kind, message)).collect(),
                pods,
                desired: desired.and_then(|v2| Split::v1_v2(v2).ok()),
                desired_by: desired.map(|v2| v2.to_string()).unwrap_or_default(),
                claim: claim.map(|v2| RouteClaim { manager: "kubectl".to_owned(), theirs: Split::v1_v2(v2).ok(), ours: None }),
                load: LoadView { rate: f64::from(rate).try_into().unwrap(), ..LoadView::default() },
                generators: Generators { running: rate.into(), ..Generators::default() },
                operation: operating.map(operation),
                log: log.into_iter().rev().map(|(id, rest)| entry(id, rest)).collect(),
                milestones: Milestones { broken: desired.map(f64::from), ..Milestones::default() },
                commands,
            }
        }
    }

    /// What a client makes of `old` when it hears of `new`.
    fn heard(old: &Status, new: &Status) -> Option<Status> {
        let written = serde_json::to_string(&StatusPatch::between(old, new)?).unwrap();
        let mut status = old.clone();
        serde_json::from_str::<StatusPatch>(&written).unwrap().apply(&mut status);
        Some(status)
    }

    proptest! {
        #[test]
        fn a_whole_status_is_read_as_it_was_written(mut status in status(), turn in any::<bool>()) {
            if turn {
                status.pods.reverse();
                status.log.reverse();
            }
            prop_assert_eq!(serde_json::from_str::<Status>(&serde_json::to_string(&status).unwrap()).unwrap(), status);
        }

        #[test]
        fn patches_in_order_give_each_status(statuses in vec(status(), 2..6)) {
            for pair in statuses.windows(2) {
                prop_assert_eq!(heard(&pair[0], &pair[1]), Some(pair[1].clone()));
            }
        }

        #[test]
        fn a_status_in_another_order_is_patched_exactly_or_not_at_all(old in status(), mut new in status(), turn in any::<bool>()) {
            new.pods.reverse();
            new.log.reverse();
            if turn {
                new.conditions.rotate_left(1);
                new.conditions.pop();
            }
            if let Some(heard) = heard(&old, &new) {
                prop_assert_eq!(heard, new);
            }
        }
    }

    #[test]
    fn a_patch_holds_what_changed_and_nothing_else() {
        let mut old = Status {
            cluster: ClusterView::default(),
            namespace: Default::default(),
            conditions: vec![condition(kinds::DEPLOYED, 1), condition(kinds::CLEAN, 1)],
            pods: vec![pod((1, 1, 0)), pod((2, 1, 0))],
            desired: Split::v1_v2(20).ok(),
            desired_by: String::new(),
            claim: None,
            load: LoadView::default(),
            generators: Generators::default(),
            operation: Some(operation(1)),
            log: vec![entry(2, (20, None, false)), entry(1, (10, None, false))],
            milestones: Milestones::default(),
            commands: BTreeMap::new(),
        };
        let mut new = old.clone();
        let patch = |old: &Status, new: &Status| serde_json::to_string(&StatusPatch::between(old, new)).unwrap();
        assert_eq!(patch(&old, &new), "{}");
        (new.desired, new.operation) = (None, None);
        new.pods.remove(0);
        new.log[0].times = Some(TimesMs { accepted: Some(2.5), ..TimesMs::default() });
        new.log.pop();
        let times = r#"{"id":2,"times":{"accepted":2.5,"acknowledged":null,"first_request":null}}"#;
        assert_eq!(
            patch(&old, &new),
            format!(
                r#"{{"pods_gone":["flaskapp-v1-1"],"desired":null,"operation":null,"log_times":[{times}],"log_gone":[1]}}"#
            )
        );
        old = new.clone();
        new.conditions[1].message = "2".to_owned();
        assert_eq!(patch(&old, &new), r#"{"conditions":[{"type":"Clean","status":"True","reason":"","message":"2"}]}"#);
        // A condition that is gone has no place in a patch: the whole status is sent.
        new.conditions.pop();
        assert_eq!(StatusPatch::between(&old, &new), None);
    }
}
