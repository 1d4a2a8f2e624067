//! Carries out a plan's steps: the only writer of the controllers.
//!
//! Writes that do not depend on each other go together and share an fsync: pods of a slow start, deletions in a row.
use super::object::{KindName, PODS, name, namespace, uid};
use super::step::{How, Said, Step};
use super::view::View;
use crate::Object;
use crate::events::Recorder;
use crate::kinds::Kind;
use crate::registry::{DeleteOptions, Patch, Propagation, Subresource, WriteOptions};
use crate::status::Status;
use futures::future::join_all;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Pods created at once after the first went well, and so on, doubled each time up to here.
const MOST_AT_ONCE: usize = 32;

/// Why a plan was not carried out to its end.
pub(super) struct Failed {
    /// What the API answered.
    pub status: Status,
    /// It was a pod that could not be made; its owner's status tells why.
    pub is_spawn: bool,
}

impl From<Status> for Failed {
    fn from(status: Status) -> Failed {
        Failed { status, is_spawn: false }
    }
}

/// Writes under the name of one controller.
#[derive(Clone)]
pub(super) struct Apply {
    view: View,
    recorder: Recorder,
    by: WriteOptions,
}

impl Apply {
    /// `component` is the events' source, `manager` stands in managedFields.
    pub fn new(view: View, recorder: &Recorder, component: &'static str, manager: &str) -> Apply {
        Apply { view, recorder: recorder.of(component, None), by: WriteOptions::by(manager) }
    }

    /// Carries out the steps in order and stops at the first failure. Gives when to plan again, where a step asks for that.
    pub async fn run(&self, steps: Vec<Step>) -> Result<Option<Duration>, Failed> {
        let mut again: Option<Duration> = None;
        let mut steps = steps.into_iter().peekable();
        while let Some(step) = steps.next() {
            tracing::trace!("{step}");
            match step {
                Step::Spawn { owner, pod } => {
                    let mut pods = vec![pod];
                    while let Some(Step::Spawn { pod, .. }) = steps.next_if(|s| matches!(s, Step::Spawn { .. })) {
                        pods.push(pod);
                    }
                    self.spawn(&owner, pods).await?;
                }
                Step::Delete(kind, object, how) => {
                    let mut deletions = vec![self.delete(kind, object, how)];
                    while let Some(Step::Delete(kind, object, how)) = steps.next_if(|s| matches!(s, Step::Delete(..))) {
                        deletions.push(self.delete(kind, object, how));
                    }
                    join_all(deletions).await.into_iter().collect::<Result<(), Status>>()?;
                }
                Step::Again(after) => again = Some(again.map_or(after, |a| a.min(after))),
                other => self.one(other).await?,
            }
        }
        Ok(again)
    }

    async fn one(&self, step: Step) -> Result<(), Status> {
        let registry = self.view.registry();
        match step {
            Step::Create(kind, object) => {
                let kind = self.kind(&kind)?;
                match registry.create(&kind, namespace_of(&kind, &object).as_deref(), object, &self.by).await {
                    Err(status) if status.reason == "AlreadyExists" => Ok(()),
                    other => other.map(drop),
                }
            }
            Step::Update(kind, object) => self.update(&kind, Subresource::None, object).await,
            Step::Status(kind, object, status) => {
                let mut object = Object::clone(&object);
                object["status"] = status;
                // The status has one writer; a spec that changed meanwhile is no conflict.
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.shift_remove("resourceVersion");
                }
                gone_is_fine(self.update(&kind, Subresource::Status, object).await)
            }
            Step::Merge(kind, object, patch) => {
                let kind = self.kind(&kind)?;
                let ns = namespace_of(&kind, &object);
                let patched = registry
                    .patch(&kind, ns.as_deref(), name(&object), Subresource::None, Patch::Merge(patch), &self.by)
                    .await;
                gone_is_fine(patched.map(drop))
            }
            Step::Bind { pod, node } => {
                let kind = self.kind(&PODS)?;
                let binding = json!({"apiVersion": "v1", "kind": "Binding",
                    "metadata": {"name": name(&pod), "namespace": namespace(&pod), "uid": uid(&pod)},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
                let ns = Some(namespace(&pod));
                registry.update(&kind, ns, name(&pod), Subresource::Binding, binding, &self.by).await.map(drop)
            }
            Step::Finalize(object) => {
                let mut object = Object::clone(&object);
                object["spec"]["finalizers"] = Value::Array(Vec::new());
                gone_is_fine(self.update(&super::object::NAMESPACES, Subresource::Finalize, object).await)
            }
            Step::Say(Said { about, warning, reason, message }) => {
                self.recorder.record(&about, None, warning, reason, message);
                Ok(())
            }
            Step::Spawn { .. } | Step::Delete(..) | Step::Again(_) => Ok(()),
        }
    }

    /// Slow start: one pod, then two, then four … and none after a failure, which the rest would most likely share.
    async fn spawn(&self, owner: &Arc<Object>, pods: Vec<Object>) -> Result<(), Failed> {
        let kind = self.kind(&PODS)?;
        let mut size = 1;
        let mut left = pods.into_iter();
        loop {
            let batch: Vec<Object> = left.by_ref().take(size).collect();
            if batch.is_empty() {
                return Ok(());
            }
            let created = batch.into_iter().map(|pod| {
                let kind = kind.clone();
                async move { self.view.registry().create(&kind, Some(namespace(owner)), pod, &self.by).await }
            });
            let mut failure = None;
            for result in join_all(created).await {
                match result {
                    Ok(written) => {
                        self.recorder.normal(
                            owner,
                            "SuccessfulCreate",
                            format!("Created pod: {}", name(&written.object)),
                        );
                    }
                    Err(status) => failure = Some(status),
                }
            }
            if let Some(status) = failure {
                if is_namespace_ending(&status) {
                    // The owner itself is about to go.
                    return Ok(());
                }
                self.recorder.warning(owner, "FailedCreate", format!("Error creating: {status}"));
                return Err(Failed { status, is_spawn: true });
            }
            size = (size * 2).min(MOST_AT_ONCE);
        }
    }

    async fn delete(&self, kind: KindName, object: Arc<Object>, how: How) -> Result<(), Status> {
        let kind = self.kind(&kind)?;
        let propagation = match how {
            How::Background => Propagation::Background,
            How::Foreground => Propagation::Foreground,
        };
        let options =
            DeleteOptions { propagation, precondition_uid: Some(uid(&object).to_owned()), ..DeleteOptions::default() };
        let ns = namespace_of(&kind, &object);
        match self.view.registry().delete(&kind, ns.as_deref(), name(&object), &options).await {
            // Gone, or another object has its name by now.
            Err(status) if matches!(status.reason.as_str(), "NotFound" | "Conflict") => Ok(()),
            other => other.map(drop),
        }
    }

    async fn update(&self, kind: &KindName, part: Subresource, object: Object) -> Result<(), Status> {
        let kind = self.kind(kind)?;
        let (ns, name) = (namespace_of(&kind, &object), name(&object).to_owned());
        self.view.registry().update(&kind, ns.as_deref(), &name, part, object, &self.by).await.map(drop)
    }

    fn kind(&self, name: &KindName) -> Result<Arc<Kind>, Status> {
        self.view.kind(name).cloned().ok_or_else(|| Status::not_found(&name.plural, ""))
    }
}

fn namespace_of(kind: &Kind, object: &Object) -> Option<String> {
    kind.namespaced.then(|| namespace(object).to_owned())
}

/// What was to be changed is gone: nothing is left to do.
fn gone_is_fine(result: Result<(), Status>) -> Result<(), Status> {
    match result {
        Err(status) if status.reason == "NotFound" => Ok(()),
        other => other,
    }
}

fn is_namespace_ending(status: &Status) -> bool {
    let causes = status.details.as_ref().and_then(|d| d["causes"].as_array());
    causes.is_some_and(|c| c.iter().any(|c| c["reason"] == "NamespaceTerminating"))
}
