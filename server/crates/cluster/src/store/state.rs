//! Everything in memory that readers see: the objects, the history, the subscribers.
use super::history::{Compacted, History};
use super::subscriber::Subscriber;
use super::version::Version;
use super::{Event, Key};
use crate::Object;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// JSON bytes of past versions whose objects stay in memory for watchers that are about to look at them.
const RECENT_BYTES: usize = 128 * 1024;

/// An object as it is now.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) object: Arc<Object>,
    pub(super) version: Version,
    /// Bytes of memory that it takes, for the quota.
    pub(super) charge: usize,
}

type Names = BTreeMap<(String, String), Kept>;

pub(super) struct State {
    revision: u64,
    objects: HashMap<String, Names>,
    history: History,
    recent: VecDeque<(Arc<Object>, usize)>,
    recent_bytes: usize,
    subscribers: HashMap<String, Vec<Subscriber>>,
}

impl State {
    pub(super) fn new(loaded: Vec<(Key, Kept)>, revision: u64) -> State {
        let mut objects: HashMap<String, Names> = HashMap::new();
        for (key, kept) in loaded {
            objects.entry(key.resource).or_default().insert((key.namespace, key.name), kept);
        }
        let history = History::new(revision);
        State { revision, objects, history, recent: VecDeque::new(), recent_bytes: 0, subscribers: HashMap::new() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Key, &Kept)> {
        let names =
            self.objects.iter().flat_map(|(resource, names)| names.iter().map(move |(at, kept)| (resource, at, kept)));
        names.map(|(resource, (namespace, name), kept)| (Key::new(resource, namespace, name), kept))
    }

    /// Gives up the revisions up to here: a write that failed may have left them on disk.
    pub(super) fn skip_to(&mut self, revision: u64) {
        self.revision = revision;
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn kept(&self, key: &Key) -> Option<&Kept> {
        self.objects.get(&key.resource)?.get(&(key.namespace.clone(), key.name.clone()))
    }

    pub(super) fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Object>> {
        self.range(resource, namespace).map(|(_, kept)| kept.object.clone()).collect()
    }

    fn range<'a>(
        &'a self,
        resource: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a (String, String), &'a Kept)> {
        let start = (namespace.unwrap_or_default().to_owned(), String::new());
        let names = self.objects.get(resource).into_iter().flat_map(move |names| names.range(start.clone()..));
        names.take_while(move |((of, _), _)| namespace.is_none_or(|wanted| wanted == of))
    }

    /// As it was at `revision`.
    pub(super) fn list_at(
        &self,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Vec<Arc<Object>>, Compacted> {
        if revision == self.revision {
            return Ok(self.list(resource, namespace));
        }
        self.history.reachable(revision, self.revision)?;
        let mut names: BTreeMap<(&str, &str), Arc<Object>> = BTreeMap::new();
        for ((ns, name), kept) in self.range(resource, namespace) {
            names.insert((ns, name), kept.object.clone());
        }
        for (key, version) in self.history.changed_since(resource, namespace, revision) {
            let at = (key.namespace.as_str(), key.name.as_str());
            match version {
                Some(version) => names.insert(at, version.object()),
                None => names.remove(&at),
            };
        }
        Ok(names.into_values().collect())
    }

    pub(super) fn since(
        &self,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Vec<Arc<Event>>, Compacted> {
        self.history.reachable(revision, self.revision)?;
        Ok(self.history.since(resource, namespace, revision))
    }

    pub(super) fn subscribe(&mut self, resource: &str, subscriber: Subscriber) {
        let all = self.subscribers.entry(resource.to_owned()).or_default();
        all.retain(|other| !other.is_gone());
        all.push(subscriber);
    }

    /// Makes a durable write visible: the object first, then history and subscribers, under one lock.
    pub(super) fn publish(&mut self, key: Key, kept: Kept, deleted: bool) {
        let revision = kept.version.revision;
        self.revision = revision;
        let names = self.objects.entry(key.resource.clone()).or_default();
        let at = (key.namespace.clone(), key.name.clone());
        let (after, last) = (kept.version.clone(), kept.object.clone());
        let before = if deleted { names.remove(&at) } else { names.insert(at, kept) };
        if deleted {
            self.keep_for_watchers(last, after.len());
        }
        let event =
            Arc::new(Event { revision, key, before: before.as_ref().map(|kept| kept.version.clone()), after, deleted });
        if let Some(before) = before {
            self.keep_for_watchers(before.object, before.version.len());
        }
        if let Some(subscribers) = self.subscribers.get_mut(&event.key.resource) {
            subscribers.retain(|subscriber| subscriber.offer(&event));
        }
        self.history.push(&event);
    }

    fn keep_for_watchers(&mut self, object: Arc<Object>, bytes: usize) {
        self.recent.push_back((object, bytes));
        self.recent_bytes += bytes;
        while self.recent_bytes > RECENT_BYTES
            && let Some((_, bytes)) = self.recent.pop_front()
        {
            self.recent_bytes -= bytes;
        }
    }

    #[cfg(test)]
    pub(super) fn history(&self) -> &History {
        &self.history
    }
}
