//! What just happened: who did what when, how long it took, and the command that does the same.
use super::context::say;
use super::weights::{short_times, three_times};
use super::{Command, Page};
use crate::model::wall_clock;
use crate::text::{self, Key};
use leptos::prelude::*;
use wire::LogEntry;

/// The log, newest first.
#[component]
pub fn Log(page: Page) -> impl IntoView {
    let entries = Memo::new(move |_| page.live.status.with(|s| s.log.clone()));
    view! {
        <section class="card log-card">
            <h2>{page.t(Key::Log)}</h2>
            <Show when=move || entries.with(Vec::is_empty)><p class="muted">{page.t(Key::NoLog)}</p></Show>
            <Show when=move || entries.with(|e| !e.is_empty())>
                <ol class="log" data-testid="log" tabindex="0" aria-label=page.t(Key::Log)>
                    <For each=move || entries.get() key=|entry| entry.id let:entry>
                        {
                            let id = entry.id;
                            let now = Memo::new(move |_| entries.with(|all| all.iter().find(|e| e.id == id).cloned()).unwrap_or_else(|| entry.clone()));
                            view! { <Line page entry=now.into()/> }
                        }
                    </For>
                </ol>
            </Show>
        </section>
    }
}

#[component]
fn Line(page: Page, entry: Signal<LogEntry>) -> impl IntoView {
    let (id, at_ms, command) = entry.with_untracked(|e| (e.id, e.at_ms, e.command.clone()));
    let who = move || entry.with(|e| text::who(page.lang.get(), &e.by, &page.me.get()));
    let times = move || entry.with(|e| short_times(page, e));
    let long = move || entry.with(|e| three_times(page, e));
    let error = move || entry.with(|e| e.error.as_ref().map(|e| text::error(page.lang.get(), e).title));
    view! {
        <li data-testid=format!("log-{id}")>
            <time>{say(move || wall_clock(at_ms, page.zone_min.get()))}</time>
            <div>
                <b>{say(move || entry.with(|e| text::either(page.lang.get(), &e.what, &e.zh).to_owned()))}</b> " " <span class="muted">{who}</span>
                {move || Some(times()).filter(|t| !t.is_empty()).map(|t| view! { <span class="times" title=long>{t}</span> })}
                {move || error().map(|e| view! { <small class="bad">{page.lang.get().t(Key::FailedEntry)} ": " {e}</small> })}
                {(!command.is_empty()).then(|| view! { <Command page text=command.clone()/> })}
            </div>
        </li>
    }
}
