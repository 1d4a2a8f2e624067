//! The mesh: a row per service and version, the worst first, and what is left of the worst one's error budget.
use super::address;
use super::budget::{BudgetLeft, BudgetOf, Burn};
use super::cell::{Drawn, FigureOf, Spark, VersionName};
use crate::model::dashboards::{Axis, clock, success_floor};
use crate::text::messages::dashboards as said;
use crate::text::{Lang, Message};
use leptos::prelude::*;
use wire::{Budget, Dashboards, Figure, Series, ServiceRow, View};

/// Columns with a number and a sparkline.
const COLUMNS: [Figure; 5] = [Figure::Rate, Figure::SuccessPercent, Figure::P50Ms, Figure::P90Ms, Figure::P99Ms];

fn heading(lang: Lang, column: Figure) -> String {
    match column {
        Figure::Rate => said::rate().said(lang).to_owned(),
        Figure::SuccessPercent => said::success().said(lang).to_owned(),
        Figure::P50Ms => "p50".to_owned(),
        Figure::P90Ms => "p90".to_owned(),
        Figure::P99Ms => "p99".to_owned(),
        other => other.name().to_owned(),
    }
}

/// The view `mesh`.
#[component]
pub fn MeshBoard(lang: Lang, shown: Dashboards) -> impl IntoView {
    let t = move |message: Message| message.said(lang).to_owned();
    let heads = COLUMNS.map(|column| view! { <th scope="col">{heading(lang, column)}</th> });
    let rows = shown.services.iter().map(|row| view! { <Service lang shown=shown.clone() row=row.clone()/> });
    let rows = rows.collect_view();
    let worst = shown.services.first().filter(|row| !row.budget_left.is_empty()).cloned();
    let below = worst.map(|row| {
        view! {
            <div class="below">
                <BudgetOf lang shown=shown.clone() row/>
                <Changes lang shown=shown.clone()/>
            </div>
        }
    });
    let any = !shown.services.is_empty();
    let table = any.then(|| view! {
        <table class="card services" data-testid="mesh">
            <thead><tr><th scope="col">{t(said::service())}</th>{heads}<th scope="col">{t(said::budget())}</th><th scope="col">{t(said::burn())}</th></tr></thead>
            {rows}
        </table>
    });
    view! {
        {table}
        {below}
    }
}

/// A service, then its versions.
#[component]
fn Service(lang: Lang, shown: Dashboards, row: ServiceRow) -> impl IntoView {
    let all = std::iter::once(&row.service).chain(row.versions.iter().map(|v| &v.version));
    let ranges = COLUMNS.map(|column| range(column, all.clone()));
    let axis = Axis::of(&shown);
    let cells = move |series: &Series| {
        let cell = |(column, range): (Figure, (f64, f64))| {
            let drawn = Drawn { axis, steps: shown.steps.clone(), range };
            view! {
                <td data-l=heading(lang, column)>
                    <div class="cell"><FigureOf lang tally=series.total of=column/><Spark series=series.clone() of=column drawn/></div>
                </td>
            }
        };
        COLUMNS.into_iter().zip(ranges).map(cell).collect_view()
    };
    let budget = move |budget: &Budget| {
        view! {
            <td data-l=said::budget().said(lang).to_owned()><BudgetLeft lang budget=budget.clone()/></td>
            <td data-l=said::burn().said(lang).to_owned()><Burn lang budget=budget.clone()/></td>
        }
    };
    let versions = row.versions.iter().enumerate().map(|(at, version)| {
        // What reached no pod comes first by name, and has no colour of its own.
        let place = at - row.versions[..at].iter().filter(|v| v.version.name.is_empty()).count();
        view! {
            <tr class=format!("ver {}", crate::components::colour(place))>
                <th scope="row"><VersionName lang name=version.version.name.clone() place/></th>
                {cells(&version.version)}
                {budget(&version.budget)}
            </tr>
        }
    });
    let versions = versions.collect_view();
    let name = row.service.name.clone();
    view! {
        <tbody>
            <tr class="svc">
                <th scope="row">{name}</th>
                {cells(&row.service)}
                {budget(&row.budget)}
            </tr>
            {versions}
        </tbody>
    }
}

/// A service and its versions share a scale.
fn range<'a>(column: Figure, all: impl Iterator<Item = &'a Series>) -> (f64, f64) {
    let values = all.flat_map(|series| series.points.iter().filter_map(|point| point.get(column)));
    let (low, high) = values.fold((f64::INFINITY, 0.0), |(low, high), v| (f64::min(low, v), f64::max(high, v)));
    match column {
        Figure::SuccessPercent => (success_floor(low.min(99.5)), 100.0),
        _ => (0.0, f64::max(high, 0.001)),
    }
}

/// Changes of the weights in the span, newest first.
#[component]
fn Changes(lang: Lang, shown: Dashboards) -> impl IntoView {
    let rows = shown.changes.iter().rev().take(12);
    let rows =
        rows.map(|change| view! { <li><time>{clock(change.at_ms)}</time> " " <b>{change.split.to_string()}</b></li> });
    let rows = rows.collect_view();
    let none =
        shown.changes.is_empty().then(|| view! { <p class="muted">{said::none_changed().said(lang).to_owned()}</p> });
    let workload = address(&shown, |query| query.view = View::Workload);
    view! {
        <section class="card chart-panel changes">
            <h2>{said::routes().said(lang).to_owned()}</h2>
            {none}
            <ol>{rows}</ol>
            <p><a href=workload>{said::by_version().said(lang).to_owned()}</a></p>
        </section>
    }
}
