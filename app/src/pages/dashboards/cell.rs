//! Small parts: a number or a dash with its reason, a sparkline, a version's name with its shape.
use super::{version_name, words};
use crate::components::{Symbol, colour};
use crate::model::dashboards::{Axis, HEIGHT, WIDTH, spark};
use crate::text::{Lang, Message, figure};
use leptos::prelude::*;
use wire::{Figure, Series, Step, Tally};

/// A number; where it is not known, a dash that says why.
#[component]
pub fn Number(lang: Lang, shown: Result<String, Message>) -> impl IntoView {
    match shown {
        Ok(number) => view! { <b>{number}</b> }.into_any(),
        Err(why) => {
            let (why, shown) = (words(lang, &why), words(lang, &why));
            view! { <span class="unknown" tabindex="0" data-why=shown>"—"<span class="hidden">{why}</span></span> }
                .into_any()
        }
    }
}

/// One number of a tally.
#[component]
pub fn FigureOf(lang: Lang, tally: Tally, of: Figure) -> impl IntoView {
    view! { <Number lang shown=figure(lang, &tally, of)/> }
}

/// A series' name as a version: with its colour and shape by its place; without one where it has no name.
#[component]
pub fn VersionName(lang: Lang, name: String, place: usize) -> impl IntoView {
    let known = !name.is_empty();
    let symbol = known.then(|| view! { <Symbol place/> " " });
    let class = if known { colour(place) } else { "muted" };
    view! { <span class=format!("version {class}")>{symbol}<span>{version_name(lang, &name)}</span></span> }
}

/// What a sparkline is drawn with.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The time.
    pub axis: Axis,
    /// The steps.
    pub steps: Vec<Step>,
    /// Lowest and highest value.
    pub range: (f64, f64),
}

/// A line without labels: the number beside it says what it is.
#[component]
pub fn Spark(series: Series, of: Figure, drawn: Drawn) -> impl IntoView {
    let values: Vec<Option<f64>> = series.points.iter().map(|point| point.get(of)).collect();
    let known = values.iter().flatten().count();
    // A percentile that is known now and then makes no line.
    let path =
        (known * 2 > values.len()).then(|| spark(drawn.axis, &drawn.steps, &values, drawn.range.0, drawn.range.1));
    view! {
        <svg class="spark" viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" aria-hidden="true">
            <path class="base" d=format!("M0 {HEIGHT}H{WIDTH}")/>
            {path.map(|d| view! { <path class="line" d=d/> })}
        </svg>
    }
}
