//! Records Events: what happened to an object, counted where it happens again.
//!
//! Recording never waits and never fails: [`Recorder::record`] puts the event in a bounded queue, [`EventWriter::run`] writes it.
//! Source: Kubernetes API reference, "Event v1 core"; client-go's aggregation by source, object, type, reason and message.
use crate::Object;
use crate::registry::{Patch, Registry, Subresource, WriteOptions};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Events that wait to be written; beyond this the newest are dropped, with a log line.
const QUEUE: usize = 2048;
/// Events written together: they share an fsync.
const BATCH: usize = 64;

/// Puts events in the queue, in the name of one component. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<News>,
    component: &'static str,
    host: Option<Arc<str>>,
}

/// Writes what recorders put in the queue.
pub struct EventWriter {
    registry: Registry,
    queue: mpsc::Receiver<News>,
}

struct News {
    about: Value,
    component: &'static str,
    host: Option<Arc<str>>,
    is_warning: bool,
    reason: String,
    message: String,
    at: Timestamp,
}

/// A recorder without a component's name, and the writer that its events go to.
pub fn events(registry: Registry) -> (Recorder, EventWriter) {
    let (sender, queue) = mpsc::channel(QUEUE);
    (Recorder { queue: sender, component: "cluster", host: None }, EventWriter { registry, queue })
}

impl Recorder {
    /// A recorder of that component: `kubelet`, `default-scheduler` …; `host` is the node's name where it runs on one.
    #[must_use]
    pub fn of(&self, component: &'static str, host: Option<&str>) -> Recorder {
        Recorder { queue: self.queue.clone(), component, host: host.map(Arc::from) }
    }

    /// A `Normal` event about an object.
    pub fn normal(&self, about: &Object, reason: &str, message: impl Into<String>) {
        self.record(about, None, false, reason, message.into());
    }

    /// A `Warning` event about an object.
    pub fn warning(&self, about: &Object, reason: &str, message: impl Into<String>) {
        self.record(about, None, true, reason, message.into());
    }

    /// An event about an object or a part of it: `field` is `spec.containers{flaskapp}` for a container.
    pub fn record(&self, about: &Object, field: Option<&str>, is_warning: bool, reason: &str, message: String) {
        let metadata = &about["metadata"];
        let mut reference = json!({"kind": about["kind"], "namespace": metadata["namespace"], "name": metadata["name"],
            "uid": metadata["uid"], "apiVersion": about["apiVersion"], "resourceVersion": metadata["resourceVersion"]});
        if let Some(reference) = reference.as_object_mut() {
            reference.retain(|_, v| !v.is_null());
            if let Some(field) = field {
                reference.insert("fieldPath".to_owned(), field.into());
            }
        }
        let (component, host) = (self.component, self.host.clone());
        let news = News {
            about: reference,
            component,
            host,
            is_warning,
            reason: reason.to_owned(),
            message,
            at: Timestamp::now(),
        };
        if let Err(mpsc::error::TrySendError::Full(news)) = self.queue.try_send(news) {
            tracing::warn!(event.reason = %news.reason, "Event `{}` was dropped: {QUEUE} others wait to be written", news.reason);
        }
    }
}

impl EventWriter {
    /// Writes until `stop`, then what is still in the queue.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                n = self.queue.recv_many(&mut batch, BATCH) => if n == 0 { return },
                () = stop.cancelled() => return,
            }
            self.write(std::mem::take(&mut batch)).await;
        }
    }

    async fn write(&self, batch: Vec<News>) {
        let mut counted: BTreeMap<(String, String), (News, i64)> = BTreeMap::new();
        for news in batch {
            let place = (news.namespace().to_owned(), news.name());
            match counted.get_mut(&place) {
                Some((last, count)) => {
                    last.at = news.at;
                    *count += 1;
                }
                None => {
                    counted.insert(place, (news, 1));
                }
            }
        }
        futures::future::join_all(counted.into_iter().map(|((namespace, name), (news, count))| async move {
            if let Err(why) = self.write_one(&namespace, &name, &news, count).await {
                // A namespace that ends takes no more events; that is no news.
                tracing::debug!(event.reason = %news.reason, "Event `{}` was not written: {why}", news.reason);
            }
        }))
        .await;
    }

    async fn write_one(
        &self,
        namespace: &str,
        name: &str,
        news: &News,
        count: i64,
    ) -> Result<(), crate::status::Status> {
        let Some(kind) = self.registry.kinds().find("", "events").cloned() else { return Ok(()) };
        let by = WriteOptions::by(news.component);
        match self.registry.get(&kind, Some(namespace), name) {
            Ok(old) => {
                let count = old["count"].as_i64().unwrap_or(1) + count;
                let again = json!({"count": count, "lastTimestamp": seconds(news.at)});
                self.registry.patch(&kind, Some(namespace), name, Subresource::None, Patch::Merge(again), &by).await?;
            }
            Err(_) => {
                self.registry.create(&kind, Some(namespace), news.to_json(namespace, name, count), &by).await?;
            }
        }
        Ok(())
    }
}

impl News {
    /// Events of objects without a namespace live in `default`.
    fn namespace(&self) -> &str {
        self.about["namespace"].as_str().filter(|n| !n.is_empty()).unwrap_or("default")
    }

    /// The same news about the same object has the same name, so that it is found and counted.
    fn name(&self) -> String {
        let mut hash = Sha256::new();
        let field = self.about["fieldPath"].as_str().unwrap_or_default();
        let uid = self.about["uid"].as_str().unwrap_or_default();
        for part in [uid, field, self.component, &self.reason, &self.message, if self.is_warning { "w" } else { "n" }] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digits = HEXLOWER.encode(&hash.finalize()[..8]);
        // A name has at most 253 characters; the digits tell objects apart whose names begin alike.
        let about: String =
            self.about["name"].as_str().unwrap_or("unknown").chars().take(253 - 1 - digits.len()).collect();
        format!("{}.{digits}", about.trim_end_matches(['.', '-']))
    }

    fn to_json(&self, namespace: &str, name: &str, count: i64) -> Object {
        let mut source = json!({"component": self.component});
        if let Some(host) = &self.host {
            source["host"] = host.as_ref().into();
        }
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
            "involvedObject": self.about, "reason": self.reason, "message": self.message, "source": source,
            "firstTimestamp": seconds(self.at), "lastTimestamp": seconds(self.at), "count": count,
            "type": if self.is_warning { "Warning" } else { "Normal" }, "eventTime": null,
            "reportingComponent": self.component, "reportingInstance": self.host.as_deref().unwrap_or_default(),
        })
    }
}

fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_about_an_object_with_a_long_name_can_be_named() {
        let about = json!({"kind": "Pod", "name": "a".repeat(253), "uid": "u"});
        let news = News {
            about,
            component: "kubelet",
            host: None,
            is_warning: false,
            reason: "R".into(),
            message: "m".into(),
            at: Timestamp::now(),
        };
        let object = news.to_json("default", &news.name(), 1);
        assert_eq!(crate::kinds::validate_metadata("Event", &object), []);
    }
}
