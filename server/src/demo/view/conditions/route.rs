//! Conditions of the route: present, honoured, acknowledged, in effect, the panel's own. Pure.
use super::scene::Scene;
use crate::demo::objects::Id;
use crate::demo::plan::observe::{client_pod, mesh_served, mesh_unseen};
use crate::demo::pods::PodSeen;
use crate::demo::service_port::{NotHttp, not_http};
use crate::demo::virtual_service;
use crate::k8s::KindName;
use app::text::Message;
use app::text::messages::{causes, conditions as said};
use kube::api::DynamicObject;
use wire::ConditionStatus::{False, True, Unknown};
use wire::{Condition, ConditionStatus, Split, kinds};

pub(super) fn route_present(s: &Scene) -> Condition {
    let (status, message) = seen_route(s);
    message.condition(kinds::ROUTE_PRESENT, status)
}

fn seen_route(s: &Scene) -> (ConditionStatus, Message) {
    if !mesh_served(s.cache) {
        return (Unknown, said::no_mesh());
    }
    if let Some(why) = mesh_unseen(s.cache) {
        return (Unknown, said::route_unseen(why));
    }
    let Some(seen) = virtual_service::find(s.cache, s.ns) else { return (False, said::no_route()) };
    let defined = virtual_service::defined_subsets(s.cache, s.ns);
    if let Some(subset) = virtual_service::subsets(&seen.object).into_iter().find(|name| !defined.contains(name)) {
        return (False, said::subset_missing(subset));
    }
    let mut more = virtual_service::says_more(&seen.object, s.ns);
    let passed_over = virtual_service::passed_over(s.cache, s.ns);
    if !passed_over.is_empty() {
        more.push(causes::newer_route(passed_over.join(", ")));
    }
    match more.is_empty() {
        true => (True, said::route_present()),
        false => (True, said::route_says_more(Message::joined(more))),
    }
}

/// Whether the mesh does all that the route's objects ask for. Sources: `Reconciled`, which the embedded mesh writes; Istio's own
/// analysis, `status.validationMessages`, where it is turned on.
pub(super) fn route_honoured(s: &Scene) -> Condition {
    let kind = kinds::ROUTE_HONOURED;
    let about = |seen: &&std::sync::Arc<crate::k8s::CachedObject>| {
        seen.object.data["spec"]["host"].as_str().is_some_and(|h| virtual_service::is_demo_host(h, s.ns))
    };
    let rules = s.cache.all(KindName::DestinationRule).filter(about).map(|seen| (KindName::DestinationRule, seen));
    let objects =
        virtual_service::find(s.cache, s.ns).map(|seen| (KindName::VirtualService, seen)).into_iter().chain(rules);
    let faults: Vec<Message> = objects.flat_map(|(kind, seen)| dishonoured(kind, &seen.object)).collect();
    match faults.is_empty() {
        true => said::route_honoured().condition(kind, True),
        false => said::route_in_part(Message::joined(faults)).condition(kind, False),
    }
}

fn dishonoured(kind: KindName, object: &DynamicObject) -> Vec<Message> {
    let status = &object.data["status"];
    let name = format!("{}/{}", kind.word(), object.metadata.name.as_deref().unwrap_or_default());
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().trim_end_matches('.').to_owned();
    let conditions = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|c| c["type"] == "Reconciled" && c["status"] == "False");
    let of_mesh = conditions.map(|c| if c["message"].is_string() { text(&c["message"]) } else { text(&c["reason"]) });
    let messages = status["validationMessages"].as_array().into_iter().flatten();
    // Levels: UNKNOWN, ERROR, WARNING, INFO; what is only worth knowing takes nothing away.
    let of_istio = messages.filter(|m| m["level"] != "INFO" && m["level"] != 12).map(|m| {
        let code = m["type"]["code"].as_str().map_or(String::new(), |code| format!(" ({code})"));
        let said = [&m["message"], &m["description"], &m["type"]["name"]]
            .into_iter()
            .find(|v| v.is_string())
            .map_or(String::new(), text);
        format!("{said}{code}")
    });
    of_mesh.chain(of_istio).map(|said| causes::of(&name, said)).collect()
}

/// The weights say something the client would not look at: the first trap of the walkthrough.
pub fn client_without_sidecar(pods: &[PodSeen]) -> Option<&PodSeen> {
    client_pod(pods).filter(|p| !p.view.sidecar)
}

pub(super) fn acknowledged(s: &Scene) -> Condition {
    let (status, message) = acknowledgement(s);
    message.condition(kinds::ROUTE_ACKNOWLEDGED, status)
}

fn acknowledgement(s: &Scene) -> (ConditionStatus, Message) {
    if s.desired.is_none() {
        return (Unknown, said::nothing_to_acknowledge());
    }
    if let Some(pod) = client_without_sidecar(s.pods) {
        return (Unknown, said::no_sidecar_to_acknowledge(&pod.view.name));
    }
    if let Some(port) = port_not_http(s) {
        return (Unknown, said::port_without_routes(port.port.to_string(), port.why()));
    }
    if s.facts.acks.is_empty() {
        return (Unknown, said::no_client_to_acknowledge());
    }
    let has = |ack: &Option<crate::demo::namespace::facts::Ack>| {
        ack.as_ref().is_some_and(|a| matches!((&a.split, s.desired), (Some(a), Some(b)) if a.has_same_shares(b)))
    };
    if let Some((pod, _)) = s.facts.acks.iter().find(|(_, ack)| !has(ack)) {
        return (False, said::pending(pod));
    }
    let times = s.facts.acks.values().flatten().filter_map(|a| a.ms);
    let slowest = times.fold(None, |max: Option<f64>, ms| Some(max.map_or(ms, |m| m.max(ms))));
    let told = said::acknowledged();
    (True, if let Some(ms) = slowest { told.with("ms", format!("{ms:.0}")) } else { told })
}

pub(super) fn weights_apply(s: &Scene) -> Condition {
    let (status, message) = effect(s);
    message.condition(kinds::WEIGHTS_APPLY, status)
}

fn effect(s: &Scene) -> (ConditionStatus, Message) {
    let Some(desired) = s.desired else { return (False, said::spread_evenly()) };
    if let Some(pod) = client_without_sidecar(s.pods) {
        return (False, said::client_has_no_sidecar(&pod.view.name));
    }
    if let Some(port) = port_not_http(s) {
        return (False, said::port_not_http(port.port.to_string(), port.why()));
    }
    let ready = |subset: &str| {
        let version = virtual_service::version_of(s.cache, s.ns, subset);
        s.pods.iter().any(|p| p.app == "flaskapp" && p.view.version == version && p.ready)
    };
    match desired.iter().find(|(version, weight)| weight.percent() > 0 && !ready(version)) {
        Some((version, weight)) => (False, said::version_not_ready(version, weight.percent().to_string())),
        None => (True, said::weights_apply()),
    }
}

fn port_not_http(s: &Scene) -> Option<NotHttp> {
    not_http(&s.cache.get(KindName::Service, Id::SERVICE.name)?.object.data["spec"])
}

pub(super) fn route_ours(s: &Scene) -> Condition {
    let kind = kinds::ROUTE_OURS;
    let Some(claim) = s.claim else { return said::route_ours().condition(kind, True) };
    let show = |split: &Option<Split>| split.as_ref().map_or("–".to_owned(), Split::to_string);
    let (manager, theirs, ours) = (&claim.manager, show(&claim.theirs), show(&claim.ours));
    let message = match claim.ours {
        Some(_) => said::changed_from_ours(manager, theirs, ours),
        None => said::changed_by_other(manager, theirs).with("ours", ours),
    };
    message.condition(kind, False)
}
