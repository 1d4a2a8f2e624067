//! The chart's geometry: frames in, SVG paths out. Time runs to the right; v1 lies at the bottom.
use super::fixed::fixed;
use super::history::{History, between};
use std::fmt::Write as _;
use wire::{Frame, Split};

/// Time on show, milliseconds.
pub const SPAN_MS: f64 = 60_000.0;
/// A share is taken over the frames of so many milliseconds: at 200 requests/s a percentage then strays by about 4 points.
const SMOOTH_MS: u64 = 600;
/// Frames further apart leave a gap.
const GAP_MS: u64 = 2_500;
/// Most marks drawn. More are neither told apart nor cheap.
const MOST_MARKS: u64 = 900;

/// Size of the drawing, in its own units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Of one minute.
    pub width: f64,
    /// Of the part with the shares, from the top.
    pub height: f64,
    /// Where the band of marks begins, from the top.
    pub band_top: f64,
    /// Where it ends.
    pub band_bottom: f64,
}

/// Paths, ready for `d` attributes. x is 0 at `from_ms`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    /// The area of each version, in the order given.
    pub areas: Vec<String>,
    /// The borders between them: one less than there are versions.
    pub edges: Vec<String>,
    /// The desired borders.
    pub desired: String,
    /// One mark for [`Scene::per_mark`] requests, by version.
    pub marks: Vec<String>,
    /// Marks of requests that failed.
    pub failed: String,
    /// How many requests a mark stands for.
    pub per_mark: u64,
}

/// Draws `history`. `per_mark` is the last scene's, so that marks do not flicker at a threshold; 0 at first.
pub fn scene(history: &History, versions: &[String], from_ms: u64, per_mark: u64, size: Size) -> Scene {
    let x = |at_ms: u64| (at_ms as f64 - from_ms as f64) * size.width / SPAN_MS;
    let y = |share: f64| size.height * (1.0 - share);
    let mut drawn =
        Scene { areas: vec![String::new(); versions.len()], per_mark: thin(history, per_mark), ..Scene::default() };
    drawn.edges = vec![String::new(); versions.len().saturating_sub(1)];
    for run in runs(history) {
        let points: Vec<(f64, Vec<f64>)> =
            run.iter().filter_map(|i| Some((x(history.frames()[*i].at_ms), borders(history, *i, versions)?))).collect();
        draw_run(&mut drawn, &points, y);
    }
    drawn.desired = desired(history, versions, x, y);
    marks(&mut drawn, history, versions, x, size);
    drawn
}

/// Stretches of frames with requests in them, as indices.
fn runs(history: &History) -> Vec<Vec<usize>> {
    let frames = history.frames();
    let mut runs: Vec<Vec<usize>> = vec![Vec::new()];
    for i in 1..frames.len() {
        let (before, after) = (&frames[i - 1], &frames[i]);
        let sound = before.run == after.run && after.at_ms - before.at_ms <= GAP_MS;
        if sound && between(before, after).answers() > 0 {
            runs.last_mut().map(|run| run.push(i)).unwrap_or_default();
        } else if (!sound || after.target_rate == 0.0) && runs.last().is_some_and(|run| !run.is_empty()) {
            // Slow loads have frames without a request: those do not break the line.
            runs.push(Vec::new());
        }
    }
    runs
}

/// Shares summed up, version by version, over the frames just before `i` that have its weights.
fn borders(history: &History, i: usize, versions: &[String]) -> Option<Vec<f64>> {
    let frames = history.frames();
    let now = &frames[i];
    let mut from = i - 1;
    while from > 0
        && now.at_ms - frames[from - 1].at_ms <= SMOOTH_MS
        && frames[from - 1].run == now.run
        && frames[from].desired == now.desired
    {
        from -= 1;
    }
    let window = between(&frames[from], now);
    let known: u64 = versions.iter().filter_map(|v| window.counts.get(v)).sum();
    let mut below = 0;
    (known > 0).then(|| {
        versions
            .iter()
            .map(|v| {
                below += window.counts.get(v).copied().unwrap_or(0);
                below as f64 / known as f64
            })
            .collect()
    })
}

fn draw_run(drawn: &mut Scene, points: &[(f64, Vec<f64>)], y: impl Fn(f64) -> f64) {
    if points.len() < 2 {
        return;
    }
    for (k, area) in drawn.areas.iter_mut().enumerate() {
        let upper = points.iter().map(|(x, cum)| (*x, y(cum[k])));
        let lower = points.iter().rev().map(|(x, cum)| (*x, y(if k == 0 { 0.0 } else { cum[k - 1] })));
        path(area, upper.chain(lower));
        area.push('Z');
    }
    for (k, edge) in drawn.edges.iter_mut().enumerate() {
        path(edge, points.iter().map(|(x, cum)| (*x, y(cum[k]))));
    }
}

fn path(d: &mut String, points: impl Iterator<Item = (f64, f64)>) {
    for (i, (x, y)) in points.enumerate() {
        let _ = write!(d, "{}{} {}", if i == 0 { 'M' } else { 'L' }, fixed(x, 1), fixed(y, 1));
    }
}

/// The desired borders as steps, one path for all. A level stretch is written when it ends.
fn desired(history: &History, versions: &[String], x: impl Fn(u64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut d = String::new();
    let border =
        |split: &Split, k: usize| versions[..=k].iter().map(|v| f64::from(split.percent(v))).sum::<f64>() / 100.0;
    for k in 0..versions.len().saturating_sub(1) {
        // Height of the stretch being drawn, and how far it is known to reach.
        let mut stretch: Option<(f64, u64)> = None;
        for frame in history.frames() {
            let height = frame.desired.as_ref().map(|split| y(border(split, k)));
            let (fx, gap) = (x(frame.at_ms), stretch.is_some_and(|(_, end)| frame.at_ms - end > GAP_MS));
            match (stretch, height) {
                (Some((_, end)), next) if gap || next.is_none() => {
                    let _ = write!(d, "H{}", fixed(x(end), 1));
                    if let Some(next) = next {
                        let _ = write!(d, "M{} {}", fixed(fx, 1), fixed(next, 1));
                    }
                }
                (Some((now, _)), Some(next)) if (now - next).abs() > 0.05 => {
                    let _ = write!(d, "H{}V{}", fixed(fx, 1), fixed(next, 1));
                }
                (None, Some(next)) => {
                    let _ = write!(d, "M{} {}", fixed(fx, 1), fixed(next, 1));
                }
                _ => {}
            }
            stretch = height.map(|height| (height, frame.at_ms));
        }
        if let Some((_, end)) = stretch {
            let _ = write!(d, "H{}", fixed(x(end), 1));
        }
    }
    d
}

/// The marks, by the version's place: the shapes of its symbol.
const MARKS: [&str; 6] = [
    "h0",
    "l4 4-4 4-4-4z",
    "l4 7h-8z",
    "m-3.5 .5h7v7h-7z",
    "m-4 .5h8l-4 7z",
    "m-1.4 0h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6z",
];

/// How many requests one mark stands for: 1, 2, 5, 10 … It stays as it was while that is nearly right.
fn thin(history: &History, before: u64) -> u64 {
    let window = history.since(0);
    let all = window.answers() + window.errors;
    if before > 0 && all / before <= MOST_MARKS && (before == 1 || all / before * 4 >= MOST_MARKS) {
        return before;
    }
    let steps = (0..12).flat_map(|e| [1, 2, 5].map(|m| m * 10_u64.pow(e)));
    steps.into_iter().find(|step| all / step <= MOST_MARKS * 3 / 4).unwrap_or(u64::MAX)
}

fn marks(drawn: &mut Scene, history: &History, versions: &[String], x: impl Fn(u64) -> f64, size: Size) {
    drawn.marks = vec![String::new(); versions.len()];
    let frames = history.frames();
    for (before, after) in frames.iter().zip(frames.iter().skip(1)) {
        if after.at_ms - before.at_ms > GAP_MS {
            continue;
        }
        let place = |salt: u64, n: u64| {
            let (along, down) = scatter(after.run ^ salt << 32, n);
            let (from, to) = (x(before.at_ms), x(after.at_ms));
            (from + (to - from) * along, size.band_top + 5.0 + (size.band_bottom - size.band_top - 10.0) * down)
        };
        for (k, version) in versions.iter().enumerate() {
            for n in numbers(before, after, |f| f.counts.get(version).copied().unwrap_or(0), drawn.per_mark) {
                let (px, py) = place(k as u64 + 1, n);
                // The first is a dot, which is round where the line is; the others begin at their top.
                let top = if k == 0 { py } else { py - 4.0 };
                let _ = write!(drawn.marks[k], "M{} {}{}", fixed(px, 1), fixed(top, 1), MARKS[k % MARKS.len()]);
            }
        }
        for n in numbers(before, after, |f| f.errors, drawn.per_mark.div_ceil(5)) {
            let (px, py) = place(0, n);
            let _ =
                write!(drawn.failed, "M{} {}a3.5 3.5 0 1 0 7 0 3.5 3.5 0 1 0-7 0", fixed(px - 3.5, 1), fixed(py, 1));
        }
    }
}

/// The requests between two frames that get a mark: each whose number is a multiple of `step`.
fn numbers(before: &Frame, after: &Frame, count: impl Fn(&Frame) -> u64, step: u64) -> impl Iterator<Item = u64> {
    let from = if before.run == after.run { count(before) } else { 0 };
    let (first, last) = (from / step + 1, count(after) / step);
    (first..=last).map(move |m| m * step)
}

/// Two numbers between 0 and 1 that are always the same for the same request. Source: splitmix64, Steele et al. 2014.
fn scatter(seed: u64, n: u64) -> (f64, f64) {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    ((z >> 32) as f64 / 4_294_967_296.0, (z & 0xffff_ffff) as f64 / 4_294_967_296.0)
}

#[cfg(test)]
#[path = "scene_tests.rs"]
mod tests;
