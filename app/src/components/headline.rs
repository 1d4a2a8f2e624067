//! The sentence above everything else: what is true now, and how sure that is.
use super::Page;
use super::context::{flag, say};
use crate::model::banners;
use crate::text;
use leptos::prelude::*;
use wire::Tone;

/// The sentence and its detail. The server words it, in the language of the stream.
#[component]
pub fn Headline(page: Page) -> impl IntoView {
    let said = page.live.sentence;
    let tone = move || match said.with(|said| said.tone) {
        Tone::Plain => "plain",
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    };
    // What the banner says beside its button is not said twice.
    let twice = move || {
        let banner = page.live.status.with(banners).into_iter().next();
        banner.is_some_and(|banner| said.with(|said| said.detail == text::condition(page.lang.get(), &banner.says)))
    };
    view! {
        <div class="headline-box" data-testid="headline" data-tone=say(move || tone().to_owned())>
            <p class="sentence" data-testid="verdict">{say(move || said.with(|said| said.text.clone()))}</p>
            <p class="muted" data-testid="headline-detail" class:twice=flag(twice)>{say(move || said.with(|said| said.detail.clone()))}</p>
        </div>
    }
}
