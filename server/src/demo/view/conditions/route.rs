//! Conditions of the route: present, honoured, acknowledged, in effect, the panel's own. Pure.
use super::scene::{Scene, is};
use crate::demo::plan::observe::{client_pod, mesh_served, mesh_unseen};
use crate::demo::pods::PodSeen;
use crate::demo::virtual_service;
use crate::k8s::{KindName, MANAGER};
use app::text::{Phrase, phrases};
use kube::api::DynamicObject;
use wire::ConditionStatus::{False, True, Unknown};
use wire::{Condition, Split, kinds, reasons};

pub(super) fn route_present(s: &Scene) -> Condition {
    let kind = kinds::ROUTE_PRESENT;
    if !mesh_served(s.cache) {
        return is(kind, Unknown, reasons::NO_MESH, "this cluster does not serve Istio's kinds", &[]);
    }
    if let Some(why) = mesh_unseen(s.cache) {
        return is(
            kind,
            Unknown,
            reasons::ROUTE_UNSEEN,
            format!("whether there is a route cannot be told: {why}"),
            &[("why", Phrase::from(why))],
        );
    }
    let Some(seen) = virtual_service::find(s.cache, s.ns) else {
        return is(kind, False, reasons::NO_ROUTE, "there is no route", &[]);
    };
    let defined = virtual_service::defined_subsets(s.cache, s.ns);
    if let Some(subset) = virtual_service::subsets(&seen.object).into_iter().find(|name| !defined.contains(name)) {
        let message = format!("the route names subset {subset}, which no DestinationRule defines");
        return is(kind, False, reasons::SUBSET_MISSING, message, &[("subset", Phrase::from(subset))]);
    }
    let mut more = virtual_service::says_more(&seen.object, s.ns);
    let passed_over = virtual_service::passed_over(s.cache, s.ns);
    if !passed_over.is_empty() {
        more.push(phrases::newer_route(passed_over.join(", ")));
    }
    if !more.is_empty() {
        let what = Phrase::joined(more);
        return is(
            kind,
            True,
            reasons::ROUTE_SAYS_MORE,
            format!("the route says more than weights: {what}"),
            &[("what", what)],
        );
    }
    is(kind, True, reasons::ROUTE_PRESENT, "DestinationRule and VirtualService are there", &[])
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
    let said: Vec<String> = objects.flat_map(|(kind, seen)| dishonoured(kind, &seen.object)).collect();
    match said.is_empty() {
        true => is(kind, True, reasons::ROUTE_HONOURED, "the mesh reports nothing it leaves out of the route", &[]),
        false => {
            let what = said.join("; ");
            is(
                kind,
                False,
                reasons::ROUTE_IN_PART,
                format!("the mesh does not do all that the route asks for: {what}"),
                &[("what", Phrase::from(what))],
            )
        }
    }
}

fn dishonoured(kind: KindName, object: &DynamicObject) -> Vec<String> {
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
    of_mesh.chain(of_istio).map(|said| format!("{name}: {said}")).collect()
}

/// The weights say something the client would not look at: the first trap of the walkthrough.
pub fn client_without_sidecar(pods: &[PodSeen]) -> Option<&PodSeen> {
    client_pod(pods).filter(|p| !p.view.sidecar)
}

pub(super) fn acknowledged(s: &Scene) -> Condition {
    let kind = kinds::ROUTE_ACKNOWLEDGED;
    if s.desired.is_none() {
        return is(kind, Unknown, reasons::NO_ROUTE, "there is no route to acknowledge", &[]);
    }
    if let Some(pod) = client_without_sidecar(s.pods) {
        let name = pod.view.name.clone();
        return is(
            kind,
            Unknown,
            reasons::CLIENT_HAS_NO_SIDECAR,
            format!("{name} has no sidecar to acknowledge it"),
            &[("pod", Phrase::from(name))],
        );
    }
    if s.facts.acks.is_empty() {
        return is(kind, Unknown, reasons::NO_CLIENT, "there is no client to acknowledge the route", &[]);
    }
    let has = |ack: &Option<crate::demo::namespace::facts::Ack>| {
        ack.as_ref().is_some_and(|a| matches!((&a.split, s.desired), (Some(a), Some(b)) if a.has_same_shares(b)))
    };
    if let Some((pod, _)) = s.facts.acks.iter().find(|(_, ack)| !has(ack)) {
        return is(
            kind,
            False,
            reasons::PENDING,
            format!("the sidecar of {pod} has not taken up the route yet"),
            &[("pod", Phrase::from(pod.clone()))],
        );
    }
    let ms = s
        .facts
        .acks
        .values()
        .flatten()
        .filter_map(|a| a.ms)
        .fold(None, |max: Option<f64>, ms| Some(max.map_or(ms, |m| m.max(ms))));
    let args: Vec<(&str, Phrase)> = ms.map(|ms| ("ms", Phrase::from(format!("{ms:.0}")))).into_iter().collect();
    is(kind, True, reasons::ACKNOWLEDGED, "the client's sidecar has the route", &args)
}

pub(super) fn weights_apply(s: &Scene) -> Condition {
    let kind = kinds::WEIGHTS_APPLY;
    let Some(desired) = s.desired else {
        return is(
            kind,
            False,
            reasons::NO_ROUTE,
            "there is no route (VirtualService), so requests are spread evenly",
            &[],
        );
    };
    if let Some(pod) = client_without_sidecar(s.pods) {
        let name = pod.view.name.clone();
        let message = format!("{name} has no sidecar, so the weights have no effect: its requests are spread evenly");
        return is(kind, False, reasons::CLIENT_HAS_NO_SIDECAR, message, &[("pod", Phrase::from(name))]);
    }
    let ready = |subset: &str| {
        let version = virtual_service::version_of(s.cache, s.ns, subset);
        s.pods.iter().any(|p| p.app == "flaskapp" && p.view.version == version && p.ready)
    };
    if let Some((version, weight)) = desired.iter().find(|(version, weight)| weight.percent() > 0 && !ready(version)) {
        let message =
            format!("{version} has {} % of the requests and no ready pod: those requests fail", weight.percent());
        return is(kind, False, reasons::VERSION_NOT_READY, message, &[("version", Phrase::from(version.to_owned()))]);
    }
    is(kind, True, reasons::WEIGHTS_APPLY, "the weights decide where requests go", &[])
}

pub(super) fn route_ours(s: &Scene) -> Condition {
    let kind = kinds::ROUTE_OURS;
    let Some(claim) = s.claim else {
        return is(kind, True, reasons::ROUTE_OURS, format!("nobody but {MANAGER} has changed the route"), &[]);
    };
    let show = |split: &Option<Split>| split.as_ref().map_or("–".to_owned(), Split::to_string);
    let (theirs, ours) = (show(&claim.theirs), show(&claim.ours));
    let message = format!(
        "the route is owned by {}: {theirs}{}",
        claim.manager,
        if claim.ours.is_none() { String::new() } else { format!("; the panel's was {ours}") }
    );
    is(
        kind,
        False,
        reasons::CHANGED_BY_OTHER,
        message,
        &[
            ("manager", Phrase::from(claim.manager.clone())),
            ("theirs", Phrase::from(theirs)),
            ("ours", Phrase::from(ours)),
        ],
    )
}
