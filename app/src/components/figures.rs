//! What it means: one sentence with its uncertainty; then the versions side by side, the rate, what failed. The server draws them,
//! see [`super::figures_html`]: what only it computes costs no code here.
use super::Page;
use super::context::say;
use crate::text::Key;
use leptos::prelude::*;

/// The verdict and the figures under it.
#[component]
pub fn Numbers(page: Page) -> impl IntoView {
    let live = page.live;
    view! {
        <section class="card numbers">
            <h2>{page.t(Key::Verdict)}</h2>
            <div inner_html=say(move || live.board.get())></div>
            <details class="same">
                <summary>{page.t(Key::WholeRun)}</summary>
                <div inner_html=say(move || live.whole.get())></div>
            </details>
        </section>
    }
}
