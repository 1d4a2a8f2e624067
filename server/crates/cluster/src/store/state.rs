//! Everything in memory: the objects, the history that watches and older lists are answered from, the subscribers.
use super::subscription::{Subscriber, Subscription};
use super::{Event, Key};
use crate::Object;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, RwLock};

/// Events kept. A watcher that was away for longer lists again; at a slider's 30 changes a second that is some minutes.
const HISTORY: usize = 8192;
/// Bytes of JSON in the history: some 1,600 writes of a pod. In memory an object takes several times its JSON.
const HISTORY_BYTES: usize = 8 * 1024 * 1024;

/// The history no longer reaches back to the revision asked for; the oldest that is known.
#[derive(Debug)]
pub(crate) struct Compacted {
    /// Watches may start from here or later.
    pub oldest: u64,
    /// The newest revision.
    pub newest: u64,
}

type Names = BTreeMap<(String, String), Arc<Object>>;

pub(super) struct State {
    revision: u64,
    /// The revision before the first event in `history`.
    oldest: u64,
    objects: HashMap<String, Names>,
    history: VecDeque<Arc<Event>>,
    history_bytes: usize,
    subscribers: HashMap<String, Vec<Subscriber>>,
}

impl State {
    pub(super) fn new(loaded: Vec<(Key, Arc<Object>)>, revision: u64) -> State {
        let mut objects: HashMap<String, Names> = HashMap::new();
        for (key, object) in loaded {
            objects.entry(key.resource).or_default().insert((key.namespace, key.name), object);
        }
        State { revision, oldest: revision, objects, history: VecDeque::new(), history_bytes: 0, subscribers: HashMap::new() }
    }

    pub(super) fn all(&self) -> Vec<(Key, Arc<Object>)> {
        let names = self.objects.iter().flat_map(|(resource, names)| names.iter().map(move |(at, object)| (resource, at, object)));
        names.map(|(resource, (namespace, name), object)| (Key::new(resource, namespace, name), object.clone())).collect()
    }

    /// Gives up the revisions up to here: a write that failed may have left them on disk.
    pub(super) fn skip_to(&mut self, revision: u64) {
        self.revision = revision;
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.objects.get(&key.resource)?.get(&(key.namespace.clone(), key.name.clone())).cloned()
    }

    pub(super) fn count(&self, resource: &str) -> usize {
        self.objects.get(resource).map_or(0, BTreeMap::len)
    }

    pub(super) fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Arc<Object>> {
        let Some(names) = self.objects.get(resource) else { return Vec::new() };
        match namespace {
            None => names.values().cloned().collect(),
            Some(namespace) => names
                .range((namespace.to_owned(), String::new())..)
                .take_while(|((of, _), _)| of == namespace)
                .map(|(_, object)| object.clone())
                .collect(),
        }
    }

    /// Takes back, newest first, what was written after `revision`.
    pub(super) fn list_at(&self, resource: &str, namespace: Option<&str>, revision: u64) -> Result<Vec<Arc<Object>>, Compacted> {
        if revision == self.revision {
            return Ok(self.list(resource, namespace));
        }
        self.reachable(revision)?;
        let mut names: BTreeMap<(&str, &str), Arc<Object>> = BTreeMap::new();
        for ((ns, name), object) in self.objects.get(resource).into_iter().flatten() {
            names.insert((ns, name), object.clone());
        }
        for event in self.history.iter().rev().take_while(|event| event.revision > revision) {
            if event.key.resource == resource {
                let at = (event.key.namespace.as_str(), event.key.name.as_str());
                match &event.before {
                    Some(before) => names.insert(at, before.clone()),
                    None => names.remove(&at),
                };
            }
        }
        Ok(names.into_iter().filter(|((ns, _), _)| namespace.is_none_or(|wanted| wanted == *ns)).map(|(_, o)| o).collect())
    }

    pub(super) fn since(&self, resource: &str, namespace: Option<&str>, revision: u64) -> Result<Vec<Arc<Event>>, Compacted> {
        self.reachable(revision)?;
        let from = self.history.partition_point(|event| event.revision <= revision);
        let concerns = |event: &&Arc<Event>| event.key.resource == resource && namespace.is_none_or(|ns| ns == event.key.namespace);
        Ok(self.history.range(from..).filter(concerns).cloned().collect())
    }

    fn reachable(&self, revision: u64) -> Result<(), Compacted> {
        // A revision of the future belongs to a store that is gone: its reader has to begin anew, too.
        if revision < self.oldest || revision > self.revision {
            return Err(Compacted { oldest: self.oldest, newest: self.revision });
        }
        Ok(())
    }

    pub(super) fn subscribe(&mut self, resource: &str, namespace: Option<&str>, state: Arc<RwLock<State>>) -> Subscription {
        let (subscriber, mut subscription) = Subscription::pair(namespace, state);
        subscription.began_at(self.revision);
        let all = self.subscribers.entry(resource.to_owned()).or_default();
        all.retain(|other| !other.is_gone());
        all.push(subscriber);
        subscription
    }

    /// Makes a durable batch visible: objects first, then history and subscribers, under one lock.
    pub(super) fn publish(&mut self, events: Vec<Event>) {
        for event in events {
            self.revision = event.revision;
            let names = self.objects.entry(event.key.resource.clone()).or_default();
            let at = (event.key.namespace.clone(), event.key.name.clone());
            if event.deleted {
                names.remove(&at);
            } else {
                names.insert(at, event.after.clone());
            }
            let event = Arc::new(event);
            if let Some(subscribers) = self.subscribers.get_mut(&event.key.resource) {
                subscribers.retain(|subscriber| subscriber.offer(&event));
            }
            self.history_bytes += event.bytes;
            self.history.push_back(event);
        }
        while (self.history.len() > HISTORY || self.history_bytes > HISTORY_BYTES)
            && let Some(event) = self.history.pop_front()
        {
            self.oldest = event.revision;
            self.history_bytes -= event.bytes;
        }
    }
}
