//! Tables for the sentence above the picture.
use super::*;
use std::collections::BTreeMap;
use wire::{ClusterView, Frame, Namespace};

fn verdict(kind: VerdictKind, requests: u64, observed: f64, margin: f64, needed: u64) -> Verdict {
    Verdict {
        kind,
        version: "v2".into(),
        requests,
        observed,
        margin,
        desired: 20.0,
        needed,
        versus: 25.0,
        chi_square: None,
        plain_balancing: 0.0,
        plain: 50.0,
    }
}

fn traffic(verdict: Option<Verdict>, rate: f64, failing: Option<Failing>) -> Traffic {
    let frame =
        Frame { at_ms: 100_000, target_rate: rate, desired: Some(Split::v1_v2(20).unwrap()), ..Frame::default() };
    Traffic { frame: Frame { failing, ..frame }, verdict, ..Traffic::default() }
}

fn failing(share: f64, kind: &str, version: Option<&str>) -> Option<Failing> {
    Some(Failing { share, since_ms: 88_000, kind: kind.into(), version: version.map(str::to_owned) })
}

fn status() -> Status {
    Status::empty(&Namespace::default(), &ClusterView::default())
}

#[test]
fn failure_comes_first_and_a_split_is_not_judged_beside_it() {
    let kept = || Some(verdict(VerdictKind::InKeeping, 11_994, 20.4, 0.7, 0));
    for (failing, tone, en) in [
        (failing(100.0, "status_503", None), Tone::Bad, "No request succeeds: the answer is 503, for 12 s."),
        (failing(100.0, "refused", None), Tone::Bad, "No request succeeds: refused, for 12 s."),
        (failing(99.9, "timeout", None), Tone::Bad, "99.9 % of the requests fail: no answer in time, for 12 s."),
        (failing(50.0, "status_500", Some("v2")), Tone::Bad, "50.0 % of the requests fail: v2 answers 500, for 12 s."),
        (
            failing(0.4, "reset", None),
            Tone::Warn,
            "0.4 % of the requests fail: connection lost, for 12 s. 20.4 % of 11,994 requests went to v2: consistent with 80/20.",
        ),
        (None, Tone::Good, "20.4 % of 11,994 requests went to v2: consistent with 80/20."),
    ] {
        let t = traffic(kept(), 200.0, failing);
        let said = sentence(Lang::En, &status(), &t);
        assert_eq!((said.tone, said.text.as_str()), (tone, en));
        let zh = sentence(Lang::Zh, &status(), &t).text;
        assert!(zh.ends_with('。') && !zh.contains("requests"), "{zh}");
    }
}

#[test]
fn only_what_can_fail_requests_is_named_as_their_cause() {
    let says = |kind: &str, reason: &str| wire::Condition {
        kind: kind.into(),
        status: wire::ConditionStatus::False,
        reason: reason.into(),
        message: format!("{reason}."),
        zh: String::new(),
        args: Default::default(),
    };
    let capped = || says(kinds::LOAD_RUNNING, reasons::LOAD_CAPPED);
    let theirs = || says(kinds::ROUTE_OURS, reasons::CHANGED_BY_OTHER);
    for (conditions, cause) in [
        (vec![capped()], ""),
        (vec![theirs(), capped()], ""),
        (vec![theirs(), says(kinds::ROUTE_PRESENT, reasons::SUBSET_MISSING), capped()], "SubsetMissing."),
        (vec![theirs(), says(kinds::PODS_RUN, reasons::POD_CRASHES)], "PodCrashes."),
    ] {
        let status = Status { conditions, ..status() };
        let said = sentence(Lang::En, &status, &traffic(None, 200.0, failing(50.0, "status_503", None)));
        assert_eq!(said.detail, cause);
    }
}

#[test]
fn nobody_is_told_to_start_a_load_that_runs() {
    let soon = "Measuring what reaches each version since the last change …";
    for (verdict, rate, en) in [
        (Some(verdict(VerdictKind::NoTraffic, 0, 0.0, 0.0, 0)), 200.0, soon),
        (Some(verdict(VerdictKind::TooFew, 10, 30.0, 25.0, 370)), 200.0, soon),
        (None, 200.0, "Measuring …"),
        (None, 0.0, "Nothing has been measured yet."),
        (
            Some(verdict(VerdictKind::NoTraffic, 0, 0.0, 0.0, 0)),
            0.0,
            "No request since the last change: start the load to see where they go.",
        ),
        (
            Some(verdict(VerdictKind::TooFew, 10, 30.0, 25.0, 370)),
            0.0,
            "10 requests cannot tell 80/20 from 75/25: 370 more would.",
        ),
        // At 10/s the rest takes more than half a minute.
        (
            Some(verdict(VerdictKind::TooFew, 10, 30.0, 25.0, 370)),
            10.0,
            "10 requests cannot tell 80/20 from 75/25: 370 more would.",
        ),
    ] {
        assert_eq!(sentence(Lang::En, &status(), &traffic(verdict, rate, None)).text, en);
    }
}

#[test]
fn a_sentence_does_not_contradict_its_own_interval() {
    let said = |kind, observed, margin, needed| {
        let said =
            sentence(Lang::En, &status(), &traffic(Some(verdict(kind, 1_600, observed, margin, needed)), 200.0, None));
        (said.text, said.detail)
    };
    assert_eq!(
        said(VerdictKind::InKeeping, 20.4, 0.7, 380),
        (
            "20.4 % of 1,600 requests went to v2: consistent with 80/20.".to_owned(),
            "The true share of v2 lies between 19.7 and 21.1 % (95 %). 380 more requests would tell it from 75/25."
                .to_owned()
        )
    );
    let (text, _) = said(VerdictKind::Borderline, 18.0, 1.9, 0);
    assert!(text.contains("80/20 was asked for") && !text.contains("consistent"), "{text}");
    // Kept connections make lumps: the margin of independent requests would be false.
    let (text, detail) = said(VerdictKind::ClientHasNoSidecar, 40.0, 3.1, 0);
    assert!(text.contains("each connection goes to a random pod. 40.0 %") && detail.is_empty(), "{text} {detail}");
}

#[test]
fn three_versions_are_three_shares() {
    let split: Split = serde_json::from_str(r#"{"v1":50,"v2":40,"v3":10}"#).unwrap();
    let mut t = traffic(Some(verdict(VerdictKind::InKeeping, 1_000, 10.2, 1.0, 0)), 200.0, None);
    t.frame.desired = Some(split);
    t.frame.since = BTreeMap::from([("v1".to_owned(), 498), ("v2".to_owned(), 400), ("v3".to_owned(), 102)]);
    assert_eq!(
        sentence(Lang::En, &status(), &t).text,
        "Of 1,000 requests v1 49.8 · v2 40.0 · v3 10.2 %: consistent with 50/40/10."
    );
}

#[test]
fn no_route_and_a_route_without_weights_are_two_states() {
    let t = traffic(Some(verdict(VerdictKind::NoRoute, 200, 50.0, 7.0, 0)), 200.0, None);
    let mut status = status();
    assert!(
        sentence(Lang::En, &status, &t)
            .text
            .ends_with("there is no route, so requests are spread over the ready pods.")
    );
    let json = serde_json::json!({
        "type": kinds::ROUTE_PRESENT, "status": "True", "reason": reasons::ROUTE_SAYS_MORE, "message": "", "args": {},
    });
    status.conditions.push(serde_json::from_value(json).unwrap());
    assert!(sentence(Lang::En, &status, &t).text.contains("the route decides, but has no weights"));
}
