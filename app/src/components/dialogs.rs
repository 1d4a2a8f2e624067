//! Native dialogs: what clean-up will remove, and what the keys do.
use super::context::{flag, say};
use super::{Page, Same};
use crate::text::Key;
use leptos::html::Dialog;
use leptos::prelude::*;
use wire::kinds;

fn close(node: NodeRef<Dialog>) {
    if let Some(dialog) = node.get_untracked() {
        dialog.close();
    }
}

/// Says what clean-up removes, and removes it when told so.
#[component]
pub fn CleanUpDialog(page: Page, node: NodeRef<Dialog>, confirm: Callback<()>) -> impl IntoView {
    let text = move || page.lang.get().fill(Key::CleanText, &[("ns", &page.namespace()), ("cluster", &page.cluster())]);
    let yes = move |_| {
        close(node);
        confirm.run(());
    };
    view! {
        <dialog node_ref=node class="card" data-testid="cleanup-dialog" aria-labelledby="clean-title">
            <h2 class="headline" id="clean-title">{page.t(Key::CleanTitle)}</h2>
            <p>{text}</p>
            <ul class="list">
                {move || page.live.status.with(|s| {
                    let left = s.condition(kinds::CLEAN).and_then(|c| c.args.get("left")).map_or("", String::as_str);
                    left.split(", ").filter(|name| !name.starts_with("pod/")).map(|name| view! { <li><code>{name.to_owned()}</code></li> }).collect_view()
                })}
                <li>{page.t(Key::CleanNamespace)} <code>{say(move || page.command("teardown_namespace"))}</code></li>
            </ul>
            <p class="muted">{page.t(Key::CleanOnlyOurs)}</p>
            <Same page text=say(move || page.command("teardown"))/>
            <div class="row end">
                <button type="button" autofocus=true data-testid="cleanup-cancel" on:click=move |_| close(node)>{page.t(Key::Cancel)}</button>
                <button type="button" class="danger solid" data-testid="cleanup-confirm" disabled=flag(move || !page.may("teardown")) on:click=yes>{page.t(Key::CleanConfirm)}</button>
            </div>
        </dialog>
    }
}

/// Says that the load of everybody stops, and stops it when told so.
#[component]
pub fn StopAllDialog(page: Page, node: NodeRef<Dialog>, confirm: Callback<()>) -> impl IntoView {
    let yes = move |_| {
        close(node);
        confirm.run(());
    };
    view! {
        <dialog node_ref=node class="card" data-testid="stop-all-dialog" aria-labelledby="stop-all-title">
            <h2 class="headline" id="stop-all-title">{page.t(Key::StopAllTitle)}</h2>
            <p>{page.t(Key::StopAllText)}</p>
            <div class="row end">
                <button type="button" autofocus=true data-testid="stop-all-cancel" on:click=move |_| close(node)>{page.t(Key::Cancel)}</button>
                <button type="button" class="danger solid" data-testid="stop-all-confirm" on:click=yes>{page.t(Key::StopAllConfirm)}</button>
            </div>
        </dialog>
    }
}

/// The list of keys.
#[component]
pub fn KeysDialog(page: Page, node: NodeRef<Dialog>) -> impl IntoView {
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
        <dialog node_ref=node class="card" data-testid="keys-dialog" aria-labelledby="keys-title">
            <h2 class="headline" id="keys-title">{page.t(Key::KeysTitle)}</h2>
            <dl class="keys">
                {keys.into_iter().map(|(key, means)| view! {
                    <dt><kbd>{key}</kbd></dt>
                    <dd>{say(move || page.lang.get().fill(means, &[("version", "v2")]))}</dd>
                }).collect_view()}
            </dl>
            <div class="row end"><button type="button" on:click=move |_| close(node)>{page.t(Key::Close)}</button></div>
        </dialog>
    }
}
