//! The rate: chosen by slider or typed, started, and changed while it runs; and runs of so many requests.
use super::context::{flag, say};
use super::{Page, Rates};
use crate::text::{Key, thousands};
use leptos::prelude::*;
use wire::{Command, LoadOrder, Rate};

/// Rates on the slider, requests per second: even steps to the eye, as on a logarithmic scale.
const RATES: [u32; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

/// The controls of the load.
#[component]
pub fn LoadBar(
    page: Page,
    rates: Rates,
    ask: Callback<Command>,
    /// Whether the button that starts is here; else it stands elsewhere.
    start: Signal<bool>,
) -> impl IntoView {
    let place = move || {
        let rate = rates.shown.get();
        RATES.iter().rposition(|r| *r <= rate).unwrap_or(0)
    };
    let off = flag(move || !page.may("load") || page.live.status.with(|s| s.pods.is_empty()));
    let stopped = Memo::new(move |_| rates.running.get() == 0 && start.get());
    let first = rates.shown.get_untracked().to_string();
    let first_place = untrack(place).to_string();
    let slid = move |event| {
        if let Some(rate) = event_target_value(&event).parse::<usize>().ok().and_then(|i| RATES.get(i)) {
            rates.choose.run(*rate);
        }
    };
    let typed = move |event| {
        if let Ok(rate) = event_target_value(&event).trim().parse::<u32>() {
            rates.choose.run(rate);
        }
    };
    // A run of its own: ten, as the tutorial sends, or as many as it takes to be sure. Not while load runs, whose counts it would end.
    let count = RwSignal::new(10_u64);
    let counted = move |event| {
        if let Some(n) = event_target_value(&event).trim().parse().ok().filter(|n| *n > 0) {
            count.set(n);
        }
    };
    let no_run = flag(move || off.get() || rates.running.get() > 0);
    let run = move |_| {
        let requests = count.get_untracked();
        // A second at least, so that there is something to see.
        let most = u64::from(rates.shown.get_untracked());
        if let Ok(rate) = Rate::try_from(requests.min(most) as f64) {
            ask.run(Command::Load(LoadOrder::new(rate, Some(requests))));
        }
    };
    view! {
        <div class="load-bar" role="group" aria-label=page.t(Key::Rate)>
            <input
                type="range" class="plain" min="0" max=(RATES.len() - 1).to_string() step="1" data-testid="load-rate-slider" disabled=off
                value=first_place prop:value=say(move || place().to_string())
                aria-label=page.t(Key::RateSlider)
                aria-valuetext=say(move || format!("{} {}", rates.shown.get(), page.lang.get().t(Key::RateUnit)))
                on:input=slid
            />
            <label class="field">
                <input
                    class="num wide" type="text" inputmode="numeric" maxlength="5" autocomplete="off" data-testid="load-rate" disabled=off
                    value=first prop:value=say(move || rates.shown.get().to_string())
                    aria-label=page.t(Key::RateSlider)
                    on:change=typed
                />
                <span>{page.t(Key::RateUnit)}</span>
            </label>
            <input
                class="num wide" type="text" inputmode="numeric" maxlength="9" autocomplete="off" list="runs" data-testid="load-count"
                value="10" disabled=no_run aria-label=page.t(Key::RunLength) on:input=counted
            />
            <datalist id="runs"><option value="10"></option><option value="100000"></option></datalist>
            <button type="button" data-testid="load-ten" title=page.t(Key::RunTitle) disabled=no_run on:click=run>
                {say(move || page.lang.get().fill(Key::DoRun, &[("n", &thousands(count.get()))]))}
            </button>
            <Show when=move || stopped.get()>
                <button type="button" data-testid="load-start" disabled=off on:click=move |_| rates.start.run(())>
                    {say(move || page.lang.get().fill(Key::DoStart, &[("rate", &rates.shown.get().to_string())]))}
                </button>
            </Show>
        </div>
    }
}
