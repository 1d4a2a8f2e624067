//! The last minute: share seen over share desired, each change a line in time, one mark a request.
//!
//! The server draws it once, in a box of its own proportions. In the browser a frame of animation moves it along, and
//! new paths are set when new figures have come: attributes are written past the reactive graph, sixty times a second.
use super::context::{flag, say};
use super::symbol::{PLACES, Symbol, colour};
use super::weights::short_times;
use super::{LoadBar, Page, Rates};
use crate::api::Link;
use crate::model::{SPAN_MS, Scene, Size, fixed, scene, versions};
use crate::text::{self, Key, thousands};
use leptos::prelude::*;
use std::cell::Cell;
use std::rc::Rc;
use web_sys::{Element, SvgElement};
use wire::Command;

/// The right edge shows the moment this long ago, milliseconds: what happened since may still be under way to here.
const LAG_MS: u64 = 150;
/// The band of marks takes this part of the height.
const BAND: f64 = 0.28;

fn size(width: f64, height: f64) -> Size {
    let band_top = (height * (1.0 - BAND)).floor();
    Size { width, height: band_top, band_top: band_top + 1.0, band_bottom: height }
}

/// The chart with its legend, and the controls of the load.
#[component]
pub fn Chart(page: Page, rates: Rates, ask: Callback<Command>) -> impl IntoView {
    let live = page.live;
    let names = Memo::new(move |_| live.status.with(versions));
    let per_mark = RwSignal::new(1_u64);
    // Empty only where there is neither load nor anything of the last minute: figures arrive four times a second.
    let empty = Memo::new(move |_| {
        let now = live.figures.with(|frame| frame.at_ms).max(live.now_ms.get());
        rates.running.get() == 0 && live.history.with_value(|h| h.since(now.saturating_sub(60_000)).answers()) == 0
    });
    view! {
        <section class="card traffic" aria-label=page.t(Key::LiveTraffic)>
            <div class="head">
                <h2>{page.t(Key::LiveTraffic)}</h2>
                <LoadBar page rates ask start=Signal::derive(move || !empty.get())/>
            </div>
            // Hidden, not taken away: what is never built in the browser needs no code there that builds it.
            <div class="drawn" hidden=empty>
                <Drawing page names=names.into() per_mark/>
                <Legend page names=names.into() per_mark=per_mark.into()/>
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

#[component]
fn Drawing(page: Page, names: Signal<Vec<String>>, per_mark: RwSignal<u64>) -> impl IntoView {
    let live = page.live;
    let node = NodeRef::<leptos::svg::Svg>::new();
    let origin_ms = live.now_ms.get_untracked().saturating_sub(60_000);
    let first =
        live.history.with_value(|history| scene(history, &names.get_untracked(), origin_ms, 0, size(800.0, 250.0)));
    per_mark.set(first.per_mark);
    // Width of the drawing in pixels; 0 until the browser has measured it, and then labels can be placed.
    let width = RwSignal::new(0.0_f64);
    let height = RwSignal::new(250.0_f64);
    animate(page, node, names, per_mark, width, height, origin_ms);
    // A version may come later: there is a path for each that can.
    let d = |paths: &[String], i: usize| paths.get(i).cloned().unwrap_or_default();
    let grid = move |share: f64| {
        format!("M0 {}H{}", fixed(size(1.0, height.get()).height * share, 1), fixed(width.get().max(800.0), 1))
    };
    let band = move || size(1.0, height.get()).band_top.to_string();
    view! {
        <svg node_ref=node class="chart" data-testid="chart" viewBox="0 0 800 250" preserveAspectRatio="none" role="img" aria-label=page.t(Key::ChartLabel)>
            <rect class="band" x="0" y=band width="100%" height="100%"/>
            <g class="data">
                {(0..PLACES).map(|i| view! { <path class=format!("area {}", colour(i)) d=d(&first.areas, i)/> }).collect_view()}
            </g>
            <path class="grid" d=say(move || [0.25, 0.5, 0.75].map(grid).concat())/>
            <g class="data">
                {(1..PLACES).map(|i| view! { <path class=format!("edge {}", colour(i)) d=d(&first.edges, i - 1)/> }).collect_view()}
                <path class="desired" d=first.desired.clone()/>
                {(0..PLACES).map(|i| view! { <path class=format!("mark {}", colour(i)) class:dot=i == 0 d=d(&first.marks, i)/> }).collect_view()}
                <path class="failed" d=first.failed.clone()/>
            </g>
            <g class="changes"><Changes page width height origin_ms/></g>
        </svg>
        <div class="axis" aria-hidden="true"><span>"−60 s"</span><span>"−30 s"</span><span>"0 s"</span></div>
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
fn Changes(page: Page, width: RwSignal<f64>, height: RwSignal<f64>, origin_ms: u64) -> impl IntoView {
    let changes = Memo::new(move |_| {
        let width = width.get();
        if width == 0.0 {
            return Vec::new();
        }
        let (lang, me) = (page.lang.get(), page.me.get());
        // Labels need about 150 pixels each.
        let room_ms = (SPAN_MS * 150.0 / width) as u64;
        // Lines closer than this are one.
        let near_ms = (SPAN_MS * 6.0 / width) as u64;
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
    let x = move |at_ms: u64| format!("{}", fixed((at_ms as f64 - origin_ms as f64) * width.get() / SPAN_MS, 1));
    view! {
        {move || changes.get().into_iter().map(|change| {
                let at = change.at_ms;
                view! {
                    <path class="change" d=say(move || format!("M{} 0V{}", x(at), fixed(size(1.0, height.get()).height, 1)))/>
                    {change.label.map(|(what, times)| view! {
                        <text class="label" x=say(move || x(at)) y="18" dx="-6">{what}</text>
                        <text class="label muted" x=say(move || x(at)) y="34" dx="-6">{times}</text>
                    })}
                }
            }).collect_view()}
    }
}

/// Starts the animation when the browser has taken over; it ends with the component.
fn animate(
    page: Page,
    node: NodeRef<leptos::svg::Svg>,
    names: Signal<Vec<String>>,
    per_mark: RwSignal<u64>,
    width: RwSignal<f64>,
    height: RwSignal<f64>,
    origin_ms: u64,
) {
    let gone = StoredValue::new(false);
    on_cleanup(move || {
        gone.try_set_value(true);
    });
    Effect::new(move |_| {
        let Some(svg) = node.get() else { return };
        let still =
            window().match_media("(prefers-reduced-motion: reduce)").ok().flatten().is_some_and(|m| m.matches());
        let drawn = Rc::new(Drawn::default());
        fn step(run: Rc<dyn Fn() -> bool>) {
            request_animation_frame(move || {
                if run() {
                    step(run);
                }
            });
        }
        step(Rc::new(move || {
            if gone.try_get_value().unwrap_or(true) {
                return false;
            }
            if !matches!(page.live.link.get_untracked(), Link::Stale(_)) {
                drawn.frame(page, &svg, &names.get_untracked(), Targets { per_mark, width, height, origin_ms, still });
            }
            true
        }));
    });
}

#[derive(Clone, Copy)]
struct Targets {
    per_mark: RwSignal<u64>,
    width: RwSignal<f64>,
    height: RwSignal<f64>,
    origin_ms: u64,
    /// The person wants no motion: once a second, in one step.
    still: bool,
}

/// What the last animation frame left.
#[derive(Default)]
struct Drawn {
    from_ms: Cell<u64>,
    frame_ms: Cell<u64>,
    box_px: Cell<(i32, i32)>,
}

impl Drawn {
    fn frame(&self, page: Page, svg: &SvgElement, names: &[String], to: Targets) {
        let from_ms = page.live.server_now_ms().saturating_sub(LAG_MS + SPAN_MS as u64);
        let newest = page.live.frame.with_untracked(|f| f.at_ms);
        let box_px = (svg.client_width(), svg.client_height());
        if box_px.0 == 0 || (to.still && from_ms < self.from_ms.get() + 1000 && box_px == self.box_px.get()) {
            return;
        }
        let (w, h) = (f64::from(box_px.0), f64::from(box_px.1));
        if box_px != self.box_px.get() {
            let _ = svg.set_attribute("viewBox", &format!("0 0 {} {}", box_px.0, box_px.1));
            to.width.set(w);
            to.height.set(h);
        }
        if newest != self.frame_ms.get() || box_px != self.box_px.get() || from_ms > self.from_ms.get() + 1000 {
            let size = size(w, h);
            let scene = page
                .live
                .history
                .with_value(|history| scene(history, names, from_ms, to.per_mark.get_untracked(), size));
            if scene.per_mark != to.per_mark.get_untracked() {
                to.per_mark.set(scene.per_mark);
            }
            write(svg, &scene);
            self.from_ms.set(from_ms);
            self.frame_ms.set(newest);
            self.box_px.set(box_px);
        }
        let px = |ms: f64| ms * w / SPAN_MS;
        shift(svg, "g.data", px(self.from_ms.get() as f64 - from_ms as f64));
        shift(svg, "g.changes", px(to.origin_ms as f64 - from_ms as f64));
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
    let lists: [(&str, &[String]); 3] =
        [("path.area", &scene.areas), ("path.edge", &scene.edges), ("path.mark", &scene.marks)];
    for (selector, paths) in lists {
        each(svg, selector, |i, path| {
            let _ = path.set_attribute("d", paths.get(i).map_or("", String::as_str));
        });
    }
    for (selector, d) in [("path.desired", &scene.desired), ("path.failed", &scene.failed)] {
        each(svg, selector, |_, path| {
            let _ = path.set_attribute("d", d);
        });
    }
}

#[component]
fn Legend(page: Page, names: Signal<Vec<String>>, per_mark: Signal<u64>) -> impl IntoView {
    view! {
        <div class="legend">
            {move || names.get().into_iter().enumerate().map(|(i, name)| view! {
                <span class=colour(i)><Symbol place=i/> {name}</span>
            }).collect_view()}
            <span><svg class="dash" viewBox="0 0 24 4" aria-hidden="true"><path d="M0 2h24"/></svg> {page.t(Key::LegendWished)}</span>
            <span>
                {say(move || match per_mark.get() {
                    0 | 1 => page.lang.get().t(Key::LegendMark).to_owned(),
                    n => page.lang.get().fill(Key::LegendMarks, &[("n", &thousands(n))]),
                })}
            </span>
        </div>
    }
}
