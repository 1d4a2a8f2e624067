//! What the client-side proxies have: their `config_dump`, read through kept-alive port-forwards to port 15000.
//!
//! The same for Envoy and for the embedded sidecar. Asked every few milliseconds while an acknowledgement is awaited, rarely else.
use crate::demo::namespace::facts::{Ack, Facts};
use crate::demo::namespace::state::NamespaceState;
use crate::demo::objects::{Id, ROUTE_HOST};
use crate::demo::plan::observe::demo_pods;
use crate::demo::virtual_service;
use crate::k8s::Forwarded;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tracing::debug;
use wire::Split;

/// The sidecar's admin port, Envoy's as Istio sets it.
const ADMIN_PORT: u16 = 15_000;
/// Routes alone: a whole dump of a large mesh has megabytes.
const ROUTES: &str = "/config_dump?resource=dynamic_route_configs";
const CLUSTERS: &str = "/config_dump?resource=dynamic_active_clusters";

/// How old what is known may get while somebody looks: a proxy loses its routes by itself only when its control plane is ill.
const LOOKED_AT: Duration = Duration::from_secs(5);
/// The same where nobody does.
const UNSEEN: Duration = Duration::from_secs(60);

/// What is awaited, and what the proxies had before.
pub struct Expected {
    split: Split,
    asked: Instant,
    before: BTreeMap<String, (String, bool)>,
}

impl Expected {
    /// Before the weights are written.
    pub fn new(split: Split, asked: Instant, facts: &Facts) -> Expected {
        // A proxy is between two routes where it has not taken up the last ones: the same weights again may be the old route still.
        let last = facts.ours.as_ref();
        let before = facts.acks.iter().map(|(pod, ack)| {
            let settled = ack.as_ref().is_some_and(|a| {
                last.is_none_or(|last| a.split.as_ref().is_some_and(|split| split.has_same_shares(last)))
            });
            (pod.clone(), (ack.as_ref().map(|a| a.stamp.clone()).unwrap_or_default(), settled))
        });
        Expected { split, asked, before: before.collect() }
    }

    fn met_by(&self, pod: &str, ack: Option<&Ack>) -> bool {
        let Some(ack) = ack.filter(|a| a.split.as_ref().is_some_and(|s| s.has_same_shares(&self.split))) else {
            return false;
        };
        match self.before.get(pod) {
            Some((stamp, false)) => {
                *stamp != ack.stamp || ack.read.duration_since(self.asked) > Duration::from_millis(900)
            }
            _ => true,
        }
    }
}

/// Waits until every client-side proxy has the weights. Gives the pods that do not yet; nothing where there is no such proxy.
pub async fn acknowledged(state: &NamespaceState, expected: Expected, patience: Duration) -> Option<Vec<String>> {
    let deadline = expected.asked + patience;
    let mut facts = state.facts.subscribe();
    state.facts.send_modify(|f| f.expected = Some((expected.split.clone(), expected.asked)));
    let pending = loop {
        let pending = {
            let facts = facts.borrow_and_update();
            let late = facts.acks.iter().filter(|(pod, ack)| !expected.met_by(pod, ack.as_ref()));
            if facts.acks.is_empty() { None } else { Some(late.map(|(pod, _)| pod.clone()).collect::<Vec<_>>()) }
        };
        if pending.as_ref().is_none_or(Vec::is_empty) || Instant::now() >= deadline {
            break pending;
        }
        // 20 ms: reading times change without notice.
        let _ = tokio::time::timeout(Duration::from_millis(20), facts.changed()).await;
    };
    state.facts.send_if_modified(|f| {
        f.expected = None;
        false
    });
    pending
}

/// Waits until the client-side proxies know the subsets, at most 300 ms: a route to an unknown one fails requests.
pub async fn know_subsets(state: &NamespaceState, split: &Split) {
    let deadline = Instant::now() + Duration::from_millis(300);
    for pod in client_proxies(state) {
        let Ok(mut link) = Forwarded::connect(&state.cluster, state.ns.as_str(), &pod, ADMIN_PORT).await else {
            continue;
        };
        while Instant::now() < deadline {
            let Ok(dump) = link.get(CLUSTERS).await else { break };
            let text = String::from_utf8_lossy(&dump);
            if split.iter().all(|(name, _)| text.contains(&format!("|{name}|{ROUTE_HOST}."))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Client pods whose sidecar is ready: before that they send nothing.
pub fn client_proxies(state: &NamespaceState) -> Vec<String> {
    let pods = demo_pods(&state.now()).into_iter();
    pods.filter(|p| p.view.workload == Id::CLIENT.name && p.sidecar_ready && !p.terminating)
        .map(|p| p.view.name)
        .collect()
}

/// Keeps [`Facts::acks`] up to date.
pub async fn run(state: &NamespaceState) {
    let (mut cache, mut facts) = (state.cache.subscribe(), state.facts.subscribe());
    let mut links: BTreeMap<String, Forwarded> = BTreeMap::new();
    let mut desired: (Option<Split>, Instant) = (None, Instant::now());
    loop {
        let pods = client_proxies(state);
        links.retain(|pod, _| pods.contains(pod));
        state.facts.send_if_modified(|f| keep(f, &pods));
        let seen = {
            let cache = cache.borrow_and_update().clone();
            virtual_service::find(&cache, state.ns.as_str())
                .and_then(|s| virtual_service::split(&s.object, state.ns.as_str()))
        };
        let expected = facts.borrow_and_update().expected.clone();
        match expected {
            Some((split, asked)) => desired = (Some(split), asked),
            None if seen != desired.0 => desired = (seen, Instant::now()),
            None => {}
        }
        let may_age = if state.is_attended() { LOOKED_AT } else { UNSEEN };
        let mut behind = false;
        let mut took = Duration::ZERO;
        for pod in &pods {
            let known = state.facts.borrow().acks.get(pod).cloned().flatten();
            let has = |ack: &Ack| {
                ack.split == desired.0 || matches!((&ack.split, &desired.0), (Some(a), Some(b)) if a.has_same_shares(b))
            };
            let hot = state.facts.borrow().expected.is_some();
            if known.as_ref().is_some_and(|a| has(a) && !hot && a.read.elapsed() < may_age) {
                continue;
            }
            let began = Instant::now();
            match read(state, &mut links, pod).await {
                Ok((split, stamp)) => {
                    let had = known.as_ref().is_some_and(|a| has(a) && a.split == split);
                    let ms = if had {
                        known.as_ref().and_then(|a| a.ms)
                    } else {
                        Some(desired.1.elapsed().as_secs_f64() * 1000.0)
                    };
                    let ack = Ack { split, ms, stamp, read: Instant::now() };
                    behind |= !has(&ack);
                    state.facts.send_if_modified(|f| put(f, pod, ack));
                }
                Err(why) => {
                    debug!(pod.name = pod, why, "Cannot read the routes of a sidecar");
                    links.remove(pod);
                    behind = true;
                }
            }
            took += began.elapsed();
        }
        if !state.facts.borrow().first_look.proxies && state.now().settled() {
            state.facts.send_modify(|f| f.first_look.proxies = true);
        }
        let waited = desired.1.elapsed();
        let pause = match (behind || facts.borrow().expected.is_some(), waited.as_secs()) {
            (false, _) => may_age,
            (true, 0..2) => Duration::from_millis(2).max(took),
            (true, 2..15) => Duration::from_millis(100),
            (true, _) => Duration::from_secs(1),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = cache.changed() => {}
            Ok(()) = facts.changed(), if pause > Duration::from_millis(50) => {}
            () = state.asked.notified(), if pause > LOOKED_AT => {}
            else => return,
        }
    }
}

/// Keeps an entry for each of these pods. Gives whether that changed anything.
fn keep(facts: &mut Facts, pods: &[String]) -> bool {
    let before = facts.acks.len();
    facts.acks.retain(|pod, _| pods.contains(pod));
    let mut changed = facts.acks.len() != before;
    for pod in pods {
        if !facts.acks.contains_key(pod) {
            facts.acks.insert(pod.clone(), None);
            changed = true;
        }
    }
    changed
}

/// Stores what was read. Gives whether it says anything new.
fn put(facts: &mut Facts, pod: &str, ack: Ack) -> bool {
    let Some(slot) = facts.acks.get_mut(pod) else { return false };
    let new = slot.as_ref().is_none_or(|old| old.split != ack.split || old.stamp != ack.stamp);
    *slot = Some(ack);
    new
}

async fn read(
    state: &NamespaceState,
    links: &mut BTreeMap<String, Forwarded>,
    pod: &str,
) -> Result<(Option<Split>, String), String> {
    if !links.contains_key(pod) {
        let link = Forwarded::connect(&state.cluster, state.ns.as_str(), pod, ADMIN_PORT).await?;
        links.insert(pod.to_owned(), link);
    }
    let link = links.get_mut(pod).ok_or("no connection")?;
    let dump: Value = serde_json::from_slice(&link.get(ROUTES).await?).map_err(|e| e.to_string())?;
    let host = format!("{ROUTE_HOST}.{}.svc.cluster.local", state.ns);
    let routes = mesh::client_routes(&dump, &host).unwrap_or_default();
    let named = routes.iter().all(|(subset, _)| !subset.is_empty());
    let split = if named { Split::normalised(routes.iter().map(|(s, w)| (s.as_str(), *w))).ok() } else { None };
    Ok((split, stamp(&dump)))
}

/// Version and time of the routes a proxy has.
fn stamp(dump: &Value) -> String {
    let entries = dump["configs"].as_array().into_iter().flatten();
    entries.map(|e| format!("{}@{} ", e["version_info"], e["last_updated"])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_route_with_the_same_weights_is_no_acknowledgement() {
        let split = |v2| Split::v1_v2(v2).unwrap();
        let now = Instant::now();
        let ack = |v2, stamp: &str| Ack { split: Some(split(v2)), ms: None, stamp: stamp.to_owned(), read: now };
        let only = |name, stamp: &str| Ack {
            split: Split::normalised([(name, 100)]).ok(),
            ms: None,
            stamp: stamp.to_owned(),
            read: now,
        };
        let facts = |had: Ack, ours| {
            let mut facts = Facts::default();
            facts.acks.insert("p".to_owned(), Some(had));
            facts.ours = Some(split(ours));
            facts
        };
        for (what, had, ours, to, has, met) in [
            ("new weights", ack(0, "1"), 0, 100, ack(100, "2"), true),
            ("still the old ones", ack(0, "1"), 0, 100, ack(0, "1"), false),
            ("back before the last change was taken up", ack(0, "1"), 100, 0, ack(0, "1"), false),
            ("back, and taken up", ack(0, "1"), 100, 0, ack(0, "3"), true),
            ("no change", ack(0, "1"), 0, 0, ack(0, "1"), true),
            ("no change, and the proxy leaves out what has no share", only("v2", "1"), 100, 100, only("v2", "1"), true),
        ] {
            let expected = Expected::new(split(to), now, &facts(had, ours));
            assert_eq!(expected.met_by("p", Some(&has)), met, "{what}");
        }
    }
}
