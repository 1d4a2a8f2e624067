//! The slider: a native range whose track is drawn under it. The border between the colours is the thumb's place.
use super::context::say;
use super::mesh::Measured;
use super::symbol::colour;
use super::{Page, Shifter};
use crate::model::fixed;
use crate::text::Key;
use leptos::prelude::*;

/// The slider, and below it what was measured, on the same scale.
#[component]
pub fn Slider(
    page: Page,
    shifter: Shifter,
    /// What is on show.
    measured: Measured,
    /// The 95 % interval of the first version's share, percent; `None` where it says nothing.
    interval: Signal<Option<(f64, f64)>>,
    /// Whether it may be moved.
    #[prop(into)]
    disabled: Signal<bool>,
    /// Whether there is one thumb: two versions.
    thumb: Signal<bool>,
) -> impl IntoView {
    let Measured { names: versions, desired, flowing, failing, .. } = measured;
    let share = move || shifter.share.get().unwrap_or(50);
    let frame = move |edge: fn((f64, f64)) -> f64| {
        say(move || format!("{}%", interval.get().map_or_else(|| fixed(0.0, 2), |i| fixed(edge(i), 2))))
    };
    let first = shifter.share.get_untracked().unwrap_or(50).to_string();
    let moved = move |event| {
        if let Ok(share) = event_target_value(&event).parse::<u8>() {
            shifter.to.run(share);
        }
    };
    view! {
        <div class="slider" class:off=disabled>
            <svg class="track" width="100%" height="100%" aria-hidden="true">
                <defs>
                    <pattern id="hatch" width="14" height="14" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
                        <rect class="hatch-line" width="5" height="14"/>
                    </pattern>
                </defs>
                <Segments versions shares=desired/>
            </svg>
            <Show when=move || thumb.get()>
                <input
                    type="range" min="0" max="100" step="1" data-testid="slider" id="slider"
                    value=first.clone()
                    prop:value=say(move || share().to_string())
                    aria-label=say(move || page.lang.get().fill(Key::ShareOf, &[("version", "v1")]))
                    aria-valuetext=say(move || format!("v1 {} %, v2 {} %", share(), 100 - share()))
                    title=page.t(Key::SliderHelp)
                    disabled=disabled
                    on:input=moved
                    on:pointerdown=move |_| shifter.hold.run(true)
                    on:change=move |_| shifter.hold.run(false)
                    on:pointerup=move |_| shifter.hold.run(false)
                    on:pointercancel=move |_| shifter.hold.run(false)
                    on:blur=move |_| shifter.hold.run(false)
                />
            </Show>
        </div>
        <svg class="actual" width="100%" height="18" aria-hidden="true" data-testid="actual">
            <svg y="3" width="100%" height="12">
            <Segments versions shares=flowing/>
            <rect class="failing" data-testid="failing" x=move || format!("{}%", fixed(100.0 - failing.get(), 2)) width=move || format!("{}%", fixed(failing.get(), 2)) height="100%"/>
            </svg>
            <rect class="interval" y="1" height="16" rx="4" x=frame(|(low, _)| low) width=frame(|(low, high)| high - low) visibility=say(move || if interval.get().is_some() { "visible" } else { "hidden" })/>
        </svg>
    }
}

/// Bars side by side, as wide as their shares.
#[component]
fn Segments(versions: Signal<Vec<String>>, shares: Signal<Option<Vec<f64>>>) -> impl IntoView {
    let places = Memo::new(move |_| versions.with(Vec::len));
    let part = move |i: usize| {
        shares.with(|shares| {
            shares.as_ref().map_or((0.0, 0.0), |shares| {
                (shares.iter().take(i).sum::<f64>(), shares.get(i).copied().unwrap_or(0.0))
            })
        })
    };
    view! {
        <rect class="ground" width="100%" height="100%"/>
        {move || (0..places.get()).map(|i| {
            let x = move || format!("{}%", fixed(part(i).0, 2));
            let width = move || format!("{}%", fixed(part(i).1, 2));
            view! {
                <rect class=format!("fill {}", colour(i)) x=x width=width height="100%"/>
                {(i > 0).then(|| view! { <rect class="hatch" x=x width=width height="100%" fill="url(#hatch)"/> })}
            }
        }).collect_view()}
    }
}
