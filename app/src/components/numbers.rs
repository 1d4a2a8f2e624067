//! What it means: one sentence with its uncertainty; then success, rate, percentiles.
use super::page::{flag, say};
use super::Page;
use crate::model::fixed;
use crate::text::{self, Key};
use crate::types::kinds;
use leptos::prelude::*;

/// The verdict and the figures under it.
#[component]
pub fn Numbers(page: Page) -> impl IntoView {
    let live = page.live;
    let sentence = Memo::new(move |_| {
        live.figures.with(|frame| frame.verdict.as_ref().map_or_else(|| page.lang.get().t(Key::VerdictNone).to_owned(), |v| text::verdict(page.lang.get(), v)))
    });
    let minute = Memo::new(move |_| {
        let now = live.figures.with(|frame| frame.at_ms);
        live.history.with_value(|history| history.since(now.saturating_sub(60_000)))
    });
    let success = move || minute.with(crate::model::Window::success);
    let rates = move || live.figures.with(|frame| format!("{} / {}", fixed(frame.target_rate, 0), fixed(frame.achieved_rate, 1)));
    let percentiles = move || {
        live.figures.with(|frame| match (frame.p50_ms, frame.p90_ms, frame.p99_ms) {
            (Some(p50), Some(p90), Some(p99)) => {
                page.lang.get().fill(Key::Ms, &[("n", &[p50, p90, p99].map(|p| if p < 99.5 { fixed(p, 1).to_string() } else { fixed(p, 0).to_string() }).join(" · "))])
            }
            _ => "–".to_owned(),
        })
    };
    view! {
        <section class="card numbers">
            <h2>{page.t(Key::Verdict)}</h2>
            <p class="verdict" data-testid="verdict" data-kind=move || live.figures.with(|f| f.verdict.as_ref().map(|v| format!("{:?}", v.kind)))>{sentence}</p>
            <dl class="kv">
                <dt>{page.t(Key::Success)}</dt>
                <dd data-testid="success" class:good=flag(move || success().is_some_and(|s| s >= 99.95)) class:bad=flag(move || success().is_some_and(|s| s < 99.0))>
                    {say(move || success().map_or_else(|| "–".to_owned(), percent))}
                </dd>
                <dt>{page.t(Key::RateWishedAchieved)}</dt>
                <dd data-testid="rates">{rates}</dd>
                <dt>{page.t(Key::Percentiles)}</dt>
                <dd data-testid="percentiles">{percentiles}</dd>
                <dt>{page.t(Key::AsSidecarsCount)}</dt>
                <dd data-testid="sidecars">{say(move || live.status.with(|s| if s.is(kinds::SIDECARS_COUNT) { s.condition(kinds::SIDECARS_COUNT).map(|c| c.message.clone()) } else { None }).unwrap_or_else(|| "–".to_owned()))}</dd>
                {move || Some(minute.with(|w| w.errors)).filter(|n| *n > 0).map(|n| view! {
                    <dt>{page.t(Key::Failed)}</dt>
                    <dd class="bad">{text::thousands(n)}</dd>
                })}
            </dl>
        </section>
    }
}

/// Two digits, rounded down: 99.996 % is not 100 %.
fn percent(share: f64) -> String {
    format!("{} %", fixed((share * 100.0).floor() / 100.0, 2))
}
