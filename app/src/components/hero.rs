//! Nothing deployed: one big button, what it will make, and where. Deploying and cleaning up: what is being waited for.
//!
//! It is a part of its own: most pages begin with a demo that is deployed.
use super::context::{flag, say};
use super::part::{Mounted, PartMissing, Place};
use super::{Page, Same};
use crate::model::{StepState, steps};
use crate::text::{self, Key};
use leptos::mount::mount_to;
use leptos::prelude::*;
use leptos::wasm_split::wasm_split;
use web_sys::HtmlElement;
use wire::{Command, kinds, reasons};

/// The place of what stands where there is nothing to split. `absent`: there is nothing.
#[component]
pub fn Hero(page: Page, ask: Callback<Command>, absent: Memo<bool>) -> impl IntoView {
    let place = Place::new();
    Effect::new(move |_| {
        if absent.get() {
            place.fill(page, move |element| mount_hero(page, ask, element));
        } else {
            place.clear();
        }
    });
    // The server draws it whole; in the browser it is in the page already, until the part takes its place.
    #[cfg(feature = "ssr")]
    let drawn = if absent.get_untracked() { view! { <Absent page ask/> }.to_html() } else { String::new() };
    #[cfg(not(feature = "ssr"))]
    let drawn = String::new();
    view! { <div node_ref=place.node hidden=flag(move || !absent.get()) inner_html=say(move || drawn.clone())></div> }
}

#[wasm_split(hero, wasm_split_path = leptos::wasm_split, fallible)]
fn mount_hero(page: Page, ask: Callback<Command>, place: HtmlElement) -> Result<Mounted, PartMissing> {
    place.set_inner_html("");
    Ok(Box::new(mount_to(place, move || view! { <Absent page ask/> })))
}

#[component]
fn Absent(page: Page, ask: Callback<Command>) -> impl IntoView {
    let reason =
        move |kind: &str| page.live.status.with(|s| s.condition(kind).map_or(String::new(), |c| c.reason.clone()));
    let state = Memo::new(move |_| {
        let [deploy, .., clean] = page.live.status.with(steps).map(|s| s.state);
        match (clean, deploy) {
            (StepState::Busy, _) => Key::CleaningTitle,
            (_, StepState::Busy) => Key::DeployingTitle,
            (_, StepState::Failed) if reason(kinds::DEPLOYED) != reasons::NOT_DEPLOYED => Key::NotReadyTitle,
            _ if reason(kinds::CLEAN) == reasons::LEFT_OVER => Key::LeftOverTitle,
            _ => Key::HeroTitle,
        }
    });
    let words = move || {
        let lang = page.lang.get();
        let says = |kind: &str| {
            page.live.status.with(|s| s.condition(kind).map(|c| text::condition(lang, c))).unwrap_or_default()
        };
        match state.get() {
            Key::CleaningTitle | Key::LeftOverTitle => says(kinds::CLEAN),
            Key::DeployingTitle | Key::NotReadyTitle => says(kinds::DEPLOYED),
            _ => lang.fill(Key::HeroText, &[("ns", &page.namespace()), ("cluster", &page.cluster())]),
        }
    };
    let fresh = move || state.get() == Key::HeroTitle;
    let failed = move || state.get() == Key::NotReadyTitle;
    view! {
        <section class="card hero" data-testid="hero">
            <h2 class="headline">{say(move || page.lang.get().t(state.get()))}</h2>
            <p class="lead">{words}</p>
            <Show when=fresh>
                <ul class="makes">
                    <li><code>"deployment/flaskapp-v1"</code><span>{page.t(Key::HeroV1)}</span></li>
                    <li><code>"deployment/flaskapp-v2"</code><span>{page.t(Key::HeroV2)}</span></li>
                    <li><code>"deployment/simple-flask-app-client"</code><span>{page.t(Key::HeroClient)}</span></li>
                    <li><code>"service/…"</code><span>{page.t(Key::HeroServices)}</span></li>
                </ul>
            </Show>
            <Show when=move || fresh() || failed()>
                <button type="button" class="primary huge" data-testid="hero-deploy" disabled=flag(move || !page.ready_for("deploy")) on:click=move |_| ask.run(Command::Deploy)>
                    {say(move || page.lang.get().t(if failed() { Key::DoDeployAgain } else { Key::DoDeploy }))}
                </button>
                <Same page text=say(move || page.command("deploy"))/>
            </Show>
            <Show when=fresh><p class="muted">{page.t(Key::HeroAfter)}</p></Show>
            <Show when=move || state.get() == Key::DeployingTitle>
                <svg class="progress" width="100%" height="6" aria-hidden="true">
                    <rect class="ground" width="100%" height="6" rx="3"/>
                    <rect class="done" height="6" rx="3" width=say(move || page.live.status.with(ready_share))/>
                </svg>
                <p class="muted">{page.t(Key::DeployingText)}</p>
            </Show>
            <Show when=move || !fresh()>
                <ul class="makes">
                    {move || page.live.status.with(|s| s.pods.clone()).into_iter().map(|pod| {
                        let why = if pod.why.is_empty() { String::new() } else { format!(" — {}", pod.why) };
                        view! { <li><code>{pod.name}</code><span>{format!("{} {}{why}", pod.ready, pod.phase)}</span></li> }
                    }).collect_view()}
                </ul>
            </Show>
        </section>
    }
}

/// Share of the pods that are ready, as an SVG length.
fn ready_share(status: &wire::Status) -> String {
    let ready = status.pods.iter().filter(|pod| pod.is_ready()).count();
    format!("{}%", ready * 100 / status.pods.len().max(3))
}
