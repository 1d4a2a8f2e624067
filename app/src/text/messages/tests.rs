//! Every message is worded in both languages, as each is written.
use super::*;

/// Every message: the module it is in, its name, English, Chinese.
fn all() -> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static str)> {
    let modules = [
        ("causes", causes::ALL),
        ("conditions", conditions::ALL),
        ("dashboards", dashboards::ALL),
        ("errors", errors::ALL),
        ("log", log::ALL),
        ("preflight", preflight::ALL),
        ("steps", steps::ALL),
    ];
    modules.into_iter().flat_map(|(module, all)| all.iter().map(move |(name, en, zh)| (module, *name, *en, *zh)))
}

fn is_chinese(letter: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&letter)
}

/// A template without its placeholders.
fn bare(template: &str) -> String {
    let mut parts = template.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + " " + part.split_once('}').map_or("", |(_, rest)| rest))
}

/// Words of ASCII letters that Chinese keeps: names, and what is to be typed.
const KEPT: &[&str] = &[
    "API",
    "Authorization",
    "Bearer",
    "CPU",
    "CSV",
    "Deployment",
    "DestinationRule",
    "GET",
    "HTTP",
    "Host",
    "Istio",
    "JSON",
    "Lease",
    "LimitRange",
    "MiB",
    "MutatingWebhookConfiguration",
    "PATH",
    "POST",
    "Pod",
    "Prometheus",
    "ResourceQuota",
    "TCP",
    "TLS",
    "UTC",
    "Unauthorized",
    "demo-panel",
    "VirtualService",
    "cordon",
    "curl",
    "docs",
    "dryRun",
    "finalizer",
    "flaskapp",
    "istio-app",
    "istio-proxy",
    "istio-system",
    "istiod",
    "kubeconfig",
    "kubectl",
    "load",
    "sidecar",
    "webhook",
];

#[test]
fn every_message_has_chinese_that_is_no_english() {
    for (module, name, en, zh) in all() {
        let (words, translated) = (bare(en), bare(zh));
        let names_only = !words.contains(|letter: char| letter.is_ascii_alphabetic());
        assert!(names_only || translated.contains(is_chinese), "{module}::{name}: {zh:?}");
        // Between quotes, and after a dash, stands what is typed.
        let typed = |word: &&str| word.starts_with('-') || word.contains(['/', '.', '?', '=', ':']);
        let quoted = translated.split('`').step_by(2).collect::<String>();
        let foreign: Vec<&str> = quoted
            .split(|c: char| !c.is_ascii() || c.is_ascii_whitespace() || "(){},".contains(c))
            .filter(|word| word.contains(|letter: char| letter.is_ascii_alphabetic()))
            .filter(|word| !typed(word) && !KEPT.contains(word))
            .collect();
        assert!(foreign.is_empty(), "{module}::{name}: English in Chinese: {foreign:?} in {zh:?}");
    }
}

#[test]
fn chinese_is_punctuated_as_chinese() {
    for (module, name, en, zh) in all() {
        let ends = |text: &str, stop: char| bare(text).ends_with(stop);
        assert_eq!(ends(en, '.'), ends(zh, '。'), "{module}::{name}: the full stop of {zh:?}");
        let pairs: Vec<(char, char)> = zh.chars().zip(zh.chars().skip(1)).collect();
        let half =
            pairs.iter().find(|(letter, mark)| (is_chinese(*letter) || *letter == '}') && ",:;!".contains(*mark));
        assert_eq!(half, None, "{module}::{name}: {zh:?}");
        assert!(!zh.contains(" %"), "{module}::{name}: {zh:?}");
        assert!(bare(zh).is_empty() || !zh.ends_with(['：', '；', '，']), "{module}::{name}: {zh:?}");
    }
}

#[test]
fn a_message_in_a_message_is_translated_with_it() {
    let waiting = steps::waiting_for(Message::joined([
        steps::ready_but("flaskapp-v1", "flaskapp-v1-7d9 (ContainerCreating)"),
        steps::old_one_gone("service/flaskapp"),
    ]));
    assert_eq!(
        waiting.en,
        "waiting for flaskapp-v1 to be ready: flaskapp-v1-7d9 (ContainerCreating); the old service/flaskapp to be gone"
    );
    assert_eq!(
        waiting.zh,
        "正在等待 flaskapp-v1 就绪：flaskapp-v1-7d9 (ContainerCreating)；旧的 service/flaskapp 消失"
    );
    assert_eq!(
        (waiting.sentence().as_str(), steps::done().translation().as_str()),
        (&*waiting.en.replacen('w', "W", 1), "完成")
    );
    assert_eq!(Message::from("80/20").translation(), "", "a name has no translation");
}

#[test]
fn a_condition_has_the_messages_key_and_arguments() {
    let told = conditions::version_not_ready("v2", "20").condition("WeightsApply", ConditionStatus::False);
    assert_eq!(
        (told.reason.as_str(), told.message.as_str(), told.zh.as_str()),
        (
            "VersionNotReady",
            "v2 has 20 % of the requests and no ready pod: those requests fail.",
            "v2 承担 20% 的请求，却没有就绪的 Pod：这些请求会失败。"
        )
    );
    assert_eq!(told.args, [("version".to_owned(), "v2".to_owned())].into(), "the weight is no argument for programs");
    let why = causes::scaled_to_zero();
    let told = conditions::degraded("flaskapp-v2", why).condition("Deployed", ConditionStatus::False);
    assert_eq!(
        (told.args["why"].as_str(), told.zh.as_str()),
        ("it is scaled to 0", "flaskapp-v2 未就绪：已缩容到 0。")
    );
}

#[test]
fn an_error_carries_both_languages() {
    let error =
        wire::ApiError::new(wire::Code::NotDeployed, errors::nothing_to_inject("flaskapp-v1"), errors::deploy_first());
    assert_eq!(
        (error.message.as_str(), error.hint.as_str()),
        ("There is no flaskapp-v1 to inject.", "Deploy the demo first.")
    );
    assert_eq!((error.zh.as_str(), error.zh_hint.as_str()), ("没有可注入 sidecar 的 flaskapp-v1。", "请先部署演示。"));
}

#[test]
fn a_check_has_the_codes_and_arguments_of_its_title_and_reason() {
    let told = preflight::check(
        "namespace",
        preflight::namespace("n"),
        wire::CheckStatus::Fail,
        preflight::namespace_terminating(causes::objects_being_removed()),
    );
    assert_eq!(
        (told.what.as_str(), told.zh_what.as_str(), told.code.as_str()),
        ("Namespace n", "命名空间 n", "NamespaceTerminating")
    );
    assert_eq!(told.zh, "正在移除，尚未消失：其中的对象正在移除。");
    assert_eq!((told.args["ns"].as_str(), told.args["held"].as_str()), ("n", "its objects are being removed"));
}

#[test]
fn sentences_begin_with_a_capital_and_names_stay_as_they_are() {
    for (clause, said) in [
        ("the route", "The route"),
        ("flaskapp-v1 is ready", "flaskapp-v1 is ready"),
        ("v2 has 20 %", "v2 has 20 %"),
        ("80/20", "80/20"),
        ("", ""),
    ] {
        assert_eq!(sentence(clause), said);
    }
    let clause = Message::clause("It is being removed.", "正在移除。");
    assert_eq!((clause.en.as_str(), clause.zh.as_str()), ("it is being removed", "正在移除"));
}
