//! A chart with its title, legend, axes, and the table behind it.
use super::entry::Entry;
use super::table::Rows;
use super::words;
use crate::model::dashboards::{Axis, HEIGHT, WIDTH, marks};
use crate::text::Lang;
use crate::text::messages::dashboards as said;
use leptos::prelude::*;
use wire::{RouteChange, Step};

/// A path and how it looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ink {
    /// Its classes.
    pub class: String,
    /// SVG's `d`.
    pub d: String,
}

impl Ink {
    /// A path.
    pub fn new(class: impl Into<String>, d: String) -> Ink {
        Ink { class: class.into(), d }
    }
}

/// All that a chart is drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// The time.
    pub axis: Axis,
    /// The steps, for the table.
    pub steps: Vec<Step>,
    /// Changes of the weights.
    pub changes: Vec<RouteChange>,
    /// Labels of the values: height in percent from the top, text.
    pub ticks: Vec<(f64, String)>,
    /// What is drawn, the lowest first.
    pub ink: Vec<Ink>,
    /// The legend.
    pub entries: Vec<Entry>,
}

/// A card with one chart.
#[component]
pub fn Panel(
    lang: Lang,
    /// Its name.
    title: String,
    /// What the chart does not say by itself.
    #[prop(optional)]
    hint: String,
    plot: Plot,
    /// For tests.
    id: &'static str,
) -> impl IntoView {
    let legend = plot.entries.clone();
    view! {
        <section class="card chart-panel" data-testid=id>
            <h2>{title.clone()} " " <small>{hint}</small></h2>
            <Legend lang entries=legend/>
            <Chart lang title=title.clone() plot=plot.clone()/>
            <Rows lang title=said::table_of(title).said(lang).to_owned() steps=plot.steps entries=plot.entries/>
        </section>
    }
}

/// Names, samples and numbers over the whole span.
#[component]
pub fn Legend(lang: Lang, entries: Vec<Entry>) -> impl IntoView {
    let items = entries.into_iter().map(|entry| {
        let number = view! { <super::cell::Number lang shown=entry.whole/> };
        let name = match entry.version {
            Some(place) => view! { <super::cell::VersionName lang name=entry.name place/> }.into_any(),
            None => view! { <span class=format!("sample {}", entry.sample) aria-hidden="true"></span><span>{entry.name}</span> }.into_any(),
        };
        view! { <li>{name} " " {number}</li> }
    });
    view! { <ul class="chart-legend">{items.collect_view()}</ul> }
}

/// The drawing: values at the left, time below, changes of the weights above.
#[component]
pub fn Chart(lang: Lang, title: String, plot: Plot) -> impl IntoView {
    let axis = plot.axis;
    let values = plot.ticks.iter().map(|(y, text)| view! { <text x="100%" y=format!("{y:.1}%")>{text.clone()}</text> });
    let grid: String = plot.ticks.iter().map(|(y, _)| format!("M0 {y:.1}H{WIDTH}")).collect();
    let times = axis.ticks();
    let labels = times.iter().map(|(x, text)| view! { <text x=format!("{x:.1}%") y="50%">{text.clone()}</text> });
    let marks = marks(axis, &plot.changes);
    let lines: String = marks.iter().map(|(x, _)| format!("M{:.1} 0V{HEIGHT}", x / 100.0 * WIDTH)).collect();
    let above = marks.into_iter().filter_map(|(x, text)| {
        let text = said::changed_to(text?).en;
        let class = if x > 85.0 { "left" } else { "" };
        Some(view! { <text x=format!("{x:.1}%") y="50%" class=class>{text}</text> })
    });
    // A chart without a line says why.
    let drawn = plot.ink.iter().any(|ink| !ink.d.is_empty() && ink.class != "slo");
    let why = plot.entries.iter().find_map(|entry| entry.whole.clone().err()).unwrap_or_else(said::why_no_requests);
    let empty = (!drawn).then(|| view! { <p class="empty muted">{words(lang, &why)}</p> });
    let ink = plot.ink.iter().map(|ink| view! { <path class=ink.class.clone() d=ink.d.clone()/> });
    view! {
        <div class="plot">
            <svg class="above" aria-hidden="true">{above.collect_view()}</svg>
            <svg class="values" aria-hidden="true">{values.collect_view()}</svg>
            <svg class="ink" viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" role="img" aria-label=title>
                <path class="grid" d=grid/>
                {ink.collect_view()}
                <path class="change" d=lines/>
            </svg>
            <svg class="times" aria-hidden="true">{labels.collect_view()}</svg>
            {empty}
        </div>
    }
}
