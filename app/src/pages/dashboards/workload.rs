//! One workload: six charts over the same time.
use super::entry::Entry;
use super::panel::{Ink, Panel, Plot};
use crate::components::colour;
use crate::model::dashboards::{Axis, HEIGHT, Scale, Stacked, areas, bars, heat, level, line, success_floor};
use crate::text::messages::dashboards as said;
use crate::text::{Lang, Message, bytes, figure, milliseconds, objective, per_second, percent, thousands, within};
use leptos::prelude::*;
use wire::{Dashboards, Figure, Series, WorkloadBoard};

/// Percentiles, and how their lines look.
const PERCENTILES: [(Figure, &str, &str); 3] = [
    (Figure::P50Ms, "p50", "line strong"),
    (Figure::P90Ms, "p90", "line dashed"),
    (Figure::P99Ms, "p99", "line dotted"),
];
/// Labels of values that have room.
const LABELS: usize = 6;

/// What all charts of the view are drawn from.
#[derive(Clone, Copy)]
struct Cx<'a> {
    lang: Lang,
    shown: &'a Dashboards,
    board: &'a WorkloadBoard,
    axis: Axis,
}

/// The view `workload`.
#[component]
pub fn WorkloadPanels(lang: Lang, shown: Dashboards, board: WorkloadBoard) -> impl IntoView {
    let t = |message: Message| message.said(lang).to_owned();
    let cx = Cx { lang, shown: &shown, board: &board, axis: Axis::of(&shown) };
    let slo = objective(lang, shown.query.slo);
    let (floor, success) = success(cx);
    let axis_hint = if floor > 0.0 { t(said::axis_hint(percent(lang, floor))) } else { String::new() };
    let success_hint = [t(said::success_hint(slo)), axis_hint].into_iter().filter(|h| !h.is_empty());
    let success_hint = success_hint.collect::<Vec<_>>().join(" · ");
    let (most, duration) = duration(cx);
    let heat_hint = if most > 0 { t(said::heat_hint(thousands(most))) } else { String::new() };
    let peers = [(said::inbound(), &board.sources, "inbound"), (said::outbound(), &board.destinations, "outbound")];
    let peers = peers.into_iter().filter(|(_, series, _)| !series.is_empty());
    let peers = peers
        .map(|(title, series, id)| view! { <Panel lang title=t(title) plot=by_peer(cx, series) id/> })
        .collect_view();
    view! {
        <svg class="hidden" aria-hidden="true">
            // As wide and high as the pattern looks square in a chart that is stretched.
            <pattern id="hatch" width="16" height="5" patternUnits="userSpaceOnUse">
                <path d="M0 5L16 0M-4 1.25L4 -1.25M12 6.25L20 3.75"/>
            </pattern>
        </svg>
        <div class="panels">
            <Panel lang title=t(said::by_version()) plot=by_version(cx) id="rate"/>
            <Panel lang title=t(said::success()) hint=success_hint plot=success id="success"/>
            <Panel lang title=t(said::duration()) hint=heat_hint plot=duration id="duration"/>
            <Panel lang title=t(said::codes()) plot=codes(cx) id="codes"/>
            <Panel lang title=t(said::size()) hint=t(said::size_hint()) plot=sizes(cx) id="size"/>
            {peers}
        </div>
        <Buckets lang board=board.clone()/>
    }
}

impl Cx<'_> {
    /// A chart without anything in it yet.
    fn plot(self, scale: &Scale, tick: impl Fn(f64) -> String, entries: Vec<Entry>) -> Plot {
        Plot {
            axis: self.axis,
            steps: self.shown.steps.clone(),
            changes: self.shown.changes.clone(),
            ticks: scale.ticks(LABELS).into_iter().map(|v| (scale.y(v) / HEIGHT * 100.0, tick(v))).collect(),
            ink: Vec::new(),
            entries,
        }
    }

    fn entry(self, name: &str, sample: &str, version: Option<usize>, series: &Series, of: Figure) -> Entry {
        Entry {
            name: name.to_owned(),
            sample: sample.to_owned(),
            version,
            whole: figure(self.lang, &series.total, of),
            steps: series.points.iter().map(|point| figure(self.lang, point, of)).collect(),
        }
    }

    /// Versions with their places; what reached no pod has none.
    fn versions(self) -> Vec<(Option<usize>, &'static str, Series)> {
        let mut next = 0;
        let mut place = |series: &Series| {
            if series.name.is_empty() {
                return (None, "none");
            }
            next += 1;
            (Some(next - 1), colour(next - 1))
        };
        self.board.versions.iter().map(|series| (place(series), series)).map(|((p, c), s)| (p, c, s.clone())).collect()
    }

    fn name(self, version: &str) -> String {
        super::version_name(self.lang, version)
    }
}

fn values(series: &Series, of: Figure) -> Vec<Option<f64>> {
    series.points.iter().map(|point| point.get(of)).collect()
}

fn highest<'a>(series: impl IntoIterator<Item = &'a Series>, of: Figure) -> f64 {
    let points = series.into_iter().flat_map(|series| &series.points);
    points.filter_map(|point| point.get(of)).fold(0.0, f64::max)
}

fn by_version(cx: Cx<'_>) -> Plot {
    let versions = cx.versions();
    let rates: Vec<Vec<Option<f64>>> = versions.iter().map(|(.., series)| values(series, Figure::Rate)).collect();
    let stacked = Stacked::new(&rates);
    let scale = Scale::linear(0.0, stacked.most(), 4);
    let entries = versions.iter().map(|(place, _, series)| {
        let name = if place.is_some() { series.name.clone() } else { cx.name("") };
        cx.entry(&name, "box none", *place, series, Figure::Rate)
    });
    let mut plot = cx.plot(&scale, |v| per_second(cx.lang, v), entries.collect());
    let fills = areas(cx.axis, &scale, &cx.shown.steps, &stacked);
    for ((place, class, _), d) in versions.iter().zip(fills) {
        plot.ink.push(Ink::new(format!("area {class}"), d.clone()));
        // The second version is told by more than its colour.
        plot.ink.extend((*place == Some(1)).then(|| Ink::new("hatched", d)));
    }
    for ((_, class, _), layer) in versions.iter().zip(&stacked.layers) {
        let tops: Vec<Option<f64>> = layer.iter().map(|layer| layer.map(|(_, high)| high)).collect();
        plot.ink.push(Ink::new(format!("line {class}"), line(cx.axis, &scale, &cx.shown.steps, &tops)));
    }
    plot
}

/// The chart, and where its axis begins.
fn success(cx: Cx<'_>) -> (f64, Plot) {
    let versions = cx.versions();
    let all = || versions.iter().flat_map(|(.., series)| values(series, Figure::SuccessPercent)).flatten();
    let floor = success_floor(all().fold(99.5_f64.min(cx.shown.query.slo.percent()), f64::min));
    let scale = Scale::linear(floor, 100.0, 2);
    let entries = versions.iter().map(|(place, _, series)| {
        let name = if place.is_some() { series.name.clone() } else { cx.name("") };
        cx.entry(&name, "box none", *place, series, Figure::SuccessPercent)
    });
    let mut plot = cx.plot(&scale, |v| percent(cx.lang, v), entries.collect());
    plot.ink.push(Ink::new("slo", level(&scale, cx.shown.query.slo.percent())));
    for (_, class, series) in &versions {
        let d = line(cx.axis, &scale, &cx.shown.steps, &values(series, Figure::SuccessPercent));
        plot.ink.push(Ink::new(format!("line {class}"), d));
    }
    (floor, plot)
}

/// The chart, and the most requests of a cell.
fn duration(cx: Cx<'_>) -> (u64, Plot) {
    let histogram = &cx.board.histogram;
    let scale = Scale::buckets(&histogram.bounds_ms, &histogram.counts);
    let entries = PERCENTILES.map(|(of, name, sample)| cx.entry(name, sample, None, &cx.board.all, of));
    let mut plot = cx.plot(&scale, milliseconds, entries.to_vec());
    let (shades, most) = heat(cx.axis, &scale, &cx.shown.steps, &histogram.bounds_ms, &histogram.steps);
    let shades = shades.into_iter().enumerate().filter(|(_, d)| !d.is_empty());
    plot.ink = shades.map(|(at, d)| Ink::new(format!("heat h{}", at + 1), d)).collect();
    for (of, _, class) in PERCENTILES {
        // A bucket's bounds are known, a value within is not.
        let known = cx.board.all.points.iter().map(|point| point.get(of).filter(|_| point.bucket_ms.is_none()));
        let d = line(cx.axis, &scale, &cx.shown.steps, &known.collect::<Vec<_>>());
        plot.ink.extend([Ink::new("under", d.clone()), Ink::new(class, d)]);
    }
    (most, plot)
}

/// Failures lie at the foot, where they are seen.
fn codes(cx: Cx<'_>) -> Plot {
    let class = |code: &str| match code.as_bytes().first() {
        Some(b'5') | Some(b'0') => "code5",
        Some(b'4') => "code4",
        Some(b'3') => "code3",
        _ => "code2",
    };
    let mut series: Vec<&Series> = cx.board.codes.iter().collect();
    series.sort_by_key(|series| std::cmp::Reverse((class(&series.name), series.name.clone())));
    let rates: Vec<Vec<Option<f64>>> = series.iter().map(|series| values(series, Figure::Rate)).collect();
    let stacked = Stacked::new(&rates);
    let scale = Scale::linear(0.0, stacked.most(), 4);
    let entries = series.iter().map(|series| {
        let name = if series.name == "0" { said::no_answer().said(cx.lang).to_owned() } else { series.name.clone() };
        cx.entry(&name, &format!("box {}", class(&series.name)), None, series, Figure::Rate)
    });
    let mut plot = cx.plot(&scale, |v| per_second(cx.lang, v), entries.collect());
    let seen: Vec<bool> = series.iter().map(|series| class(&series.name) != "code2").collect();
    let drawn = bars(cx.axis, &scale, &cx.shown.steps, &stacked, &seen);
    // Failures are drawn last: what is small must not be covered.
    let named = series.iter().zip(drawn).rev();
    plot.ink = named.map(|(series, d)| Ink::new(format!("bar {}", class(&series.name)), d)).collect();
    plot
}

fn sizes(cx: Cx<'_>) -> Plot {
    let all = &cx.board.all;
    let kinds = [
        (Figure::RequestBytes, said::request(), "line strong"),
        (Figure::ResponseBytes, said::response(), "line dashed"),
    ];
    let most = kinds.iter().map(|(of, ..)| highest([all], *of)).fold(0.0, f64::max);
    let scale = Scale::linear(0.0, most, 4);
    let entries = kinds.iter().map(|(of, name, sample)| cx.entry(name.said(cx.lang), sample, None, all, *of));
    let mut plot = cx.plot(&scale, bytes, entries.collect());
    if most == 0.0 {
        plot.ticks.clear();
    }
    let drawn = |(of, _, class): &(Figure, Message, &'static str)| {
        Ink::new(*class, line(cx.axis, &scale, &cx.shown.steps, &values(all, *of)))
    };
    plot.ink = kinds.iter().map(drawn).collect();
    plot
}

fn by_peer(cx: Cx<'_>, series: &[Series]) -> Plot {
    let scale = Scale::linear(0.0, highest(series, Figure::Rate), 3);
    let looks = ["line strong", "line dashed", "line dotted"];
    let entries = series.iter().enumerate().map(|(at, series)| {
        let name =
            if series.name.is_empty() { said::no_sidecar().said(cx.lang).to_owned() } else { series.name.clone() };
        cx.entry(&name, looks[at % looks.len()], None, series, Figure::Rate)
    });
    let mut plot = cx.plot(&scale, |v| per_second(cx.lang, v), entries.collect());
    let drawn = series.iter().enumerate().map(|(at, series)| {
        Ink::new(looks[at % looks.len()], line(cx.axis, &scale, &cx.shown.steps, &values(series, Figure::Rate)))
    });
    plot.ink = drawn.collect();
    plot
}

/// The histogram over the whole span, as numbers.
#[component]
fn Buckets(lang: Lang, board: WorkloadBoard) -> impl IntoView {
    let histogram = board.histogram;
    let filled = histogram.counts.iter().enumerate().filter(|(_, n)| **n > 0);
    let rows = filled.map(|(at, n)| {
        let low = at.checked_sub(1).and_then(|below| histogram.bounds_ms.get(below)).copied().unwrap_or(0.0);
        let bounds =
            histogram.bounds_ms.get(at).map_or_else(|| format!("> {}", milliseconds(low)), |high| within([low, *high]));
        view! { <tr><th scope="row">{bounds}</th><td><b>{thousands(*n)}</b></td></tr> }
    });
    let rows = rows.collect_view();
    view! {
        <details class="card behind" data-testid="histogram">
            <summary>{said::histogram().said(lang).to_owned()}</summary>
            <table class="buckets">
                <thead><tr><th scope="col">{said::bucket().said(lang).to_owned()}</th><th scope="col">{said::requests().said(lang).to_owned()}</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </details>
    }
}
