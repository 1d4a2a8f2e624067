//! The picture of the mesh: the client with its sidecar, the versions with theirs, and what travels between them.
//!
//! Edges are as thick as the measured share. Dots are measured requests, see [`crate::model::Dots`]; a canvas of its own draws them.
use super::context::{flag, say};
use super::mesh_canvas::Canvas;
use super::shares::name_at;
use super::symbol::{PLACES, colour};
use super::{Page, Rates, Symbol};
use crate::model::{Edge, fixed, shares};
use crate::text::{Key, thousands};
use leptos::prelude::*;
use wire::{Part, PodView};

/// What the picture and the slider show of the traffic: one window for all of them.
#[derive(Clone, Copy)]
pub struct Measured {
    /// Versions on show, in their order.
    pub names: Signal<Vec<String>>,
    /// Desired shares in percent by version; `None` without a route.
    pub desired: Signal<Option<Vec<f64>>>,
    /// Shares since the last change; `None` before the first answer and while nothing succeeds.
    pub seen: Signal<Option<Vec<f64>>>,
    /// The same with the failures of the last second taken off: what the bar and the edges show.
    pub flowing: Signal<Option<Vec<f64>>>,
    /// Percent of the requests of the last second that failed.
    pub failing: Signal<f64>,
}

/// Computes what is on show. `desired`: the draft under the thumb, else what the route says.
pub fn measured(page: Page, names: Signal<Vec<String>>, desired: Signal<Option<Vec<f64>>>) -> Measured {
    let live = page.live;
    // Every figure is about the time since the route, the pods or the sidecars last changed: what was sent before says nothing about
    // them. The server knows which request was sent after which change.
    let seen = Signal::derive(move || live.figures.with(|frame| names.with(|names| shares(&frame.since, names))));
    // Whether requests fail is about now: the last second.
    let failing = Memo::new(move |_| {
        let now = live.frame.with(|frame| frame.at_ms);
        live.history.with_value(|history| history.since(now.saturating_sub(1_100)).failing())
    });
    Measured {
        names,
        desired,
        // Where no request succeeds, what was measured before is no answer to what happens now.
        seen: Signal::derive(move || seen.get().filter(|_| failing.get() < 100.0)),
        flowing: Signal::derive(move || {
            let succeed = 1.0 - failing.get() / 100.0;
            Some(seen.get()?.into_iter().map(|share| share * succeed).collect())
        }),
        failing: failing.into(),
    }
}

/// The picture.
#[component]
pub fn Mesh(page: Page, rates: Rates, measured: Measured) -> impl IntoView {
    let names = measured.names;
    let upright = |(x, y): (f64, f64)| (y, x);
    let line = move |place: usize, turn: fn((f64, f64)) -> (f64, f64)| {
        say(move || {
            let edge = Edge::new(place, names.with(Vec::len));
            let [(a, b), (c, d), (e, f), (g, h)] =
                [(0.0, 0.5), (0.5, 0.5), (0.5, edge.end), (1.0, edge.end)].map(|(x, y)| turn((x * 100.0, y * 100.0)));
            let [b, d, f, h, a, c, e, g] = [b, d, f, h, a, c, e, g].map(|n| fixed(n, 1));
            format!("M{a} {b}C{c} {d} {e} {f} {g} {h}")
        })
    };
    let width = move |place: usize| {
        say(move || {
            let share = measured.flowing.with(|shares| shares.as_ref().and_then(|s| s.get(place).copied()));
            fixed(2.0 + share.unwrap_or(0.0) * 0.24, 1).to_string()
        })
    };
    let edges = move |class: &'static str, turn: fn((f64, f64)) -> (f64, f64)| {
        view! {
            <g class=class>
                {(0..PLACES).map(|place| view! {
                    <path class=format!("flow {}", colour(place)) d=line(place, turn) stroke-width=width(place) visibility=say(move || if place < names.with(Vec::len) { "visible" } else { "hidden" })/>
                }).collect_view()}
            </g>
        }
    };
    view! {
        <div class="mesh" role="group" aria-label=page.t(Key::MeshLabel) data-testid="mesh">
            <Client page rates measured/>
            <div class="edges" aria-hidden="true">
                <svg viewBox="0 0 100 100" preserveAspectRatio="none">
                    {edges("across", |point| point)}
                    {edges("down", upright)}
                </svg>
                <Canvas page names/>
                <code class="address">"http://flaskapp:7777"</code>
            </div>
            <div class="versions">
                {move || (0..names.with(Vec::len)).map(|place| view! {
                    <Version page place name=say(move || name_at(names, place)) measured/>
                }).collect_view()}
            </div>
        </div>
    }
}

/// `2/2 Running` of one pod, `3/5 pods` of several.
fn ready(page: Page, mine: impl Fn(&PodView) -> bool) -> String {
    page.live.status.with(|status| {
        let pods: Vec<&PodView> = status.pods.iter().filter(|pod| mine(pod)).collect();
        match &pods[..] {
            [] => page.lang.get().t(Key::NoPod).to_owned(),
            [pod] => format!("{} {}", pod.ready, pod.phase),
            pods => {
                let ready = pods.iter().filter(|pod| pod.is_ready()).count();
                let (ready, of) = (ready.to_string(), pods.len().to_string());
                page.lang.get().fill(Key::PodsReady, &[("n", &ready), ("of", &of)])
            }
        }
    })
}

fn is_client(pod: &PodView) -> bool {
    !pod.workload.starts_with("flaskapp-")
}

/// Whether there is a pod of these, each with a sidecar.
fn injected(page: Page, mine: impl Fn(&PodView) -> bool) -> bool {
    page.live.status.with(|status| {
        let mut pods = status.pods.iter().filter(|pod| mine(pod)).peekable();
        pods.peek().is_some() && pods.all(|pod| pod.sidecar)
    })
}

#[component]
fn Client(page: Page, rates: Rates, measured: Measured) -> impl IntoView {
    let sidecar = flag(move || injected(page, is_client));
    let gone = flag(move || !page.live.status.with(|status| status.pods.iter().any(is_client)));
    let failing = measured.failing;
    let rate = say(move || {
        let running = rates.running.get();
        if running == 0 {
            page.lang.get().t(Key::NoLoadRuns).to_owned()
        } else {
            format!("{} {}", thousands(u64::from(running)), page.lang.get().t(Key::RateUnit))
        }
    });
    let minute = Memo::new(move |_| {
        let now = page.live.figures.with(|frame| frame.at_ms);
        page.live.history.with_value(|history| history.since(now.saturating_sub(60_000)).requests())
    });
    view! {
        <div class="end client" class:gone=gone data-testid="mesh-client" data-sidecar=say(move || sidecar.get().to_string())>
            <div class="node">
                <strong>{page.t(Key::Client)}</strong>
                <span>{rate}</span>
                <span class:bad=flag(move || failing.get() > 0.0)>
                    {say(move || if failing.get() > 0.0 {
                        page.lang.get().fill(Key::Fail, &[("n", &fixed(failing.get(), if failing.get() < 10.0 { 1 } else { 0 }).to_string())])
                    } else {
                        String::new()
                    })}
                </span>
                <code>{say(move || ready(page, is_client))}</code>
                <small class="muted"><b data-testid="requests">{say(move || thousands(minute.get()))}</b> " " {page.t(Key::Requests)} " · " {page.t(Key::Last60)}</small>
            </div>
            <span class="proxy" hidden=flag(move || !sidecar.get())>"sidecar" <small>{page.t(Key::SidecarDecides)}</small></span>
        </div>
    }
}

/// One version: its pods, the share desired, the share measured, and how it does.
#[component]
fn Version(page: Page, place: usize, name: Signal<String>, measured: Measured) -> impl IntoView {
    let at = move |shares: Signal<Option<Vec<f64>>>| shares.with(|s| s.as_ref().and_then(|s| s.get(place).copied()));
    let rate = move || page.live.figures.with(|frame| name.with(|name| frame.rates.get(name).copied()));
    let id = name.get_untracked();
    let mine = move |pod: &PodView| !is_client(pod) && name.with(|name| pod.version == *name);
    let sidecar = flag(move || injected(page, mine));
    let absent =
        flag(move || !page.live.status.with(|status| status.pods.iter().any(|pod| mine(pod) && pod.is_ready())));
    let fails = flag(move || {
        page.live
            .figures
            .with(|frame| frame.failing.as_ref().is_some_and(|f| name.with(|name| f.version.as_ref() == Some(name))))
    });
    // Without a route nothing is desired: the measured share is the one there is.
    let (desired, seen) = (measured.desired, measured.seen);
    let shown = move || at(desired).or_else(|| at(seen));
    let health = say(move || {
        let part = page.live.recent.with(|recent| name.with(|name| recent.versions.get(name).cloned()));
        // Where nothing arrives now, the last 10 s say nothing about now.
        part.filter(|_| rate().is_some_and(|rate| rate > 0.0)).map_or_else(String::new, |part| health(&part))
    });
    view! {
        <div class=format!("end version {}", colour(place)) class:gone=absent class:fails=fails data-testid=format!("mesh-{id}")>
            <span class="proxy" hidden=flag(move || !sidecar.get())>"sidecar"</span>
            <div class="node">
                <div class="who"><Symbol place/>"flaskapp " {name}</div>
                <code>{say(move || ready(page, mine))}</code>
                <span class="rate muted">
                    <span data-testid=format!("rate-{id}")>{say(move || rate().map_or_else(String::new, |n| page.lang.get().fill(Key::PerSecond, &[("n", &fixed(n, 0).to_string())])))}</span>
                    <span>{health}</span>
                </span>
                <span class="big" class:none=flag(move || at(desired).is_none()) data-testid=format!("share-{id}")>
                    {say(move || shown().map_or_else(|| "–".to_owned(), |share| fixed(share, 0).to_string()))}
                    <small>"%"</small>
                </span>
                <span class="seen">
                    {page.t(Key::Seen)} " "
                    <b data-testid=format!("seen-{id}")>{say(move || at(seen).map_or_else(|| "–".to_owned(), |share| format!("{}\u{a0}%", fixed(share, 1))))}</b>
                </span>
            </div>
        </div>
    }
}

/// ` · 100 % · p99 2.6 ms` over the last 10 s; empty without requests.
fn health(part: &Part) -> String {
    if part.requests == 0 {
        return String::new();
    }
    // Rounded down: 99.96 % is not 100 %.
    let success =
        ((part.requests - part.errors.min(part.requests)) as f64 * 1000.0 / part.requests as f64).floor() / 10.0;
    let success = fixed(success, if success >= 100.0 { 0 } else { 1 });
    let p99 =
        part.p99_ms.map_or_else(String::new, |ms| format!(" · p99 {} ms", fixed(ms, if ms < 10.0 { 1 } else { 0 })));
    format!(" · {success} %{p99}")
}
