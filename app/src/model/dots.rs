//! The dots of the mesh picture: each stands for so many requests, and travels from the client to the version that answered them.
//!
//! Pure: frames and the clock in, places out. A dot is a measured request, so none is drawn without one.
use super::history::between;
use std::collections::BTreeMap;
use wire::Frame;

/// How long a dot travels, milliseconds.
const TRAVEL_MS: f64 = 1_100.0;
/// Dots that set out in a second, at most. More are neither told apart nor cheap.
const MOST_PER_SECOND: f64 = 36.0;
/// Frames further apart are no stream of requests.
const GAP_MS: u64 = 2_500;

/// The line from the client to a version, in a unit square: x is the way from the client, y the place across it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// Where it ends, across.
    pub end: f64,
}

impl Edge {
    /// The line to version `place` of `of`. All begin in the middle.
    pub fn new(place: usize, of: usize) -> Edge {
        Edge { end: (place as f64 + 0.5) / of.max(1) as f64 }
    }

    /// The point at `t` (0 to 1) of its Bézier curve: level at both ends.
    pub fn at(self, t: f64) -> (f64, f64) {
        let s = 1.0 - t;
        let x = 3.0 * s * s * t * 0.5 + 3.0 * s * t * t * 0.5 + t * t * t;
        let y = (s * s * s + 3.0 * s * s * t) * 0.5 + (3.0 * s * t * t + t * t * t) * self.end;
        (x, y)
    }
}

/// A dot on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    /// The version's place; `None`: it failed, and reached no version.
    pub place: Option<usize>,
    /// Whether the request failed.
    pub failed: bool,
    /// Part of the way, 0 to 1.
    pub way: f64,
    /// Place across the line, −1 to 1.
    pub across: f64,
}

/// The dots, and what is left of requests that are no whole dot yet.
#[derive(Clone, Debug, Default)]
pub struct Dots {
    flying: Vec<Flying>,
    last: Option<Frame>,
    rest: BTreeMap<Option<String>, f64>,
    sent: u64,
    per_dot: u64,
}

#[derive(Clone, Debug)]
struct Flying {
    place: Option<usize>,
    failed: bool,
    start_ms: f64,
    across: f64,
}

impl Dots {
    /// How many requests a dot stands for: 1, 2, 5, 10 …; 0 before the first.
    pub fn per_dot(&self) -> u64 {
        self.per_dot
    }

    /// Takes a frame: what ended since the last one sets out, spread over the time between them.
    pub fn push(&mut self, frame: &Frame, versions: &[String], failing: Option<&str>) {
        let Some(last) = self.last.replace(frame.clone()) else { return };
        let time = frame.at_ms.saturating_sub(last.at_ms);
        if time == 0 || time > GAP_MS {
            return;
        }
        let part = between(&last, frame);
        self.per_dot = per_dot(part.requests() as f64 * 1000.0 / time as f64, self.per_dot);
        let failed = versions.iter().position(|v| Some(v.as_str()) == failing);
        let answered = versions.iter().enumerate().filter_map(|(i, v)| Some((Some(v), Some(i), *part.counts.get(v)?)));
        for (key, place, n) in answered.chain([(None, failed, part.errors)]) {
            let rest = self.rest.entry(key.cloned()).or_default();
            *rest += n as f64 / self.per_dot as f64;
            let whole = rest.floor();
            *rest -= whole;
            for k in 0..whole as u64 {
                self.sent += 1;
                let start_ms = frame.at_ms as f64 + time as f64 * (k as f64 + 0.5) / whole;
                self.flying.push(Flying { place, failed: key.is_none(), start_ms, across: across(self.sent) });
            }
        }
    }

    /// The dots that are on their way at `now_ms`; those that have arrived are forgotten.
    pub fn at(&mut self, now_ms: f64) -> impl Iterator<Item = Dot> {
        self.flying.retain(|dot| now_ms < dot.start_ms + TRAVEL_MS);
        self.flying.iter().filter(move |dot| now_ms >= dot.start_ms).map(move |dot| Dot {
            place: dot.place,
            failed: dot.failed,
            way: (now_ms - dot.start_ms) / TRAVEL_MS,
            across: dot.across,
        })
    }
}

/// It stays as it was while that is nearly right, so that the legend does not flicker.
fn per_dot(rate: f64, before: u64) -> u64 {
    let dots = rate / before.max(1) as f64;
    if before > 0 && dots <= MOST_PER_SECOND * 1.2 && (before == 1 || dots >= MOST_PER_SECOND / 4.0) {
        return before;
    }
    let (mut step, mut digit) = (1_u64, 1);
    while rate / step as f64 > MOST_PER_SECOND && step < 1_000_000_000 {
        (step, digit) = match digit {
            1 => (step * 2, 2),
            2 => (step / 2 * 5, 5),
            _ => (step * 2, 1),
        };
    }
    step
}

/// Neighbours lie apart: the fractional part of multiples of the golden ratio, from −1 to 1.
fn across(n: u64) -> f64 {
    (n as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(at_ms: u64, v1: u64, v2: u64, errors: u64) -> Frame {
        Frame {
            at_ms,
            run: 1,
            counts: BTreeMap::from([("v1".to_owned(), v1), ("v2".to_owned(), v2)]),
            errors,
            ..Frame::default()
        }
    }

    #[test]
    fn dots_are_in_proportion_to_the_requests_whatever_the_rate() {
        let versions = ["v1".to_owned(), "v2".to_owned()];
        for (rate, per_dot) in [(1, 1), (10, 1), (200, 10), (2_000, 100), (20_000, 1_000)] {
            let mut dots = Dots::default();
            let mut seen = [0_u32; 2];
            for i in 0..=400_u64 {
                let n = i * rate / 10;
                dots.push(&frame(i * 100, n * 4 / 5, n / 5, 0), &versions, None);
                let now_ms = (i * 100) as f64;
                let new = |dot: &Dot| dot.way < 100.0 / TRAVEL_MS;
                for dot in dots.at(now_ms + 99.9).filter(new) {
                    seen[dot.place.unwrap()] += 1;
                }
            }
            assert_eq!(dots.per_dot(), per_dot, "{rate}/s");
            let share = f64::from(seen[0]) / f64::from(seen[0] + seen[1]);
            assert!((share - 0.8).abs() < 0.03, "{rate}/s: {seen:?}");
            let all = 40.0 * rate as f64 / per_dot as f64;
            assert!((f64::from(seen[0] + seen[1]) - all).abs() <= all * 0.03 + 3.0, "{rate}/s: {seen:?} of {all}");
        }
    }

    #[test]
    fn failures_are_dots_that_say_where_they_failed() {
        let versions = ["v1".to_owned(), "v2".to_owned()];
        for (failing, place) in [(None, None), (Some("v2"), Some(1)), (Some("v9"), None)] {
            let mut dots = Dots::default();
            dots.push(&frame(1000, 0, 0, 0), &versions, failing);
            dots.push(&frame(1100, 0, 0, 3), &versions, failing);
            let flying: Vec<Dot> = dots.at(1199.0).collect();
            assert_eq!(flying.len(), 3, "{failing:?}");
            assert!(flying.iter().all(|dot| dot.failed && dot.place == place), "{flying:?}");
            assert_eq!(dots.at(1200.0 + TRAVEL_MS).count(), 0, "they arrive");
        }
    }

    #[test]
    fn a_lost_connection_is_no_burst() {
        let mut dots = Dots::default();
        let versions = ["v1".to_owned()];
        dots.push(&frame(1000, 0, 0, 0), &versions, None);
        dots.push(&frame(60_000, 10_000, 0, 0), &versions, None);
        assert_eq!(dots.at(60_100.0).count(), 0);
    }

    #[test]
    fn an_edge_leads_from_the_middle_to_its_version() {
        for (place, of, end) in [(0, 1, 0.5), (0, 2, 0.25), (1, 2, 0.75), (2, 3, 5.0 / 6.0)] {
            let edge = Edge::new(place, of);
            assert_eq!(edge.at(0.0), (0.0, 0.5));
            let (x, y) = edge.at(1.0);
            assert!((x - 1.0).abs() < 1e-9 && (y - end).abs() < 1e-9, "{place} of {of}: {x} {y}");
        }
    }
}
