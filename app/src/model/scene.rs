//! The chart's geometry: frames in, SVG paths out. Time runs to the right; v1 lies at the bottom of the shares.
//!
//! Below the shares there is a lane per version and one for failures: a bar is as high as the rate of its second.
use super::fixed::fixed;
use super::history::{History, between};
use std::fmt::Write as _;
use wire::Split;

/// Longest time on show, milliseconds.
pub const SPAN_MS: f64 = 60_000.0;
/// Shortest time on show, milliseconds: the window grows from this to [`SPAN_MS`] while a load is young.
const YOUNG_MS: f64 = 10_000.0;
/// A share is taken over the frames of so many milliseconds: at 200 requests/s a percentage then strays by about 4 points.
const SMOOTH_MS: u64 = 600;
/// Frames further apart leave a gap.
const GAP_MS: u64 = 2_500;
/// A stretch without a success is a gap if it is at least so long and requests failed in it.
const FAILED_MS: u64 = 1_000;
/// Time that one bar of a lane stands for.
const BAR_MS: u64 = 1_000;

/// Size of the drawing, in its own units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Of the whole window.
    pub width: f64,
    /// Of the part with the shares, from the top.
    pub height: f64,
    /// Of one lane, the gap above it included.
    pub lane: f64,
    /// Time on show, milliseconds; see [`span_ms`].
    pub span_ms: f64,
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
    /// The lanes: one per version, in the order given, then that of the failures.
    pub lanes: Vec<String>,
}

/// How much of the last minute to show: the time since the first request in it, 10 s at least.
pub fn span_ms(history: &History, now_ms: u64) -> f64 {
    let frames = history.frames();
    let pairs = frames.iter().zip(frames.iter().skip(1));
    let first = pairs.filter(|(before, after)| between(before, after).requests() > 0).map(|(before, _)| before.at_ms);
    let age_ms = first.take(1).last().map_or(0, |at_ms| now_ms.saturating_sub(at_ms));
    (age_ms as f64).clamp(YOUNG_MS, SPAN_MS)
}

/// Draws `history`.
pub fn scene(history: &History, versions: &[String], from_ms: u64, size: Size) -> Scene {
    let x = |at_ms: u64| (at_ms as f64 - from_ms as f64) * size.width / size.span_ms;
    let y = |share: f64| size.height * (1.0 - share);
    let mut drawn = Scene { areas: vec![String::new(); versions.len()], ..Scene::default() };
    drawn.edges = vec![String::new(); versions.len().saturating_sub(1)];
    for run in runs(history) {
        let points: Vec<(f64, Vec<f64>)> =
            run.iter().filter_map(|i| Some((x(history.frames()[*i].at_ms), borders(history, *i, versions)?))).collect();
        draw_run(&mut drawn, &points, y);
    }
    drawn.desired = desired(history, versions, x, y);
    drawn.lanes = lanes(history, versions, x, size);
    drawn
}

/// Stretches of frames with answers in them, as indices.
fn runs(history: &History) -> Vec<Vec<usize>> {
    let frames = history.frames();
    let mut runs: Vec<Vec<usize>> = vec![Vec::new()];
    // When the last answer came, and whether requests have failed since.
    let (mut success_ms, mut failed) = (0, false);
    for i in 1..frames.len() {
        let (before, after) = (&frames[i - 1], &frames[i]);
        let sound = before.run == after.run && after.at_ms - before.at_ms <= GAP_MS;
        let part = between(before, after);
        let bridged = failed && before.at_ms - success_ms.min(before.at_ms) >= FAILED_MS;
        let answered = sound && part.answers() > 0;
        // Slow loads have frames without a request: those do not break the line.
        let ends = if answered { bridged } else { !sound || after.target_rate == 0.0 };
        if ends && runs.last().is_some_and(|run| !run.is_empty()) {
            runs.push(Vec::new());
        }
        if answered {
            runs.last_mut().map(|run| run.push(i)).unwrap_or_default();
            (success_ms, failed) = (after.at_ms, false);
        } else {
            failed |= part.errors > 0;
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

/// A bar per second and lane, all on one scale. What happened between two frames is spread evenly over the time between them.
fn lanes(history: &History, versions: &[String], x: impl Fn(u64) -> f64, size: Size) -> Vec<String> {
    let frames = history.frames();
    let (Some(first), Some(last)) = (frames.front(), frames.back()) else { return Vec::new() };
    let (start, end) = (first.at_ms / BAR_MS, last.at_ms / BAR_MS);
    let bars = (end - start + 1) as usize;
    let mut sums = vec![vec![0.0_f64; bars]; versions.len() + 1];
    for (before, after) in frames.iter().zip(frames.iter().skip(1)) {
        let part = between(before, after);
        let time = after.at_ms - before.at_ms;
        if time > GAP_MS || part.requests() == 0 {
            continue;
        }
        let of = |lane: usize| match versions.get(lane) {
            Some(version) => part.counts.get(version).copied().unwrap_or(0),
            None => part.errors,
        };
        for bar in before.at_ms / BAR_MS..=after.at_ms / BAR_MS {
            let (from, to) = (before.at_ms.max(bar * BAR_MS), after.at_ms.min((bar + 1) * BAR_MS));
            for (lane, sums) in sums.iter_mut().enumerate() {
                sums[(bar - start) as usize] += of(lane) as f64 * to.saturating_sub(from) as f64 / time as f64;
            }
        }
    }
    let most = sums.iter().flatten().fold(1.0_f64, |most, n| most.max(*n));
    let mut drawn = vec![String::new(); sums.len()];
    for (lane, (d, sums)) in drawn.iter_mut().zip(&sums).enumerate() {
        let foot = size.height + size.lane * (lane + 1) as f64;
        for (bar, n) in sums.iter().enumerate().filter(|(_, n)| **n > 0.0) {
            let (left, right) = (x((start + bar as u64) * BAR_MS), x((start + bar as u64 + 1) * BAR_MS));
            // The least that can be seen: one failure among thousands is no empty lane.
            let top = foot - ((size.lane - 4.0) * n / most).max(1.5);
            let [left, right, top, foot] = [left, right - 1.0, top, foot].map(|v| fixed(v, 1));
            let _ = write!(d, "M{left} {foot}V{top}H{right}V{foot}Z");
        }
    }
    drawn
}

/// What a reader who points at a moment is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// How long ago, seconds.
    pub ago_s: f64,
    /// Percent of the answers by version, in the order given; `None` if none came.
    pub shares: Option<Vec<f64>>,
    /// Requests of the second around it that were answered.
    pub answers: u64,
    /// Requests of that second that failed.
    pub errors: u64,
}

/// The second around `at_ms`.
pub fn moment(history: &History, versions: &[String], at_ms: u64, now_ms: u64) -> Moment {
    let (from, to) = (at_ms.saturating_sub(BAR_MS / 2), at_ms + BAR_MS / 2);
    let window = history.within(from, to);
    Moment {
        ago_s: now_ms.saturating_sub(at_ms) as f64 / 1000.0,
        shares: super::shares(&window.counts, versions),
        answers: window.answers(),
        errors: window.errors,
    }
}

#[cfg(test)]
#[path = "scene_tests.rs"]
mod tests;
