//! The only watches: what a namespace holds, kept in memory.
//!
//! managedFields say who owns the route; they are read, then pruned. A missing kind is a state, not an error.
use super::client::Cluster;
use super::kinds::KindName;
use futures::StreamExt;
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// An object as it was seen.
#[derive(Clone, Debug)]
pub struct CachedObject {
    /// The object without its managedFields.
    pub object: DynamicObject,
    /// Field managers that own `.spec.http`; empty for what has none.
    pub route_owners: Vec<String>,
    /// Field managers that own anything of `.spec`.
    pub owners: Vec<String>,
}

/// Why a kind's objects are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not listed yet.
    Starting,
    /// The cluster does not serve this kind.
    Missing,
    /// The cluster refuses or fails; its words.
    Failed(String),
}

/// What a namespace holds. Milliseconds old while the cluster answers; the last known state when it does not.
#[derive(Clone, Debug)]
pub struct Cache {
    objects: BTreeMap<(KindName, String), Arc<CachedObject>>,
    problems: BTreeMap<KindName, Problem>,
}

impl Default for Cache {
    fn default() -> Cache {
        let problems = KindName::WATCHED.into_iter().map(|kind| (kind, Problem::Starting)).collect();
        Cache { objects: BTreeMap::new(), problems }
    }
}

impl Cache {
    /// One object.
    pub fn get(&self, kind: KindName, name: &str) -> Option<&Arc<CachedObject>> {
        self.objects.get(&(kind, name.to_owned()))
    }

    /// All of a kind, by name.
    pub fn all(&self, kind: KindName) -> impl Iterator<Item = &Arc<CachedObject>> {
        self.objects.iter().filter(move |((k, _), _)| *k == kind).map(|(_, seen)| seen)
    }

    /// Why a kind's objects are not known; nothing where they are.
    pub fn problem(&self, kind: KindName) -> Option<&Problem> {
        self.problems.get(&kind)
    }

    /// Whether every kind is known; of the mesh's, whether it is known that they cannot be.
    pub fn settled(&self) -> bool {
        self.problems.iter().all(|(kind, problem)| kind.of_mesh() && *problem != Problem::Starting)
    }

    /// A namespace that is not there. `meshless`: the cluster does not serve Istio's kinds.
    pub fn nothing(meshless: bool) -> Cache {
        let missing = KindName::WATCHED.into_iter().filter(|kind| meshless && kind.of_mesh());
        Cache { objects: BTreeMap::new(), problems: missing.map(|kind| (kind, Problem::Missing)).collect() }
    }

    /// Whether nothing at all is known to be in it.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether anything in it is being removed.
    pub fn ending(&self) -> bool {
        self.objects.values().any(|seen| seen.object.metadata.deletion_timestamp.is_some())
    }

    /// The cluster's words where it does not let the demo's own kinds be read.
    pub fn refusal(&self) -> Option<&str> {
        self.problems.values().find_map(|p| if let Problem::Failed(words) = p { Some(words.as_str()) } else { None })
    }

    /// For tests of what reads a cache.
    #[cfg(test)]
    pub fn of(objects: Vec<serde_json::Value>) -> Cache {
        let mut cache = Cache { objects: BTreeMap::new(), problems: BTreeMap::new() };
        for value in objects {
            let object: DynamicObject = serde_json::from_value(value).unwrap();
            let word = object.types.as_ref().map(|t| t.kind.to_lowercase()).unwrap_or_default();
            let kind = KindName::WATCHED.into_iter().find(|k| k.word() == word).unwrap();
            let (key, seen) = read(kind, object);
            cache.objects.insert(key, seen);
        }
        cache
    }
}

/// Keeps `out` up to date until `stop`. Backs off while the cluster fails; what was seen last stays.
pub async fn watch(cluster: &Cluster, ns: &str, out: &Sender<Arc<Cache>>, stop: &CancellationToken) {
    let kinds = KindName::WATCHED.into_iter().map(|kind| watch_kind(cluster, ns, kind, out));
    tokio::select! {
        _ = futures::future::join_all(kinds) => {}
        () = stop.cancelled() => {}
    }
}

async fn watch_kind(cluster: &Cluster, ns: &str, kind: KindName, out: &Sender<Arc<Cache>>) {
    // As long as the library lets a watch be: each renewal is a call. A connection whose other end is gone is noticed by its keep-alive.
    let config = watcher::Config::default().timeout(290);
    let mut pause = Pause::default();
    loop {
        let mut events = std::pin::pin!(watcher::watcher(cluster.api(kind, ns), config.clone()));
        let mut fresh = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    pause = Pause::default();
                    take(kind, event, &mut fresh, out);
                }
                Err(error) => {
                    let restart = note(kind, ns, &error, out);
                    if !restart {
                        cluster.suspect.notify_one();
                    }
                    // What is not served, or may not be seen, is not there again in a moment.
                    tokio::time::sleep(pause.next(if restart { RARELY } else { OFTEN })).await;
                    if restart && kind.of_mesh() {
                        // Istio may have come meanwhile, or serve another version than the newest.
                        let _ = cluster.find_istio().await;
                    }
                    if restart {
                        break;
                    }
                }
            }
        }
    }
}

type Key = (KindName, String);

fn take(
    kind: KindName,
    event: Event<DynamicObject>,
    fresh: &mut BTreeMap<Key, Arc<CachedObject>>,
    out: &Sender<Arc<Cache>>,
) {
    match event {
        Event::Init => fresh.clear(),
        Event::InitApply(object) => {
            let (key, seen) = read(kind, object);
            fresh.insert(key, seen);
        }
        Event::InitDone => change(out, |cache| {
            cache.objects.retain(|(k, _), _| *k != kind);
            cache.objects.append(fresh);
            cache.problems.remove(&kind);
        }),
        Event::Apply(object) => change(out, |cache| {
            let (key, seen) = read(kind, object);
            cache.objects.insert(key, seen);
        }),
        Event::Delete(object) => change(out, |cache| {
            cache.objects.remove(&(kind, object.metadata.name.unwrap_or_default()));
        }),
    }
}

/// Records why a kind is not known. Gives whether to list from scratch.
fn note(kind: KindName, ns: &str, error: &watcher::Error, out: &Sender<Arc<Cache>>) -> bool {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(s))
        | watcher::Error::WatchStartFailed(kube::Error::Api(s)) => Some(s),
        _ => None,
    };
    let problem = match status {
        Some(s) if s.code == 404 => Problem::Missing,
        Some(s) if s.code == 403 => Problem::Failed(s.message.clone()),
        // What is known stays, marked as stale: the credentials may be renewed.
        Some(s) if s.code == 401 && out.borrow().problem(kind) != Some(&Problem::Starting) => return false,
        Some(s) if s.code == 401 => Problem::Failed(s.message.clone()),
        _ => {
            debug!(kind = kind.word(), ns, %error, "A watch was interrupted");
            return false;
        }
    };
    let known = out.borrow().problem(kind) == Some(&problem);
    if !known {
        match &problem {
            Problem::Missing => info!(kind = kind.word(), "The cluster does not serve {}s", kind.word()),
            _ => warn!(kind = kind.word(), ns, "Cannot watch {}s: {error}", kind.word()),
        }
        change(out, |cache| {
            cache.objects.retain(|(k, _), _| *k != kind);
            cache.problems.insert(kind, problem);
        });
    }
    true
}

fn change(out: &Sender<Arc<Cache>>, f: impl FnOnce(&mut Cache)) {
    out.send_modify(|cache| f(Arc::make_mut(cache)));
}

fn read(kind: KindName, object: DynamicObject) -> (Key, Arc<CachedObject>) {
    let name = object.metadata.name.clone().unwrap_or_default();
    ((kind, name), Arc::new(CachedObject::read(object)))
}

impl CachedObject {
    /// Reads who owns the route, then prunes.
    pub fn read(mut object: DynamicObject) -> CachedObject {
        let route_owners = owners(&object, |spec| spec.get("f:http").is_some());
        let owners = owners(&object, |spec| !spec.is_null());
        object.metadata.managed_fields = None;
        if let Some(annotations) = &mut object.metadata.annotations {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        CachedObject { object, route_owners, owners }
    }
}

/// Managers whose fields of `.spec` are such; `http` is one atomic field under server-side apply.
fn owners(object: &DynamicObject, such: impl Fn(&serde_json::Value) -> bool) -> Vec<String> {
    let entries = object.metadata.managed_fields.iter().flatten();
    let mut owners: Vec<String> = entries
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| such(&fields.0["f:spec"])))
        .filter_map(|entry| entry.manager.clone())
        .collect();
    owners.dedup();
    owners
}

/// Longest wait after a failure to reach the cluster, and after a refusal by it.
const OFTEN: Duration = Duration::from_secs(5);
const RARELY: Duration = Duration::from_secs(60);

/// How long to wait after a failure: 0.2 s, doubled up to a limit, with jitter, so that many watches do not come back at once.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Pause {
        Pause(Duration::from_millis(200))
    }
}

impl Pause {
    fn next(&mut self, most: Duration) -> Duration {
        let base = self.0.min(most);
        self.0 = base * 2;
        let mut byte = [0u8; 1];
        // Without randomness there is no jitter; that is no reason to fail.
        let _ = getrandom::fill(&mut byte);
        base.mul_f64(0.75 + f64::from(byte[0]) / 512.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_owner_of_the_route_is_read_from_managed_fields() {
        let entry = |manager: &str, fields: serde_json::Value| json!({"manager": manager, "operation": "Apply", "fieldsV1": fields});
        for (fields, owners) in [
            (vec![entry("demo-panel", json!({"f:spec": {"f:http": {}, "f:hosts": {}}}))], vec!["demo-panel"]),
            (
                vec![
                    entry("demo-panel", json!({"f:spec": {"f:hosts": {}}})),
                    entry("kubectl-edit", json!({"f:spec": {"f:http": {}}})),
                ],
                vec!["kubectl-edit"],
            ),
            (vec![entry("x", json!({"f:metadata": {}}))], vec![]),
        ] {
            let cache = Cache::of(vec![json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                "metadata": {"name": "r", "managedFields": fields}})]);
            assert_eq!(cache.get(KindName::VirtualService, "r").unwrap().route_owners, owners);
        }
    }
}
