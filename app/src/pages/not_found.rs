//! What an unknown address gets, with status 404.
use crate::text::Key;
use leptos::prelude::*;

/// The page for unknown addresses.
#[component]
pub fn NotFound() -> impl IntoView {
    #[cfg(feature = "ssr")]
    crate::api::ssr::not_found();
    let lang = crate::api::prefs().lang;
    view! {
        <main class="lonely">
            <section class="card" data-testid="not-found">
                <h1>{lang.t(Key::NotFoundTitle)}</h1>
                <p>{lang.t(Key::NotFoundText)}</p>
                <p><a class="button primary" href="/" rel="external">{lang.t(Key::NotFoundLink)}</a></p>
            </section>
        </main>
    }
}
