//! How a pod's worker tells the cluster: the status while the pod lives, the deletion at its end.
use futures::FutureExt;
use futures::stream::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::pod_status;
use super::shared::Shared;
use super::worker::{Done, RETRY, Worker};
use crate::registry::{DeleteOptions, Patch, Subresource};
use crate::status::Status;

impl Worker {
    /// The status as it should be in the store.
    fn status(&self) -> Value {
        let basis = match &self.written {
            Some(status) if status.is_object() => {
                let metadata = json!({"generation": self.object["metadata"]["generation"]});
                &json!({"metadata": metadata, "spec": self.object["spec"], "status": status})
            }
            _ => &*self.object,
        };
        pod_status::build(&self.pod, &self.facts, basis, Timestamp::now())
    }

    fn write(&self, status: Value) -> impl Future<Output = Result<(), Status>> + Send + 'static {
        let (shared, namespace, name) = (self.shared.clone(), self.namespace().to_owned(), self.name().to_owned());
        // The uid makes sure that a new pod of the same name is not written to.
        let patch = Patch::Merge(json!({"metadata": {"uid": self.entry.uid}, "status": status}));
        async move {
            let kind = shared.kind("", "pods")?;
            shared
                .registry
                .patch(&kind, Some(&namespace), &name, Subresource::Status, patch, &Shared::writes())
                .await
                .map(drop)
        }
    }

    /// Writes the status where it differs; one write at a time, so that the newest is never overtaken.
    pub(super) fn report(&mut self) {
        if self.writing {
            return;
        }
        let status = self.status();
        if self.written.as_ref() == Some(&status) {
            return;
        }
        self.writing = true;
        let write = self.write(status.clone());
        self.push(async move { Done::Written(status, write.await) });
    }

    /// A pod that somebody holds by a finalizer stays to be seen: its last status is written, too.
    async fn report_end(&mut self) {
        let held = self.object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        if !held || self.news.borrow().gone {
            return;
        }
        let status = self.status();
        if let Err(error) = self.write(status).await {
            tracing::warn!(pod.name = self.name(), %error, "The last status of pod `{}` could not be written", self.name());
        }
    }

    /// The end: whatever is left of the pod here, and its object where it was to be deleted.
    pub(super) async fn leave(mut self, stopping: bool) {
        // Nothing runs any more; what is left of the output is in the pipes.
        while let Some(Some(done)) = self.jobs.next().now_or_never() {
            drop(done);
        }
        let _ = std::fs::remove_dir_all(&self.entry.run_dir);
        if !stopping || self.deleting {
            self.report_end().await;
            while !self.news.borrow().gone {
                match self.delete().await {
                    Err(error) if !matches!(error.code, 404 | 409) => {
                        tracing::warn!(pod.name = self.name(), %error, "Pod `{}` could not be deleted", self.name());
                        if stopping {
                            break;
                        }
                        tokio::time::sleep(RETRY).await;
                    }
                    _ => break,
                }
            }
            let _ = std::fs::remove_dir_all(&self.entry.logs);
        }
        self.shared.leave(self.namespace(), self.name(), &self.entry.uid);
    }

    async fn delete(&mut self) -> Result<(), Status> {
        let kind = self.shared.kind("", "pods")?;
        let options = DeleteOptions {
            grace_period_s: Some(0),
            precondition_uid: Some(self.entry.uid.clone()),
            ..DeleteOptions::default()
        };
        self.shared.registry.delete(&kind, Some(self.namespace()), self.name(), &options).await.map(drop)
    }
}
