//! Counts a run and keeps the last seconds' latencies; turns them into a [`Snapshot`]. The clock is an argument.
use super::failure::Failure;
use super::window::{Sliding, WINDOW_S};
use crate::snapshot::{FirstAnswer, Mark, Snapshot};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A request written later than this after its scheduled time counts as late.
const LATE: Duration = Duration::from_millis(5);
/// More versions than this are counted together: the names come from outside.
const MAX_VERSIONS: usize = 32;

/// When a request was due and when it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub scheduled: Instant,
    /// Nothing where it failed before it was written.
    pub started: Option<Instant>,
    /// The run it belongs to.
    pub run: u64,
}

/// Totals at one tick, for what happened over the last second.
struct Totals {
    at: Instant,
    sent: u64,
    due: u64,
    answers: Vec<u64>,
}

struct MarkState {
    mark: Mark,
    at: Instant,
}

/// All that is counted.
pub(crate) struct Tally {
    run: u64,
    versions: Vec<(Box<str>, u64)>,
    error_kinds: BTreeMap<Failure, u64>,
    errors: u64,
    sent: u64,
    /// Places of the schedule that have come, sent or not.
    due: u64,
    late: u64,
    shed: u64,
    latency: Sliding,
    service: Sliding,
    lateness: Sliding,
    second_began: Instant,
    recent: VecDeque<Totals>,
    marks: u64,
    mark: Option<MarkState>,
    /// Two readings of the same moment, so that any `Instant` has a wall-clock time.
    clock: (Instant, SystemTime),
}

impl Tally {
    pub fn new(now: Instant) -> Tally {
        let mut tally = Tally {
            run: 0,
            versions: Vec::new(),
            error_kinds: BTreeMap::new(),
            errors: 0,
            sent: 0,
            due: 0,
            late: 0,
            shed: 0,
            latency: Sliding::new(),
            service: Sliding::new(),
            lateness: Sliding::new(),
            second_began: now,
            recent: VecDeque::new(),
            marks: 0,
            mark: None,
            clock: (now, SystemTime::now()),
        };
        tally.begin_run(now);
        tally
    }

    /// The current run's id: milliseconds since the epoch, never the same twice.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Starts the counts again from 0.
    pub fn begin_run(&mut self, now: Instant) {
        self.run = (self.unix_us(now) / 1_000).max(self.run + 1);
        self.versions.clear();
        self.error_kinds.clear();
        (self.errors, self.sent, self.due, self.late, self.shed) = (0, 0, 0, 0, 0);
        for window in [&mut self.latency, &mut self.service, &mut self.lateness] {
            window.clear();
        }
        if let Some(MarkState { mark, .. }) = &mut self.mark {
            // Still the same moment, so `first` stands; the counts are this run's alone.
            mark.counts.clear();
            (mark.sent, mark.errors) = (0, 0);
        }
        self.begin_second(now);
    }

    /// Forgets the last second's rates, as after a change of the wished one.
    pub fn begin_second(&mut self, now: Instant) {
        self.recent.clear();
        let totals = self.totals(now);
        self.recent.push_back(totals);
    }

    fn totals(&self, at: Instant) -> Totals {
        Totals { at, sent: self.sent, due: self.due, answers: self.versions.iter().map(|(_, n)| *n).collect() }
    }

    fn unix_us(&self, at: Instant) -> u64 {
        let (anchor, wall) = self.clock;
        let wall = if at >= anchor { wall + (at - anchor) } else { wall - (anchor - at) };
        wall.duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
    }

    /// A place of the schedule has come.
    pub fn due(&mut self, places: u64) {
        self.due += places;
    }

    /// Places left empty.
    pub fn shed(&mut self, places: u64) {
        self.shed += places;
    }

    /// A request has been written.
    pub fn sent(&mut self, scheduled: Instant, started: Instant) {
        self.sent += 1;
        let lateness = started.saturating_duration_since(scheduled);
        self.lateness.record(lateness);
        if lateness > LATE {
            self.late += 1;
        }
    }

    /// A good answer is complete.
    pub fn answered(&mut self, t: Timing, version: &str, now: Instant) {
        if !self.finished(t, now) {
            return;
        }
        let version = self.count_version(version);
        let Some(started) = t.started else { return };
        let (sent_us, answered_us) = (self.unix_us(started), self.unix_us(now));
        let Some(state) = self.mark.as_mut().filter(|m| started >= m.at) else { return };
        let name = &*self.versions[version].0;
        if let Some(n) = state.mark.counts.get_mut(name) {
            *n += 1;
        } else {
            state.mark.counts.insert(name.to_owned(), 1);
        }
        match state.mark.first.get_mut(name) {
            Some(first) if first.sent_us <= sent_us => {}
            Some(first) => *first = FirstAnswer { sent_us, answered_us },
            None => {
                state.mark.first.insert(name.to_owned(), FirstAnswer { sent_us, answered_us });
            }
        }
    }

    fn count_version(&mut self, name: &str) -> usize {
        if let Some(i) = self.versions.iter().position(|(known, _)| **known == *name) {
            self.versions[i].1 += 1;
            return i;
        }
        if self.versions.len() >= MAX_VERSIONS && name != "other" {
            return self.count_version("other");
        }
        self.versions.push((name.into(), 1));
        self.versions.len() - 1
    }

    /// A request has failed.
    pub fn failed(&mut self, t: Timing, why: Failure, now: Instant) {
        if !self.finished(t, now) {
            return;
        }
        self.errors += 1;
        *self.error_kinds.entry(why).or_default() += 1;
        if let Some(state) = self.mark.as_mut().filter(|m| t.started.unwrap_or(t.scheduled) >= m.at) {
            state.mark.errors += 1;
        }
    }

    /// Records latencies; false for a request of an earlier run, which counts no more.
    fn finished(&mut self, t: Timing, now: Instant) -> bool {
        if t.run != self.run {
            return false;
        }
        self.latency.record(now.saturating_duration_since(t.scheduled));
        if let Some(started) = t.started {
            self.service.record(now.saturating_duration_since(started));
        }
        true
    }

    /// Sets a mark: what is sent from `now` on is counted apart.
    pub fn set_mark(&mut self, now: Instant) -> Mark {
        self.marks += 1;
        let mark = Mark { id: self.marks, at_us: self.unix_us(now), sent: self.sent, ..Mark::default() };
        self.mark = Some(MarkState { mark: mark.clone(), at: now });
        mark
    }

    /// Ten times a second: moves the windows on and says how things stand.
    pub fn tick(&mut self, now: Instant, target_rate: f64, in_flight: u64, requests: Option<u64>) -> Snapshot {
        // The wall clock may be set while we run; marks and `at_ms` follow it.
        self.clock = (now, SystemTime::now());
        let behind = now.saturating_duration_since(self.second_began).as_secs();
        for _ in 0..behind.min(WINDOW_S as u64) {
            for window in [&mut self.latency, &mut self.service, &mut self.lateness] {
                window.rotate();
            }
        }
        self.second_began += Duration::from_secs(behind);

        let then = self.recent.front();
        let elapsed = then.map_or(Duration::ZERO, |t| now.saturating_duration_since(t.at)).as_secs_f64();
        let per_second = |n: u64| if elapsed > 0.0 { n as f64 / elapsed } else { 0.0 };
        let (then_sent, then_due) = then.map_or((self.sent, self.due), |t| (t.sent, t.due));
        let rates = self.versions.iter().enumerate().map(|(i, (name, n))| {
            let before = then.and_then(|t| t.answers.get(i)).copied().unwrap_or(0);
            (name.to_string(), per_second(n - before))
        });
        let rates = rates.collect();
        let achieved_rate = per_second(self.sent - then_sent);
        let (due, missing) = (self.due - then_due, (self.due - then_due).saturating_sub(self.sent - then_sent));
        // One request may be on its way at either end of the second.
        let limited = elapsed >= 0.95 && missing > 1 && missing as f64 > 0.02 * due as f64;

        let totals = self.totals(now);
        self.recent.push_back(totals);
        while self.recent.front().is_some_and(|t| now.saturating_duration_since(t.at) >= Duration::from_millis(950)) && self.recent.len() > 1 {
            self.recent.pop_front();
        }
        let [p50_ms, p90_ms, p99_ms] = self.latency.percentiles([0.5, 0.9, 0.99]);
        let [service_p50_ms, service_p99_ms] = self.service.percentiles([0.5, 0.99]);
        let [start_p99_ms] = self.lateness.percentiles([0.99]);
        Snapshot {
            at_ms: self.unix_us(now) / 1_000,
            run: self.run,
            counts: self.versions.iter().map(|(name, n)| (name.to_string(), *n)).collect(),
            errors: self.errors,
            error_kinds: self.error_kinds.iter().map(|(kind, n)| (kind.to_string(), *n)).collect(),
            sent: self.sent,
            in_flight,
            target_rate,
            achieved_rate,
            rates,
            p50_ms,
            p90_ms,
            p99_ms,
            service_p50_ms,
            service_p99_ms,
            start_p99_ms,
            late: self.late,
            shed: self.shed,
            limited,
            requests,
            mark: self.mark.as_ref().map(|m| m.mark.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn timing(tally: &Tally, scheduled: Instant, started: Instant) -> Timing {
        Timing { scheduled, started: Some(started), run: tally.run() }
    }

    #[test]
    fn percentiles_forget_after_ten_seconds() {
        let t0 = Instant::now();
        let mut tally = Tally::new(t0);
        tally.answered(timing(&tally, t0, t0), "v1", t0 + ms(100));
        for (after_s, seen) in [(1, true), (8, true), (11, false)] {
            let p50 = tally.tick(t0 + ms(after_s * 1_000), 0.0, 0, None).p50_ms;
            assert_eq!(p50.is_some_and(|p| (p - 100.0).abs() < 1.5), seen, "{after_s}: {p50:?}");
        }
    }

    #[test]
    fn latency_counts_from_the_schedule_and_service_from_the_start() {
        let t0 = Instant::now();
        let mut tally = Tally::new(t0);
        tally.sent(t0, t0 + ms(400));
        tally.answered(timing(&tally, t0, t0 + ms(400)), "v1", t0 + ms(500));
        let s = tally.tick(t0 + ms(600), 1.0, 0, None);
        let near = |seen: Option<f64>, ms: f64| seen.is_some_and(|s| (s / ms - 1.0).abs() < 0.02);
        assert!(near(s.p99_ms, 500.0) && near(s.service_p99_ms, 100.0) && near(s.start_p99_ms, 400.0), "{s:?}");
        assert_eq!(s.late, 1);
    }

    #[test]
    fn limited_is_said_after_a_second_more_than_two_percent_behind() {
        for (sent_percent, limited) in [(100_u64, false), (99, false), (97, true), (0, true)] {
            let t0 = Instant::now();
            let mut tally = Tally::new(t0);
            let mut last = Snapshot::default();
            for tick in 1..=15 {
                tally.due(100);
                (0..sent_percent).for_each(|_| tally.sent(t0, t0));
                last = tally.tick(t0 + ms(tick * 100), 1_000.0, 0, None);
            }
            assert_eq!(last.limited, limited, "{sent_percent}");
            assert!((last.achieved_rate - sent_percent as f64 * 10.0).abs() < 1.0, "{}", last.achieved_rate);
        }
    }

    #[test]
    fn a_mark_counts_only_what_was_sent_after_it() {
        let t0 = Instant::now();
        let mut tally = Tally::new(t0);
        let old = timing(&tally, t0, t0);
        let mark = tally.set_mark(t0 + ms(10));
        tally.answered(old, "v1", t0 + ms(20));
        tally.answered(timing(&tally, t0, t0 + ms(30)), "v2", t0 + ms(33));
        tally.answered(timing(&tally, t0, t0 + ms(12)), "v2", t0 + ms(34));
        let seen = tally.tick(t0 + ms(100), 1.0, 0, None).mark.unwrap();
        assert_eq!(seen.counts, BTreeMap::from([("v2".to_owned(), 2)]));
        let first = seen.first["v2"];
        tally.begin_run(t0 + ms(200));
        let next = tally.tick(t0 + ms(300), 1.0, 0, None).mark.unwrap();
        assert_eq!((next.id, next.first, next.counts.len()), (seen.id, seen.first.clone(), 0), "another run: the same mark, counted anew");
        assert!(first.sent_us.abs_diff(mark.at_us + 2_000) <= 1 && first.answered_us.abs_diff(mark.at_us + 24_000) <= 1, "{seen:?}");
    }

    #[test]
    fn an_old_runs_answers_do_not_count_and_names_are_bounded() {
        let t0 = Instant::now();
        let mut tally = Tally::new(t0);
        let old = timing(&tally, t0, t0);
        tally.begin_run(t0);
        assert!(tally.run() > old.run);
        tally.answered(old, "v1", t0);
        tally.failed(old, Failure::Reset, t0);
        for i in 0..100 {
            tally.answered(timing(&tally, t0, t0), &format!("v{i}"), t0);
        }
        let s = tally.tick(t0 + ms(100), 1.0, 0, None);
        assert_eq!((s.errors, s.counts.len(), s.counts["other"]), (0, MAX_VERSIONS + 1, 68));
    }
}
