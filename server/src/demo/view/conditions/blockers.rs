//! What keeps pods from running, rights from being had, a namespace from going: told where it matters. Pure.
//!
//! Sources: kubelet's waiting reasons; the scheduler's `PodScheduled` condition; a Deployment's `ReplicaFailure`, which has the
//! words of its ReplicaSet's `FailedCreate` event.
use super::scene::Scene;
use crate::demo::clock::clock;
use crate::demo::namespace::facts::Denied;
use crate::demo::objects::Id;
use crate::demo::pods::{PodSeen, Stuck};
use crate::k8s::Held;
use crate::k8s::{Cache, KindName};
use app::text::Message;
use app::text::messages::{causes, conditions as said};
use wire::{Condition, ConditionStatus, kinds};

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
fn not_made(workload: &str, why: &str) -> Message {
    let why = why.trim_end_matches('.');
    if why.contains("exceeded quota") {
        said::quota_exceeded(workload, why)
    } else if why.contains("failed quota") {
        said::quota_wants_figures(workload, why)
    } else if why.contains("failed calling webhook") {
        said::webhook_refuses(workload, why)
    } else if why.contains("webhook") && why.contains("denied the request") {
        said::admission_denies(workload, why)
    } else {
        said::pod_refused(workload, why)
    }
}

/// Whether anything keeps the demo's pods from running.
pub fn pods_run(s: &Scene) -> Condition {
    let kind = kinds::PODS_RUN;
    let Some(trouble) = trouble(s.cache, s.pods) else { return said::pods_run().condition(kind, True) };
    let message = match trouble {
        Trouble::NotMade { workload, why } => not_made(workload, &why),
        Trouble::Unschedulable { pod, why } => said::unschedulable(pod, why),
        Trouble::NotPulled { pod, container, image, why } if container.starts_with("istio-") => {
            said::other_image_not_pulled(pod, container, image, why)
        }
        Trouble::NotPulled { pod, image, why, .. } => said::image_not_pulled(pod, image, why),
        Trouble::Crashing { pod, why } => said::pod_crashes(pod, why),
        Trouble::Stuck { pod, reason, why } => {
            // Where the cluster says no more than the reason, it is said once.
            let why = if why.contains(&reason) { why } else { format!("{reason}, {why}") };
            said::pod_stuck(pod, why)
        }
    };
    message.condition(kind, False)
}

/// Whether the panel's user may do all that the panel does. `off` names the verbs that are not to be asked for.
pub fn permitted(s: &Scene) -> Condition {
    let kind = kinds::PERMITTED;
    let (denied, missing) = (&s.facts.denied, &s.facts.missing);
    if denied.is_empty() && missing.is_empty() {
        return said::permitted().condition(kind, True);
    }
    let mut off: Vec<_> = denied.iter().chain(missing).flat_map(|d| d.stops.iter().copied()).collect();
    off.sort_by_key(|verb| verb.name());
    off.dedup();
    let off = Message::listed(off.into_iter().map(Message::from));
    let words = |all: &[Denied]| all.iter().map(|d| d.what.clone()).collect::<Vec<_>>();
    let (denied, lacking) = (Message::listed(words(denied)), Message::joined(words(missing)));
    let message = match (denied.is_empty(), lacking.is_empty()) {
        (true, _) => said::not_ready(lacking, off),
        (false, true) => said::forbidden(denied, off),
        (false, false) => said::forbidden(causes::besides(denied, lacking), off),
    };
    message.condition(kind, False)
}

/// Whether the namespace is free to use: one that is being removed takes nothing new.
pub fn namespace_free(s: &Scene) -> Condition {
    let kind = kinds::NAMESPACE_FREE;
    match &s.facts.namespace_held {
        None => said::namespace_free().condition(kind, True),
        Some(held) => said::namespace_terminating(s.ns, held).condition(kind, False),
    }
}

/// Which panel acts on the namespace.
pub fn held(s: &Scene) -> Condition {
    let (status, message) = match &s.facts.held {
        Held::Free | Held::Ours => (True, said::held_here()),
        Held::Other { holder, since_ms } => (False, said::held_by_other(holder, clock(*since_ms))),
        Held::CannotTell(why) => (ConditionStatus::Unknown, said::holder_unknown(why)),
    };
    message.condition(kinds::HELD, status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::pods::{read, tests::pod};
    use serde_json::{Value, json};
    use wire::Verb;

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
