//! What the client's sidecars have counted themselves, beside what the load client saw.
use super::Page;
use crate::text::{Key, thousands};
use leptos::prelude::*;

/// A line a version; nothing without sidecars.
#[component]
pub fn Sidecars(page: Page) -> impl IntoView {
    let counts = Memo::new(move |_| page.live.status.with(|s| s.sidecars.clone()));
    view! {
        <section class="card" data-testid="sidecars" hidden=move || counts.with(Vec::is_empty)>
            <h2>{page.t(Key::AsSidecarsCount)}</h2>
            <dl class="kv">
                {move || counts.get().into_iter().map(|c| {
                    let failed = if c.failed == 0 { String::new() } else { format!(" · {} {}", page.lang.get().t(Key::FailedEntry), thousands(c.failed)) };
                    view! { <dt>"flaskapp " {c.version}</dt><dd>{thousands(c.requests)}{failed}</dd> }
                }).collect_view()}
            </dl>
        </section>
    }
}
