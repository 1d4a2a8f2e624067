//! The last minute: share measured over share desired, each change a line in time; below, a lane per version and one for failures.
//!
//! The server draws it once, in a box of its own proportions. In the browser a frame of animation moves it along, and
//! new paths are set when new figures have come: attributes are written past the reactive graph, sixty times a second.
use super::animation::each_frame;
use super::context::{flag, say};
use super::symbol::{PLACES, Symbol, colour};
use super::weights::short_times;
use super::{LoadBar, Page, Rates};
use crate::api::Link;
use crate::model::{Moment, Scene, Size, fixed, moment, scene, span_ms, versions};
use crate::text::{self, Key, thousands};
use leptos::prelude::*;
use std::cell::Cell;
use web_sys::{Element, SvgElement};
use wire::Command;

/// The right edge shows the moment this long ago, milliseconds: what happened since may still be under way to here.
const LAG_MS: u64 = 150;
/// One lane takes this part of the height.
const LANE: f64 = 0.13;

/// The shares take what three lanes leave; more versions than two have lower lanes.
fn size(width: f64, height: f64, versions: usize, span_ms: f64) -> Size {
    let lane = (height * LANE * 3.0 / (versions.max(2) + 1) as f64).floor();
    Size { width, height: height - lane * (versions.max(2) + 1) as f64, lane, span_ms }
}

/// The chart with its legend, and the controls of the load.
#[component]
pub fn Chart(page: Page, rates: Rates, ask: Callback<Command>) -> impl IntoView {
    let live = page.live;
    let names = Memo::new(move |_| live.status.with(versions));
    // Empty only where there is neither load nor anything of the last minute: figures arrive four times a second.
    let empty = Memo::new(move |_| {
        let now = live.figures.with(|frame| frame.at_ms).max(live.now_ms.get());
        rates.running.get() == 0 && live.history.with_value(|h| h.since(now.saturating_sub(60_000)).answers()) == 0
    });
    view! {
        <section class="traffic" aria-label=page.t(Key::LiveTraffic)>
            <div class="head">
                <h2>{page.t(Key::LiveTraffic)}</h2>
                <LoadBar page rates ask start=Signal::derive(move || !empty.get())/>
            </div>
            // Hidden, not taken away: what is never built in the browser needs no code there that builds it.
            <div class="drawn" hidden=empty>
                <Drawing page names=names.into()/>
            </div>
            <Show when=move || empty.get()><NoLoad page rates/></Show>
        </section>
    }
}

/// What stands in place of the chart while there is nothing to draw.
#[component]
fn NoLoad(page: Page, rates: Rates) -> impl IntoView {
    let client = move || page.live.status.with(|s| s.pods.iter().any(|pod| !pod.workload.starts_with("flaskapp-v")));
    view! {
        <div class="no-load" data-testid="no-load">
            <strong>{page.t(Key::NoLoadTitle)}</strong>
            <p class="muted">{say(move || page.lang.get().t(if client() { Key::NoLoadText } else { Key::NoClientText }))}</p>
            <button type="button" class="primary" data-testid="load-start" disabled=flag(move || !page.may("load") || !client()) on:click=move |_| rates.start.run(())>
                {say(move || page.lang.get().fill(Key::DoStart, &[("rate", &rates.shown.get().to_string())]))}
            </button>
        </div>
    }
}

/// What the drawing is measured by. All follow the browser; the server's are those of a box of its own.
#[derive(Clone, Copy)]
struct Measures {
    /// Width of the drawing in pixels; 0 until the browser has measured it, and then labels can be placed.
    width: RwSignal<f64>,
    height: RwSignal<f64>,
    /// Time on show, milliseconds.
    span_ms: RwSignal<f64>,
    /// x = 0 of what does not follow the frames.
    origin_ms: u64,
    /// Where somebody points, as a part of the width.
    pointed: RwSignal<Option<f64>>,
}

#[component]
fn Drawing(page: Page, names: Signal<Vec<String>>) -> impl IntoView {
    let live = page.live;
    let node = NodeRef::<leptos::svg::Svg>::new();
    let now_ms = live.now_ms.get_untracked();
    let span = live.history.with_value(|history| span_ms(history, now_ms));
    let origin_ms = now_ms.saturating_sub(span as u64);
    let known = names.with_untracked(Vec::len);
    let first = live
        .history
        .with_value(|history| scene(history, &names.get_untracked(), origin_ms, size(800.0, 250.0, known, span)));
    let to = Measures {
        width: RwSignal::new(0.0_f64),
        height: RwSignal::new(250.0_f64),
        span_ms: RwSignal::new(span),
        origin_ms,
        pointed: RwSignal::new(None),
    };
    animate(page, node, names, to);
    // A version may come later: there is a path for each that can.
    let d = |paths: &[String], i: usize| paths.get(i).cloned().unwrap_or_default();
    let now = move || size(to.width.get().max(800.0), to.height.get(), names.with(Vec::len), to.span_ms.get());
    let grid = move |share: f64| format!("M0 {}H{}", fixed(now().height * share, 1), fixed(now().width, 1));
    let foot = move |lane: usize| {
        format!("M0 {}H{}", fixed(now().height + now().lane * lane as f64, 1), fixed(now().width, 1))
    };
    let point = move |event: web_sys::PointerEvent| {
        let width = to.width.get_untracked();
        if width > 0.0 {
            to.pointed.set(Some((f64::from(event.offset_x()) / width).clamp(0.0, 1.0)));
        }
    };
    let ago = move |part: f64| format!("−{} s", fixed(to.span_ms.get() * part / 1000.0, 0));
    view! {
        <div class="plotted">
            <div class="y-axis" aria-hidden="true"><span>"100 %"</span><span>"50"</span><span>"0"</span></div>
            <svg node_ref=node class="chart" data-testid="chart" viewBox="0 0 800 250" preserveAspectRatio="none" role="img" aria-label=page.t(Key::ChartLabel)
                on:pointermove=point on:pointerleave=move |_| to.pointed.set(None)>
                <g class="data">
                    {(0..PLACES).map(|i| view! { <path class=format!("area {}", colour(i)) d=d(&first.areas, i)/> }).collect_view()}
                </g>
                <path class="grid" d=say(move || [0.25, 0.5, 0.75].map(grid).concat())/>
                <path class="foot" d=say(move || (0..=names.with(Vec::len) + 1).map(foot).collect::<String>())/>
                <g class="data">
                    {(1..PLACES).map(|i| view! { <path class="edge" d=d(&first.edges, i - 1)/> }).collect_view()}
                    <path class="desired" d=first.desired.clone()/>
                    {(0..=PLACES).map(|i| view! { <path class=say(move || if i == names.with(Vec::len) { "lane bad".to_owned() } else { format!("lane {}", colour(i)) }) d=d(&first.lanes, i)/> }).collect_view()}
                </g>
                <g class="changes"><Changes page to/></g>
                <path class="pointer" d=say(move || to.pointed.get().map_or(String::new(), |part| format!("M{} 0V{}", fixed(part * to.width.get(), 1), fixed(to.height.get(), 1))))/>
            </svg>
        </div>
        <div class="axis" aria-hidden="true"><span>{say(move || ago(1.0))}</span><span>{say(move || ago(0.5))}</span><span>"0 s"</span></div>
        <Legend page names to/>
    }
}

/// A change of weights on the chart.
#[derive(Clone, PartialEq)]
struct Change {
    at_ms: u64,
    /// What, by whom; and its times. Empty where a newer label would cover it.
    label: Option<(String, String)>,
}

/// Lines in time with who did it and how long it took. Drawn by the browser alone: only it knows how wide a label is.
#[component]
fn Changes(page: Page, to: Measures) -> impl IntoView {
    let changes = Memo::new(move |_| {
        let (width, span) = (to.width.get(), to.span_ms.get());
        if width == 0.0 {
            return Vec::new();
        }
        let (lang, me) = (page.lang.get(), page.me.get());
        // Labels need about 150 pixels each.
        let room_ms = (span * 190.0 / width) as u64;
        // Lines closer than this are one.
        let near_ms = (span * 6.0 / width) as u64;
        let (mut newest_label, mut newest_line) = (u64::MAX, u64::MAX);
        page.live.status.with(|s| {
            let last = page.live.figures.with_untracked(|f| f.at_ms).max(page.live.now_ms.get_untracked());
            let shown = s.log.iter().filter(|e| e.split.is_some() && e.error.is_none() && e.at_ms + 62_000 > last);
            shown
                .filter(|entry| {
                    let apart = newest_line == u64::MAX || entry.at_ms + near_ms < newest_line;
                    if apart {
                        newest_line = entry.at_ms;
                    }
                    apart
                })
                .map(|entry| {
                    let free = newest_label == u64::MAX || entry.at_ms + room_ms < newest_label;
                    if free {
                        newest_label = entry.at_ms;
                    }
                    let label = free.then(|| {
                        (
                            format!(
                                "{} {}",
                                text::either(lang, &entry.what, &entry.zh),
                                text::who(lang, &entry.by, &me)
                            ),
                            short_times(page, entry),
                        )
                    });
                    Change { at_ms: entry.at_ms, label }
                })
                .collect()
        })
    });
    let x = move |at_ms: u64| {
        fixed((at_ms as f64 - to.origin_ms as f64) * to.width.get() / to.span_ms.get(), 1).to_string()
    };
    view! {
        {move || changes.get().into_iter().map(|change| {
                let at = change.at_ms;
                view! {
                    <path class="change" d=say(move || format!("M{} 0V{}", x(at), fixed(to.height.get(), 1)))/>
                    {change.label.map(|(what, times)| view! {
                        <text class="label" x=say(move || x(at)) y="18" dx="-6">{what}</text>
                        <text class="label muted" x=say(move || x(at)) y="34" dx="-6">{times}</text>
                    })}
                }
            }).collect_view()}
    }
}

/// Starts the animation when the browser has taken over; it ends with the component.
fn animate(page: Page, node: NodeRef<leptos::svg::Svg>, names: Signal<Vec<String>>, to: Measures) {
    let gone = StoredValue::new(false);
    on_cleanup(move || {
        gone.try_set_value(true);
    });
    Effect::new(move |_| {
        let Some(svg) = node.get() else { return };
        // The person wants no motion: once a second, in one step.
        let still =
            window().match_media("(prefers-reduced-motion: reduce)").ok().flatten().is_some_and(|m| m.matches());
        let drawn = Drawn::default();
        each_frame(move || {
            if gone.try_get_value().unwrap_or(true) {
                return false;
            }
            if !matches!(page.live.link.get_untracked(), Link::Stale(_)) {
                drawn.frame(page, &svg, &names.get_untracked(), to, still);
            }
            true
        });
    });
}

/// What the last animation frame left.
#[derive(Default)]
struct Drawn {
    from_ms: Cell<u64>,
    frame_ms: Cell<u64>,
    box_px: Cell<(i32, i32)>,
    span_ms: Cell<f64>,
}

impl Drawn {
    fn frame(&self, page: Page, svg: &SvgElement, names: &[String], to: Measures, still: bool) {
        let now_ms = page.live.server_now_ms().saturating_sub(LAG_MS);
        let newest = page.live.frame.with_untracked(|f| f.at_ms);
        let box_px = (svg.client_width(), svg.client_height());
        let moved = box_px != self.box_px.get();
        if box_px.0 == 0 || (still && now_ms < self.from_ms.get() + self.span_ms.get() as u64 + 1000 && !moved) {
            return;
        }
        let (w, h) = (f64::from(box_px.0), f64::from(box_px.1));
        if moved {
            let _ = svg.set_attribute("viewBox", &format!("0 0 {} {}", box_px.0, box_px.1));
            to.width.set(w);
            to.height.set(h);
        }
        if newest != self.frame_ms.get() || moved || now_ms > self.from_ms.get() + self.span_ms.get() as u64 + 1000 {
            let (span, scene) = page.live.history.with_value(|history| {
                let span = span_ms(history, now_ms);
                (span, scene(history, names, now_ms.saturating_sub(span as u64), size(w, h, names.len(), span)))
            });
            write(svg, &scene);
            if span != self.span_ms.replace(span) {
                to.span_ms.set(span);
            }
            self.from_ms.set(now_ms.saturating_sub(span as u64));
            self.frame_ms.set(newest);
            self.box_px.set(box_px);
        }
        let span = self.span_ms.get();
        let from_ms = now_ms as f64 - span;
        let px = |ms: f64| ms * w / span;
        shift(svg, "g.data", px(self.from_ms.get() as f64 - from_ms));
        shift(svg, "g.changes", px(to.origin_ms as f64 - from_ms));
    }
}

fn each(svg: &SvgElement, selector: &str, mut act: impl FnMut(usize, &Element)) {
    use wasm_bindgen::JsCast;
    let Ok(found) = svg.query_selector_all(selector) else { return };
    for i in 0..found.length() {
        if let Some(element) = found.get(i).and_then(|node| node.dyn_into::<Element>().ok()) {
            act(i as usize, &element);
        }
    }
}

fn shift(svg: &SvgElement, selector: &str, px: f64) {
    each(svg, selector, |_, group| {
        let _ = group.set_attribute("transform", &format!("translate({} 0)", fixed(px, 2)));
    });
}

fn write(svg: &SvgElement, scene: &Scene) {
    let desired = [scene.desired.clone()];
    let lists: [(&str, &[String]); 4] = [
        ("path.area", &scene.areas),
        ("path.edge", &scene.edges),
        ("path.lane", &scene.lanes),
        ("path.desired", &desired),
    ];
    for (selector, paths) in lists {
        each(svg, selector, |i, path| {
            let _ = path.set_attribute("d", paths.get(i).map_or("", String::as_str));
        });
    }
}

/// What the colours mean; where somebody points, what was measured then. One line, so that nothing moves.
#[component]
fn Legend(page: Page, names: Signal<Vec<String>>, to: Measures) -> impl IntoView {
    let pointed = Memo::new(move |_| {
        let part = to.pointed.get()?;
        let now_ms = page.live.figures.with(|frame| frame.at_ms);
        let at_ms = now_ms.saturating_sub(((1.0 - part) * to.span_ms.get()) as u64);
        Some(page.live.history.with_value(|history| names.with(|names| moment(history, names, at_ms, now_ms))))
    });
    view! {
        <div class="legend" data-testid="legend">
            {move || names.get().into_iter().enumerate().map(|(i, name)| {
                let share = move || pointed.with(|m| m.as_ref().and_then(|m| m.shares.as_ref()?.get(i).copied()));
                view! {
                    <span class=colour(i)><Symbol place=i/> {name} " " {say(move || share().map_or_else(String::new, |share| format!("{} %", fixed(share, 1))))}</span>
                }
            }).collect_view()}
            <span><svg class="dash" viewBox="0 0 24 4" aria-hidden="true"><path d="M0 2h24"/></svg> {page.t(Key::LegendWished)}</span>
            <span>{say(move || pointed.with(|m| m.as_ref().map_or_else(|| page.lang.get().t(Key::LegendLanes).to_owned(), |m| told(page, m))))}</span>
        </div>
    }
}

/// `12 s ago: 198 answered, 2 failed in that second`.
fn told(page: Page, at: &Moment) -> String {
    let args = [fixed(at.ago_s, 0).to_string(), thousands(at.answers), thousands(at.errors)];
    page.lang.get().fill(Key::LegendMoment, &[("s", &args[0]), ("n", &args[1]), ("failed", &args[2])])
}
