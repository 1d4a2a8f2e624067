//! Counts a run and keeps the last seconds' latencies; turns them into a [`Snapshot`]. The clock is an argument.
use super::failure::Failure;
use super::window::{Run, Sliding, WINDOW_S};
use crate::snapshot::{FirstAnswer, Mark, Snapshot};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wire::{Part, Recent};

/// A request written later than this after its scheduled time counts as late.
const LATE: Duration = Duration::from_millis(5);
/// Clocks that are read within this time are read at the same moment.
const ONE_MOMENT: Duration = Duration::from_micros(100);
/// More versions than this are counted together: the names come from outside.
const MAX_VERSIONS: usize = 32;
/// The name they are counted under.
const OTHER: &str = "other";

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
    skipped: u64,
    unreached: u64,
    answers: Vec<u64>,
}

/// What one version has answered.
struct Version {
    name: Box<str>,
    good: u64,
    errors: u64,
    recent: Sliding,
}

struct MarkState {
    mark: Mark,
    at: Instant,
}

/// All that is counted.
pub(crate) struct Counters {
    /// Id of the first run: that of this process.
    agent: u64,
    run: u64,
    versions: Vec<Version>,
    error_kinds: BTreeMap<Failure, u64>,
    errors: u64,
    sent: u64,
    /// Places of the schedule that have come, sent or not.
    due: u64,
    late: u64,
    shed: u64,
    /// Of those shed: the engine itself came too late for them.
    skipped: u64,
    /// Failed before they were written, and not for waiting too long: nobody could be reached.
    unreached: u64,
    began: Instant,
    whole: Run,
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

impl Counters {
    pub fn new(now: Instant) -> Counters {
        let mut counters = Counters {
            agent: 0,
            run: 0,
            versions: Vec::new(),
            error_kinds: BTreeMap::new(),
            errors: 0,
            sent: 0,
            due: 0,
            late: 0,
            shed: 0,
            skipped: 0,
            unreached: 0,
            began: now,
            whole: Run::new(),
            latency: Sliding::new(),
            service: Sliding::new(),
            lateness: Sliding::new(),
            second_began: now,
            recent: VecDeque::new(),
            marks: 0,
            mark: None,
            clock: (now, SystemTime::now()),
        };
        counters.begin_run(now);
        counters.agent = counters.run;
        counters
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
        (self.skipped, self.unreached, self.began) = (0, 0, now);
        self.whole.clear();
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

    /// Forgets the last second's rates, as after a change of the desired one.
    pub fn begin_second(&mut self, now: Instant) {
        self.recent.clear();
        let totals = self.totals(now);
        self.recent.push_back(totals);
    }

    fn totals(&self, at: Instant) -> Totals {
        let answers = self.versions.iter().map(|v| v.good).collect();
        Totals { at, sent: self.sent, due: self.due, skipped: self.skipped, unreached: self.unreached, answers }
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

    /// Places left empty for want of room.
    pub fn shed(&mut self, places: u64) {
        self.shed += places;
    }

    /// Places left empty because the engine came too late for them.
    pub fn skipped(&mut self, places: u64) {
        self.shed += places;
        self.skipped += places;
    }

    /// A request has been written.
    pub fn sent(&mut self, scheduled: Instant, started: Instant) {
        self.sent += 1;
        let lateness = started.saturating_duration_since(scheduled);
        self.lateness.record(lateness, false);
        if lateness > LATE {
            self.late += 1;
        }
    }

    /// A good answer is complete.
    pub fn answered(&mut self, t: Timing, version: &str, now: Instant) {
        if !self.finished(t, Some(version), false, now) {
            return;
        }
        let Some(started) = t.started else { return };
        let (sent_us, answered_us) = (self.unix_us(started), self.unix_us(now));
        let place = self.place(version);
        let Some(state) = self.mark.as_mut().filter(|m| started >= m.at) else { return };
        // The wall clock may have been set back since the mark.
        let sent_us = sent_us.max(state.mark.at_us);
        let answered_us = answered_us.max(sent_us);
        let name = &*self.versions[place].name;
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

    /// Where a version is counted; made where it is not known yet.
    fn place(&mut self, name: &str) -> usize {
        if let Some(i) = self.versions.iter().position(|v| *v.name == *name) {
            return i;
        }
        if self.versions.len() >= MAX_VERSIONS && name != OTHER {
            return self.place(OTHER);
        }
        self.versions.push(Version { name: name.into(), good: 0, errors: 0, recent: Sliding::new() });
        self.versions.len() - 1
    }

    /// A request has failed; `version` is the one that answered, where the answer says.
    pub fn failed(&mut self, t: Timing, why: Failure, version: Option<&str>, now: Instant) {
        if !self.finished(t, version, true, now) {
            return;
        }
        self.errors += 1;
        *self.error_kinds.entry(why).or_default() += 1;
        if t.started.is_none() && why != Failure::Timeout {
            self.unreached += 1;
        }
        if let Some(state) = self.mark.as_mut().filter(|m| t.started.unwrap_or(t.scheduled) >= m.at) {
            state.mark.errors += 1;
        }
    }

    /// Counts and records latencies; false for a request of an earlier run, which counts no more.
    fn finished(&mut self, t: Timing, version: Option<&str>, failed: bool, now: Instant) -> bool {
        if t.run != self.run {
            return false;
        }
        let took = now.saturating_duration_since(t.scheduled);
        self.latency.record(took, failed);
        self.whole.record(took);
        if let Some(started) = t.started {
            self.service.record(now.saturating_duration_since(started), failed);
        }
        if let Some(name) = version {
            let place = self.place(name);
            let version = &mut self.versions[place];
            *(if failed { &mut version.errors } else { &mut version.good }) += 1;
            version.recent.record(took, failed);
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

    /// Reads the clocks and moves the windows on.
    fn rotate(&mut self, now: Instant) {
        // The wall clock may be set while we run; marks and `at_ms` follow it. Two readings between which the thread had to wait are no
        // reading of one moment: then the last ones stay.
        let read = (Instant::now(), SystemTime::now());
        if read.0.elapsed() < ONE_MOMENT {
            self.clock = read;
        }
        let behind = now.saturating_duration_since(self.second_began).as_secs();
        for _ in 0..behind.min(WINDOW_S as u64) {
            let versions = self.versions.iter_mut().map(|v| &mut v.recent);
            for window in [&mut self.latency, &mut self.service, &mut self.lateness].into_iter().chain(versions) {
                window.rotate();
            }
        }
        self.second_began += Duration::from_secs(behind);
    }

    /// Ten times a second: moves the windows on and takes a snapshot.
    pub fn tick(&mut self, now: Instant, target_rate: f64, in_flight: u64, requests: Option<u64>) -> Snapshot {
        self.rotate(now);
        let then = self.recent.front();
        let elapsed = then.map_or(Duration::ZERO, |t| now.saturating_duration_since(t.at)).as_secs_f64();
        let per_second = |n: u64| if elapsed > 0.0 { n as f64 / elapsed } else { 0.0 };
        let since = |total: u64, before: fn(&Totals) -> u64| total - then.map_or(total, before);
        let answering = || self.versions.iter().filter(|v| v.good > 0);
        let rates = self.versions.iter().enumerate().filter(|(_, v)| v.good > 0).map(|(i, v)| {
            let before = then.and_then(|t| t.answers.get(i)).copied().unwrap_or(0);
            (v.name.to_string(), per_second(v.good - before))
        });
        let rates = rates.collect();
        let (sent, due) = (since(self.sent, |t| t.sent), since(self.due, |t| t.due));
        let (skipped, unreached) = (since(self.skipped, |t| t.skipped), since(self.unreached, |t| t.unreached));
        let achieved_rate = per_second(sent);
        // One request may be on its way at either end of the second.
        let too_many = |missing: u64| elapsed >= 0.95 && missing > 1 && missing as f64 > 0.02 * due as f64;
        let limited = too_many(skipped);
        // What was neither skipped nor failed at once waits for a connection, or was left out because too many do.
        let saturated = too_many(due.saturating_sub(sent + skipped + unreached));
        let counts = answering().map(|v| (v.name.to_string(), v.good)).collect();
        let version_errors =
            self.versions.iter().filter(|v| v.errors > 0).map(|v| (v.name.to_string(), v.errors)).collect();

        let window = Duration::from_secs(WINDOW_S as u64 - 1) + now.saturating_duration_since(self.second_began);
        let seconds = window.min(now.saturating_duration_since(self.began)).as_secs_f64();
        let versions =
            self.versions.iter().filter_map(|v| Some((v.name.to_string(), part(&v.recent, seconds)?))).collect();
        let recent = Recent { seconds, all: part(&self.latency, seconds).unwrap_or_default(), versions };

        let totals = self.totals(now);
        self.recent.push_back(totals);
        while self.recent.front().is_some_and(|t| now.saturating_duration_since(t.at) >= Duration::from_millis(950))
            && self.recent.len() > 1
        {
            self.recent.pop_front();
        }
        let [p50_ms, p90_ms, p99_ms] = self.latency.percentiles([0.5, 0.9, 0.99]);
        let [service_p50_ms, service_p99_ms] = self.service.percentiles([0.5, 0.99]);
        let [start_p99_ms] = self.lateness.percentiles([0.99]);
        Snapshot {
            at_ms: self.unix_us(now) / 1_000,
            agent: self.agent,
            run: self.run,
            counts,
            errors: self.errors,
            version_errors,
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
            saturated,
            recent,
            whole: self.whole.figures(),
            requests,
            mark: self.mark.as_ref().map(|m| m.mark.clone()),
        }
    }
}

/// What a window comes to; nothing where it is empty.
fn part(window: &Sliding, seconds: f64) -> Option<Part> {
    let (requests, errors) = window.counted();
    if requests == 0 {
        return None;
    }
    let [p50_ms, p90_ms, p99_ms] = window.percentiles([0.5, 0.9, 0.99]);
    let rate = if seconds > 0.0 { requests as f64 / seconds } else { 0.0 };
    Some(Part { rate, requests, errors, p50_ms, p90_ms, p99_ms })
}

#[cfg(test)]
#[path = "counters_tests.rs"]
mod tests;
