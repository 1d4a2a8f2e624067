//! What people must be told: a lost connection, the traps, somebody else's hand on the route.
use super::context::{flag, say};
use super::rail::label;
use super::{Page, Same};
use crate::api::Link;
use crate::model::{Action, banners, wall_clock};
use crate::text::{self, Key};
use leptos::prelude::*;
use wire::{Command, Rate, reasons};

/// Every banner that applies, gravest first.
#[component]
pub fn Banners(page: Page, ask: Callback<Command>) -> impl IntoView {
    let told = Memo::new(move |_| page.live.status.with(banners));
    let stale = move || match page.live.link.get() {
        Link::Stale(since_ms) => Some(wall_clock(since_ms, page.zone_min.get())),
        _ => None,
    };
    view! {
        <div role="status" class="alerts">
            {move || stale().map(|time| view! {
                <div class="message bad" data-testid="stale"><strong>{page.lang.get().fill(Key::Stale, &[("time", &time)])}</strong></div>
            })}
            {move || told.get().into_iter().map(|banner| {
                    let (says, mend, claim) = (banner.says, banner.mend, banner.claim);
                    let reason = says.reason.clone();
                    let grave = matches!(reason.as_str(), reasons::UNREACHABLE | reasons::CREDENTIALS_REFUSED);
                    view! {
                        <div class="message" class:bad=grave class:warn=!grave data-testid="banner" data-reason=reason>
                            <p class="grow">{say(move || text::condition(page.lang.get(), &says))}</p>
                            {mend.map(|action| view! { <Mend page ask action/> })}
                            {claim.then(|| view! { <Claim page ask/> })}
                        </div>
                    }
                }).collect_view()}
        </div>
    }
}

#[component]
fn Mend(page: Page, ask: Callback<Command>, action: Action) -> impl IntoView {
    view! {
        <button type="button" data-testid="banner-mend" disabled=flag(move || !page.ready_for(action.verb())) on:click=move |_| ask.run(action.ask(Rate::default()))>
            {say(move || label(page, action, 0))}
        </button>
        <Same page text=say(move || page.command(action.command()))/>
    }
}

/// Adopt and revert: what to do about somebody else's weights.
#[component]
fn Claim(page: Page, ask: Callback<Command>) -> impl IntoView {
    let split = |split: &Option<wire::Split>| split.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
    let title = move |key: Key| {
        page.live.status.with(|s| {
            s.claim.as_ref().map(|claim| {
                page.lang.get().fill(
                    key,
                    &[("theirs", &split(&claim.theirs)), ("ours", &split(&claim.ours)), ("manager", &claim.manager)],
                )
            })
        })
    };
    let value = move |theirs: bool| {
        page.live.status.with(|s| {
            s.claim
                .as_ref()
                .and_then(|c| if theirs { c.theirs.as_ref() } else { c.ours.as_ref() }.map(|s| format!(" {s}")))
        })
    };
    view! {
        <span class="pair">
            <button type="button" data-testid="adopt" title=move || title(Key::AdoptTitle) disabled=flag(move || !page.may("adopt")) on:click=move |_| ask.run(Command::Adopt)>
                {page.t(Key::Adopt)} {move || value(true)}
            </button>
            <button type="button" data-testid="revert" title=move || title(Key::RevertTitle) disabled=flag(move || !page.may("revert")) on:click=move |_| ask.run(Command::Revert)>
                {page.t(Key::Revert)} {move || value(false)}
            </button>
            <Same page text=say(move || page.command("adopt"))/>
        </span>
    }
}
