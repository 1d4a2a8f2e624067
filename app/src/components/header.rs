//! Which cluster this is, and what must never scroll away: stop load, clean up.
use super::context::{flag, say};
use super::{Page, Rates};
use crate::api::{Link, Theme};
use crate::text::Key;
use leptos::prelude::*;
use wire::kinds;

/// The top of the page.
#[component]
pub fn Header(
    page: Page,
    rates: Rates,
    clean_up: Callback<()>,
    stop_all: Callback<()>,
    help: Callback<()>,
) -> impl IntoView {
    let reachable = move || {
        page.live.status.with(|s| s.condition(kinds::CLUSTER_REACHABLE).is_none() || s.is(kinds::CLUSTER_REACHABLE))
    };
    let link = move || match page.live.link.get() {
        Link::Stale(_) => ("bad", Key::Reconnecting),
        Link::Hidden => ("idle", Key::Paused),
        Link::Live | Link::Opening if !reachable() => ("bad", Key::ClusterSilent),
        Link::Live | Link::Opening => ("good", Key::LiveNow),
    };
    let theme = move || {
        let name = page.lang.get().t(match page.theme.get() {
            Theme::Auto => Key::ThemeAuto,
            Theme::Light => Key::ThemeLight,
            Theme::Dark => Key::ThemeDark,
        });
        page.lang.get().fill(Key::Theme, &[("theme", name)])
    };
    let details = say(move || {
        let none = page.lang.get().t(Key::NoMeshHere);
        page.live.status.with(|s| {
            let mesh = if s.cluster.mesh.is_empty() && !s.cluster.version.is_empty() { none } else { &s.cluster.mesh };
            [&*s.cluster.version, mesh, &s.cluster.user]
                .into_iter()
                .filter(|t| !t.is_empty())
                .collect::<Vec<_>>()
                .join(" · ")
        })
    });
    let nothing = move || page.live.status.with(|s| s.pods.is_empty() && s.is(kinds::CLEAN));
    view! {
        <header class="top">
            <a class="skip" href="#main">{page.t(Key::SkipToMain)}</a>
            <h1>"demo-panel"</h1>
            <span class="badge" data-testid="cluster">
                <svg class="dot" viewBox="0 0 8 8" aria-hidden="true" data-state=say(move || link().0)><circle cx="4" cy="4" r="4" fill="currentColor"/></svg>
                <span class="badge-text">{say(move || page.cluster())} " · " {say(move || page.lang.get().fill(Key::NamespaceIs, &[("ns", &page.namespace())]))}</span>
                <span class="badge-text about" data-testid="about">{details}</span>
                <span class="hidden" data-testid="link">{say(move || page.lang.get().t(link().1))}</span>
            </span>
            <div class="acts">
                <button type="button" data-testid="load-stop" disabled=flag(move || !page.may("load") || rates.running.get() == 0) on:click=move |_| rates.stop.run(())>
                    {page.t(Key::StopLoad)}
                </button>
                // Never off: it must work while everything else is busy, or this page has lost its stream.
                <button type="button" data-testid="stop-all" on:click=move |_| stop_all.run(())>{page.t(Key::StopAllMore)}</button>
                <button type="button" class="danger" data-testid="cleanup" disabled=flag(move || nothing() || !page.may("teardown")) on:click=move |_| clean_up.run(())>
                    {page.t(Key::CleanUpMore)}
                </button>
            </div>
            <div class="looks">
                <a class="button quiet" data-testid="dashboards" href=say(move || format!("/dashboards?namespace={}", page.namespace()))>{page.t(Key::Dashboards)}</a>
                <a class="button quiet" data-testid="preflight" href=say(move || format!("/preflight?namespace={}", page.namespace()))>{page.t(Key::Preflight)}</a>
                <button type="button" class="quiet" data-testid="lang" lang=say(move || page.lang.get().other().tag()) on:click=move |_| page.lang.update(|l| *l = l.other())>
                    {page.t(Key::OtherLanguage)}
                </button>
                <button type="button" class="quiet icon" data-testid="theme" aria-label=theme title=theme on:click=move |_| page.theme.update(|t| *t = t.next())>
                    {say(move || match page.theme.get() { Theme::Auto => "◐", Theme::Light => "○", Theme::Dark => "●" })}
                </button>
                <button type="button" class="quiet" data-testid="projector" aria-keyshortcuts="p" on:click=move |_| page.projector.update(|on| *on = !*on)>
                    {say(move || page.lang.get().t(if page.projector.get() { Key::ProjectorOff } else { Key::Projector }))}
                </button>
                <button type="button" class="quiet icon" data-testid="keys" aria-label=page.t(Key::Keys) title=page.t(Key::Keys) aria-keyshortcuts="?" on:click=move |_| help.run(())>"?"</button>
            </div>
        </header>
    }
}
