//! Pods as kubectl would print them, live.
use super::page::{flag, say};
use super::Page;
use crate::model::age;
use crate::text::Key;
use crate::types::PodView;
use leptos::prelude::*;

/// The table of pods.
#[component]
pub fn Pods(page: Page) -> impl IntoView {
    let pods = Memo::new(move |_| page.live.status.with(|s| s.pods.clone()));
    view! {
        <section class="card pods" data-testid="pods">
            <h2>{page.t(Key::Pods)}</h2>
            <Show when=move || pods.with(Vec::is_empty)><p class="muted">{say(move || page.lang.get().fill(Key::NoPods, &[("ns", &page.namespace())]))}</p></Show>
            <Show when=move || pods.with(|p| !p.is_empty())>
                <table>
                    <thead>
                        <tr>
                            <th scope="col">{page.t(Key::PodName)}</th>
                            <th scope="col">{page.t(Key::PodReady)}</th>
                            <th scope="col">{page.t(Key::PodStatus)}</th>
                            <th scope="col" class="end">{page.t(Key::PodAge)}</th>
                        </tr>
                    </thead>
                    <tbody>
                        <For each=move || pods.get() key=|pod| pod.name.clone() let:pod>
                            {
                                let name = pod.name.clone();
                                let now = Memo::new(move |_| pods.with(|p| p.iter().find(|p| p.name == name).cloned()).unwrap_or_else(|| pod.clone()));
                                view! { <PodRow page pod=now.into()/> }
                            }
                        </For>
                    </tbody>
                </table>
            </Show>
        </section>
    }
}

#[component]
fn PodRow(page: Page, pod: Signal<PodView>) -> impl IntoView {
    let ready = move || pod.with(|p| p.ready.split_once('/').is_some_and(|(a, b)| a == b && a != "0"));
    let status = move || pod.with(|p| if p.restarts > 0 { format!("{} ({}×)", p.phase, p.restarts) } else { p.phase.clone() });
    let name = pod.with_untracked(|p| p.name.clone());
    view! {
        <tr data-testid=format!("pod-{name}") data-ready=say(move || pod.with(|p| p.ready.clone()))>
            <td><code title=name.clone()>{name.clone()}</code></td>
            <td>{say(move || pod.with(|p| p.ready.clone()))}</td>
            <td class:bad=flag(move || !ready() && pod.with(|p| p.phase.contains("Off") || p.phase.contains("Err")))>
                {status}
                {move || pod.with(|p| (!p.why.is_empty()).then(|| view! { <small class="why">{p.why.clone()}</small> }))}
            </td>
            <td class="end">{say(move || pod.with(|p| if p.created_s == 0 { "–".to_owned() } else { age(p.created_s, page.live.now_ms.get()) }))}</td>
        </tr>
    }
}
