//! From what was watched to what planning and conditions need. Pure.
use crate::demo::objects::Id;
use crate::demo::plan::{ObjectSeen, Observed, Presence};
use crate::demo::pods::{self, PodSeen};
use crate::demo::virtual_service;
use crate::k8s::{Cache, KindName, Problem, ours};
use app::text::Message;
use app::text::messages::steps;
use kube::api::DynamicObject;

/// The demo's pods, oldest first.
pub fn demo_pods(cache: &Cache) -> Vec<PodSeen> {
    let of_demo = |pod: &PodSeen| {
        [Id::V1, Id::V2, Id::CLIENT].iter().any(|id| id.name == pod.view.workload)
            || pod.app == "flaskapp"
            || pod.app == "sleep"
    };
    let mut seen: Vec<PodSeen> = cache.all(KindName::Pod).map(|s| pods::read(&s.object)).filter(of_demo).collect();
    seen.sort_by(|a, b| (a.view.created_s, &a.view.name).cmp(&(b.view.created_s, &b.view.name)));
    seen
}

/// The load client's pod: the newest ready one, else the newest.
pub fn client_pod(pods: &[PodSeen]) -> Option<&PodSeen> {
    pods.iter()
        .filter(|p| p.view.workload == Id::CLIENT.name && !p.terminating)
        .max_by_key(|p| (p.ready, p.view.created_s))
}

/// Everything planning needs, but the namespace's own presence and what else it holds.
pub fn observe(cache: &Cache) -> Observed {
    let pods = demo_pods(cache);
    let mut observed = Observed {
        mesh: mesh_served(cache),
        mesh_unseen: mesh_unseen(cache),
        subset_missing: subset_missing(cache),
        ..Observed::default()
    };
    for id in Id::ALL {
        if let Some(seen) = cache.get(id.kind, id.name) {
            observed.objects.insert(id, object(id, &seen.object, &pods));
        }
    }
    for kind in KindName::WATCHED.into_iter().filter(|k| *k != KindName::Pod) {
        for seen in cache.all(kind).filter(|s| ours(&s.object) && s.object.metadata.deletion_timestamp.is_none()) {
            let name = seen.object.metadata.name.clone().unwrap_or_default();
            if !Id::ALL.iter().any(|id| id.kind == kind && id.name == name) {
                observed.strays.push((kind, name, seen.object.metadata.uid.clone()));
            }
        }
    }
    for seen in cache.all(KindName::Pod).filter(|s| ours(&s.object)) {
        let (meta, name) = (&seen.object.metadata, seen.object.metadata.name.clone().unwrap_or_default());
        let controlled = meta.owner_references.iter().flatten().any(|owner| owner.controller == Some(true));
        // Nobody else would ever remove it.
        if !controlled && meta.deletion_timestamp.is_none() {
            observed.strays.push((KindName::Pod, name.clone(), meta.uid.clone()));
        }
        // Pods of somebody's Deployment stay with it, whatever label they were given.
        let workload = pods::read(&seen.object).view.workload;
        let theirs =
            cache.get(KindName::Deployment, &workload).is_some_and(|d| presence(&d.object) == Presence::Foreign);
        if !(controlled && theirs) {
            observed.pods.push(name);
        }
    }
    observed
}

/// Whether Istio's kinds are served; a cluster that does not let them be listed serves them.
pub fn mesh_served(cache: &Cache) -> bool {
    let missing = |kind| cache.problem(kind) == Some(&Problem::Missing);
    !missing(KindName::VirtualService) && !missing(KindName::DestinationRule)
}

/// Why Istio's objects cannot be seen though the kinds are served, in the cluster's words.
pub fn mesh_unseen(cache: &Cache) -> Option<String> {
    [KindName::VirtualService, KindName::DestinationRule].into_iter().find_map(|kind| match cache.problem(kind) {
        Some(Problem::Failed(why)) => Some(why.trim_end_matches('.').to_owned()),
        _ => None,
    })
}

/// Whether the route names a subset that no DestinationRule defines.
fn subset_missing(cache: &Cache) -> bool {
    let all = || cache.all(KindName::VirtualService);
    let Some(ns) = all().find_map(|s| s.object.metadata.namespace.clone()) else { return false };
    let defined = virtual_service::defined_subsets(cache, &ns);
    virtual_service::find(cache, &ns)
        .is_some_and(|seen| virtual_service::subsets(&seen.object).iter().any(|subset| !defined.contains(subset)))
}

/// Whether a namespace's labels ask for sidecars. Source: Istio documentation, "Installing the Sidecar", controlling the policy.
pub fn namespace_injects(labels: &std::collections::BTreeMap<String, String>) -> bool {
    match labels.get("istio-injection") {
        Some(value) => value == "enabled",
        None => labels.contains_key("istio.io/rev"),
    }
}

/// Whose an object is.
pub fn presence(object: &DynamicObject) -> Presence {
    if object.metadata.deletion_timestamp.is_some() {
        Presence::Terminating
    } else if ours(object) {
        Presence::Ours
    } else {
        Presence::Foreign
    }
}

fn object(id: Id, object: &DynamicObject, pods: &[PodSeen]) -> ObjectSeen {
    let mut seen = ObjectSeen { presence: presence(object), uid: object.metadata.uid.clone(), ..ObjectSeen::default() };
    if id.kind == KindName::Deployment {
        let spec = &object.data["spec"];
        let template = &spec["template"]["metadata"];
        let read = |field: &str| serde_json::from_value(template[field].clone()).ok();
        seen.inject = pods::asks_for_sidecar(read("labels").as_ref(), read("annotations").as_ref());
        seen.scaled_to_zero = spec["replicas"].as_u64() == Some(0);
        seen.ignored = pods
            .iter()
            .any(|p| p.view.workload == id.name && p.wants_sidecar == Some(true) && !p.view.sidecar && !p.terminating);
        seen.waiting = waiting(id, object, pods);
    }
    seen
}

/// Why a Deployment is not all there, in words; nothing when its rollout is done.
fn waiting(id: Id, object: &DynamicObject, pods: &[PodSeen]) -> Option<Message> {
    let (spec, status) = (&object.data["spec"], &object.data["status"]);
    let wanted = spec["replicas"].as_u64().unwrap_or(1);
    let count = |field: &str| status[field].as_u64().unwrap_or(0);
    let noticed = status["observedGeneration"].as_i64().unwrap_or(0) >= object.metadata.generation.unwrap_or(0);
    let mine = || pods.iter().filter(|p| p.view.workload == id.name);
    let done = noticed
        && count("updatedReplicas") == wanted
        && count("replicas") == wanted
        && count("availableReplicas") == wanted;
    // The pods themselves are newer than the Deployment's counts, which a controller writes.
    if done && mine().filter(|p| p.ready).count() as u64 >= wanted && mine().all(|p| p.ready || p.terminating) {
        return None;
    }
    let why = mine().filter(|p| !p.ready && !p.terminating).map(|p| format!("{} ({})", p.view.name, p.view.why)).next();
    Some(why.map_or_else(|| steps::ready(id.name), |why| steps::ready_but(id.name, why)))
}
