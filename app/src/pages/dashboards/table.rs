//! The table behind a chart: the same numbers, newest first.
use super::cell::Number;
use super::entry::Entry;
use crate::model::dashboards::clock;
use crate::text::Lang;
use crate::text::messages::dashboards as said;
use leptos::prelude::*;
use wire::Step;

/// Folded until somebody opens it.
#[component]
pub fn Rows(lang: Lang, title: String, steps: Vec<Step>, entries: Vec<Entry>) -> impl IntoView {
    let heads = entries.iter().map(|entry| {
        let name = if entry.version.is_some() { super::version_name(lang, &entry.name) } else { entry.name.clone() };
        view! { <th scope="col">{name}</th> }
    });
    let heads = heads.collect_view();
    let rows = steps.iter().enumerate().rev().map(|(at, step)| {
        let cells = entries.iter().map(|entry| {
            let shown = entry.steps.get(at).cloned().unwrap_or_else(|| Err(said::why_nothing_read()));
            view! { <td><Number lang shown/></td> }
        });
        view! { <tr><th scope="row">{clock(step.from_ms)}</th>{cells.collect_view()}</tr> }
    });
    let rows = rows.collect_view();
    view! {
        <details class="behind">
            <summary>{title}</summary>
            <div class="rows" tabindex="0">
                <table>
                    <thead><tr><th scope="col">{said::time().said(lang).to_owned()}</th>{heads}</tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </details>
    }
}
