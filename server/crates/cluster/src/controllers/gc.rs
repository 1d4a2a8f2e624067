//! The garbage collector: what its owners leave behind goes with them.
//!
//! [`plan`] is pure. Owners count by uid: one of the same name is another object.
//! Source: Kubernetes documentation, "Garbage Collection", "Owners and dependents".
use super::object::{KindName, is_deleting, list, name, namespace, text, uid};
use super::reconciler::{Change, Controller, Source, View};
use super::step::{How, Step};
use crate::Object;
use crate::status::Status;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Holds an owner until its dependents are gone.
const FOREGROUND: &str = "foregroundDeletion";
/// Holds an owner until its dependents have forgotten it.
const ORPHAN: &str = "orphan";

/// How an owner that somebody refers to stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It is there, or nobody can tell: of a kind that this cluster does not know.
    Present,
    /// It waits for its dependents to go first.
    Waiting,
    /// It is gone, or another object has its name.
    Absent,
}

/// What one plan looks at.
pub(crate) struct Seen {
    pub kind: KindName,
    pub object: Arc<Object>,
    /// Of each owner reference, in order.
    pub owners: Vec<Owner>,
    /// Objects that refer to this one; looked up only where a finalizer waits for them.
    pub dependents: Vec<(KindName, Arc<Object>)>,
}

/// What is to happen to one object because of its owners, and to its dependents because of it.
pub(crate) fn plan(seen: &Seen) -> Vec<Step> {
    if is_deleting(&seen.object) {
        return release(seen);
    }
    let references = list(&seen.object, "/metadata/ownerReferences");
    if references.is_empty() || seen.owners.iter().all(|o| *o == Owner::Present) {
        return Vec::new();
    }
    if !seen.owners.contains(&Owner::Present) {
        let how = if seen.owners.contains(&Owner::Waiting) { How::Foreground } else { How::Background };
        return vec![Step::Delete(seen.kind.clone(), seen.object.clone(), how)];
    }
    // One owner is left: it keeps the object, which forgets the others.
    let kept = references.iter().zip(&seen.owners).filter(|(_, o)| **o == Owner::Present).map(|(r, _)| r.clone());
    let mut object = Object::clone(&seen.object);
    object["metadata"]["ownerReferences"] = kept.collect::<Vec<_>>().into();
    vec![Step::Update(seen.kind.clone(), object)]
}

/// Foreground and orphan: deal with the dependents, then take the finalizer away.
fn release(seen: &Seen) -> Vec<Step> {
    let own = uid(&seen.object);
    if has_finalizer(&seen.object, ORPHAN) {
        let mut steps: Vec<Step> =
            seen.dependents.iter().map(|(kind, d)| Step::Update(kind.clone(), without_owner(d, own))).collect();
        steps.push(without_finalizer(seen, ORPHAN));
        return steps;
    }
    if !has_finalizer(&seen.object, FOREGROUND) {
        return Vec::new();
    }
    let blocking = |d: &Object| {
        list(d, "/metadata/ownerReferences").iter().any(|r| text(r, "/uid") == own && r["blockOwnerDeletion"] == true)
    };
    let mut steps: Vec<Step> = seen
        .dependents
        .iter()
        .filter(|(_, d)| !is_deleting(d))
        .map(|(kind, d)| Step::Delete(kind.clone(), d.clone(), How::Foreground))
        .collect();
    match seen.dependents.iter().any(|(_, d)| blocking(d)) {
        // Their end is an event; the clock is for one that lets go of its owner instead of ending.
        true => steps.push(Step::Again(Duration::from_secs(2))),
        false => steps.push(without_finalizer(seen, FOREGROUND)),
    }
    steps
}

fn has_finalizer(object: &Object, finalizer: &str) -> bool {
    list(object, "/metadata/finalizers").iter().any(|f| f == finalizer)
}

fn without_finalizer(seen: &Seen, finalizer: &str) -> Step {
    let mut object = Object::clone(&seen.object);
    if let Some(finalizers) = object.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
        finalizers.retain(|f| f != finalizer);
    }
    Step::Update(seen.kind.clone(), object)
}

fn without_owner(dependent: &Object, owner: &str) -> Object {
    let mut dependent = dependent.clone();
    if let Some(references) = dependent.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) {
        references.retain(|r| text(r, "/uid") != owner);
    }
    dependent
}

/// One object of any kind.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Any {
    kind: KindName,
    namespace: String,
    name: String,
}

impl Any {
    fn of(kind: &KindName, object: &Object) -> Any {
        Any { kind: kind.clone(), namespace: namespace(object).to_owned(), name: name(object).to_owned() }
    }
}

impl fmt::Display for Any {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Collects. The registry answers what an object is; who refers to whom is indexed here, as a look at all objects for each one that
/// goes would take a minute for some thousand pods.
pub(crate) struct GarbageCollector {
    /// All kinds but events, of which there are many and which own nothing.
    pub kinds: Vec<KindName>,
    /// Objects by the uids of their owners, as far as the watches have come. One that is missing here is looked at when its own
    /// event comes.
    pub by_owner: Index,
}

/// Which objects refer to an owner.
#[derive(Default)]
pub(crate) struct Index {
    dependents: HashMap<String, BTreeSet<Any>>,
    owners: HashMap<Any, Vec<String>>,
}

impl Index {
    fn note(&mut self, key: &Any, owners: Vec<String>) {
        if self.owners.get(key).map_or(&[][..], Vec::as_slice) == owners.as_slice() {
            return;
        }
        self.forget(key);
        if !owners.is_empty() {
            for owner in &owners {
                self.dependents.entry(owner.clone()).or_default().insert(key.clone());
            }
            self.owners.insert(key.clone(), owners);
        }
    }

    fn forget(&mut self, key: &Any) {
        for owner in self.owners.remove(key).unwrap_or_default() {
            if let Some(all) = self.dependents.get_mut(&owner) {
                all.remove(key);
                if all.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
        }
    }

    fn of(&self, owner: &str) -> Vec<Any> {
        self.dependents.get(owner).map(|all| all.iter().cloned().collect()).unwrap_or_default()
    }
}

fn owners_of(object: &Object) -> Vec<String> {
    list(object, "/metadata/ownerReferences").iter().map(|r| text(r, "/uid").to_owned()).collect()
}

impl Controller for GarbageCollector {
    type Key = Any;
    const NAME: &'static str = "generic-garbage-collector";

    fn sources(&self) -> Vec<Source<Any>> {
        self.kinds.iter().map(|kind| Source::new(kind.clone(), |_, _| Vec::new())).collect()
    }

    fn begin(&mut self, view: &View) {
        self.by_owner = Index::default();
        for kind in &self.kinds {
            for object in view.list(kind, "").unwrap_or_default() {
                self.by_owner.note(&Any::of(kind, &object), owners_of(&object));
            }
        }
    }

    fn on(&mut self, source: &Source<Any>, change: Change, object: &Arc<Object>, view: &View) -> Vec<Any> {
        let mut keys = Vec::new();
        match change {
            Change::Gone => self.by_owner.forget(&Any::of(&source.kind, object)),
            Change::There => self.by_owner.note(&Any::of(&source.kind, object), owners_of(object)),
        }
        if change == Change::Gone {
            keys.extend(self.by_owner.of(uid(object)));
            keys.extend(self.waiting_owners(object, view));
        } else if !list(object, "/metadata/ownerReferences").is_empty() || is_deleting(object) {
            keys.push(Any::of(&source.kind, object));
            if is_deleting(object) && has_finalizer(object, FOREGROUND) {
                // What it owns now sees an owner that waits.
                keys.extend(self.by_owner.of(uid(object)));
            }
        }
        keys
    }

    fn plan(&mut self, key: &Any, view: &View, _now: Timestamp, _failure: Option<&str>) -> Result<Vec<Step>, Status> {
        let Some(object) = view.get(&key.kind, &key.namespace, &key.name) else { return Ok(Vec::new()) };
        let references = list(&object, "/metadata/ownerReferences");
        let owners = references.iter().map(|r| owner(r, &key.namespace, view)).collect();
        let is_awaited = is_deleting(&object) && (has_finalizer(&object, FOREGROUND) || has_finalizer(&object, ORPHAN));
        let dependents = if is_awaited { self.dependents(&object, view) } else { Vec::new() };
        Ok(plan(&Seen { kind: key.kind.clone(), object, owners, dependents }))
    }
}

impl GarbageCollector {
    /// By the newest state: what waits for its dependents must not go before one that the watches do not know yet.
    fn dependents(&self, owner: &Object, view: &View) -> Vec<(KindName, Arc<Object>)> {
        let own = uid(owner);
        let mut found = Vec::new();
        for kind in &self.kinds {
            let objects = view.list(kind, namespace(owner)).unwrap_or_default();
            let refers = |o: &Arc<Object>| list(o, "/metadata/ownerReferences").iter().any(|r| text(r, "/uid") == own);
            found.extend(objects.into_iter().filter(refers).map(|o| (kind.clone(), o)));
        }
        found
    }

    fn waiting_owners(&self, object: &Object, view: &View) -> Vec<Any> {
        let mut keys = Vec::new();
        for reference in list(object, "/metadata/ownerReferences") {
            let Some(kind) = view.kind_of(text(reference, "/apiVersion"), text(reference, "/kind")) else { continue };
            let owner = view.get(&kind, namespace(object), text(reference, "/name"));
            keys.extend(owner.filter(|o| is_deleting(o)).map(|o| Any::of(&kind, &o)));
        }
        keys
    }
}

fn owner(reference: &Value, namespace: &str, view: &View) -> Owner {
    let Some(kind) = view.kind_of(text(reference, "/apiVersion"), text(reference, "/kind")) else {
        return Owner::Present;
    };
    match view.get(&kind, namespace, text(reference, "/name")) {
        Some(owner) if uid(&owner) != text(reference, "/uid") => Owner::Absent,
        Some(owner) if is_deleting(&owner) && has_finalizer(&owner, FOREGROUND) => Owner::Waiting,
        Some(_) => Owner::Present,
        None => Owner::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::{PODS, REPLICA_SETS};
    use super::super::step::show;
    use super::*;
    use serde_json::json;

    fn owned_by(uids: &[&str]) -> Arc<Object> {
        let references: Vec<_> = uids
            .iter()
            .map(|u| json!({"uid": u, "kind": "ReplicaSet", "name": u, "blockOwnerDeletion": true}))
            .collect();
        Arc::new(json!({"metadata": {"name": "pod", "namespace": "n", "ownerReferences": references}}))
    }

    #[test]
    fn an_object_lives_as_long_as_one_of_its_owners() {
        use Owner::{Absent, Present, Waiting};
        for (owners, want) in [
            (vec![], vec![]),
            (vec![Present], vec![]),
            (vec![Absent], vec!["delete pods pod"]),
            (vec![Absent, Absent], vec!["delete pods pod"]),
            (vec![Waiting], vec!["delete pods pod in the foreground"]),
            (vec![Present, Absent], vec!["update pods pod"]),
        ] {
            let uids: Vec<String> = (0..owners.len()).map(|i| i.to_string()).collect();
            let object = owned_by(&uids.iter().map(String::as_str).collect::<Vec<_>>());
            let steps = plan(&Seen { kind: PODS, object, owners: owners.clone(), dependents: Vec::new() });
            assert_eq!(show(&steps), want, "{owners:?}");
            if let Some(Step::Update(_, kept)) = steps.first() {
                assert_eq!(list(kept, "/metadata/ownerReferences").len(), 1);
            }
        }
    }

    #[test]
    fn the_index_follows_owner_references() {
        let key = |name: &str| Any { kind: PODS, namespace: "n".to_owned(), name: name.to_owned() };
        let names = |index: &Index, owner: &str| index.of(owner).into_iter().map(|k| k.name).collect::<Vec<_>>();
        let mut index = Index::default();
        for name in ["a", "b", "b"] {
            index.note(&key(name), vec!["one".to_owned()]);
        }
        assert_eq!(names(&index, "one"), ["a", "b"]);
        index.note(&key("b"), vec!["two".to_owned()]);
        assert_eq!((names(&index, "one"), names(&index, "two")), (vec!["a".to_owned()], vec!["b".to_owned()]));
        index.note(&key("b"), Vec::new());
        index.forget(&key("a"));
        assert!(index.dependents.is_empty() && index.owners.is_empty(), "nothing is left over");
    }

    #[test]
    fn an_owner_that_goes_last_waits_for_its_dependents_and_one_that_orphans_is_forgotten_first() {
        let owner = |finalizer: &str| {
            Arc::new(
                json!({"metadata": {"name": "rs", "namespace": "n", "uid": "o", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [finalizer]}}),
            )
        };
        for (finalizer, dependents, want) in [
            (FOREGROUND, 1, vec!["delete pods pod in the foreground", "again in 2000 ms"]),
            (FOREGROUND, 0, vec!["update replicasets rs"]),
            (ORPHAN, 1, vec!["update pods pod", "update replicasets rs"]),
        ] {
            let dependents = (0..dependents).map(|_| (PODS, owned_by(&["o"]))).collect();
            let steps = plan(&Seen { kind: REPLICA_SETS, object: owner(finalizer), owners: Vec::new(), dependents });
            assert_eq!(show(&steps), want, "{finalizer}");
        }
    }
}
