//! The dashboards, as the sidecars counted: the mesh, or one workload. The server draws them; all choices are links and forms, so that
//! they are in the address. Components take plain data.
mod budget;
mod cell;
mod entry;
mod mesh;
mod panel;
mod table;
mod tools;
mod workload;

use crate::api;
use crate::text::messages::dashboards as said;
use crate::text::{Key, Lang, Message, either, per_second, percent, times, whole_percent};
use leptos::prelude::*;
use mesh::MeshBoard;
use tools::Tools;
use wire::{DashboardQuery, Dashboards, Reporter, Series, ServiceRow, View};
use workload::WorkloadPanels;

/// A live span is drawn anew after so many seconds: a step of its charts, and time to read.
const AGAIN_S: &str = "5";

/// Address of a dashboard of the same namespace, with something changed.
fn address(shown: &Dashboards, change: impl FnOnce(&mut DashboardQuery)) -> String {
    let mut query = shown.query.clone();
    change(&mut query);
    let written = query.written();
    let and = if written.is_empty() { "" } else { "&" };
    format!("/dashboards?namespace={}{and}{written}", shown.namespace)
}

/// The page `/dashboards`.
#[component]
pub fn DashboardsPage(shown: Dashboards) -> impl IntoView {
    let lang = api::prefs().lang;
    let t = move |message: Message| message.said(lang).to_owned();
    let ns = shown.namespace.clone();
    let (panel, preflight) = (format!("/?namespace={ns}"), format!("/preflight?namespace={ns}"));
    let again = shown.query.span.is_live().then(|| view! { <meta http-equiv="refresh" content=AGAIN_S/> });
    let board = match shown.workload.clone() {
        Some(board) => view! { <WorkloadPanels lang shown=shown.clone() board/> }.into_any(),
        None => view! { <MeshBoard lang shown=shown.clone()/> }.into_any(),
    };
    view! {
        {again}
        <header class="top">
            <h1><a href=panel.clone()>"demo-panel"</a></h1>
            <span class="badge"><span class="badge-text">{lang.fill(Key::NamespaceIs, &[("ns", ns.as_str())])}</span></span>
            <nav class="places">
                <a href=panel data-testid="back">{t(said::learn())}</a>
                <a href=address(&shown, |_| {}) aria-current="page">{t(said::title())}</a>
                <a href=preflight>{t(said::preflight())}</a>
            </nav>
        </header>
        <main class="dashboards" data-testid="dashboards-page">
            <Tools lang shown=shown.clone()/>
            <Headline lang shown=shown.clone()/>
            {board}
            <p class="muted counted">{t(counted(&shown))}</p>
        </main>
    }
}

/// Where the numbers are from.
fn counted(shown: &Dashboards) -> Message {
    let from = if shown.source == "sidecars" { said::from_sidecars() } else { Message::from(&shown.source) };
    let metrics = Message::listed(shown.metrics.iter().map(Message::from));
    if metrics.is_empty() { Message::default() } else { said::counted(metrics, from) }
}

/// What is known at a glance: it begins with what fails.
#[component]
fn Headline(lang: Lang, shown: Dashboards) -> impl IntoView {
    let (tone, line, detail) = headline(lang, &shown);
    let age = shown.age_ms.filter(|_| shown.query.span.is_live()).map(|ms| said::age(seconds(ms)));
    let detail = Message::between(detail.into_iter().chain(age), " · ", " · ");
    view! {
        <section class="summary">
            <h2 class="headline" data-testid="headline" data-tone=tone>{line.said(lang).to_owned()}</h2>
            <p class="muted" data-testid="headline-detail">{detail.said(lang).to_owned()}</p>
        </section>
    }
}

/// `0.4`: an age in seconds.
fn seconds(ms: u64) -> String {
    if ms < 10_000 { format!("{:.1}", ms as f64 / 1_000.0) } else { (ms / 1_000).to_string() }
}

fn headline(lang: Lang, shown: &Dashboards) -> (&'static str, Message, Vec<Message>) {
    if shown.steps.is_empty() {
        return ("plain", said::nothing_read(), vec![said::nothing_read_hint()]);
    }
    match (shown.query.view, &shown.workload) {
        (View::Workload, Some(board)) if board.all.total.requests > 0 => {
            let reporter = match shown.query.reporter {
                Reporter::Source => said::counted_at_source(),
                Reporter::Destination => said::counted_at_destination(),
            };
            workload_line(lang, &board.name, board.inbound, &board.all, reporter, shown)
        }
        (View::Mesh, _) if shown.services.iter().any(|row| row.service.total.requests > 0) => {
            mesh_line(lang, &shown.services, shown.query.slo.percent())
        }
        _ => ("plain", said::no_request_yet(), vec![said::no_request_hint()]),
    }
}

fn mesh_line(lang: Lang, rows: &[ServiceRow], slo: f64) -> (&'static str, Message, Vec<Message>) {
    let below = |row: &&ServiceRow| row.service.total.success_percent.is_some_and(|success| success < slo);
    let worst = rows.iter().find(below).or(rows.first());
    let Some(worst) = worst else { return ("plain", said::no_request_yet(), Vec::new()) };
    let (name, total) = (worst.service.name.as_str(), worst.service.total);
    let rate = times(worst.budget.burn_rate.unwrap_or(0.0));
    let budget = match worst.budget.left_percent {
        Some(left) if left > 0.0 => said::budget_left(name, whole_percent(lang, left), rate.as_str()),
        Some(_) => said::budget_spent(name, rate.as_str()),
        None => Message::default(),
    };
    let detail = [budget, said::counted_at_source()].into_iter().filter(|clause| !clause.is_empty()).collect();
    if below(&worst) {
        let share = percent(lang, 100.0 * total.failed as f64 / total.requests.max(1) as f64);
        return ("bad", said::fails(name, share), detail);
    }
    if worst.budget.burn_rate.is_some_and(|burn| burn > 1.0) {
        return ("bad", said::burns(name, rate.as_str()), detail);
    }
    ("good", if rows.len() > 1 { said::all_keep() } else { said::one_keeps(name) }, detail)
}

fn workload_line(
    lang: Lang,
    name: &str,
    inbound: bool,
    all: &Series,
    reporter: Message,
    shown: &Dashboards,
) -> (&'static str, Message, Vec<Message>) {
    let total = all.total;
    let (rate, success) =
        (per_second(lang, total.rate.unwrap_or_default()), percent(lang, total.success_percent.unwrap_or_default()));
    let line = if inbound { said::answers(name, rate, success) } else { said::sends(name, rate, success) };
    let slowest = crate::text::figure(lang, &total, wire::Figure::P99Ms).ok().map(said::slowest);
    let weights = shown.changes.last().map(|change| said::weights(change.split.to_string()));
    let below = total.success_percent.is_some_and(|success| success < shown.query.slo.percent());
    let detail = slowest.into_iter().chain(weights).chain([reporter]).collect();
    (if below { "bad" } else { "good" }, line, detail)
}

/// The name of a version, or what stands for one that is not known.
fn version_name(lang: Lang, name: &str) -> String {
    if name.is_empty() { said::no_pod().said(lang).to_owned() } else { name.to_owned() }
}

/// The server's words in the page's language.
fn words(lang: Lang, message: &Message) -> String {
    either(lang, &message.en, &message.zh).to_owned()
}
