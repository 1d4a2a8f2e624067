//! The figures as HTML, drawn by the server: first in the page, then through the stream. The browser puts them in place as they are.
use super::Symbol;
use super::symbol::colour;
use crate::model::{fixed, versions};
use crate::text::{self, FigureWord as Word, Lang, thousands};
use leptos::prelude::*;
use wire::{Part, Progress, Recent, Sentence, Status, Traffic, kinds};

/// What the server words for a page: the sentence, and the figures in two parts, so that what somebody has opened stays open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Board {
    /// The verdict, the table of versions, what runs.
    pub main: String,
    /// The whole run.
    pub whole: String,
    /// What the page says above all else.
    pub sentence: Sentence,
    /// How far the lesson has come.
    pub progress: Progress,
    /// The last 10 s, for the cards of the versions.
    pub recent: Recent,
}

/// Draws the figures.
pub fn board(lang: Lang, status: &Status, traffic: &Traffic) -> Board {
    Board {
        main: main(lang, status, traffic).to_html(),
        whole: whole(lang, traffic).to_html(),
        sentence: text::sentence(lang, status, traffic),
        progress: text::progress(lang, status, traffic),
        recent: traffic.recent.clone(),
    }
}

fn main(lang: Lang, status: &Status, t: &Traffic) -> impl IntoView + use<> {
    // While requests fail, what the others say about the weights is beside the point.
    let judged = t.verdict.as_ref().filter(|_| t.frame.failing.is_none());
    let detail = judged.map(|v| text::detail(lang, v)).filter(|d| !d.is_empty());
    let sidecars = if status.is(kinds::SIDECARS_COUNT) {
        status.condition(kinds::SIDECARS_COUNT).map(|c| c.message.clone())
    } else {
        None
    };
    let done = t.frame.counts.values().sum::<u64>() + t.frame.errors;
    let run = t.requests.map(|of| Word::RunOf.fill(lang, &[("n", &thousands(done.min(of))), ("of", &thousands(of))]));
    view! {
        {detail.map(|detail| view! { <p class="muted detail" data-testid="verdict-detail">{detail}</p> })}
        {table(lang, status, t)}
        <dl class="kv">
            <dt>{Word::WishedAchieved.said(lang)}</dt>
            <dd data-testid="rates">{format!("{} / {}", fixed(t.frame.target_rate, 0), fixed(t.achieved_rate, 1))}</dd>
            {run.map(|run| view! { <dt>{Word::Run.said(lang)}</dt> <dd data-testid="run">{run}</dd> })}
            <dt>{Word::Sidecars.said(lang)}</dt>
            <dd data-testid="sidecars">{sidecars.unwrap_or_else(|| "–".to_owned())}</dd>
            {(t.frame.errors > 0).then(|| view! {
                <dt>{Word::Failed.said(lang)}</dt>
                <dd class="bad" data-testid="failed">{thousands(t.frame.errors)}</dd>
                {t.error_kinds.iter().map(|(kind, n)| line(text::failure(lang, kind), thousands(*n))).collect_view()}
                {attributed(t).into_iter().map(|(name, n)| line(name.unwrap_or_else(|| Word::Unattributed.said(lang).to_owned()), thousands(n))).collect_view()}
            })}
        </dl>
    }
}

/// A failure's reason, or its version: a line below the sum.
fn line(what: String, n: String) -> impl IntoView {
    view! { <dt class="part">{what}</dt> <dd class="part">{n}</dd> }
}

/// Failures by the version that answered; last those of no version.
fn attributed(t: &Traffic) -> Vec<(Option<String>, u64)> {
    let known: u64 = t.version_errors.values().sum();
    let by_version = t.version_errors.iter().map(|(name, n)| (Some(name.clone()), *n));
    by_version.chain(Some((None, t.frame.errors.saturating_sub(known))).filter(|(_, n)| *n > 0)).collect()
}

/// The versions side by side, and the service they make up.
fn table(lang: Lang, status: &Status, t: &Traffic) -> impl IntoView + use<> {
    let shown = versions(status);
    let others = t.recent.versions.keys().filter(|name| !shown.contains(name)).cloned();
    let names: Vec<String> = shown.iter().cloned().chain(others).collect();
    let seconds = fixed(t.recent.seconds, 0).to_string();
    let none = Part::default();
    let rows: Vec<_> = names
        .into_iter()
        .enumerate()
        .map(|(place, name)| {
            let known = shown.contains(&name);
            let part = t.recent.versions.get(&name).unwrap_or(&none);
            let cells = cells(part, &name);
            let (class, title) = if known { (colour(place), format!("flaskapp-{name}")) } else { ("", name.clone()) };
            view! {
                <tr data-testid=format!("figures-{name}")>
                    <th scope="row" class=class>{known.then(|| view! { <Symbol place/> })} {title}</th>
                    {cells}
                </tr>
            }
        })
        .collect();
    view! {
        <table class="figures" data-testid="figures">
            <caption>{Word::Window.fill(lang, &[("n", &seconds)])}</caption>
            <thead>
                <tr>
                    <th scope="col">{Word::Version.said(lang)}</th>
                    <th scope="col">{Word::Rate.said(lang)}</th>
                    <th scope="col">{Word::Success.said(lang)}</th>
                    <th scope="col">"p50"</th>
                    <th scope="col">"p90"</th>
                    <th scope="col">"p99"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
            <tfoot>
                <tr data-testid="figures-service">
                    <th scope="row">{Word::Service.said(lang)}</th>
                    {cells(&t.recent.all, "")}
                </tr>
            </tfoot>
        </table>
    }
}

fn cells(part: &Part, version: &str) -> impl IntoView + use<> {
    let success = (part.requests > 0)
        .then(|| (part.requests - part.errors.min(part.requests)) as f64 * 100.0 / part.requests as f64);
    let class = match success {
        Some(s) if s < 99.0 => "bad",
        Some(s) if s >= 99.95 => "good",
        _ => "",
    };
    // The service's has the plain name.
    let id = if version.is_empty() { "success".to_owned() } else { format!("success-{version}") };
    let rate = if part.requests == 0 {
        "–".to_owned()
    } else {
        fixed(part.rate, if part.rate < 100.0 { 1 } else { 0 }).to_string()
    };
    view! {
        <td>{rate}</td>
        <td class=class data-testid=id>{success.map_or_else(|| "–".to_owned(), percent)}</td>
        <td>{ms(part.p50_ms)}</td>
        <td>{ms(part.p90_ms)}</td>
        <td>{ms(part.p99_ms)}</td>
    }
}

/// Three digits are enough to compare.
fn ms(ms: Option<f64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| fixed(ms, if ms < 9.995 { 2 } else { usize::from(ms < 99.95) }).to_string())
}

/// Two digits, rounded down: 99.996 % is not 100 %.
fn percent(share: f64) -> String {
    let down = (share * 100.0).floor() / 100.0;
    format!("{}\u{a0}%", fixed(down, if down >= 100.0 { 0 } else { 2 }))
}

fn whole(lang: Lang, t: &Traffic) -> impl IntoView + use<> {
    let in_ms = |n: String| Word::Ms.fill(lang, &[("n", &n)]);
    let Some(w) = t.whole else { return view! { <p class="muted">{Word::NothingYet.said(lang)}</p> }.into_any() };
    let percentiles = [w.p50_ms, w.p90_ms, w.p99_ms, w.p999_ms].map(|p| ms(Some(p))).join(" · ");
    view! {
        <dl class="kv">
            <dt>{Word::RunLatency.said(lang)}</dt>
            <dd data-testid="whole-percentiles">{in_ms(percentiles)}</dd>
            <dt>{Word::Longest.said(lang)}</dt>
            <dd data-testid="whole-max">{in_ms(ms(Some(w.max_ms)))}</dd>
            <dt>{Word::Late.said(lang)}</dt>
            <dd>{thousands(t.late)}</dd>
            <dt>{Word::StartP99.said(lang)}</dt>
            <dd>{in_ms(ms(t.start_p99_ms))}</dd>
            <dt>{Word::Shed.said(lang)}</dt>
            <dd>{thousands(t.shed)}</dd>
        </dl>
    }
    .into_any()
}
