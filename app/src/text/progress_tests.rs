//! The lesson's texts hold together, and its checks follow the facts.
use super::super::lesson::{STEPS, TERMS, lesson};
use super::*;
use wire::{Condition, ConditionStatus, Frame, Piece, Split};

#[test]
fn every_step_has_one_right_answer_and_every_term_is_explained() {
    for lang in [Lang::En, Lang::Zh] {
        let lesson = lesson(lang);
        assert_eq!(lesson.steps.len(), crate::model::STEPS);
        for step in &lesson.steps {
            assert_eq!(step.answers.iter().filter(|answer| answer.right).count(), 1, "{}", step.question);
            let texts = step.answers.iter().flat_map(|answer| [&answer.text, &answer.means]);
            for text in texts.chain([&step.title, &step.task, &step.question]) {
                assert!(!text.is_empty() && !text.contains('['), "{text:?}");
                assert!(
                    lang == Lang::En || !text.ends_with('.'),
                    "a Chinese text ends with its own full stop: {text:?}"
                );
            }
            let why: String = step.why.iter().map(|piece| piece.text.as_str()).collect();
            assert!(!why.contains(['[', ']']), "{why}");
        }
    }
    // A term that no step uses, or a step that uses one without an explanation, would be a slip.
    for (place, lang) in [Lang::En, Lang::Zh].into_iter().enumerate() {
        let used: Vec<Piece> = lesson(lang).steps.into_iter().flat_map(|step| step.why).collect();
        for both in TERMS.iter().filter(|both| both[0][0] != "DestinationRule") {
            assert!(used.iter().any(|piece| piece.text == both[place][0] && piece.term == both[place][1]), "{both:?}");
        }
        let marked: usize = STEPS.iter().map(|text| text.why[place].matches('[').count()).sum();
        assert_eq!(used.iter().filter(|piece| !piece.term.is_empty()).count(), marked, "{lang:?}");
    }
}

fn status() -> Status {
    Status::empty(&Default::default(), &Default::default())
}

fn holds(status: &mut Status, kind: &str) {
    status.conditions.push(Condition {
        kind: kind.into(),
        status: ConditionStatus::True,
        reason: String::new(),
        message: String::new(),
        zh: String::new(),
        args: Default::default(),
    });
}

fn pod(workload: &str, sidecar: bool) -> PodView {
    PodView {
        name: workload.into(),
        workload: workload.into(),
        version: String::new(),
        ready: if sidecar { "2/2" } else { "1/1" }.into(),
        phase: "Running".into(),
        restarts: 0,
        sidecar,
        created_s: 0,
        why: String::new(),
    }
}

/// A digit per check: 1 where it holds.
fn marks(status: &Status, traffic: &Traffic) -> String {
    let step =
        |checks: &Vec<Checked>| checks.iter().map(|check| if check.done { '1' } else { '0' }).collect::<String>();
    progress(Lang::En, status, traffic).checks.iter().map(step).collect::<Vec<_>>().join(" ")
}

#[test]
fn checks_follow_the_cluster_whoever_changes_it() {
    let (mut status, mut traffic) = (status(), Traffic::default());
    assert_eq!(marks(&status, &traffic), "00 0 00 00 000 00 0");
    status.pods = ["flaskapp-v1", "flaskapp-v2", "simple-flask-app-client"].map(|name| pod(name, false)).to_vec();
    assert_eq!(marks(&status, &traffic), "11 0 00 00 000 00 0");
    holds(&mut status, kinds::VERIFIED);
    status.pods = ["flaskapp-v1", "flaskapp-v2", "simple-flask-app-client"].map(|name| pod(name, true)).to_vec();
    assert_eq!(marks(&status, &traffic), "11 1 11 00 000 00 0");
    status.load.rate = 200.0.try_into().unwrap();
    traffic.frame = Frame { counts: [("v1".to_owned(), 3), ("v2".to_owned(), 2)].into(), ..Frame::default() };
    assert_eq!(marks(&status, &traffic), "11 1 11 11 000 00 0");
    status.desired = Split::v1_v2(20).ok();
    holds(&mut status, kinds::ROUTE_ACKNOWLEDGED);
    assert_eq!(marks(&status, &traffic), "11 1 11 11 100 00 0");
    let proof =
        |desired: &str, observed| Proof { desired: desired.into(), version: "v2".into(), observed, requests: 12_431 };
    status.milestones.weighted = Some(proof("80/20", 19.7));
    status.milestones.one = Some(proof("0/100", 100.0));
    assert_eq!(marks(&status, &traffic), "11 1 11 11 111 00 0");
    status.milestones.broken = Some(20.0);
    status.pods.remove(1);
    assert_eq!(marks(&status, &traffic), "01 1 11 11 111 10 0");
    status.milestones.cured = true;
    let told = progress(Lang::En, &status, &traffic);
    assert_eq!(told.end[0], "At 80/20, 19.7 % of 12,431 requests reached v2.");
    assert_eq!(told.end[1], "At 0/100, not one of 12,431 requests went elsewhere.");
    let zh = progress(Lang::Zh, &status, &traffic);
    assert_eq!(zh.end[0], "权重 80/20 时，12,431 个请求中有 19.7% 到达 v2。");
    assert_eq!(zh.checks[5][0].text, "最多有 20% 的请求失败");
}
