//! What keeps pods from running, rights from being had, a namespace from going: told where it matters. Pure.
//!
//! Sources: kubelet's waiting reasons; the scheduler's `PodScheduled` condition; a Deployment's `ReplicaFailure`, which has the
//! words of its ReplicaSet's `FailedCreate` event.
use super::scene::{Scene, is};
use crate::demo::clock::clock;
use crate::demo::namespace::facts::Denied;
use crate::demo::objects::Id;
use crate::demo::pods::{PodSeen, Stuck};
use crate::k8s::Held;
use crate::k8s::{Cache, KindName};
use app::text::Phrase;
use wire::{Condition, ConditionStatus, Verb, kinds, reasons};

use ConditionStatus::{False, True};

/// Why a workload has no pod, or a pod does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// A pod cannot be made: quota, webhook, limits.
    NotMade { workload: &'static str, why: String },
    /// No node takes it.
    Unschedulable { pod: String, why: String },
    /// Its image cannot be had.
    NotPulled { pod: String, container: String, image: String, why: String },
    /// A container ends again and again.
    Crashing { pod: String, why: String },
    /// A container cannot be started, or ended with an error.
    Stuck { pod: String, reason: String, why: String },
}

/// The gravest trouble of the demo's pods.
fn trouble(cache: &Cache, pods: &[PodSeen]) -> Option<Trouble> {
    let not_made = [Id::V1, Id::V2, Id::CLIENT].into_iter().find_map(|id| {
        let deployment = cache.get(KindName::Deployment, id.name)?;
        let conditions = deployment.object.data["status"]["conditions"].as_array()?;
        let failure = conditions.iter().find(|c| c["type"] == "ReplicaFailure" && c["status"] == "True")?;
        Some(Trouble::NotMade { workload: id.name, why: failure["message"].as_str().unwrap_or_default().to_owned() })
    });
    // The same pods that other conditions count as not ready. One that ended for good is replaced, not waited for.
    let of_pods = || pods.iter().filter(|p| !p.ready && !p.terminating && !p.failed);
    not_made
        .or_else(|| {
            of_pods()
                .find_map(|p| Some(Trouble::Unschedulable { pod: p.view.name.clone(), why: p.unschedulable.clone()? }))
        })
        .or_else(|| {
            of_pods().find_map(|p| {
                let (container, image) = p.unpulled.clone()?;
                Some(Trouble::NotPulled { pod: p.view.name.clone(), container, image, why: p.view.why.clone() })
            })
        })
        .or_else(|| {
            of_pods().find_map(|p| {
                let (pod, why) = (p.view.name.clone(), p.view.why.clone());
                match p.stuck.clone()? {
                    Stuck::Waits(reason) if reason == "CrashLoopBackOff" => Some(Trouble::Crashing { pod, why }),
                    Stuck::Waits(reason) | Stuck::Ended(reason) => Some(Trouble::Stuck { pod, reason, why }),
                }
            })
        })
}

/// A workload gets no pod: the cluster's words decide whose fault it is.
fn not_made(workload: &str, why: &str) -> Condition {
    let why = why.trim_end_matches('.').to_owned();
    let (reason, message) = if why.contains("exceeded quota") {
        (
            reasons::QUOTA_EXCEEDED,
            format!(
                "{workload} gets no pod, the namespace's quota is used up: {why}. Raise the quota, or remove what uses it"
            ),
        )
    } else if why.contains("failed quota") {
        (
            reasons::QUOTA_WANTS_FIGURES,
            format!(
                "{workload} gets no pod, a quota wants every container to say what it asks for: {why}. Give the namespace a LimitRange with defaults"
            ),
        )
    } else if why.contains("failed calling webhook") {
        (
            reasons::WEBHOOK_REFUSES,
            format!(
                "{workload} gets no pod, an admission webhook cannot be called: {why}. See whether the webhook's backend runs"
            ),
        )
    } else if why.contains("webhook") && why.contains("denied the request") {
        (
            reasons::ADMISSION_DENIES,
            format!(
                "{workload} gets no pod, an admission webhook denies it: {why}. Change what it objects to, or ask who keeps that webhook"
            ),
        )
    } else {
        (reasons::POD_REFUSED, format!("{workload} gets no pod: {why}"))
    };
    is(
        kinds::PODS_RUN,
        False,
        reason,
        message,
        &[("workload", Phrase::from(workload.to_owned())), ("why", Phrase::from(why))],
    )
}

/// Whether anything keeps the demo's pods from running.
pub fn pods_run(s: &Scene) -> Condition {
    let kind = kinds::PODS_RUN;
    match trouble(s.cache, s.pods) {
        None => is(kind, True, reasons::PODS_RUN, "nothing keeps the pods from running", &[]),
        Some(Trouble::NotMade { workload, why }) => not_made(workload, &why),
        Some(Trouble::Unschedulable { pod, why }) => {
            let message = format!("no node takes {pod}: {why}");
            is(kind, False, reasons::UNSCHEDULABLE, message, &[("pod", Phrase::from(pod)), ("why", Phrase::from(why))])
        }
        Some(Trouble::NotPulled { pod, container, image, why }) if container.starts_with("istio-") => {
            let message = format!(
                "{pod} cannot get the image `{image}` of {container}: {why}. See whether the nodes reach that registry"
            );
            let args = [
                ("pod", Phrase::from(pod)),
                ("container", Phrase::from(container)),
                ("image", Phrase::from(image)),
                ("why", Phrase::from(why)),
            ];
            // Other words for the same state: the page need not know the difference.
            Condition {
                reason: reasons::IMAGE_NOT_PULLED.to_owned(),
                ..is(kind, False, reasons::OTHER_IMAGE_NOT_PULLED, message, &args)
            }
        }
        Some(Trouble::NotPulled { pod, image, why, .. }) => {
            let message = format!(
                "{pod} cannot get its image `{image}`: {why}. Put it where the nodes find it, or start the panel with --image"
            );
            is(
                kind,
                False,
                reasons::IMAGE_NOT_PULLED,
                message,
                &[("pod", Phrase::from(pod)), ("image", Phrase::from(image)), ("why", Phrase::from(why))],
            )
        }
        Some(Trouble::Crashing { pod, why }) => {
            let message = format!("{pod} keeps crashing: {why}");
            is(kind, False, reasons::POD_CRASHES, message, &[("pod", Phrase::from(pod)), ("why", Phrase::from(why))])
        }
        Some(Trouble::Stuck { pod, reason, why }) => {
            // Where the cluster says no more than the reason, it is said once.
            let why = if why.contains(&reason) { why } else { format!("{reason}, {why}") };
            let message = format!("{pod} does not run: {why}");
            is(kind, False, reasons::POD_STUCK, message, &[("pod", Phrase::from(pod)), ("why", Phrase::from(why))])
        }
    }
}

/// The name of a verb as the last segment of its path.
fn name(verb: Verb) -> String {
    serde_json::to_value(verb).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Whether the panel's user may do all that the panel does. `off` names the verbs that are not to be asked for.
pub fn permitted(s: &Scene) -> Condition {
    let kind = kinds::PERMITTED;
    let (denied, missing) = (&s.facts.denied, &s.facts.missing);
    if denied.is_empty() && missing.is_empty() {
        return is(kind, True, reasons::PERMITTED, "the panel may do all it offers", &[]);
    }
    let mut off: Vec<String> = denied.iter().chain(missing).flat_map(|d| d.stops.iter().map(|v| name(*v))).collect();
    off.sort();
    off.dedup();
    let off = off.join(", ");
    let words = |all: &[Denied], between: &str| all.iter().map(|d| d.what.as_str()).collect::<Vec<_>>().join(between);
    let lacking = words(missing, "; ");
    if denied.is_empty() {
        let message = format!("{lacking}; off until that is mended and seen by the preflight: {off}");
        return is(
            kind,
            False,
            reasons::NOT_READY,
            message,
            &[("what", Phrase::from(lacking)), ("off", Phrase::from(off))],
        );
    }
    let mut what = words(denied, ", ");
    if !lacking.is_empty() {
        what = format!("{what}; besides, {lacking}");
    }
    is(
        kind,
        False,
        reasons::FORBIDDEN,
        format!("the panel may not {what}; off until it may: {off}"),
        &[("what", Phrase::from(what)), ("off", Phrase::from(off))],
    )
}

/// Whether the namespace is free to use: one that is being removed takes nothing new.
pub fn namespace_free(s: &Scene) -> Condition {
    let kind = kinds::NAMESPACE_FREE;
    match &s.facts.namespace_held {
        None => is(kind, True, reasons::NAMESPACE_FREE, "the namespace is not being removed", &[]),
        Some(held) => {
            let message = format!("namespace {} is being removed and not gone yet: {held}", s.ns);
            is(
                kind,
                False,
                reasons::NAMESPACE_TERMINATING,
                message,
                &[("ns", Phrase::from(s.ns.to_owned())), ("held", held.clone())],
            )
        }
    }
}

/// Which panel acts on the namespace.
pub fn held(s: &Scene) -> Condition {
    let kind = kinds::HELD;
    match &s.facts.held {
        Held::Free | Held::Ours => is(kind, True, reasons::HELD_HERE, "no other panel acts on the namespace", &[]),
        Held::Other { holder, since_ms } => {
            let since = clock(*since_ms);
            let message = format!("panel {holder} acts on this namespace since {since}; this one is read-only");
            is(
                kind,
                False,
                reasons::HELD_BY_OTHER,
                message,
                &[("holder", Phrase::from(holder.clone())), ("since", Phrase::from(since))],
            )
        }
        Held::CannotTell(why) => {
            let message =
                format!("another panel may act on this namespace at the same time: the Lease cannot be had: {why}");
            is(kind, ConditionStatus::Unknown, reasons::HOLDER_UNKNOWN, message, &[("why", Phrase::from(why.clone()))])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::pods::{read, tests::pod};
    use serde_json::{Value, json};

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"name": "flaskapp", "ready": false, "restartCount": 2, "state": {"waiting": {"reason": reason, "message": message}}})
    }

    #[test]
    fn troubles_are_read_from_what_the_cluster_says() {
        let with = |change: &dyn Fn(&mut Value)| {
            let mut p = pod("flaskapp-v1", "v1", false, false);
            p["spec"]["containers"][0]["image"] = "registry/simple-flask-app:2".into();
            change(&mut p);
            p
        };
        let failing = |message: &str| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "flaskapp-v1"},
                "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]}})
        };
        let quota = r#"pods "flaskapp-v1-abc-x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2"#;
        let down = r#"Internal error occurred: failed calling webhook "namespace.sidecar-injector.istio.io": failed to call webhook: Post "https://istiod.istio-system.svc:443/inject?timeout=10s": dial tcp 10.96.0.9:443: connect: connection refused"#;
        let limit =
            r#"pods "flaskapp-v1-abc-x" is forbidden: maximum memory usage per Container is 64Mi, but limit is 128Mi"#;
        for (what, objects, found) in [
            ("well", vec![pod("flaskapp-v1", "v1", true, true)], "none"),
            ("quota", vec![failing(quota)], "QuotaExceeded flaskapp-v1"),
            ("webhook", vec![failing(down)], "WebhookRefuses flaskapp-v1"),
            (
                "a webhook says no",
                vec![failing(r#"admission webhook "policy.example" denied the request: no latest tag"#)],
                "AdmissionDenies flaskapp-v1",
            ),
            (
                "a quota on limits",
                vec![failing(
                    r#"pods "flaskapp-v1-abc-x" is forbidden: failed quota: small: must specify limits.cpu for: flaskapp"#,
                )],
                "QuotaWantsFigures flaskapp-v1",
            ),
            ("limits", vec![failing(limit)], "PodRefused flaskapp-v1"),
            (
                "image",
                vec![with(&|p| {
                    p["status"]["containerStatuses"][0] =
                        waiting("ImagePullBackOff", "Back-off pulling image \"registry/simple-flask-app:2\"")
                })],
                "ImageNotPulled registry/simple-flask-app:2",
            ),
            (
                "the sidecar's image",
                vec![with(&|p| {
                    p["spec"]["initContainers"] =
                        json!([{"name": "istio-proxy", "image": "istio/proxyv2:1", "restartPolicy": "Always"}]);
                    let mut waits = waiting("ErrImagePull", "no such host");
                    waits["name"] = "istio-proxy".into();
                    p["status"]["initContainerStatuses"] = json!([waits]);
                })],
                "ImageNotPulled istio/proxyv2:1",
            ),
            (
                "never pulled",
                vec![with(&|p| {
                    p["status"]["containerStatuses"][0] =
                        waiting("ErrImageNeverPull", "Container image is not present with pull policy of Never")
                })],
                "ImageNotPulled registry/simple-flask-app:2",
            ),
            (
                "no node",
                vec![with(
                    &|p| p["status"] = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu."}]}),
                )],
                "Unschedulable flaskapp-v1-abc-12345",
            ),
            (
                "a port that is taken",
                vec![with(&|p| {
                    p["status"]["containerStatuses"][0] =
                        waiting("Port15001InUse", "another process listens on 127.64.0.9:15001")
                })],
                "PodStuck flaskapp-v1-abc-12345",
            ),
            (
                "its configuration",
                vec![with(&|p| {
                    p["status"]["containerStatuses"][0] =
                        waiting("CreateContainerConfigError", "configmap \"x\" not found")
                })],
                "PodStuck flaskapp-v1-abc-12345",
            ),
            (
                "ended with an error",
                vec![with(
                    &|p| p["status"]["containerStatuses"][0] = json!({"name": "flaskapp", "ready": false, "restartCount": 1, "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}),
                )],
                "PodStuck flaskapp-v1-abc-12345",
            ),
            (
                "an ordinary start",
                vec![with(&|p| p["status"]["containerStatuses"][0] = waiting("ContainerCreating", ""))],
                "none",
            ),
            (
                "an ordinary start of a sidecar",
                vec![with(&|p| {
                    p["spec"]["initContainers"] = json!([{"name": "istio-proxy", "restartPolicy": "Always"}]);
                    let mut waits = waiting("PodInitializing", "");
                    waits["name"] = "istio-proxy".into();
                    p["status"]["initContainerStatuses"] = json!([waits]);
                })],
                "none",
            ),
            (
                "evicted: another pod takes its place",
                vec![with(&|p| {
                    p["status"] = json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"})
                })],
                "none",
            ),
            (
                "crashing",
                vec![with(&|p| p["status"]["containerStatuses"][0] = waiting("CrashLoopBackOff", "back-off 40s"))],
                "PodCrashes flaskapp-v1-abc-12345",
            ),
        ] {
            let cache = Cache::of(objects);
            let pods: Vec<PodSeen> = cache.all(KindName::Pod).map(|s| read(&s.object)).collect();
            let (facts, reach, observed) = (Default::default(), Default::default(), Default::default());
            let scene = Scene {
                ns: "n",
                cache: &cache,
                observed: &observed,
                pods: &pods,
                facts: &facts,
                reach: &reach,
                desired: None,
                claim: None,
            };
            let told = pods_run(&scene);
            let about = ["image", "workload", "pod"]
                .into_iter()
                .find_map(|key| told.args.get(key))
                .cloned()
                .unwrap_or_default();
            let shown = if told.status == True { "none".to_owned() } else { format!("{} {about}", told.reason) };
            assert_eq!(shown, found, "{what}: {}", told.message);
            // The cluster's own words are in the sentence.
            assert!(
                !told.zh.is_empty() && told.message.contains("--image") == (found.ends_with("simple-flask-app:2")),
                "{what}: {}",
                told.message
            );
            assert!(
                told.args.get("why").is_none_or(|why| told.message.contains(why.as_str())),
                "{what}: {}",
                told.message
            );
        }
    }

    /// Ordinary words of the STATUS column while a pod starts or ends.
    fn is_ordinary(phase: &str) -> bool {
        let phase = phase.strip_prefix("Init:").unwrap_or(phase);
        phase.contains('/')
            || ["Pending", "ContainerCreating", "PodInitializing", "Running", "Terminating", "Completed"]
                .contains(&phase)
    }

    #[test]
    fn no_condition_says_that_pods_run_while_another_names_a_reason_why_one_does_not() {
        let states = [
            json!({"waiting": {"reason": "Port15001InUse", "message": "taken"}}),
            json!({"waiting": {"reason": "RunContainerError", "message": "no such file"}}),
            json!({"waiting": {"reason": "CreateContainerError"}}),
            json!({"waiting": {"reason": "ImagePullBackOff", "message": "back-off"}}),
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}),
            json!({"waiting": {"reason": "SomethingNew"}}),
            json!({"waiting": {"reason": "ContainerCreating"}}),
            json!({"terminated": {"exitCode": 1}}),
            json!({"terminated": {"exitCode": 1, "reason": "Error"}}),
            json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}),
        ];
        for (state, in_sidecar) in states.iter().flat_map(|state| [(state, false), (state, true)]) {
            let mut starting = pod("flaskapp-v1", "v1", false, true);
            let list = if in_sidecar { "initContainerStatuses" } else { "containerStatuses" };
            starting["status"][list][0]["state"] = state.clone();
            starting["status"]["initContainerStatuses"][0]["started"] = (!in_sidecar).into();
            let cache = Cache::of(vec![starting]);
            let pods: Vec<PodSeen> = cache.all(KindName::Pod).map(|s| read(&s.object)).collect();
            let (facts, reach, observed) = (Default::default(), Default::default(), Default::default());
            let scene = Scene {
                ns: "n",
                cache: &cache,
                observed: &observed,
                pods: &pods,
                facts: &facts,
                reach: &reach,
                desired: None,
                claim: None,
            };
            let phase = pods[0].view.phase.clone();
            assert_eq!(pods_run(&scene).status == True, is_ordinary(&phase), "{phase}: {}", pods_run(&scene).message);
        }
    }

    #[test]
    fn what_may_not_be_done_is_named_with_what_is_off() {
        let denied = vec![
            Denied { what: "patch deployments.apps".into(), stops: vec![Verb::Deploy, Verb::Inject] },
            Denied { what: "create pods/exec".into(), stops: vec![Verb::Verify] },
        ];
        let mut facts = crate::demo::namespace::facts::Facts::default();
        facts.denied = denied;
        let (cache, reach, observed) = (Cache::of(vec![]), Default::default(), Default::default());
        let scene = Scene {
            ns: "n",
            cache: &cache,
            observed: &observed,
            pods: &[],
            facts: &facts,
            reach: &reach,
            desired: None,
            claim: None,
        };
        let mut lacks = facts.clone();
        lacks.denied.clear();
        lacks.missing = vec![Denied { what: "no webhook matches revision `canary`".into(), stops: vec![Verb::Inject] }];
        let told = permitted(&Scene { facts: &lacks, ..scene });
        assert_eq!((told.reason.as_str(), told.args["off"].as_str()), ("NotReady", "inject"), "{}", told.message);
        let scene = Scene {
            ns: "n",
            cache: &cache,
            observed: &observed,
            pods: &[],
            facts: &facts,
            reach: &reach,
            desired: None,
            claim: None,
        };
        assert_eq!(
            permitted(&scene).message,
            "The panel may not patch deployments.apps, create pods/exec; off until it may: deploy, inject, verify."
        );
    }
}
