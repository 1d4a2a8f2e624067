//! Nothing deployed: one big button, what it will make, and where. Deploying and cleaning up: what is being waited for.
use super::page::{flag, say};
use super::{Command, Page};
use crate::api::Ask;
use crate::model::{kubectl, running};
use crate::text::{self, Key};
use crate::types::{Verb, kinds, reasons};
use leptos::prelude::*;

/// What stands where there is nothing to split.
#[component]
pub fn Hero(page: Page, ask: Callback<Ask>) -> impl IntoView {
    let reason = move |kind: &str| page.live.status.with(|s| s.condition(kind).map_or(String::new(), |c| c.reason.clone()));
    let state = Memo::new(move |_| {
        let verb = |v| page.live.status.with(|s| running(s, v));
        match () {
            () if verb(Verb::Teardown) || reason(kinds::CLEAN) == reasons::CLEANING => Key::CleaningTitle,
            () if verb(Verb::Deploy) || reason(kinds::DEPLOYED) == reasons::DEPLOYING => Key::DeployingTitle,
            () if reason(kinds::CLEAN) == reasons::LEFT_OVER => Key::LeftOverTitle,
            () => Key::HeroTitle,
        }
    });
    let words = move || {
        let lang = page.lang.get();
        let says = |kind: &str| page.live.status.with(|s| s.condition(kind).map(|c| text::condition(lang, c))).unwrap_or_default();
        match state.get() {
            Key::CleaningTitle | Key::LeftOverTitle => says(kinds::CLEAN),
            Key::DeployingTitle => says(kinds::DEPLOYED),
            _ => lang.fill(Key::HeroText, &[("ns", &page.namespace()), ("cluster", &page.cluster())]),
        }
    };
    let fresh = move || state.get() == Key::HeroTitle;
    let command = Signal::derive(move || page.ns.with_value(|ns| kubectl(ns, &Ask::Deploy)));
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
                <button type="button" class="primary huge" data-testid="hero-deploy" disabled=flag(move || !page.idle() || !page.may("deploy")) on:click=move |_| ask.run(Ask::Deploy)>
                    {page.t(Key::DoDeploy)}
                </button>
                <p class="muted">{page.t(Key::HeroAfter)}</p>
                <details class="same"><summary>{page.t(Key::SameByKubectl)}</summary><Command page text=command/></details>
            </Show>
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
fn ready_share(status: &crate::types::Status) -> String {
    let ready = status.pods.iter().filter(|pod| pod.ready.split_once('/').is_some_and(|(a, b)| a == b)).count();
    format!("{}%", ready * 100 / status.pods.len().max(3))
}
