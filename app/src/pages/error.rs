//! Pages without a panel: an unknown address, and a namespace that cannot be looked at. The server alone draws them.
use crate::api;
use crate::components::ErrorBanner;
use crate::text::Key;
use leptos::prelude::*;
use wire::ApiError;

/// What an unknown address gets, with status 404.
#[component]
pub fn NotFound() -> impl IntoView {
    api::ssr::not_found();
    let lang = api::prefs().lang;
    view! {
        <main class="lonely">
            <section class="card" data-testid="not-found">
                <h1>{lang.t(Key::NotFoundTitle)}</h1>
                <p>{lang.t(Key::NotFoundText)}</p>
                <p><a class="button primary" href="/">{lang.t(Key::NotFoundLink)}</a></p>
            </section>
        </main>
    }
}

/// An error in place of the panel, with the status of its code.
#[component]
pub fn Failed(error: ApiError) -> impl IntoView {
    api::ssr::answer_with(error.clone());
    let lang = api::prefs().lang;
    view! {
        <main class="lonely">
            <h1 class="hidden">"demo-panel"</h1>
            <ErrorBanner lang=Signal::stored(lang) error=Signal::stored(Some(error))/>
            <p><a class="button" href="/">{lang.t(Key::NotFoundLink)}</a></p>
        </main>
    }
}
