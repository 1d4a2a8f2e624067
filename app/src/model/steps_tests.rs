//! Tables for the rail and the banners.
use super::super::banners::banners;
use super::*;
use wire::{ApiError, Code, Milestones, Operation, PodView, Proof, Split, Words};

fn status(conditions: &[(&str, &str, &str)], desired: Option<u8>, sidecars: bool) -> Status {
    let deployed = conditions.iter().any(|(kind, status, _)| *kind == kinds::DEPLOYED && *status == "True");
    let pod = |name: &str| PodView {
        name: name.into(),
        workload: name.into(),
        version: name.rsplit('-').next().unwrap_or("").into(),
        sidecar: sidecars,
        ..now_pod()
    };
    Status {
        cluster: Default::default(),
        namespace: Default::default(),
        conditions: conditions
            .iter()
            .map(|(kind, status, reason)| Condition {
                kind: (*kind).into(),
                status: serde_json::from_str(&format!("\"{status}\"")).unwrap(),
                reason: (*reason).into(),
                message: (*reason).into(),
                args: Default::default(),
                zh: String::new(),
            })
            .collect(),
        pods: if deployed { vec![pod("flaskapp-v1"), pod("flaskapp-v2")] } else { vec![] },
        desired: desired.map(|v2| Split::v1_v2(v2).unwrap()),
        desired_by: String::new(),
        claim: None,
        load: Default::default(),
        generators: Default::default(),
        operation: None,
        log: vec![],
        milestones: Default::default(),
        commands: Default::default(),
    }
}

fn now_pod() -> PodView {
    PodView {
        name: String::new(),
        workload: String::new(),
        version: String::new(),
        ready: "1/1".into(),
        phase: "Running".into(),
        restarts: 0,
        sidecar: true,
        created_s: 0,
        why: String::new(),
    }
}

/// `✓` done, `…` busy, `!` failed, `-` to do; the current step in brackets with its button.
fn show(status: &Status) -> String {
    steps(status)
        .iter()
        .map(|s| {
            let mark = match s.state {
                StepState::Done => "✓",
                StepState::Busy => "…",
                StepState::Failed => "!",
                StepState::Todo => "-",
            };
            if s.current {
                format!("[{mark}{}]", s.action.map_or(String::new(), |a| format!(" {a:?}")))
            } else {
                mark.to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

const DEPLOYED: (&str, &str, &str) = (kinds::DEPLOYED, "True", reasons::DEPLOYED);
const VERIFIED: (&str, &str, &str) = (kinds::VERIFIED, "True", reasons::VERIFIED);
const INJECTED: (&str, &str, &str) = (kinds::INJECTED, "True", reasons::INJECTED);
const LOADING: (&str, &str, &str) = (kinds::LOAD_RUNNING, "True", reasons::LOAD_RUNNING);
const STUCK: (&str, &str, &str) = (kinds::PODS_RUN, "False", reasons::IMAGE_NOT_PULLED);
const ROUTED: (&str, &str, &str) = (kinds::ROUTE_PRESENT, "True", reasons::ROUTE_PRESENT);

#[test]
fn the_steps_follow_the_walkthrough() {
    for (conditions, rail) in [
        (vec![], "[- Deploy] - - - - - -"),
        (vec![(kinds::DEPLOYED, "False", reasons::DEPLOYING)], "[… Deploy] - - - - - -"),
        (vec![DEPLOYED], "✓ [- Verify] - - - - -"),
        (vec![DEPLOYED, VERIFIED], "✓ ✓ [- Inject] - - - -"),
        (vec![DEPLOYED, VERIFIED, (kinds::INJECTED, "False", reasons::INJECTING)], "✓ ✓ [… Inject] - - - -"),
        (vec![DEPLOYED, VERIFIED, INJECTED], "✓ ✓ ✓ [- LoadStart] - - -"),
        (
            vec![DEPLOYED, VERIFIED, INJECTED, (kinds::CLIENT_READY, "False", reasons::NO_CLIENT)],
            "✓ ✓ ✓ [! Client] - - -",
        ),
        (vec![DEPLOYED, VERIFIED, INJECTED, LOADING], "✓ ✓ ✓ ✓ [- RouteCreate] - -"),
        (vec![DEPLOYED, VERIFIED, INJECTED, LOADING, ROUTED], "✓ ✓ ✓ ✓ [-] - -"),
        // What was done from outside counts: verifying is passed over once people are further.
        (vec![DEPLOYED, INJECTED, LOADING, ROUTED], "✓ - ✓ ✓ [-] - -"),
        (vec![DEPLOYED, (kinds::VERIFIED, "False", reasons::VERIFY_FAILED)], "✓ [! Verify] - - - - -"),
        (vec![(kinds::DEPLOYED, "False", reasons::DEGRADED)], "[! DeployAgain] - - - - - -"),
        (vec![DEPLOYED, (kinds::CLEAN, "False", reasons::CLEANING)], "✓ - - - - - [… CleanUp]"),
        (vec![(kinds::CLEAN, "False", reasons::LEFT_OVER)], "- - - - - - [- CleanUp]"),
        // Nobody works at it and something keeps the pods from running: waiting is not enough.
        (vec![(kinds::DEPLOYED, "False", reasons::DEPLOYING), STUCK], "[! DeployAgain] - - - - - -"),
        (
            vec![DEPLOYED, VERIFIED, (kinds::INJECTED, "False", reasons::INJECTING), STUCK],
            "✓ ✓ [! InjectAgain] - - - -",
        ),
    ] {
        assert_eq!(show(&status(&conditions, None, false)), rail, "{conditions:?}");
    }
}

#[test]
fn what_was_measured_ends_the_steps_about_weights_and_failures() {
    let whole = |present: (&'static str, &'static str), deployed: (&'static str, &'static str)| {
        [
            (kinds::DEPLOYED, deployed.0, deployed.1),
            (kinds::INJECTED, "True", reasons::INJECTED),
            (kinds::LOAD_RUNNING, "True", reasons::LOAD_RUNNING),
            (kinds::ROUTE_PRESENT, present.0, present.1),
            (kinds::ROUTE_ACKNOWLEDGED, "True", reasons::ACKNOWLEDGED),
            (kinds::WEIGHTS_APPLY, "True", reasons::WEIGHTS_APPLY),
        ]
    };
    let there = ("True", reasons::ROUTE_PRESENT);
    let (up, down) = (("True", reasons::DEPLOYED), ("False", reasons::DEGRADED));
    let proof = || Some(Proof { desired: "80/20".into(), version: "v2".into(), observed: 20.0, requests: 900 });
    let (uneven, both) = (
        Milestones { weighted: proof(), ..Milestones::default() },
        Milestones { weighted: proof(), one: proof(), ..Milestones::default() },
    );
    let (lost, deploying) = (both.clone(), ("False", reasons::DEPLOYING));
    let broken = Milestones { broken: Some(20.0), ..both.clone() };
    let cured = Milestones { cured: true, ..broken.clone() };
    for (what, desired, milestones, deployed, rail) in [
        // 50/50 is what happens without weights, too: it shows nothing.
        ("a new route", 50, Milestones::default(), up, "✓ - ✓ ✓ [- WeightsUneven] - -"),
        ("80/20 is being measured", 20, Milestones::default(), up, "✓ - ✓ ✓ [-] - -"),
        ("all to v2 first", 100, Milestones::default(), up, "✓ - ✓ ✓ [- WeightsUneven] - -"),
        ("80/20 was measured", 20, uneven.clone(), up, "✓ - ✓ ✓ [- WeightsOne] - -"),
        ("all to v2 is being measured", 100, uneven, up, "✓ - ✓ ✓ [-] - -"),
        ("all to v2", 100, both.clone(), up, "✓ - ✓ ✓ ✓ [- WeightsUneven] -"),
        ("80/20 again", 20, both.clone(), up, "✓ - ✓ ✓ ✓ [- Break] -"),
        ("v2 has lost its pods", 20, both, down, "! - ✓ ✓ ✓ [- Break] -"),
        ("v2 has lost its pods this moment", 20, lost, deploying, "… - ✓ ✓ ✓ [- Break] -"),
        ("requests failed", 20, broken, down, "! - ✓ ✓ ✓ [… Cure] -"),
        ("cured", 20, cured, up, "✓ - ✓ ✓ ✓ ✓ [- CleanUp]"),
    ] {
        let mut now = status(&whole(there, deployed), Some(desired), true);
        now.pods = ["flaskapp-v1", "flaskapp-v2"].map(|name| PodView { workload: name.into(), ..now_pod() }).to_vec();
        now.milestones = milestones;
        if deployed.0 == "False" {
            let apply = now.conditions.iter_mut().find(|c| c.kind == kinds::WEIGHTS_APPLY).unwrap();
            (apply.status, apply.reason) = (ConditionStatus::False, reasons::VERSION_NOT_READY.into());
        }
        assert_eq!(show(&now), rail, "{what}");
    }
    // The subsets are gone: the step says that, and not that the weights decide.
    let broken = status(&whole(("False", reasons::SUBSET_MISSING), up), Some(20), true);
    assert_eq!(show(&broken), "✓ - ✓ ✓ [! RouteCreate] - -");
    assert_eq!(steps(&broken)[4].says.as_ref().unwrap().reason, reasons::SUBSET_MISSING);
    // Without a pod of v2 there is nothing to take away: they can be brought back.
    let mut none = status(&whole(there, down), Some(20), true);
    none.milestones.weighted = proof();
    none.milestones.one = proof();
    none.pods.clear();
    assert_eq!(steps(&none)[5].action, Some(Action::Cure));
}

#[test]
fn a_failed_operation_leaves_a_button_whatever_the_condition_still_says() {
    for (conditions, verb, failed, rail) in [
        (vec![(kinds::DEPLOYED, "False", reasons::DEPLOYING)], Verb::Deploy, false, "[… Deploy] - - - - - -"),
        (vec![(kinds::DEPLOYED, "False", reasons::DEPLOYING)], Verb::Deploy, true, "[! DeployAgain] - - - - - -"),
        (vec![(kinds::DEPLOYED, "False", reasons::DEPLOYING), STUCK], Verb::Deploy, false, "[… Deploy] - - - - - -"),
        (vec![(kinds::DEPLOYED, "False", reasons::NOT_DEPLOYED)], Verb::Deploy, true, "[! DeployAgain] - - - - - -"),
        // It came up after all.
        (vec![DEPLOYED], Verb::Deploy, true, "✓ [- Verify] - - - - -"),
        (
            vec![DEPLOYED, VERIFIED, (kinds::INJECTED, "False", reasons::INJECTING)],
            Verb::Inject,
            true,
            "✓ ✓ [! InjectAgain] - - - -",
        ),
        (vec![DEPLOYED, VERIFIED, INJECTED], Verb::Inject, true, "✓ ✓ ✓ [- LoadStart] - - -"),
        (
            vec![DEPLOYED, VERIFIED, INJECTED, (kinds::CLIENT_READY, "False", reasons::CLIENT_STARTING)],
            Verb::Client,
            true,
            "✓ ✓ ✓ [! Client] - - -",
        ),
        (vec![DEPLOYED, (kinds::CLEAN, "False", reasons::IN_USE)], Verb::Teardown, true, "✓ [- Verify] - - - - !"),
    ] {
        let mut now = status(&conditions, None, false);
        let error = failed.then(|| ApiError::new(Code::Timeout, Words::default(), Words::default()));
        now.operation =
            Some(Operation { id: 1, verb, by: "curl".into(), since: 0, step: "x".into(), error, zh: String::new() });
        assert_eq!(show(&now), rail, "{conditions:?} {verb:?} failed: {failed}");
    }
}

#[test]
fn a_step_can_be_taken_back_while_it_is_stuck() {
    for (reason, back) in [
        (reasons::NOT_INJECTED, None),
        (reasons::INJECTING, Some(Action::Uninject)),
        (reasons::INJECTION_IGNORED, Some(Action::Uninject)),
    ] {
        let now = status(&[DEPLOYED, (kinds::INJECTED, "False", reason)], None, false);
        assert_eq!(steps(&now)[2].back, back, "{reason}");
    }
}

#[test]
fn an_operation_is_seen_before_its_condition() {
    let mut now = status(&[], None, false);
    let operation = Operation {
        id: 1,
        verb: Verb::Deploy,
        by: "curl".into(),
        since: 0,
        step: "x".into(),
        error: None,
        zh: String::new(),
    };
    now.operation = Some(operation.clone());
    assert_eq!(show(&now), "[… Deploy] - - - - - -");
    now.operation =
        Some(Operation { error: Some(ApiError::new(Code::Timeout, Words::default(), Words::default())), ..operation });
    assert_eq!(show(&now), "[! DeployAgain] - - - - - -");
}

#[test]
fn the_slider_moves_where_weights_can_mean_something() {
    for (conditions, desired, sidecars, mode) in [
        (vec![], None, false, SliderMode::Absent),
        (vec![(kinds::DEPLOYED, "False", reasons::DEPLOYING)], None, false, SliderMode::Absent),
        (vec![DEPLOYED], None, false, SliderMode::NeedsSidecars),
        (vec![DEPLOYED], None, true, SliderMode::NoRoute),
        (vec![DEPLOYED], Some(20), true, SliderMode::Live),
        // The trap is there to be seen: the slider moves, and nothing follows.
        (vec![DEPLOYED], Some(20), false, SliderMode::Live),
    ] {
        assert_eq!(slider_mode(&status(&conditions, desired, sidecars)), mode);
    }
}

#[test]
fn traps_are_told_with_what_mends_them() {
    for (conditions, desired, told) in [
        (
            vec![DEPLOYED, (kinds::WEIGHTS_APPLY, "False", reasons::CLIENT_HAS_NO_SIDECAR)],
            Some(20),
            "ClientHasNoSidecar Inject",
        ),
        (vec![DEPLOYED, (kinds::WEIGHTS_APPLY, "False", reasons::CLIENT_HAS_NO_SIDECAR)], None, ""),
        (
            vec![DEPLOYED, (kinds::WEIGHTS_APPLY, "False", reasons::VERSION_NOT_READY)],
            Some(20),
            "VersionNotReady DeployAgain",
        ),
        (vec![DEPLOYED, (kinds::WEIGHTS_APPLY, "False", reasons::PORT_NOT_HTTP)], Some(20), "PortNotHttp"),
        (vec![DEPLOYED, (kinds::ROUTE_OURS, "False", reasons::CHANGED_BY_OTHER)], Some(20), "ChangedByOther claim"),
        (
            vec![DEPLOYED, (kinds::CLIENT_READY, "False", reasons::CLIENT_SCALED_TO_ZERO)],
            Some(20),
            "ClientScaledToZero Client",
        ),
        (vec![DEPLOYED, (kinds::LOAD_RUNNING, "True", reasons::GENERATOR_LIMITED)], None, "GeneratorLimited"),
        (vec![DEPLOYED, (kinds::LOAD_RUNNING, "True", reasons::LOAD_CAPPED)], None, "LoadCapped"),
        (vec![(kinds::CLIENT_READY, "False", reasons::NO_CLIENT)], None, ""),
        (
            vec![
                (kinds::CLUSTER_REACHABLE, "False", reasons::UNREACHABLE),
                (kinds::ROUTE_OURS, "False", reasons::CHANGED_BY_OTHER),
            ],
            None,
            "Unreachable",
        ),
        (
            vec![
                (kinds::CLEAN, "False", reasons::CLEANING),
                (kinds::DEPLOYED, "True", reasons::DEPLOYED),
                (kinds::CLIENT_READY, "False", reasons::NO_CLIENT),
            ],
            None,
            "",
        ),
    ] {
        let shown: Vec<String> = banners(&status(&conditions, desired, true))
            .iter()
            .map(|b| {
                format!(
                    "{}{}{}",
                    b.says.reason,
                    b.mend.map_or(String::new(), |a| format!(" {a:?}")),
                    if b.claim { " claim" } else { "" }
                )
            })
            .collect();
        assert_eq!(shown.join(", "), told, "{conditions:?}");
    }
}
