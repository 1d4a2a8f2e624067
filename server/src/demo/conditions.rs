//! What is so, from facts. Pure; each reason's words stand here and nowhere else.
use super::facts::{Agent, Facts, Short};
use super::lease::clock;
use super::observe::{client_pod, mesh_served, mesh_unseen, namespace_injects};
use super::plan::{Observed, Presence};
use super::pods::PodSeen;
use super::proxies::same;
use super::route;
use super::sidecars::sidecars_count;
use super::trouble::{held, namespace_free, permitted, pods_run};
use crate::k8s::{Id, KindName, MANAGER, Reach, World};
use app::text::sentence;
use app::types::{Condition, ConditionStatus, RouteClaim, Split, kinds, reasons};
use kube::api::DynamicObject;

/// All that conditions are told from.
pub struct Scene<'a> {
    /// The namespace's name.
    pub ns: &'a str,
    /// Its objects.
    pub world: &'a World,
    /// The same, digested.
    pub observed: &'a Observed,
    /// The demo's pods.
    pub pods: &'a [PodSeen],
    /// What the panel knows.
    pub facts: &'a Facts,
    /// Whether the cluster answers.
    pub reach: &'a Reach,
    /// The weights of the route.
    pub wished: Option<&'a Split>,
    /// Another manager's claim on them.
    pub claim: Option<&'a RouteClaim>,
}

use ConditionStatus::{False, True, Unknown};

pub fn is(
    kind: &str,
    status: ConditionStatus,
    reason: &str,
    message: impl Into<String>,
    args: &[(&str, String)],
) -> Condition {
    let mut told = Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: full_stop(sentence(&message.into())),
        args: args.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        zh: String::new(),
    };
    told.zh = app::text::in_chinese(&told);
    told
}

fn full_stop(mut message: String) -> String {
    if !message.is_empty() && !message.ends_with(['.', '!', '?']) {
        message.push('.');
    }
    message
}

/// One condition of each kind.
pub fn conditions(s: &Scene) -> Vec<Condition> {
    vec![
        reachable(s),
        deployed(s),
        verified(s),
        injected(s),
        client_ready(s),
        route_present(s),
        route_honoured(s),
        acknowledged(s),
        weights_apply(s),
        load_running(s),
        route_ours(s),
        clean(s),
        pods_run(s),
        permitted(s),
        namespace_free(s),
        held(s),
        sidecars_count(s),
    ]
}

fn reachable(s: &Scene) -> Condition {
    let kind = kinds::CLUSTER_REACHABLE;
    match &s.reach.failing {
        Some((since_ms, why)) if s.reach.refused => {
            let message = format!(
                "the cluster does not accept the panel's credentials any more: {why}. Give it new ones; it takes no others by itself"
            );
            is(kind, False, reasons::CREDENTIALS_REFUSED, message, &[("since", clock(*since_ms)), ("why", why.clone())])
        }
        None if s.reach.slow_until_ms.is_some() => is(
            kind,
            Unknown,
            reasons::SLOWED_DOWN,
            "the cluster asks to slow down (429); the panel waits as long as it says",
            &[],
        ),
        None => is(kind, True, reasons::REACHABLE, "the cluster answers", &[]),
        Some((since_ms, why)) => {
            let since = clock(*since_ms);
            is(
                kind,
                False,
                reasons::UNREACHABLE,
                format!("the cluster does not answer since {since}: {why}"),
                &[("since", since), ("why", why.clone())],
            )
        }
    }
}

const APP: [Id; 3] = [Id::SERVICE, Id::V1, Id::V2];
const WORKLOADS: [Id; 3] = [Id::V1, Id::V2, Id::CLIENT];

fn of<'a>(s: &'a Scene, id: Id) -> impl Iterator<Item = &'a PodSeen> {
    s.pods.iter().filter(move |p| p.view.workload == id.name && !p.terminating)
}

fn wanted(s: &Scene, id: Id) -> usize {
    let replicas = s.world.get(id.kind, id.name).and_then(|d| d.object.data["spec"]["replicas"].as_u64());
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
fn lacking(s: &Scene, id: Id) -> Option<String> {
    if !there(s, id) {
        return Some("it is not there".to_owned());
    }
    let wanted = wanted(s, id);
    if wanted == 0 {
        return Some("it is scaled to 0".to_owned());
    }
    let ready = of(s, id).filter(|p| p.ready).count();
    if ready >= wanted {
        return None;
    }
    let why = of(s, id).find(|p| !p.ready).map(|p| format!("{}: {}", p.view.name, p.view.why));
    Some(why.unwrap_or_else(|| format!("{ready} of {wanted} pods are ready")))
}

/// A sentence, with what is waited for where that is known.
fn told_with(sentence: String, waiting: &str) -> String {
    if waiting.is_empty() { sentence } else { format!("{sentence}; {waiting}") }
}

fn waiting_list<'a>(pods: impl Iterator<Item = &'a PodSeen>) -> String {
    pods.map(|p| format!("{}: {}", p.view.name, p.view.phase)).collect::<Vec<_>>().join(", ")
}

fn deployed(s: &Scene) -> Condition {
    let kind = kinds::DEPLOYED;
    // A single object of such a name that somebody else made is no demo; all of them are.
    let ours = |id: &Id| s.observed.objects.get(id).is_some_and(|o| o.presence == Presence::Ours);
    let whole = APP.iter().all(|id| there(s, *id));
    if !APP.iter().any(|id| ours(id)) && !whole {
        return is(kind, False, reasons::NOT_DEPLOYED, "the demo is not deployed", &[]);
    }
    if is_ready(s) {
        let workloads: Vec<&str> = WORKLOADS.iter().filter(|id| there(s, **id)).map(|id| id.name).collect();
        let workloads = workloads.join(", ");
        return is(kind, True, reasons::DEPLOYED, format!("{workloads} are ready"), &[("workloads", workloads)]);
    }
    let coming = |id: Id| there(s, id) && wanted(s, id) > of(s, id).filter(|p| p.ready).count();
    let deploying = !s.facts.goal.present.is_empty() || coming(Id::V1) || coming(Id::V2);
    if s.facts.was_ready || !deploying {
        let missing = APP.into_iter().find(|id| !there(s, *id)).map(|id| (id.name, "it is not there".to_owned()));
        let lack = || [Id::V1, Id::V2].into_iter().find_map(|id| lacking(s, id).map(|why| (id.name, why)));
        let (workload, why) = missing.or_else(lack).unwrap_or(("flaskapp", String::new()));
        let args = [("workload", workload.to_owned()), ("why", why.clone())];
        return is(kind, False, reasons::DEGRADED, format!("{workload} is not ready: {why}"), &args);
    }
    let ready = [Id::V1, Id::V2].iter().flat_map(|id| of(s, *id)).filter(|p| p.ready).count();
    let wanted: usize = [Id::V1, Id::V2].iter().map(|id| wanted(s, *id)).sum();
    let waiting = waiting_list([Id::V1, Id::V2].iter().flat_map(|id| of(s, *id)).filter(|p| !p.ready));
    let args = [("ready", ready.to_string()), ("wanted", wanted.to_string()), ("waiting", waiting.clone())];
    is(kind, False, reasons::DEPLOYING, told_with(format!("{ready} of {wanted} pods are ready"), &waiting), &args)
}

fn verified(s: &Scene) -> Condition {
    let kind = kinds::VERIFIED;
    match &s.facts.verified {
        None => is(kind, Unknown, reasons::NOT_VERIFIED, "no pod was asked yet", &[]),
        Some(Ok((path, ms))) => {
            let args = [("path", path.clone()), ("ms", ms.to_string())];
            is(
                kind,
                True,
                reasons::VERIFIED,
                format!("a pod answered from inside with its PATH, {path}, in {ms} ms"),
                &args,
            )
        }
        Some(Err(why)) => is(
            kind,
            False,
            reasons::VERIFY_FAILED,
            format!("a pod did not answer from inside: {why}"),
            &[("why", why.clone())],
        ),
    }
}

fn injected(s: &Scene) -> Condition {
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
        return is(kind, False, reasons::NOT_INJECTED, "no workload asks for a sidecar", &[]);
    }
    let ignored = |p: &&&PodSeen| p.wants_sidecar == Some(true) && !p.view.sidecar;
    if let Some(pod) = pods.iter().find(ignored) {
        let asked = || "the injection webhook did not add it".to_owned();
        let (pod, why) = (pod.view.name.clone(), s.facts.injection_why.clone().map_or_else(asked, |(_, why)| why));
        let message = format!("{pod} asks for a sidecar and has none: {why}");
        return is(kind, False, reasons::INJECTION_IGNORED, message, &[("pod", pod), ("why", why)]);
    }
    // Its template or its namespace asks and it has none: it was made before, and nothing makes it anew. A rollout that runs does.
    let before = |p: &&&PodSeen| {
        let id = present.iter().find(|id| id.name == p.view.workload);
        !p.view.sidecar && id.is_some_and(|id| template_asks(id) && !replacing(s, *id))
    };
    if let Some(pod) = pods.iter().find(before) {
        let (pod, why) = (pod.view.name.clone(), "it was made before the label".to_owned());
        let message = format!("{pod} has no sidecar: {why}");
        return is(kind, False, reasons::INJECTION_IGNORED, message, &[("pod", pod), ("why", why)]);
    }
    let ready = pods.iter().filter(|p| p.sidecar_ready).count();
    if !pods.is_empty() && ready == pods.len() && !rolling {
        return is(kind, True, reasons::INJECTED, "every pod has a ready sidecar", &[]);
    }
    let waiting = waiting_list(pods.iter().copied().filter(|p| !p.sidecar_ready));
    let args = [("ready", ready.to_string()), ("wanted", pods.len().to_string()), ("waiting", waiting.clone())];
    is(
        kind,
        False,
        reasons::INJECTING,
        told_with(format!("{ready} of {} pods have a ready sidecar", pods.len()), &waiting),
        &args,
    )
}

/// Whether a workload's controller has pods of an older template left to replace, or has not looked at the newest yet. A paused one
/// replaces nothing.
fn replacing(s: &Scene, id: Id) -> bool {
    let Some(seen) = s.world.get(id.kind, id.name) else { return false };
    let (spec, status) = (&seen.object.data["spec"], &seen.object.data["status"]);
    let noticed = status["observedGeneration"].as_i64().unwrap_or(0) >= seen.object.metadata.generation.unwrap_or(0);
    let count = |field: &str| status[field].as_u64().unwrap_or(0);
    spec["paused"] != true
        && (!noticed || count("updatedReplicas") < count("replicas") || count("updatedReplicas") < wanted(s, id) as u64)
}

fn client_ready(s: &Scene) -> Condition {
    let kind = kinds::CLIENT_READY;
    if !there(s, Id::CLIENT) {
        return is(kind, False, reasons::NO_CLIENT, "there is no load client", &[]);
    }
    if wanted(s, Id::CLIENT) == 0 {
        return is(kind, False, reasons::CLIENT_SCALED_TO_ZERO, "the load client is scaled to 0", &[]);
    }
    match client_pod(s.pods) {
        Some(pod) if pod.ready => {
            let name = pod.view.name.clone();
            is(kind, True, reasons::CLIENT_READY, format!("{name} is ready"), &[("pod", name)])
        }
        Some(pod) => {
            let (name, why) = (pod.view.name.clone(), pod.view.why.clone());
            is(
                kind,
                False,
                reasons::CLIENT_STARTING,
                format!("{name} is not ready: {why}"),
                &[("pod", name), ("why", why)],
            )
        }
        None => {
            let args = [("pod", Id::CLIENT.name.to_owned()), ("why", "it has no pod yet".to_owned())];
            is(kind, False, reasons::CLIENT_STARTING, "the load client has no pod yet", &args)
        }
    }
}

fn route_present(s: &Scene) -> Condition {
    let kind = kinds::ROUTE_PRESENT;
    if !mesh_served(s.world) {
        return is(kind, Unknown, reasons::NO_MESH, "this cluster does not serve Istio's kinds", &[]);
    }
    if let Some(why) = mesh_unseen(s.world) {
        return is(
            kind,
            Unknown,
            reasons::ROUTE_UNSEEN,
            format!("whether there is a route cannot be told: {why}"),
            &[("why", why)],
        );
    }
    let Some(seen) = route::find(s.world, s.ns) else {
        return is(kind, False, reasons::NO_ROUTE, "there is no route", &[]);
    };
    let defined = route::defined_subsets(s.world, s.ns);
    if let Some(subset) = route::subsets(&seen.object).into_iter().find(|name| !defined.contains(name)) {
        let message = format!("the route names subset {subset}, which no DestinationRule defines");
        return is(kind, False, reasons::SUBSET_MISSING, message, &[("subset", subset)]);
    }
    let mut more = route::says_more(&seen.object, s.ns);
    let passed_over = route::passed_over(s.world, s.ns);
    if !passed_over.is_empty() {
        more.push(format!("{} is about the same host and newer, so Istio does not look at it", passed_over.join(", ")));
    }
    if !more.is_empty() {
        let what = more.join("; ");
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
fn route_honoured(s: &Scene) -> Condition {
    let kind = kinds::ROUTE_HONOURED;
    let about = |seen: &&std::sync::Arc<crate::k8s::Seen>| {
        seen.object.data["spec"]["host"].as_str().is_some_and(|h| route::is_demo_host(h, s.ns))
    };
    let rules = s.world.all(KindName::DestinationRule).filter(about).map(|seen| (KindName::DestinationRule, seen));
    let objects = route::find(s.world, s.ns).map(|seen| (KindName::VirtualService, seen)).into_iter().chain(rules);
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
                &[("what", what)],
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

fn acknowledged(s: &Scene) -> Condition {
    let kind = kinds::ROUTE_ACKNOWLEDGED;
    if s.wished.is_none() {
        return is(kind, Unknown, reasons::NO_ROUTE, "there is no route to acknowledge", &[]);
    }
    if let Some(pod) = client_without_sidecar(s.pods) {
        let name = pod.view.name.clone();
        return is(
            kind,
            Unknown,
            reasons::CLIENT_HAS_NO_SIDECAR,
            format!("{name} has no sidecar to acknowledge it"),
            &[("pod", name)],
        );
    }
    if s.facts.acks.is_empty() {
        return is(kind, Unknown, reasons::NO_CLIENT, "there is no client to acknowledge the route", &[]);
    }
    let has = |ack: &Option<super::facts::Ack>| {
        ack.as_ref().is_some_and(|a| matches!((&a.split, s.wished), (Some(a), Some(b)) if same(a, b)))
    };
    if let Some((pod, _)) = s.facts.acks.iter().find(|(_, ack)| !has(ack)) {
        return is(
            kind,
            False,
            reasons::PENDING,
            format!("the sidecar of {pod} has not taken up the route yet"),
            &[("pod", pod.clone())],
        );
    }
    let ms = s
        .facts
        .acks
        .values()
        .flatten()
        .filter_map(|a| a.ms)
        .fold(None, |max: Option<f64>, ms| Some(max.map_or(ms, |m| m.max(ms))));
    let args: Vec<(&str, String)> = ms.map(|ms| ("ms", format!("{ms:.0}"))).into_iter().collect();
    is(kind, True, reasons::ACKNOWLEDGED, "the client's sidecar has the route", &args)
}

fn weights_apply(s: &Scene) -> Condition {
    let kind = kinds::WEIGHTS_APPLY;
    let Some(wished) = s.wished else {
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
        return is(kind, False, reasons::CLIENT_HAS_NO_SIDECAR, message, &[("pod", name)]);
    }
    let ready = |subset: &str| {
        let version = route::version_of(s.world, s.ns, subset);
        s.pods.iter().any(|p| p.app == "flaskapp" && p.view.version == version && p.ready)
    };
    if let Some((version, weight)) = wished.iter().find(|(version, weight)| weight.percent() > 0 && !ready(version)) {
        let message =
            format!("{version} has {} % of the requests and no ready pod: those requests fail", weight.percent());
        return is(kind, False, reasons::VERSION_NOT_READY, message, &[("version", version.to_owned())]);
    }
    is(kind, True, reasons::WEIGHTS_APPLY, "the weights decide where requests go", &[])
}

fn load_running(s: &Scene) -> Condition {
    let kind = kinds::LOAD_RUNNING;
    let rate = s.facts.load.per_second();
    match &s.facts.agent {
        Agent::Unreachable(why) => is(
            kind,
            Unknown,
            reasons::AGENT_UNREACHABLE,
            format!("the load client cannot be reached: {why}"),
            &[("why", why.clone())],
        ),
        _ if rate == 0 => is(kind, False, reasons::LOAD_STOPPED, "no load", &[]),
        Agent::Absent => is(
            kind,
            False,
            reasons::LOAD_STOPPED,
            format!("there is no client; the load of {rate} requests/s goes on when it is back"),
            &[],
        ),
        Agent::Connected { short: Some((short, achieved)) } => {
            let rate = if s.facts.granted.is_cut() { s.facts.granted.rate.per_second() } else { rate };
            let args = [("target", rate.to_string()), ("achieved", achieved.to_string())];
            let (reason, why) = match short {
                Short::Machine => (reasons::GENERATOR_LIMITED, format!("this machine keeps {achieved}")),
                Short::Target => {
                    (reasons::TARGET_SATURATED, format!("all connections wait for answers: {achieved} are sent"))
                }
            };
            is(kind, True, reason, format!("{rate} requests/s are asked for, {why}"), &args)
        }
        _ if s.facts.granted.is_cut() => {
            let [granted, of] = [s.facts.granted.rate, s.facts.granted.of].map(|rate| rate.per_second().to_string());
            is(
                kind,
                True,
                reasons::LOAD_CAPPED,
                format!("granted {granted} of {of} requests/s: all load together has one cap"),
                &[("rate", of), ("granted", granted)],
            )
        }
        _ => is(kind, True, reasons::LOAD_RUNNING, format!("{rate} requests/s"), &[("rate", rate.to_string())]),
    }
}

fn route_ours(s: &Scene) -> Condition {
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
        &[("manager", claim.manager.clone()), ("theirs", theirs), ("ours", ours)],
    )
}

/// Left-overs that are named; a namespace that others use may hold thousands.
const MOST_NAMED: usize = 10;

fn clean(s: &Scene) -> Condition {
    let kind = kinds::CLEAN;
    let ours = s.observed.objects.iter().filter(|(_, o)| matches!(o.presence, Presence::Ours | Presence::Terminating));
    let mut left: Vec<String> = ours.map(|(id, _)| id.to_string()).collect();
    left.extend(s.observed.pods.iter().map(|p| format!("pod/{p}")));
    left.extend(s.observed.strays.iter().map(|(kind, name, _)| format!("{}/{name}", kind.word())));
    if s.facts.goal.teardown {
        let left = left.join(", ");
        return is(
            kind,
            False,
            reasons::CLEANING,
            if left.is_empty() {
                "making sure that nothing is left".to_owned()
            } else {
                format!("still there: {left}")
            },
            &[("left", left)],
        );
    }
    if !left.is_empty() {
        return is(kind, False, reasons::IN_USE, "the demo is deployed", &[("left", left.join(", "))]);
    }
    if s.facts.left.is_empty() {
        return is(kind, True, reasons::CLEAN, "nothing of the demo is left", &[]);
    }
    let (mut what, mut whose): (Vec<String>, Vec<String>) = s.facts.left.theirs.iter().cloned().unzip();
    let more = what.len().saturating_sub(MOST_NAMED);
    what.truncate(MOST_NAMED);
    what.extend((more > 0).then(|| format!("{more} more")));
    whose.sort();
    whose.dedup();
    let (left, whose) = (what.join(", "), whose.join(", "));
    let unseen: Vec<&str> = s.facts.left.unseen.iter().map(|(kind, _)| kind.as_str()).collect();
    let unseen = unseen.join(", ");
    if left.is_empty() {
        let message = format!(
            "nothing of the panel's is left; the namespace stays, because it cannot be told whether it holds {unseen}: they cannot be listed"
        );
        // Other words for the same state: the page need not know the difference.
        return Condition {
            reason: reasons::LEFT_OVER.to_owned(),
            ..is(kind, False, reasons::LEFT_UNSEEN, message, &[("unseen", unseen)])
        };
    }
    let cannot_tell =
        if unseen.is_empty() { String::new() } else { format!("; it cannot be told whether it holds {unseen}") };
    let message =
        format!("nothing of the panel's is left; the namespace stays for {left}, made by {whose}{cannot_tell}");
    is(kind, False, reasons::LEFT_OVER, message, &[("left", left), ("whose", whose)])
}

#[cfg(test)]
#[path = "conditions_tests.rs"]
mod tests;
#[cfg(test)]
#[path = "wording_tests.rs"]
mod wording;
