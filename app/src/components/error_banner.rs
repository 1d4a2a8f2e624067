//! The one place where errors are shown: what failed, and what to do about it.
use crate::text::{self, Key, Lang};
use leptos::prelude::*;
use wire::ApiError;

/// An error, where there is one.
#[component]
pub fn ErrorBanner(
    lang: Signal<Lang>,
    error: Signal<Option<ApiError>>,
    #[prop(optional)] dismiss: Option<Callback<()>>,
) -> impl IntoView {
    let words = Memo::new(move |_| error.with(|e| e.as_ref().map(|e| text::error(lang.get(), e))));
    view! {
        <div role="alert" class="alerts">
            {move || words.get().map(|words| view! {
                <div class="message bad" data-testid="error">
                    <div class="grow">
                        <strong>{words.title}</strong>
                        {(!words.hint.is_empty()).then(|| view! { <p>{words.hint}</p> })}
                    </div>
                    {dismiss.map(|dismiss| view! {
                        <button type="button" class="quiet" data-testid="error-dismiss" on:click=move |_| dismiss.run(())>
                            {lang.get_untracked().t(Key::Dismiss)}
                        </button>
                    })}
                </div>
            })}
        </div>
    }
}
