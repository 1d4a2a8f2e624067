//! What stands between the cluster and the demo: lines with reasons and commands. The server alone draws it; it brings no script.
use crate::api;
use crate::text::{Key, Lang, Word, check, troubles, verb};
use leptos::prelude::*;
use wire::{Check, CheckStatus, ClusterView, Preflight};

/// The page `/preflight`.
#[component]
pub fn PreflightPage(told: Preflight) -> impl IntoView {
    let lang = api::prefs().lang;
    let t = move |word: Word| word.said(lang);
    let again = format!("/preflight?namespace={}", told.namespace);
    let panel = format!("/?namespace={}", told.namespace);
    let headline = match told.worst() {
        CheckStatus::Fail => troubles(lang, told.count(CheckStatus::Fail)),
        CheckStatus::Warn | CheckStatus::Unknown => t(Word::Works).to_owned(),
        CheckStatus::Ok => t(Word::AllWell).to_owned(),
    };
    let counts = [CheckStatus::Fail, CheckStatus::Warn, CheckStatus::Unknown, CheckStatus::Ok].map(|status| {
        let n = told.count(status);
        (n > 0).then(
            || view! { <li class="count" data-status=name(status)><Mark status/><b>{n}</b> " " {t(word(status))}</li> },
        )
    });
    let part = |title: Word, statuses: &[CheckStatus]| {
        let mut checks: Vec<Check> = Vec::new();
        for status in statuses {
            checks.extend(told.checks.iter().filter(|c| c.status == *status).cloned());
        }
        (!checks.is_empty()).then(|| {
            view! {
                <section class="card checks">
                    <h2>{t(title)}</h2>
                    <ul>{checks.into_iter().map(|check| view! { <Row lang check/> }).collect_view()}</ul>
                </section>
            }
        })
    };
    let (mend, unsure, fine) = (
        part(Word::ToMend, &[CheckStatus::Fail, CheckStatus::Warn]),
        part(Word::Unsure, &[CheckStatus::Unknown]),
        part(Word::InOrder, &[CheckStatus::Ok]),
    );
    view! {
        <header class="top">
            <h1><a href=panel.clone()>"demo-panel"</a></h1>
            <span class="badge" data-testid="cluster">
                <span class="badge-text">{cluster(lang, &told.cluster)} " · " {lang.fill(Key::NamespaceIs, &[("ns", told.namespace.as_str())])}</span>
                <span class="badge-text about" data-testid="about">{about(lang, &told.cluster)}</span>
            </span>
            <div class="acts keep">
                <a class="button" href=again data-testid="again">{t(Word::Again)}</a>
                <a class="button" href=panel data-testid="back">{t(Word::Back)}</a>
            </div>
        </header>
        <main class="preflight" data-testid="preflight-page">
            <section class="summary">
                <p class="muted">{t(Word::Title)}</p>
                <h2 class="headline" data-testid="headline">{headline}</h2>
                <ul class="counts">{counts}</ul>
            </section>
            {mend}
            {unsure}
            {fine}
            <p class="muted">{t(Word::Note)}</p>
        </main>
    }
}

/// One check.
#[component]
fn Row(lang: Lang, check: Check) -> impl IntoView {
    let (what, reason) = self::check(lang, &check);
    let stops = check.stops.iter().map(|v| verb(lang, *v)).collect::<Vec<_>>().join(" · ");
    let status = check.status;
    view! {
        <li class="check" id=check.id.clone() data-testid=format!("check-{}", check.id) data-status=name(status)>
            <Mark status/>
            <div>
                <strong>{what}</strong>
                <span class="hidden">": " {word(status).said(lang)} ". "</span>
                <p>{reason}</p>
                {(!stops.is_empty()).then(|| view! { <p class="stops">{Word::Stops.said(lang)} " " <b>{stops}</b></p> })}
                {(!check.mend.is_empty()).then(|| view! {
                    <p class="mend"><span class="muted">{Word::Mend.said(lang)}</span> <code>{check.mend}</code></p>
                })}
            </div>
        </li>
    }
}

/// The status as a shape, besides its colour.
#[component]
fn Mark(status: CheckStatus) -> impl IntoView {
    let sign = match status {
        CheckStatus::Ok => "✓",
        CheckStatus::Warn => "!",
        CheckStatus::Fail => "✕",
        CheckStatus::Unknown => "?",
    };
    view! { <span class="mark" aria-hidden="true">{sign}</span> }
}

fn name(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Ok => "ok",
        CheckStatus::Warn => "warn",
        CheckStatus::Fail => "fail",
        CheckStatus::Unknown => "unknown",
    }
}

fn word(status: CheckStatus) -> Word {
    match status {
        CheckStatus::Ok => Word::Ok,
        CheckStatus::Warn => Word::Warn,
        CheckStatus::Fail => Word::Fail,
        CheckStatus::Unknown => Word::Unknown,
    }
}

fn cluster(lang: Lang, cluster: &ClusterView) -> String {
    match cluster.kind.as_str() {
        "embedded" => lang.t(Key::ClusterEmbedded).to_owned(),
        "in-cluster" => lang.t(Key::ClusterInCluster).to_owned(),
        _ => lang.fill(Key::ClusterKubeconfig, &[("context", &cluster.context)]),
    }
}

fn about(lang: Lang, cluster: &ClusterView) -> String {
    let mesh = if cluster.mesh.is_empty() { lang.t(Key::NoMeshHere) } else { &cluster.mesh };
    [&*cluster.version, mesh, &cluster.user].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" · ")
}
