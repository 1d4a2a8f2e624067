//! What a planner may ask for. A plan is a list of these; only [`super::apply`] carries them out.
use super::object::{KindName, int, name, namespace};
use crate::Object;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One write, one event, or a wish to be asked again. Steps are idempotent: a plan made from a stale view repeats one, harmlessly.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Create an object, in the namespace that its metadata names. That it exists already is success.
    Create(KindName, Object),
    /// Create a pod for its owner: slow start (1, 2, 4 … at once, none after a failure), an event on the owner for each.
    Spawn {
        /// Whom the events are about, and who is told of a failure.
        owner: Arc<Object>,
        /// With `generateName`.
        pod: Object,
    },
    /// Replace an object; its resourceVersion must still be the newest.
    Update(KindName, Object),
    /// Replace the status alone, whatever else changed meanwhile: a status has one writer.
    Status(KindName, Arc<Object>, Value),
    /// Merge into an object, outside its status.
    Merge(KindName, Arc<Object>, Value),
    /// Assign a pod to a node.
    Bind {
        /// Not yet assigned.
        pod: Arc<Object>,
        /// Name of the node.
        node: String,
    },
    /// Delete an object, if it still is this one (by uid). That it is gone is success.
    Delete(KindName, Arc<Object>, How),
    /// Let a namespace go: it is empty.
    Finalize(Arc<Object>),
    /// Record an event.
    Say(Said),
    /// Plan again after this time, whether or not something changed.
    Again(Duration),
}

/// How dependents of a deleted object are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The kind's default, which is `background`.
    Background,
    /// Dependents first.
    Foreground,
}

/// An event to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    /// What it is about.
    pub about: Arc<Object>,
    /// Type `Warning` instead of `Normal`.
    pub warning: bool,
    /// One word in CamelCase, Kubernetes' own where it has one.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Step {
    /// A `Normal` event.
    pub(crate) fn say(about: &Arc<Object>, reason: &'static str, message: impl Into<String>) -> Step {
        Step::Say(Said { about: about.clone(), warning: false, reason, message: message.into() })
    }

    /// A `Warning` event.
    pub(crate) fn warn(about: &Arc<Object>, reason: &'static str, message: impl Into<String>) -> Step {
        Step::Say(Said { about: about.clone(), warning: true, reason, message: message.into() })
    }
}

/// One line, for logs and for the rows of table tests.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Create(kind, o) => write!(f, "create {kind} {}{}", called(o), replicas(o)),
            Step::Spawn { pod, .. } => write!(f, "spawn {}", called(pod)),
            Step::Update(kind, o) => write!(f, "update {kind} {}{}", name(o), replicas(o)),
            Step::Status(kind, o, _) => write!(f, "status {kind} {}", name(o)),
            Step::Merge(kind, o, patch) => write!(f, "merge {kind} {} {patch}", name(o)),
            Step::Bind { pod, node } => write!(f, "bind {} to {node}", name(pod)),
            Step::Delete(kind, o, How::Background) => write!(f, "delete {kind} {}", name(o)),
            Step::Delete(kind, o, How::Foreground) => write!(f, "delete {kind} {} in the foreground", name(o)),
            Step::Finalize(o) => write!(f, "finalize {}", name(o)),
            Step::Say(said) => write!(f, "{}: {}", said.reason, said.message),
            Step::Again(after) => write!(f, "again in {} ms", after.as_millis()),
        }
    }
}

fn called(object: &Object) -> String {
    match name(object) {
        "" => format!("{}*", object["metadata"]["generateName"].as_str().unwrap_or_default()),
        name => name.to_owned(),
    }
}

fn replicas(object: &Object) -> String {
    int(object, "/spec/replicas").map(|n| format!(" to {n}")).unwrap_or_default()
}

/// A plan as lines; what a row of a table test compares.
#[cfg(test)]
pub(crate) fn show(steps: &[Step]) -> Vec<String> {
    steps.iter().map(Step::to_string).collect()
}

/// `namespace/name`, as logs and messages name an object.
pub(crate) fn full_name(object: &Object) -> String {
    match namespace(object) {
        "" => name(object).to_owned(),
        ns => format!("{ns}/{}", name(object)),
    }
}
