//! Whose an object is: controllers adopt what their selector matches and nobody controls, and release what it no longer matches.
//!
//! Pure. Source: Kubernetes documentation, "ReplicaSet": "Non-Template Pod acquisitions", "Isolating Pods from a ReplicaSet".
use super::object::{KindName, controller_of, controller_reference, is_deleting, name, namespace, text, uid};
use super::reconciler::{Key, View};
use super::step::Step;
use crate::Object;
use crate::select::LabelSelector;
use serde_json::{Value, json};
use std::sync::Arc;

/// Owner and object, from the owner's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Controlled and matched.
    Ours,
    /// Matched, and nobody's.
    Adopt,
    /// Controlled, but no longer matched.
    Release,
    /// None of this owner's business.
    Others,
}

/// One owner's claims, with its selector read once.
pub(super) struct Claims<'a> {
    owner: &'a Object,
    selector: Option<LabelSelector>,
}

impl Claims<'_> {
    /// Judges by `spec.selector`; a selector that cannot be read, or is empty, matches nothing.
    pub(super) fn of(owner: &Object) -> Claims<'_> {
        Claims { owner, selector: selector(owner) }
    }

    /// How an object stands to the owner.
    pub(super) fn claim(&self, object: &Object) -> Claim {
        let is_matched = || self.selector.as_ref().is_some_and(|s| s.matches(object));
        match controller_of(object) {
            Some(reference) if text(reference, "/uid") != uid(self.owner) => Claim::Others,
            Some(_) if is_deleting(self.owner) || is_matched() => Claim::Ours,
            Some(_) => Claim::Release,
            None if is_deleting(self.owner) || is_deleting(object) || !is_matched() => Claim::Others,
            None => Claim::Adopt,
        }
    }
}

/// How one object stands to an owner.
pub(super) fn claim(owner: &Object, object: &Object) -> Claim {
    Claims::of(owner).claim(object)
}

/// Writes the owner into the object.
pub(super) fn adopt(kind: KindName, object: &Object, owner: &Object, api_version: &str, owner_kind: &str) -> Step {
    let mut object = object.clone();
    let references = &mut object["metadata"]["ownerReferences"];
    if !references.is_array() {
        *references = json!([]);
    }
    if let Some(list) = references.as_array_mut() {
        list.push(controller_reference(owner, api_version, owner_kind));
    }
    Step::Update(kind, object)
}

/// Takes the owner out of the object.
pub(super) fn release(kind: KindName, object: &Object, owner: &Object) -> Step {
    let mut object = object.clone();
    if let Some(list) = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) {
        list.retain(|r| text(r, "/uid") != uid(owner));
    }
    Step::Update(kind, object)
}

/// Whom a change of the object concerns: its controller if that is of this kind, else all owners that would adopt it.
pub(super) fn claimants(object: &Object, view: &View, kind: &KindName, owner_kind: &str) -> Vec<Key> {
    if controller_of(object).is_some() {
        return Key::of_controller(object, owner_kind);
    }
    let owners: Vec<Arc<Object>> = view.list(kind, namespace(object)).unwrap_or_default();
    owners
        .iter()
        .filter(|o| selector(o).is_some_and(|s| s.matches(object)))
        .map(|o| Key::new(namespace(o), name(o)))
        .collect()
}

fn selector(owner: &Object) -> Option<LabelSelector> {
    LabelSelector::from_json(owner.pointer("/spec/selector")?).ok().filter(|s| !s.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_controls_is_adopted_and_what_is_no_longer_matched_released() {
        let owner =
            json!({"metadata": {"name": "rs", "uid": "me"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}});
        let mut ending = owner.clone();
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let object = |app: &str, controller: &str| {
            let references: Vec<_> = Some(controller)
                .filter(|c| !c.is_empty())
                .map(|c| json!({"uid": c, "controller": true}))
                .into_iter()
                .collect();
            json!({"metadata": {"labels": {"app": app}, "ownerReferences": references}})
        };
        for (owner, app, controller, want) in [
            (&owner, "web", "me", Claim::Ours),
            (&owner, "other", "me", Claim::Release),
            (&owner, "web", "", Claim::Adopt),
            (&owner, "other", "", Claim::Others),
            (&owner, "web", "you", Claim::Others),
            (&ending, "web", "", Claim::Others),
            (&ending, "other", "me", Claim::Ours),
        ] {
            assert_eq!(claim(owner, &object(app, controller)), want, "{app} of {controller:?}");
        }
        let Step::Update(_, adopted) =
            adopt(super::super::object::PODS, &object("web", ""), &owner, "apps/v1", "ReplicaSet")
        else {
            panic!()
        };
        assert_eq!(claim(&owner, &adopted), Claim::Ours);
        let Step::Update(_, released) = release(super::super::object::PODS, &object("other", "me"), &owner) else {
            panic!()
        };
        assert_eq!(claim(&owner, &released), Claim::Others);
    }
}
