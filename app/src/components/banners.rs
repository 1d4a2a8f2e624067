//! What people must be told: a lost connection, the traps, somebody else's hand on the route.
//!
//! All but the lost connection is a part of its own, which loads when there is something to tell.
use super::context::{flag, say};
use super::lesson::label;
use super::part::{Mounted, PartMissing, Place};
use super::{Page, Same};
use crate::api::Link;
use crate::model::{Action, Banner, banners, wall_clock};
use crate::text::{self, Key};
use leptos::mount::mount_to;
use leptos::prelude::*;
use leptos::wasm_split::wasm_split;
use web_sys::HtmlElement;
use wire::{Command, Rate, reasons};

/// A lost connection, and the gravest of what else there is to tell.
#[component]
pub fn Banners(page: Page, ask: Callback<Command>) -> impl IntoView {
    // One at a time: the gravest.
    let told = Memo::new(move |_| page.live.status.with(banners).into_iter().next());
    let stale = move || match page.live.link.get() {
        Link::Stale(since_ms) => Some(wall_clock(since_ms, page.zone_min.get())),
        _ => None,
    };
    let any = Memo::new(move |_| told.with(Option::is_some));
    let place = Place::new();
    Effect::new(move |_| {
        if any.get() {
            place.fill(page, move |element| mount_banners(page, ask, told, element));
        } else {
            place.clear();
        }
    });
    // The server draws them whole; in the browser they are in the page already, until the part takes their place.
    #[cfg(feature = "ssr")]
    let drawn = if any.get_untracked() { view! { <Told page ask told/> }.to_html() } else { String::new() };
    #[cfg(not(feature = "ssr"))]
    let drawn = String::new();
    view! {
        <div role="status" class="alerts">
            {move || stale().map(|time| view! {
                <div class="message bad" data-testid="stale"><strong>{page.lang.get().fill(Key::Stale, &[("time", &time)])}</strong></div>
            })}
            <div class="alerts" hidden=flag(move || !any.get()) node_ref=place.node inner_html=say(move || drawn.clone())></div>
        </div>
    }
}

#[wasm_split(banners, wasm_split_path = leptos::wasm_split, fallible)]
fn mount_banners(
    page: Page,
    ask: Callback<Command>,
    told: Memo<Option<Banner>>,
    place: HtmlElement,
) -> Result<Mounted, PartMissing> {
    place.set_inner_html("");
    Ok(Box::new(mount_to(place, move || view! { <Told page ask told/> })))
}

/// The banner.
#[component]
fn Told(page: Page, ask: Callback<Command>, told: Memo<Option<Banner>>) -> impl IntoView {
    move || {
        told.get().map(|banner| {
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
        })
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
