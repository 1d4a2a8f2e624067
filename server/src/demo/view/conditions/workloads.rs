//! Conditions of the workloads: deployed, injected, client ready. Pure.
use super::scene::Scene;
use crate::demo::objects::Id;
use crate::demo::plan::Presence;
use crate::demo::plan::observe::{client_pod, namespace_injects};
use crate::demo::pods::PodSeen;
use app::text::Message;
use app::text::messages::{causes, conditions as said};
use wire::ConditionStatus::{False, True};
use wire::{Condition, kinds};

const APP: [Id; 3] = [Id::SERVICE, Id::V1, Id::V2];
const WORKLOADS: [Id; 3] = [Id::V1, Id::V2, Id::CLIENT];

fn of<'a>(s: &'a Scene, id: Id) -> impl Iterator<Item = &'a PodSeen> {
    s.pods.iter().filter(move |p| p.view.workload == id.name && !p.terminating)
}

fn wanted(s: &Scene, id: Id) -> usize {
    let replicas = s.cache.get(id.kind, id.name).and_then(|d| d.object.data["spec"]["replicas"].as_u64());
    usize::try_from(replicas.unwrap_or(1)).unwrap_or(1)
}

fn there(s: &Scene, id: Id) -> bool {
    s.observed.objects.get(&id).is_some_and(|o| matches!(o.presence, Presence::Ours | Presence::Foreign))
}

/// Whether Service and both Deployments are there, each with the pods it wants.
pub fn is_ready(s: &Scene) -> bool {
    APP.iter().all(|id| there(s, *id)) && [Id::V1, Id::V2].iter().all(|id| lacking(s, *id).is_none())
}

/// Why a workload has fewer ready pods than it wants.
fn lacking(s: &Scene, id: Id) -> Option<Message> {
    if !there(s, id) {
        return Some(causes::not_there());
    }
    let wanted = wanted(s, id);
    if wanted == 0 {
        return Some(causes::scaled_to_zero());
    }
    let ready = of(s, id).filter(|p| p.ready).count();
    if ready >= wanted {
        return None;
    }
    let why = of(s, id).find(|p| !p.ready).map(|p| causes::of(p.view.name.as_str(), p.view.why.as_str()));
    Some(why.unwrap_or_else(|| causes::pods_ready(ready.to_string(), wanted.to_string())))
}

fn waiting_list<'a>(pods: impl Iterator<Item = &'a PodSeen>) -> Message {
    Message::listed(pods.map(|p| causes::of(&p.view.name, &p.view.phase)))
}

pub(super) fn deployed(s: &Scene) -> Condition {
    let kind = kinds::DEPLOYED;
    // A single object of such a name that somebody else made is no demo; all of them are.
    let ours = |id: &Id| s.observed.objects.get(id).is_some_and(|o| o.presence == Presence::Ours);
    let whole = APP.iter().all(|id| there(s, *id));
    if !APP.iter().any(ours) && !whole {
        return said::not_deployed().condition(kind, False);
    }
    if is_ready(s) {
        let workloads = WORKLOADS.iter().filter(|id| there(s, **id)).map(|id| Message::from(id.name));
        return said::deployed(Message::listed(workloads)).condition(kind, True);
    }
    let coming = |id: Id| there(s, id) && wanted(s, id) > of(s, id).filter(|p| p.ready).count();
    let deploying = !s.facts.goal.present.is_empty() || coming(Id::V1) || coming(Id::V2);
    if s.facts.was_ready || !deploying {
        let missing = APP.into_iter().find(|id| !there(s, *id)).map(|id| (id.name, causes::not_there()));
        let lack = || [Id::V1, Id::V2].into_iter().find_map(|id| lacking(s, id).map(|why| (id.name, why)));
        let (workload, why) = missing.or_else(lack).unwrap_or(("flaskapp", Message::default()));
        return said::degraded(workload, why).condition(kind, False);
    }
    let ready = [Id::V1, Id::V2].iter().flat_map(|id| of(s, *id)).filter(|p| p.ready).count();
    let wanted: usize = [Id::V1, Id::V2].iter().map(|id| wanted(s, *id)).sum();
    let waiting = waiting_list([Id::V1, Id::V2].iter().flat_map(|id| of(s, *id)).filter(|p| !p.ready));
    let (ready, wanted) = (ready.to_string(), wanted.to_string());
    let message = match waiting.is_empty() {
        true => said::deploying(ready, wanted).with("waiting", waiting),
        false => said::deploying_waiting(ready, wanted, waiting),
    };
    message.condition(kind, False)
}

pub(super) fn injected(s: &Scene) -> Condition {
    let kind = kinds::INJECTED;
    let present: Vec<Id> = WORKLOADS.into_iter().filter(|id| there(s, *id)).collect();
    let asks = |id: &Id| s.observed.objects.get(id).and_then(|o| o.inject) == Some(true);
    let pods: Vec<&PodSeen> = present.iter().flat_map(|id| of(s, *id)).collect();
    let rolling = present.iter().any(|id| s.observed.objects.get(id).is_some_and(|o| o.waiting.is_some()));
    let has_sidecars = pods.iter().any(|p| p.view.sidecar) && !rolling;
    // What a template does not say, the namespace says for it.
    let by_namespace = namespace_injects(&s.facts.namespace_labels);
    let template_asks = |id: &Id| s.observed.objects.get(id).is_some_and(|o| o.inject.unwrap_or(by_namespace));
    if !present.iter().any(asks) && !has_sidecars && !(by_namespace && present.iter().any(template_asks)) {
        return said::not_injected().condition(kind, False);
    }
    let ignored = |p: &&&PodSeen| p.wants_sidecar == Some(true) && !p.view.sidecar;
    if let Some(pod) = pods.iter().find(ignored) {
        let why = s.facts.injection_why.clone().map_or_else(causes::webhook_did_not_add, |(_, why)| why);
        return said::injection_ignored(&pod.view.name, why).condition(kind, False);
    }
    // Its template or its namespace asks and it has none: it was made before, and nothing makes it anew. A rollout that runs does.
    let before = |p: &&&PodSeen| {
        let id = present.iter().find(|id| id.name == p.view.workload);
        !p.view.sidecar && id.is_some_and(|id| template_asks(id) && !replacing(s, *id))
    };
    if let Some(pod) = pods.iter().find(before) {
        return said::injection_missed(&pod.view.name, causes::older_than_label()).condition(kind, False);
    }
    let ready = pods.iter().filter(|p| p.sidecar_ready).count();
    if !pods.is_empty() && ready == pods.len() && !rolling {
        return said::injected().condition(kind, True);
    }
    let waiting = waiting_list(pods.iter().copied().filter(|p| !p.sidecar_ready));
    let (ready, wanted) = (ready.to_string(), pods.len().to_string());
    let message = match waiting.is_empty() {
        true => said::injecting(ready, wanted).with("waiting", waiting),
        false => said::injecting_waiting(ready, wanted, waiting),
    };
    message.condition(kind, False)
}

/// Whether a workload's controller has pods of an older template left to replace, or has not looked at the newest yet. A paused one
/// replaces nothing.
fn replacing(s: &Scene, id: Id) -> bool {
    let Some(seen) = s.cache.get(id.kind, id.name) else { return false };
    let (spec, status) = (&seen.object.data["spec"], &seen.object.data["status"]);
    let noticed = status["observedGeneration"].as_i64().unwrap_or(0) >= seen.object.metadata.generation.unwrap_or(0);
    let count = |field: &str| status[field].as_u64().unwrap_or(0);
    spec["paused"] != true
        && (!noticed || count("updatedReplicas") < count("replicas") || count("updatedReplicas") < wanted(s, id) as u64)
}

pub(super) fn client_ready(s: &Scene) -> Condition {
    let (status, message) = if !there(s, Id::CLIENT) {
        (False, said::no_client())
    } else if wanted(s, Id::CLIENT) == 0 {
        (False, said::client_scaled_to_zero())
    } else {
        match client_pod(s.pods) {
            Some(pod) if pod.ready => (True, said::client_ready(&pod.view.name)),
            Some(pod) => (False, said::client_starting(&pod.view.name, &pod.view.why)),
            None => (False, said::client_without_pod().with("pod", Id::CLIENT.name).with("why", causes::no_pod_yet())),
        }
    };
    message.condition(kinds::CLIENT_READY, status)
}
