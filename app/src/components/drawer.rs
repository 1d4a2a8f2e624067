//! The drawer at the foot of the page: activity, pods, numbers. Closed by default; what is open is kept for the next visit.
//!
//! What it shows is a part of its own, which loads when the drawer is opened.
use super::context::{flag, say};
use super::part::{Mounted, PartMissing, Place};
use super::{Log, Numbers, Page, Pods};
use crate::api::Tab;
use crate::text::Key;
use leptos::either::EitherOf4;
use leptos::mount::mount_to;
use leptos::prelude::*;
use leptos::wasm_split::wasm_split;
use web_sys::HtmlElement;

/// The tabs, and the place of what the open one shows.
#[component]
pub fn Drawer(page: Page) -> impl IntoView {
    let tab = move |tab: Tab| {
        let open = move || page.drawer.get() == Some(tab);
        let key = match tab {
            Tab::Numbers => Key::Numbers,
            Tab::Pods => Key::Pods,
            Tab::Activity => Key::Log,
        };
        view! {
            <button type="button" class="quiet" data-testid=format!("drawer-{}", tab.name()) aria-expanded=say(move || if open() { "true" } else { "false" }) aria-controls="drawer"
                on:click=move |_| page.drawer.update(|shown| *shown = if *shown == Some(tab) { None } else { Some(tab) })>
                {page.t(key)}
            </button>
        }
    };
    let place = Place::new();
    let is_open = Memo::new(move |_| page.drawer.get().is_some());
    Effect::new(move |_| {
        if is_open.get() {
            place.fill(page, move |element| mount_drawer(page, element));
        } else {
            place.clear();
        }
    });
    // The server draws it whole, for who has no script; in the browser it is in the page already.
    #[cfg(feature = "ssr")]
    let drawn = if is_open.get_untracked() { view! { <Open page/> }.to_html() } else { String::new() };
    #[cfg(not(feature = "ssr"))]
    let drawn = String::new();
    view! {
        <section class="drawer" aria-label=page.t(Key::Drawer) data-testid="drawer">
            <div class="tabs">{Tab::ALL.map(tab)}</div>
            <div class="drawn-out" id="drawer" hidden=flag(move || !is_open.get()) node_ref=place.node inner_html=say(move || drawn.clone())></div>
        </section>
    }
}

#[wasm_split(drawer, wasm_split_path = leptos::wasm_split, fallible)]
fn mount_drawer(page: Page, place: HtmlElement) -> Result<Mounted, PartMissing> {
    place.set_inner_html("");
    Ok(Box::new(mount_to(place, move || view! { <Open page/> })))
}

/// What the open tab shows.
#[component]
fn Open(page: Page) -> impl IntoView {
    move || match page.drawer.get() {
        Some(Tab::Numbers) => EitherOf4::A(view! { <Numbers page/> }),
        Some(Tab::Pods) => EitherOf4::B(view! { <Pods page/> }),
        Some(Tab::Activity) => EitherOf4::C(view! { <Log page/> }),
        None => EitherOf4::D(()),
    }
}
