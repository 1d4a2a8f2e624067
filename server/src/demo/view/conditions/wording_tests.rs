//! Conditions and log lines as people read them, from real objects, in both languages.
use super::*;
use crate::demo::clock::now_ms;
use crate::demo::namespace::facts::Facts;
use crate::demo::namespace::facts::Line;
use crate::demo::objects::Id;
use crate::demo::plan::Goal;
use crate::demo::plan::observe::{demo_pods, observe};
use crate::demo::pods::tests::pod;
use crate::k8s::{Cache, Reach, Silence};
use app::text::messages::{log, steps};
use serde_json::{Value, json};
use wire::Verb;

fn service(ours: bool) -> Value {
    let labels = if ours { json!({"app.kubernetes.io/managed-by": "demo-panel"}) } else { json!({}) };
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "flaskapp", "labels": labels}})
}

fn deployment(name: &str, replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "demo-panel"}},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": {}}}}})
}

fn told(objects: Vec<Value>, facts: &Facts, reach: &Reach) -> Vec<Condition> {
    let cache = Cache::of(objects);
    let (observed, pods) = (observe(&cache), demo_pods(&cache));
    conditions(&Scene {
        ns: "n",
        cache: &cache,
        observed: &observed,
        pods: &pods,
        facts,
        reach,
        desired: None,
        claim: None,
    })
}

fn of_kind(told: &[Condition], kind: &str) -> Condition {
    told.iter().find(|c| c.kind == kind).cloned().unwrap()
}

#[test]
fn deployed_is_told_from_what_is_there() {
    let fresh = Facts::default();
    let mut deploying = Facts::default();
    deploying.goal = Goal { present: [Id::V1].into(), ..Goal::default() };
    let v1 = || pod("flaskapp-v1", "v1", true, false);
    for (what, objects, facts, said) in [
        ("nothing", vec![], &fresh, "NotDeployed: The demo is not deployed."),
        ("somebody else's Service alone", vec![service(false)], &fresh, "NotDeployed: The demo is not deployed."),
        (
            "the panel was restarted while v2 is scaled to 0",
            vec![service(true), deployment("flaskapp-v1", 1), v1(), deployment("flaskapp-v2", 0)],
            &fresh,
            "Degraded: flaskapp-v2 is not ready: it is scaled to 0.",
        ),
        (
            "half of it is there and nobody works at it",
            vec![service(true), deployment("flaskapp-v1", 1), v1()],
            &fresh,
            "Degraded: flaskapp-v2 is not ready: it is not there.",
        ),
        (
            "the same, and the panel works at it",
            vec![service(true), deployment("flaskapp-v1", 1), v1()],
            &deploying,
            "Deploying: 1 of 2 pods are ready.",
        ),
        (
            "pods come by themselves",
            vec![service(true), deployment("flaskapp-v1", 1), v1(), deployment("flaskapp-v2", 1)],
            &fresh,
            "Deploying: 1 of 2 pods are ready.",
        ),
    ] {
        let said_so = of_kind(&told(objects, facts, &Reach::default()), kinds::DEPLOYED);
        assert_eq!(format!("{}: {}", said_so.reason, said_so.message), said, "{what}");
    }
}

/// Words of ASCII letters that Chinese keeps: Kubernetes' names and what the cluster says itself.
const KEPT: [&str; 19] = [
    "Pod",
    "Service",
    "sidecar",
    "webhook",
    "istio",
    "proxy",
    "Istio",
    "VirtualService",
    "DestinationRule",
    "Lease",
    "deployment",
    "service",
    "pod",
    "patch",
    "deployments",
    "pods",
    "apps",
    "PATH",
    "UTC",
];

fn is_sound(en: &str, zh: &str) {
    let first = en.split([' ', ':', ',']).next().unwrap();
    assert!(!first.bytes().all(|b| b.is_ascii_lowercase()) || first == "flaskapp", "no capital: {en}");
    for text in [en, zh] {
        assert!(
            !text.is_empty()
                && !text.contains("; .")
                && !text.contains(": .")
                && !text.ends_with([' ', ':', '：', ';']),
            "it dangles: {text:?} ({en})"
        );
    }
    let names = |word: &&str| word.len() < 3 || KEPT.contains(word);
    let words: Vec<&str> = zh
        .split(|c: char| !c.is_ascii_alphanumeric() && !"-/.".contains(c))
        .filter(|w| w.bytes().all(|b| b.is_ascii_alphabetic()))
        .filter(|w| !names(w))
        .collect();
    assert!(
        words.is_empty() && !zh.contains(&now_ms().to_string()[..6]),
        "English in Chinese: {words:?} in {zh:?} ({en})"
    );
}

#[test]
fn every_condition_is_a_sentence_in_both_languages() {
    let demo = || {
        vec![
            service(true),
            deployment("flaskapp-v1", 1),
            pod("flaskapp-v1", "v1", true, false),
            deployment("flaskapp-v2", 0),
            deployment("simple-flask-app-client", 1),
        ]
    };
    let facts = |change: &dyn Fn(&mut Facts)| {
        let mut facts = Facts::default();
        change(&mut facts);
        facts
    };
    let lost =
        Reach { failing: Some((1_764_070_000_000, Silence::Other("10.0.0.1:6443".to_owned()))), ..Reach::default() };
    let refused = Reach { refused: true, ..lost.clone() };
    let fine = Reach::default();
    for (objects, facts, reach) in [
        (vec![], Facts::default(), &fine),
        (demo(), Facts::default(), &lost),
        (demo(), facts(&|f| f.was_ready = true), &refused),
        (demo(), facts(&|f| f.goal.teardown = true), &fine),
        (vec![], facts(&|f| f.goal.teardown = true), &fine),
        (vec![], facts(&|f| f.left.theirs = vec![("pod/x".to_owned(), "pod".to_owned())]), &fine),
        (vec![], facts(&|f| f.left.unseen = vec![("pods".to_owned(), "x".to_owned())]), &fine),
        (
            demo(),
            facts(&|f| {
                (f.verified, f.namespace_held) =
                    (Some(Ok(("/bin".to_owned(), 9))), Some(causes::objects_being_removed()))
            }),
            &fine,
        ),
        (
            demo(),
            facts(&|f| {
                let rates = (wire::Rate::at_most(10), wire::Rate::at_most(20));
                (f.agent, f.load, f.granted) = (
                    Agent::Connected { short: None },
                    rates.1,
                    crate::demo::namespace::facts::Granted { rate: rates.0, of: rates.1 },
                );
            }),
            &fine,
        ),
        (
            demo(),
            facts(&|f| {
                (f.agent, f.held) = (
                    Agent::Connected { short: Some((crate::demo::namespace::facts::Short::Machine, 90)) },
                    crate::k8s::Held::Other { holder: "x-1".to_owned(), since_ms: 1_764_070_000_000 },
                )
            }),
            &fine,
        ),
    ] {
        for condition in told(objects, &facts, reach).iter().filter(|c| c.kind != kinds::SIDECARS_COUNT) {
            assert!(condition.message.ends_with('.'), "no full stop: {}", condition.message);
            is_sound(&condition.message, &condition.zh);
        }
    }
    let since = of_kind(&told(demo(), &Facts::default(), &lost), kinds::CLUSTER_REACHABLE);
    assert!(since.message.contains("since 11:26:40 UTC") && since.zh.contains("11:26:40 UTC"), "{since:?}");
}

#[test]
fn lines_of_the_log_and_steps_are_worded_in_both_languages() {
    let mut facts = Facts::default();
    for (what, en, zh) in [
        (log::deploy(), "Deploy", "部署"),
        (log::client(), "Client", "部署客户端"),
        (
            log::inject("flaskapp-v1, flaskapp-v2"),
            "Inject sidecars: flaskapp-v1, flaskapp-v2",
            "注入 sidecar：flaskapp-v1, flaskapp-v2",
        ),
        (log::uninject("flaskapp-v1"), "Remove sidecars: flaskapp-v1", "移除 sidecar：flaskapp-v1"),
        (log::verify("flaskapp-v1-7d9f-x"), "Verify flaskapp-v1-7d9f-x", "验证 flaskapp-v1-7d9f-x"),
        (log::load("200"), "Load 200/s", "负载 200/s"),
        (log::all_load_off(), "All load off", "停止全部负载"),
        (steps::granted("150", "250"), "Granted 150 of 250 requests/s", "要求每秒 250 个请求，获准 150 个"),
        (log::load_of("10", "10"), "10 requests at 10/s", "10 个请求，速率 10/s"),
        ("80/20".into(), "80/20", ""),
    ] {
        facts.note(Line { what, ..Line::default() });
        let entry = facts.log.front().unwrap();
        assert_eq!((entry.what.as_str(), entry.zh.as_str()), (en, zh));
    }
    let operation = facts.begin(Verb::Deploy, "curl", &steps::applying("deployment/flaskapp-v1"));
    assert_eq!(
        (operation.step.as_str(), operation.zh.as_str()),
        ("Applying deployment/flaskapp-v1", "正在应用 deployment/flaskapp-v1")
    );
    facts.step(operation.id, &steps::waiting_for(steps::ready("flaskapp-v1")));
    assert_eq!(facts.operation.unwrap().zh, "正在等待 flaskapp-v1 就绪");
}

#[test]
fn asking_a_pod_or_adopting_takes_no_running_operations_place() {
    let mut facts = Facts::default();
    let deploy = facts.begin(Verb::Deploy, "curl", &"x".into());
    facts.goal.present.insert(Id::V1);
    let verify = facts.begin_if_idle(Verb::Adopt, "curl", &"y".into());
    assert_eq!(facts.operation.as_ref().unwrap().id, deploy.id);
    assert_ne!(verify.id, deploy.id);
    facts.goal = Goal::default();
    let adopt = facts.begin_if_idle(Verb::Adopt, "curl", &"y".into());
    assert_eq!(facts.operation.as_ref().unwrap().id, adopt.id);
}
