//! The last minute of frames, and what they come to.
use std::collections::{BTreeMap, VecDeque};
use wire::Frame;

/// How much is kept: the minute on show, and what the chart needs just left of it. Milliseconds.
const KEPT_MS: u64 = 64_000;

/// Frames of the last minute, oldest first, their times rising.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    frames: VecDeque<Frame>,
}

/// What happened within some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Answers by version.
    pub counts: BTreeMap<String, u64>,
    /// Failed requests.
    pub errors: u64,
}

impl Window {
    /// Answers of every version.
    pub fn answers(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Requests that ended, well or not.
    pub fn requests(&self) -> u64 {
        self.answers() + self.errors
    }

    /// Percent of the requests that failed; 0 without requests.
    pub fn failing(&self) -> f64 {
        let all = self.answers() + self.errors;
        if all == 0 { 0.0 } else { self.errors as f64 * 100.0 / all as f64 }
    }
}

/// Percent of the answers that each version gave, in the order of the names; nothing without answers.
pub fn shares(counts: &BTreeMap<String, u64>, names: &[String]) -> Option<Vec<f64>> {
    let all: u64 = counts.values().sum();
    // Counts of a minute are far below 2^53: the casts are exact.
    (all > 0)
        .then(|| names.iter().map(|name| counts.get(name).copied().unwrap_or(0) as f64 * 100.0 / all as f64).collect())
}

impl History {
    /// From frames in any state of order; see [`History::push`].
    pub fn new(frames: impl IntoIterator<Item = Frame>) -> History {
        let mut history = History::default();
        for frame in frames {
            history.push(frame);
        }
        history
    }

    /// Adds the newest frame. One that is not newer than the last is left out.
    pub fn push(&mut self, frame: Frame) {
        if self.frames.back().is_some_and(|last| frame.at_ms <= last.at_ms) {
            return;
        }
        let oldest = frame.at_ms.saturating_sub(KEPT_MS);
        self.frames.push_back(frame);
        while self.frames.front().is_some_and(|first| first.at_ms < oldest) {
            self.frames.pop_front();
        }
    }

    /// Frames, oldest first.
    pub fn frames(&self) -> &VecDeque<Frame> {
        &self.frames
    }

    /// The newest frame.
    pub fn last(&self) -> Option<&Frame> {
        self.frames.back()
    }

    /// What happened since `from_ms`.
    pub fn since(&self, from_ms: u64) -> Window {
        self.within(from_ms, u64::MAX)
    }

    /// What happened between two moments.
    pub fn within(&self, from_ms: u64, to_ms: u64) -> Window {
        let mut window = Window::default();
        for (before, after) in self.frames.iter().zip(self.frames.iter().skip(1)) {
            if before.at_ms >= from_ms && before.at_ms < to_ms {
                add(&mut window, &between(before, after));
            }
        }
        window
    }
}

fn add(sum: &mut Window, part: &Window) {
    for (version, n) in &part.counts {
        *sum.counts.entry(version.clone()).or_default() += n;
    }
    sum.errors += part.errors;
}

/// What happened between two frames. Another run counts from 0.
pub fn between(before: &Frame, after: &Frame) -> Window {
    let same = before.run == after.run;
    let less = |now: u64, then: u64| if same { now.saturating_sub(then) } else { now };
    // One by one: a map of a list sorts first, which is kilobytes in the browser.
    let mut counts = BTreeMap::new();
    for (version, n) in &after.counts {
        counts.insert(version.clone(), less(*n, before.counts.get(version).copied().unwrap_or(0)));
    }
    Window { counts, errors: less(after.errors, before.errors) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Split;

    fn frame(at_ms: u64, run: u64, v1: u64, v2: u64, errors: u64, desired_v2: u8) -> Frame {
        Frame {
            at_ms,
            run,
            counts: BTreeMap::from([("v1".to_owned(), v1), ("v2".to_owned(), v2)]),
            errors,
            desired: Split::v1_v2(desired_v2).ok(),
            ..Frame::default()
        }
    }

    #[test]
    fn counts_survive_lost_frames_and_start_again_with_a_new_run() {
        let history =
            History::new([frame(100, 1, 10, 0, 0, 50), frame(900, 1, 50, 40, 2, 50), frame(1000, 2, 3, 1, 0, 50)]);
        let all = history.since(0);
        assert_eq!((all.counts["v1"], all.counts["v2"], all.errors), (43, 41, 2));
        assert_eq!(history.since(900).answers(), 4);
        let names = ["v1".to_owned(), "v3".to_owned()];
        assert_eq!(
            (shares(&history.since(5000).counts, &names), shares(&history.since(900).counts, &names)),
            (None, Some(vec![75.0, 0.0]))
        );
    }

    #[test]
    fn a_minute_is_kept_and_time_does_not_run_back() {
        let mut history = History::new((0..1000).map(|i| frame(i * 100, 1, i, i, 0, 50)));
        history.push(frame(5, 1, 0, 0, 0, 50));
        assert_eq!(history.last().map(|f| f.at_ms), Some(99_900));
        assert_eq!(history.frames().len(), 641);
    }
}
