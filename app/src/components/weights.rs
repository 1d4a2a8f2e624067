//! What is desired, what is measured: the slider, the presets, and the times of the last change.
use super::context::{flag, say};
use super::lesson::label;
use super::mesh::Measured;
use super::shares::Shares;
use super::{ErrorBanner, Page, Same, Shifter, Slider};
use crate::model::{Action, SliderMode, fixed, presets, wall_clock, wilson, with_share};
use crate::text::{self, Key};
use leptos::prelude::*;
use wire::{Command, LogEntry, Rate};

/// The slider with what belongs to it: desired above, measured below with its interval.
#[component]
pub fn Weights(
    page: Page,
    shifter: Shifter,
    ask: Callback<Command>,
    mode: Signal<SliderMode>,
    measured: Measured,
) -> impl IntoView {
    let names = measured.names;
    let disabled = Signal::derive(move || {
        !page.may("weights") || !matches!(mode.get(), SliderMode::Live | SliderMode::NoRoute | SliderMode::Many)
    });
    let note = move || match (page.off(), mode.get()) {
        (true, _) => Some(Key::OffWhileStale),
        (_, SliderMode::NeedsSidecars) => Some(Key::NeedsSidecars),
        (_, SliderMode::NoRoute) if shifter.share.get().is_none() => Some(Key::NoRouteYet),
        (_, SliderMode::Many) => Some(Key::MoreVersions),
        _ => None,
    };
    let interval = Signal::derive(move || {
        let counts = page.live.figures.with(|frame| frame.since.clone());
        let first = names.with(|names| (names.len() == 2).then(|| names[0].clone()))?;
        let all: u64 = counts.values().sum();
        (measured.failing.get() == 0.0).then(|| wilson(counts.get(&first).copied().unwrap_or(0), all)).flatten()
    });
    view! {
        <section class="weights" aria-label=page.t(Key::Weights) data-testid="weights" data-mode=say(move || mode_name(mode.get()))>
            <Slider page shifter measured interval disabled thumb=Signal::derive(move || mode.get() != SliderMode::Many)/>
            <div class="ticks">
                <span>{page.t(Key::WhatWasSeen)}</span>
                <Times page/>
            </div>
            {move || note().map(|key| view! {
                <div class="note" data-testid="slider-note">
                    <span>{page.t(key)}</span>
                    {(key == Key::NeedsSidecars).then(|| view! {
                        <button type="button" data-testid="note-inject" disabled=flag(move || !page.ready_for("inject")) on:click=move |_| ask.run(Action::Inject.ask(Rate::default()))>
                            {say(move || label(page, Action::Inject, 0))}
                        </button>
                    })}
                </div>
            })}
            <Settings page shifter names disabled/>
            <ErrorBanner lang=page.lang.into() error=shifter.refused.into() dismiss=Callback::new(move |()| shifter.refused.set(None))/>
        </section>
    }
}

/// Who moved the weights last, and the three times it took.
#[component]
fn Times(page: Page) -> impl IntoView {
    let last = Memo::new(move |_| {
        page.live.status.with(|s| s.log.iter().find(|entry| entry.split.is_some() && entry.error.is_none()).cloned())
    });
    view! {
        <span class="times" data-testid="times">
            {move || last.get().filter(|_| page.live.desired.with(Option::is_some)).map(|entry| {
                let who = text::who(page.lang.get(), &entry.by, &page.me.get());
                let another = entry.by.strip_prefix("browser ").is_some_and(|id| !page.me.with(|me| me.is_empty() || id == me));
                view! {
                    <b class:accent=another>{if another { page.lang.get().t(Key::ByAnotherBrowser).to_owned() } else { who }}</b>
                    " " {wall_clock(entry.at_ms, page.zone_min.get())}
                    <span>{three_times(page, &entry)}</span>
                }
            })}
        </span>
    }
}

/// `accepted 6 ms · all sidecars 9 ms · first request 14 ms`, as far as they are known.
pub fn three_times(page: Page, entry: &LogEntry) -> String {
    let lang = page.lang.get();
    let Some(times) = entry.times else { return String::new() };
    [(Key::Accepted, times.accepted), (Key::AllSidecars, times.acknowledged), (Key::FirstRequest, times.first_request)]
        .into_iter()
        .filter_map(|(key, ms)| {
            let ms = lang.fill(Key::Ms, &[("n", &fixed(ms?, 0).to_string())]);
            Some(lang.fill(key, &[("ms", &ms)]))
        })
        .collect::<Vec<_>>()
        .join(" · ")
}

/// `6 · 9 · 14 ms`: the same in short.
pub fn short_times(page: Page, entry: &LogEntry) -> String {
    let Some(times) = entry.times else { return String::new() };
    let known: Vec<String> = [times.accepted, times.acknowledged, times.first_request]
        .into_iter()
        .flatten()
        .map(|ms| fixed(ms, 0).to_string())
        .collect();
    if known.is_empty() { String::new() } else { page.lang.get().fill(Key::Ms, &[("n", &known.join(" · "))]) }
}

/// Presets and the versions' own shares.
#[component]
fn Settings(page: Page, shifter: Shifter, names: Signal<Vec<String>>, disabled: Signal<bool>) -> impl IntoView {
    let many = flag(move || names.with(Vec::len) > 2);
    view! {
        <div class="row" role="group" aria-label=page.t(Key::Presets)>
            {presets().into_iter().map(|v2| {
                let v1 = 100 - v2;
                view! {
                    <button
                        type="button" class="preset" data-testid=format!("preset-{v1}-{v2}") disabled=disabled hidden=many
                        aria-pressed=say(move || if shifter.share.get() == Some(v1) { "true" } else { "false" })
                        aria-label=say(move || page.lang.get().fill(Key::PresetLabel, &[("a", &v1.to_string()), ("va", "v1"), ("b", &v2.to_string()), ("vb", "v2")]))
                        on:click=move |_| shifter.to.run(v1)
                    >{format!("{v1} / {v2}")}</button>
                }
            }).collect_view()}
            <Same page text=say(move || shifter.split.with(|split| {
                let set = |text: String, (name, weight): (&str, wire::Weight)| text.replace(&format!("%{name}%"), &weight.percent().to_string());
                split.as_ref().unwrap_or(&with_share(50)).iter().fold(page.command("weights"), set)
            }))/>
            <Shares page shifter names disabled many/>
        </div>
    }
}

fn mode_name(mode: SliderMode) -> &'static str {
    match mode {
        SliderMode::Absent => "absent",
        SliderMode::NeedsSidecars => "needs-sidecars",
        SliderMode::NoRoute => "no-route",
        SliderMode::Live => "live",
        SliderMode::Many => "many",
    }
}
