//! The last hour, as Prometheus has it: who got which share, and how many requests there were. The server alone draws it; it brings no script.
use crate::api;
use crate::components::{Symbol, colour};
use crate::text::{Key, Lang, LastHourWord, thousands};
use leptos::prelude::*;
use std::fmt::Write as _;
use wire::{LastHour, LastHourSample};

/// Width and height of a chart's own coordinates; the page stretches them.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 200.0;
/// Moments of the table: one in so many seconds.
const ROW_S: u64 = 300;

/// The page `/history`.
#[component]
pub fn PastPage(past: LastHour) -> impl IntoView {
    let lang = api::prefs().lang;
    let t = move |word: LastHourWord| word.said(lang);
    let (again, panel) = (format!("/history?namespace={}", past.namespace), format!("/?namespace={}", past.namespace));
    let body = if past.totals().0 > 0.0 {
        view! { <Charts lang past=past.clone()/> }.into_any()
    } else {
        view! { <section class="card"><h2>{t(LastHourWord::Nothing)}</h2><p class="muted">{t(LastHourWord::NothingHint)}</p></section> }.into_any()
    };
    view! {
        <header class="top">
            <h1><a href=panel.clone()>"demo-panel"</a></h1>
            <span class="badge"><span class="badge-text">{lang.fill(Key::NamespaceIs, &[("ns", past.namespace.as_str())])}</span></span>
            <div class="acts keep">
                <a class="button" href=again>{t(LastHourWord::Again)}</a>
                <a class="button" href=panel data-testid="back">{t(LastHourWord::Back)}</a>
            </div>
        </header>
        <main class="preflight past" data-testid="past-page">
            <section class="summary"><h2 class="headline">{t(LastHourWord::Title)}</h2></section>
            {body}
            <p class="muted">{t(LastHourWord::From)} " " {past.source.clone()} " " <code>{past.metric.clone()}</code></p>
        </main>
    }
}

/// Figures, both charts, and the same as a table.
#[component]
fn Charts(lang: Lang, past: LastHour) -> impl IntoView {
    let t = move |word: LastHourWord| word.said(lang);
    let versions = past.versions();
    let (all, failed) = past.totals();
    let success = format!("{:.2} %", (all - failed) * 100.0 / all);
    let most = past.moments.iter().map(LastHourSample::rate).fold(1.0, f64::max);
    let areas = versions.iter().enumerate().map(|(place, version)| {
        let from = move |m: &LastHourSample, upto: usize, names: &[String]| {
            names[..upto].iter().filter_map(|v| m.share(v)).sum::<f64>()
        };
        let d = band(&past, |m| {
            m.share(version).map(|share| (from(m, place, &versions), from(m, place, &versions) + share))
        });
        view! { <path class=format!("area {}", colour(place)) d=d/> }
    });
    let areas = areas.collect_view();
    let line = band(&past, |m| Some((0.0, m.rate() * 100.0 / most)));
    let bad = band(&past, |m| Some((0.0, m.failed * 100.0 / most)));
    let legend = versions.iter().enumerate().map(|(place, version)| {
        view! { <span><span class=colour(place)><Symbol place/> " " {version.clone()}</span></span> }
    });
    let legend = legend.collect_view();
    let heads = versions.iter().map(|v| view! { <th scope="col">{v.clone()}</th> }).collect_view();
    let rows = past.moments.iter().filter(|m| m.at_s % ROW_S < u64::from(past.step_s)).rev().map(|m| {
        let shares = versions.iter().map(|v| view! { <td>{m.share(v).map_or("–".to_owned(), |s| format!("{s:.1} %"))}</td> }).collect_view();
        view! { <tr><th scope="row">{clock(m.at_s)}</th><td>{format!("{:.1}", m.rate())}</td>{shares}<td>{format!("{:.2}", m.failed)}</td></tr> }
    });
    let rows = rows.collect_view();
    let (first, last) = (past.moments.first().map_or(0, |m| m.at_s), past.moments.last().map_or(0, |m| m.at_s));
    let axis = move || view! { <p class="axis" aria-hidden="true"><span>{clock(first)}</span><span>{clock((first + last) / 2)}</span><span>{clock(last)} " UTC"</span></p> };
    view! {
        <section class="card">
            <p class="counts"><span>{t(LastHourWord::Requests)} " " <b>{thousands(all.round() as u64)}</b></span><span>{t(LastHourWord::Success)} " " <b>{success}</b></span></p>
            <h2>{t(LastHourWord::Share)}</h2>
            <svg class="chart" viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" role="img" aria-label=t(LastHourWord::Share)>{areas}</svg>
            {axis()}
            <p class="legend">{legend}</p>
            <h2>{t(LastHourWord::Rate)} <span class="muted">" ≤ " {format!("{most:.0}")}</span></h2>
            <svg class="chart low" viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" role="img" aria-label=t(LastHourWord::Rate)>
                <path class="all" d=line/>
                <path class="bad" d=bad/>
            </svg>
            {axis()}
        </section>
        <section class="card">
            <table>
                <thead><tr><th scope="col">{t(LastHourWord::Time)}</th><th scope="col">{t(LastHourWord::Rate)}</th>{heads}<th scope="col">{t(LastHourWord::Failed)}</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </section>
    }
}

/// A closed path between two percentages of the height at each moment; a gap where nothing is known, and between moments that are far apart.
fn band(past: &LastHour, of: impl Fn(&LastHourSample) -> Option<(f64, f64)>) -> String {
    let (Some(first), Some(last)) = (past.moments.first(), past.moments.last()) else { return String::new() };
    let span = (last.at_s - first.at_s).max(1) as f64;
    let mut pieces: Vec<Vec<(f64, f64, f64)>> = vec![Vec::new()];
    let mut before = None;
    for moment in &past.moments {
        let apart = before.is_some_and(|b| moment.at_s - b > 2 * u64::from(past.step_s));
        let known = of(moment);
        if apart || known.is_none() {
            pieces.push(Vec::new());
        }
        if let (Some((low, high)), Some(piece)) = (known, pieces.last_mut()) {
            piece.push(((moment.at_s - first.at_s) as f64 * WIDTH / span, low, high));
        }
        before = Some(moment.at_s);
    }
    let mut path = String::new();
    let y = |percent: f64| HEIGHT - percent * HEIGHT / 100.0;
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        let there = piece.iter().map(|(x, _, high)| (*x, *high));
        let back = piece.iter().rev().map(|(x, low, _)| (*x, *low));
        for (i, (x, percent)) in there.chain(back).enumerate() {
            let _ = write!(path, "{}{x:.1} {:.1}", if i == 0 { 'M' } else { 'L' }, y(percent));
        }
        path.push('Z');
    }
    path
}

/// `14:05` of the day.
fn clock(at_s: u64) -> String {
    format!("{:02}:{:02}", at_s / 3_600 % 24, at_s / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_band_has_a_gap_where_nothing_is_known() {
        let moment =
            |at_s, v1: f64| LastHourSample { at_s, rates: BTreeMap::from([("v1".to_owned(), v1)]), failed: 0.0 };
        for (what, moments, drawn) in [
            ("nothing", vec![], ""),
            ("whole", vec![moment(0, 1.0), moment(15, 1.0)], "M0.0 0.0L1000.0 0.0L1000.0 200.0L0.0 200.0Z"),
            ("not scraped", vec![moment(0, 1.0), moment(60, 1.0)], "M0.0 0.0L0.0 200.0ZM1000.0 0.0L1000.0 200.0Z"),
            ("no requests", vec![moment(0, 0.0), moment(15, 0.0)], ""),
        ] {
            let past = LastHour {
                namespace: Default::default(),
                source: String::new(),
                metric: String::new(),
                step_s: 15,
                moments,
            };
            assert_eq!(band(&past, |m| m.share("v1").map(|s| (0.0, s))), drawn, "{what}");
        }
        assert_eq!(clock(1_764_072_300), "12:05");
    }
}
