//! watch: what is there, then every change, as one watcher's selectors see it.
use super::read::{check_fields, expired};
use super::{Registry, WatchOptions};
use crate::Object;
use crate::kinds::Kind;
use crate::select::{FieldSelector, LabelSelector};
use crate::status::Status;
use crate::store::{Event, Subscription, Version};
use futures::{FutureExt, Stream};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How often a quiet watch tells how far it has come; a real API server's figure.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);

/// What happened to an object, as one watcher sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    /// It is there, or fits the selectors from here on.
    Added,
    /// It changed.
    Modified,
    /// It is gone, or no longer fits the selectors.
    Deleted,
    /// Nothing: everything up to this revision has been sent.
    Bookmark,
}

impl WatchKind {
    /// As the wire has it: `ADDED` …
    pub fn name(self) -> &'static str {
        match self {
            WatchKind::Added => "ADDED",
            WatchKind::Modified => "MODIFIED",
            WatchKind::Deleted => "DELETED",
            WatchKind::Bookmark => "BOOKMARK",
        }
    }
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub struct WatchEvent {
    /// What happened.
    pub kind: WatchKind,
    /// The object; of a deletion its last state with the deletion's version.
    pub object: Arc<Object>,
    /// The revision of what happened.
    pub revision: u64,
}

/// A stream of events. It ends only with an error: 410 where its reader is too slow.
pub struct Watch {
    initial: VecDeque<WatchEvent>,
    events: Subscription,
    labels: LabelSelector,
    fields: FieldSelector,
    bookmark: Option<Bookmark>,
    ended: bool,
}

struct Bookmark {
    api_version: String,
    kind: String,
    /// Made at the first poll, when a runtime is at hand.
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Registry {
    /// Watches a kind, in all namespaces where `ns` is `None`. Must be polled within a Tokio runtime.
    /// Errors: 400 for an unknown field, 410 where `from` is too old.
    pub fn watch(&self, kind: &Kind, ns: Option<&str>, o: &WatchOptions) -> Result<Watch, Status> {
        check_fields(kind, &o.labels, &o.fields)?;
        let (resource, ns) = (kind.resource(), ns.filter(|_| kind.namespaced));
        let from = o.from.filter(|from| *from > 0);
        let bookmark =
            o.bookmarks.then(|| Bookmark { api_version: kind.api_version(), kind: kind.kind.clone(), timer: None });
        let (there, events) = match from {
            Some(from) if !o.send_initial_events => {
                (Vec::new(), self.store.subscribe_from(&resource, ns, from).map_err(|c| expired(from, &c))?)
            }
            _ => self.store.subscribe(&resource, ns),
        };
        if let Some(from) = from.filter(|from| o.send_initial_events && *from > events.began()) {
            return Err(expired(from, &crate::store::Compacted { oldest: 0, newest: events.began() }));
        }
        let mut initial: VecDeque<WatchEvent> = there
            .into_iter()
            .filter(|object| o.labels.matches(object) && o.fields.matches(object))
            .map(|object| WatchEvent { kind: WatchKind::Added, revision: version(&object), object })
            .collect();
        if o.send_initial_events
            && let Some(bookmark) = &bookmark
        {
            initial.push_back(bookmark.event(events.began(), true));
        }
        Ok(Watch { initial, events, labels: o.labels.clone(), fields: o.fields.clone(), bookmark, ended: false })
    }
}

impl Watch {
    /// How this watcher sees an event; `None` where it concerns nothing that fits.
    fn seen(&self, event: &Event) -> Option<WatchEvent> {
        let all = self.labels.is_empty() && self.fields.is_empty();
        let fits = |version: &Version| {
            all || {
                let object = version.object();
                self.labels.matches(&object) && self.fields.matches(&object)
            }
        };
        let before = event.before.as_ref().is_some_and(fits);
        let after = !event.deleted && fits(&event.after);
        let (kind, object) = match (before, after) {
            (false, true) => (WatchKind::Added, event.after.object()),
            (true, true) => (WatchKind::Modified, event.after.object()),
            (true, false) if event.deleted => (WatchKind::Deleted, event.after.object()),
            (true, false) => {
                let mut last = event.before.as_ref().map(|before| Object::clone(&before.object())).unwrap_or_default();
                last["metadata"]["resourceVersion"] = event.revision.to_string().into();
                (WatchKind::Deleted, Arc::new(last))
            }
            (false, false) => return None,
        };
        Some(WatchEvent { kind, object, revision: event.revision })
    }
}

impl Stream for Watch {
    type Item = Result<WatchEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if let Some(event) = this.initial.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        while let Poll::Ready(event) = this.events.poll_next(cx) {
            let Some(event) = event else {
                this.ended = true;
                return Poll::Ready(Some(Err(Status::expired(
                    "the watch did not keep up with the changes; list again",
                ))));
            };
            if let Some(event) = this.seen(&event) {
                return Poll::Ready(Some(Ok(event)));
            }
        }
        let Watch { bookmark: Some(bookmark), events, .. } = this else { return Poll::Pending };
        let timer = bookmark.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(BOOKMARK_PERIOD)));
        if timer.poll_unpin(cx).is_pending() {
            return Poll::Pending;
        }
        timer.as_mut().reset(tokio::time::Instant::now() + BOOKMARK_PERIOD);
        // Polled again at once, so that the timer's waker is registered anew.
        cx.waker().wake_by_ref();
        match events.drained_at() {
            Some(revision) => Poll::Ready(Some(Ok(bookmark.event(revision, false)))),
            None => Poll::Pending,
        }
    }
}

impl Bookmark {
    fn event(&self, revision: u64, initial_events_end: bool) -> WatchEvent {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": Value::Null});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({"kind": self.kind, "apiVersion": self.api_version, "metadata": metadata});
        WatchEvent { kind: WatchKind::Bookmark, object: Arc::new(object), revision }
    }
}

fn version(object: &Object) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fixture;
    use super::*;
    use futures::StreamExt;

    #[tokio::test]
    async fn a_quiet_watch_is_bookmarked_again_and_again() {
        let t = Fixture::new().await;
        let o = WatchOptions { from: Some(t.registry.revision()), bookmarks: true, ..WatchOptions::default() };
        let mut watch = t.registry.watch(&t.kind("configmaps"), None, &o).unwrap();
        for _ in 0..3 {
            // Instead of a minute: the timer as it is when the minute is over.
            watch.bookmark.as_mut().unwrap().timer = Some(Box::pin(tokio::time::sleep(Duration::from_millis(1))));
            let event = watch.next().await.unwrap().unwrap();
            assert_eq!((event.kind, event.revision), (WatchKind::Bookmark, t.registry.revision()));
            t.registry.ensure_namespaces(&[&format!("n{}", event.revision)]).await.unwrap();
        }
    }
}
