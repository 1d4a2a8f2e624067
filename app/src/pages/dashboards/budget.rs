//! The error budget: what is left of it, how fast it burns, and how that came.
use super::entry::Entry;
use super::panel::{Ink, Panel, Plot};
use crate::model::dashboards::{Axis, HEIGHT, Scale, WIDTH, line};
use crate::text::messages::dashboards as said;
use crate::text::{Lang, allowed, objective, thousands, times, whole_percent};
use leptos::prelude::*;
use wire::{BUDGET_S, Budget, Dashboards, ServiceRow, Step};

/// The curve goes no deeper than this: a budget that is spent ten times would hide how it was spent.
const DEEPEST: f64 = -50.0;

/// A meter, a number, and the failures that it comes from.
#[component]
pub fn BudgetLeft(lang: Lang, budget: Budget) -> impl IntoView {
    let Some(left) = budget.left_percent else {
        return view! { <super::cell::Number lang shown=Err(said::why_no_requests())/> }.into_any();
    };
    let over = left < 0.0;
    let number = if over { said::spent().said(lang).to_owned() } else { whole_percent(lang, left) };
    let failures = said::failures(thousands(budget.failed), allowed(budget.allowed)).said(lang).to_owned();
    view! {
        <div class="left" class:over=over>
            <svg class="meter" viewBox="0 0 100 9" preserveAspectRatio="none" aria-hidden="true"><rect width=format!("{:.1}", left.max(0.0)) height="9"/></svg>
            <b>{number}</b>
            <small>{failures}</small>
        </div>
    }
    .into_any()
}

/// How fast it burns.
#[component]
pub fn Burn(lang: Lang, budget: Budget) -> impl IntoView {
    let over = budget.burn_rate.is_some_and(|burn| burn > 1.0);
    let shown = budget.burn_rate.map(times).ok_or_else(said::why_no_requests);
    view! { <span class="burn" class:over=over><super::cell::Number lang shown/></span> }
}

/// What was left over the last hour.
#[component]
pub fn BudgetOf(lang: Lang, shown: Dashboards, row: ServiceRow) -> impl IntoView {
    let axis = Axis::of(&shown).ending_with(u64::from(BUDGET_S));
    // A point is what was left at the end of its step.
    let steps: Vec<Step> = row
        .budget_left
        .iter()
        .map(|point| Step { from_ms: point.at_ms.saturating_sub(30_000), to_ms: point.at_ms })
        .collect();
    let lowest = row.budget_left.iter().map(|point| point.left_percent).fold(0.0, f64::min);
    let scale = if lowest < 0.0 { Scale::linear(DEEPEST, 100.0, 6) } else { Scale::linear(0.0, 100.0, 4) };
    let values: Vec<Option<f64>> = row.budget_left.iter().map(|point| Some(point.left_percent.max(DEEPEST))).collect();
    let even = format!("M0 {:.1}L{WIDTH} {:.1}", scale.y(100.0), scale.y(0.0));
    let ticks = scale.ticks(7).into_iter().map(|v| (scale.y(v) / HEIGHT * 100.0, whole_percent(lang, v))).collect();
    let left = |value: f64| whole_percent(lang, value);
    let name = row.service.name.clone();
    let plot = Plot {
        axis,
        changes: Vec::new(),
        ticks,
        ink: vec![Ink::new("slo", even), Ink::new("line strong", line(axis, &scale, &steps, &values))],
        entries: vec![Entry {
            name: name.clone(),
            sample: "line".to_owned(),
            version: None,
            whole: row.budget.left_percent.map(left).ok_or_else(said::why_no_requests),
            steps: row.budget_left.iter().map(|point| Ok(left(point.left_percent))).collect(),
        }],
        steps,
    };
    let hint = said::budget_hint(objective(lang, shown.query.slo)).said(lang).to_owned();
    view! { <Panel lang title=said::budget_of(name).said(lang).to_owned() hint plot id="budget"/> }
}
