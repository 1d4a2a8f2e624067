//! Pods as kubectl would print them, live.
use super::Page;
use super::context::say;
use crate::model::age;
use crate::text::Key;
use leptos::prelude::*;
use wire::PodView;

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
                        {move || pods.get().into_iter().map(|pod| view! { <PodRow page pod/> }).collect_view()}
                    </tbody>
                </table>
            </Show>
        </section>
    }
}

#[component]
fn PodRow(page: Page, pod: PodView) -> impl IntoView {
    let ready = pod.is_ready();
    let ill = !ready && (pod.phase.contains("Off") || pod.phase.contains("Err"));
    let status = if pod.restarts > 0 { format!("{} ({}×)", pod.phase, pod.restarts) } else { pod.phase };
    let created_s = pod.created_s;
    let (id, name, ready_text) = (format!("pod-{}", pod.name), pod.name.clone(), pod.ready.clone());
    let age = say(move || if created_s == 0 { "–".to_owned() } else { age(created_s, page.live.now_ms.get()) });
    view! {
        <tr data-testid=id data-ready=ready_text>
            <td><code title=name>{pod.name}</code></td>
            <td>{pod.ready}</td>
            <td class:bad=ill>{status} <small class="why">{pod.why}</small></td>
            <td class="end">{age}</td>
        </tr>
    }
}
