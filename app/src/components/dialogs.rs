//! Native dialogs: what clean-up will remove, stopping the load of everybody, and what the keys do.
//!
//! They are a part of their own, which loads when one is opened.
use super::context::{Asks, flag, say};
use super::part::{Mounted, PartMissing, Place};
use super::{Page, Same};
use crate::text::Key;
use leptos::either::EitherOf3;
use leptos::html::Dialog;
use leptos::mount::mount_to;
use leptos::prelude::*;
use leptos::wasm_split::wasm_split;
use web_sys::HtmlElement;
use wire::{Command, kinds};

/// The place of the dialogs.
#[component]
pub fn Dialogs(page: Page, ask: Callback<Command>, stop_load: Callback<()>) -> impl IntoView {
    let place = Place::new();
    Effect::new(move |_| match page.dialog.get() {
        Some(which) => place.fill(page, move |element| mount_dialog(page, ask, stop_load, which, element)),
        None => place.clear(),
    });
    view! { <div node_ref=place.node></div> }
}

#[wasm_split(dialogs, wasm_split_path = leptos::wasm_split, fallible)]
fn mount_dialog(
    page: Page,
    ask: Callback<Command>,
    stop_load: Callback<()>,
    which: Asks,
    place: HtmlElement,
) -> Result<Mounted, PartMissing> {
    let node = NodeRef::<Dialog>::new();
    let mounted = mount_to(place, move || {
        // Closed by a button, or by the Escape key.
        let closed = move |_| page.dialog.set(None);
        let title = match which {
            Asks::Keys => "keys",
            Asks::CleanUp => "cleanup",
            Asks::StopAll => "stop-all",
        };
        view! {
            <dialog node_ref=node class="card" data-testid=format!("{title}-dialog") aria-labelledby="dialog-title" on:close=closed>
                {match which {
                    Asks::Keys => EitherOf3::A(view! { <Keys page node/> }),
                    Asks::CleanUp => EitherOf3::B(view! { <CleanUp page node ask/> }),
                    Asks::StopAll => EitherOf3::C(view! { <StopAll page node stop_load/> }),
                }}
            </dialog>
        }
    });
    if let Some(dialog) = node.get_untracked() {
        let _ = dialog.show_modal();
    }
    Ok(Box::new(mounted))
}

fn close(node: NodeRef<Dialog>) {
    if let Some(dialog) = node.get_untracked() {
        dialog.close();
    }
}

/// Says what clean-up removes, and removes it when told so.
#[component]
fn CleanUp(page: Page, node: NodeRef<Dialog>, ask: Callback<Command>) -> impl IntoView {
    let text = move || page.lang.get().fill(Key::CleanText, &[("ns", &page.namespace()), ("cluster", &page.cluster())]);
    let yes = move |_| {
        close(node);
        ask.run(Command::Teardown);
    };
    view! {
        <h2 class="headline" id="dialog-title">{page.t(Key::CleanTitle)}</h2>
        <p>{say(text)}</p>
        <ul class="list">
            {move || page.live.status.with(|s| {
                let left = s.condition(kinds::CLEAN).and_then(|c| c.args.get("left")).map_or("", String::as_str);
                left.split(", ").filter(|name| !name.starts_with("pod/")).map(|name| view! { <li><code>{name.to_owned()}</code></li> }).collect_view()
            })}
            <li>{page.t(Key::CleanNamespace)} ": " <code>{say(move || page.command("teardown_namespace"))}</code></li>
        </ul>
        <p class="muted">{page.t(Key::CleanOnlyOurs)}</p>
        <Same page text=say(move || page.command("teardown"))/>
        <div class="row end">
            <button type="button" autofocus=true data-testid="cleanup-cancel" on:click=move |_| close(node)>{page.t(Key::Cancel)}</button>
            <button type="button" class="danger solid" data-testid="cleanup-confirm" disabled=flag(move || !page.may("teardown")) on:click=yes>{page.t(Key::CleanConfirm)}</button>
        </div>
    }
}

/// Says that the load of everybody stops, and stops it when told so.
#[component]
fn StopAll(page: Page, node: NodeRef<Dialog>, stop_load: Callback<()>) -> impl IntoView {
    let yes = move |_| {
        close(node);
        stop_load.run(());
    };
    view! {
        <h2 class="headline" id="dialog-title">{page.t(Key::StopAllTitle)}</h2>
        <p>{page.t(Key::StopAllText)}</p>
        <div class="row end">
            <button type="button" autofocus=true data-testid="stop-all-cancel" on:click=move |_| close(node)>{page.t(Key::Cancel)}</button>
            <button type="button" class="danger solid" data-testid="stop-all-confirm" on:click=yes>{page.t(Key::StopAllConfirm)}</button>
        </div>
    }
}

/// The list of keys.
#[component]
fn Keys(page: Page, node: NodeRef<Dialog>) -> impl IntoView {
    let keys = [
        ("← →", Key::KeyArrows),
        ("PgUp PgDn", Key::KeyPages),
        ("Home End", Key::KeyEnds),
        ("0 … 9 ⏎", Key::KeyDigits),
        ("l", Key::KeyLoad),
        ("p", Key::KeyProjector),
        ("?", Key::KeyHelp),
    ];
    view! {
        <h2 class="headline" id="dialog-title">{page.t(Key::KeysTitle)}</h2>
        <dl class="keys">
            {keys.into_iter().map(|(key, means)| view! {
                <dt><kbd>{key}</kbd></dt>
                <dd>{say(move || page.lang.get().fill(means, &[("version", "v2")]))}</dd>
            }).collect_view()}
        </dl>
        <div class="row end"><button type="button" on:click=move |_| close(node)>{page.t(Key::Close)}</button></div>
    }
}
