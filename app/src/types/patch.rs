//! What changed from one status to the next: the event `status-patch` of the live stream.
//!
//! **Invariant:** a patch, applied to the status that it was made from, gives the status that it was made for, or [`StatusPatch::between`]
//! gives no patch at all: then the whole status is sent.
use super::{ClusterView, Condition, LoadView, LogEntry, Operation, PodView, RouteClaim, Split, Status, TimesMs};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The fields of a [`Status`] that changed; the others are left out. A list holds the elements that are new or changed, each one complete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusPatch {
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
    pub wished: Option<Option<Split>>,
    /// Replaces the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wished_by: Option<String>,
    /// Replaces the field.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub claim: Option<Option<RouteClaim>>,
    /// Replaces the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadView>,
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
    pub commands: Option<BTreeMap<String, String>>,
}

/// New times of one log entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The patch that turns `old` into `new`. Returns `None` if no patch does: the namespace is another one, or a list is not in the order
    /// that patches keep. O(n log n) in the number of pods.
    pub fn between(old: &Status, new: &Status) -> Option<StatusPatch> {
        let changed = |condition: &&Condition| old.condition(&condition.kind) != Some(condition);
        let old_pods: BTreeMap<&str, &PodView> = old.pods.iter().map(|pod| (pod.name.as_str(), pod)).collect();
        let new_pods: BTreeSet<&str> = new.pods.iter().map(|pod| pod.name.as_str()).collect();
        let old_log: BTreeMap<u64, &LogEntry> = old.log.iter().map(|entry| (entry.id, entry)).collect();
        let new_log: BTreeSet<u64> = new.log.iter().map(|entry| entry.id).collect();
        let mut patch = StatusPatch {
            cluster: (old.cluster != new.cluster).then(|| new.cluster.clone()),
            conditions: new.conditions.iter().filter(changed).cloned().collect(),
            pods: new.pods.iter().filter(|pod| old_pods.get(pod.name.as_str()) != Some(pod)).cloned().collect(),
            pods_gone: old_pods.keys().filter(|name| !new_pods.contains(*name)).map(|name| (*name).to_owned()).collect(),
            wished: (old.wished != new.wished).then(|| new.wished.clone()),
            wished_by: (old.wished_by != new.wished_by).then(|| new.wished_by.clone()),
            claim: (old.claim != new.claim).then(|| new.claim.clone()),
            load: (old.load != new.load).then_some(new.load),
            operation: (old.operation != new.operation).then(|| new.operation.clone()),
            log: Vec::new(),
            log_times: Vec::new(),
            log_gone: old_log.keys().filter(|id| !new_log.contains(id)).copied().collect(),
            commands: (old.commands != new.commands).then(|| new.commands.clone()),
        };
        for entry in &new.log {
            match old_log.get(&entry.id) {
                Some(known) if *known == entry => {}
                Some(known) if entry.times.is_some() && LogEntry { times: entry.times, ..(*known).clone() } == *entry => {
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
        replace(&mut status.wished, self.wished);
        replace(&mut status.wished_by, self.wished_by);
        replace(&mut status.claim, self.claim);
        replace(&mut status.load, self.load);
        replace(&mut status.operation, self.operation);
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
