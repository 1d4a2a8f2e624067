//! What is desired, what is seen: the numbers, the slider and the presets.
use super::context::{flag, say};
use super::rail::label;
use super::shares::{Shares, name_at};
use super::symbol::colour;
use super::{ErrorBanner, Page, Same, Shifter, Slider, Symbol};
use crate::model::{Action, SliderMode, Window, fixed, presets, shares, versions, wall_clock, with_share};
use crate::text::{self, Key, thousands};
use leptos::prelude::*;
use wire::{Command, LogEntry, Rate};

/// The card that the page is about.
#[component]
pub fn Weights(page: Page, shifter: Shifter, ask: Callback<Command>, mode: Signal<SliderMode>) -> impl IntoView {
    let live = page.live;
    let names = Memo::new(move |_| live.status.with(versions));
    let names = Signal::derive(move || names.get());
    let desired = Signal::derive(move || {
        let share = shifter.share.get()?;
        names.with(|names| match names.len() {
            2 => Some(vec![f64::from(share), f64::from(100 - share)]),
            _ => shifter
                .split
                .with(|split| split.as_ref().map(|s| names.iter().map(|v| f64::from(s.percent(v))).collect())),
        })
    });
    // Every figure is about the time since the weights last changed: what was sent before says nothing about them. The server knows
    // which request was sent on which weights.
    let seen = Signal::derive(move || live.figures.with(|frame| names.with(|names| shares(&frame.since, names))));
    // The bar is to move as soon as the traffic does, so it looks at the last second alone; so does whether requests fail.
    let last = Memo::new(move |_| {
        let now = live.frame.with(|frame| frame.at_ms);
        live.history.with_value(|history| history.since(now.saturating_sub(1_100)))
    });
    let failing = Memo::new(move |_| last.with(Window::failing));
    let bar = Signal::derive(move || {
        let of_answers = names.with(|names| last.with(|last| shares(&last.counts, names))).or_else(|| seen.get())?;
        let succeed = 1.0 - failing.get() / 100.0;
        Some(of_answers.into_iter().map(|share| share * succeed).collect())
    });
    // Where no request succeeds, what was seen before is no answer to what happens now.
    let seen = Signal::derive(move || seen.get().filter(|_| failing.get() < 100.0));
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
    let minute = Memo::new(move |_| {
        let now = live.figures.with(|frame| frame.at_ms);
        live.history.with_value(|history| history.since(now.saturating_sub(60_000)))
    });
    view! {
        <section class="card weights" aria-label=page.t(Key::Weights) data-testid="weights" data-mode=say(move || mode_name(mode.get()))>
            <div class="split">
                <Side page place=0 name=Signal::derive(move || name_at(names, 0)) desired seen/>
                <div class="between">
                    {page.t(Key::Last60)} <br/>
                    <b data-testid="requests">{say(move || minute.with(|w| thousands(w.answers() + w.errors)))}</b> " " {page.t(Key::Requests)}
                </div>
                {move || (1..names.with(Vec::len)).map(|place| view! {
                    <Side page place name=Signal::derive(move || name_at(names, place)) desired seen/>
                }).collect_view()}
            </div>
            <Slider page shifter versions=names desired seen=bar failing=failing.into() disabled thumb=Signal::derive(move || mode.get() != SliderMode::Many)/>
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
            <Same page text=say(move || shifter.split.with(|split| {
                let set = |text: String, (name, weight): (&str, wire::Weight)| text.replace(&format!("%{name}%"), &weight.percent().to_string());
                split.as_ref().unwrap_or(&with_share(50)).iter().fold(page.command("weights"), set)
            }))/>
        </section>
    }
}

/// One version: its name, the share desired, the share seen.
#[component]
fn Side(
    page: Page,
    place: usize,
    name: Signal<String>,
    desired: Signal<Option<Vec<f64>>>,
    seen: Signal<Option<Vec<f64>>>,
) -> impl IntoView {
    let at = move |shares: Signal<Option<Vec<f64>>>| shares.with(|s| s.as_ref().and_then(|s| s.get(place).copied()));
    let rate = move || page.live.figures.with(|frame| name.with(|name| frame.rates.get(name).copied()));
    let id = name.get_untracked();
    view! {
        <div class=format!("one {}", colour(place))>
            <div class="who"><Symbol place/>"flaskapp " {name}</div>
            <div class="big" class:none=flag(move || at(desired).is_none()) data-testid=format!("share-{id}")>
                {say(move || at(desired).map_or_else(|| "–".to_owned(), |share| fixed(share, 0).to_string()))}
                <small>"%"</small>
            </div>
            <div class="seen">
                {page.t(Key::Seen)} " "
                <b data-testid=format!("seen-{id}")>{say(move || at(seen).map_or_else(|| "–".to_owned(), |share| format!("{}\u{a0}%", fixed(share, 1))))}</b>
                <span class="rate" data-testid=format!("rate-{id}")>{say(move || rate().map_or_else(String::new, |n| page.lang.get().fill(Key::PerSecond, &[("n", &fixed(n, 0).to_string())])))}</span>
            </div>
        </div>
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
