//! A kubectl command with a button that copies it.
use super::Page;
use super::context::{flag, say};
use crate::api;
use crate::text::Key;
use leptos::prelude::*;
use std::time::Duration;

/// The command that does the same as a button, folded away. Nothing where there is none.
#[component]
pub fn Same(page: Page, #[prop(into)] text: Signal<String>) -> impl IntoView {
    view! {
        <details class="same" hidden=flag(move || text.with(String::is_empty))>
            <summary>{page.t(Key::SameByKubectl)}</summary>
            <Command page text/>
        </details>
    }
}

/// One line of code, cut short by the room there is, copied whole.
#[component]
pub fn Command(page: Page, #[prop(into)] text: Signal<String>) -> impl IntoView {
    let copied = RwSignal::new(false);
    let code = NodeRef::<leptos::html::Code>::new();
    let copy = move |_| {
        leptos::task::spawn_local(async move {
            if api::copy(&text.get_untracked()).await {
                copied.set(true);
                set_timeout(move || copied.set(false), Duration::from_millis(1500));
            } else if let (Some(code), Ok(Some(selection))) = (code.get_untracked(), window().get_selection()) {
                // Not copied: selected, so that the person's own copy key takes it.
                let _ = selection.select_all_children(&code);
            }
        });
    };
    view! {
        <span class="command">
            <code node_ref=code title=text>{text}</code>
            <button type="button" class="quiet small" on:click=copy aria-label=say(move || page.lang.get().fill(Key::CopyCommand, &[("command", &text.get())]))>
                {say(move || page.lang.get().t(if copied.get() { Key::Copied } else { Key::Copy }))}
            </button>
        </span>
    }
}
