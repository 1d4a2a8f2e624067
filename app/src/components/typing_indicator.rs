//! Digits as they are typed, large enough for the back row.
use super::Page;
use crate::text::Key;
use leptos::prelude::*;

/// Shown while digits wait for Enter.
#[component]
pub fn Toast(page: Page) -> impl IntoView {
    view! {
        <div class="toasts" role="status">
            {move || Some(page.typed.get()).filter(|t| !t.is_empty()).map(|typed| view! {
                <div class="toast" data-testid="typing">{page.lang.get().fill(Key::Typing, &[("version", "v2"), ("n", &typed)])}</div>
            })}
        </div>
    }
}
