//! Endpoints that fail again and again are left out for a while (`OutlierDetection`; Envoy's "Outlier detection").

use crate::table::Outlier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How a request at an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this status.
    Answered(u16),
    /// Without an answer: no connection, or too late.
    Lost,
    /// Cut off by the other side.
    Cut,
}

/// Watches one cluster's endpoints.
pub(crate) struct Detector {
    rule: Outlier,
    began: Instant,
    /// Endpoints that are left out.
    out: AtomicU32,
}

/// What is known of an endpoint in one cluster.
#[derive(Default)]
pub(crate) struct Health(Mutex<State>);

#[derive(Default)]
struct State {
    server_errors: u32,
    gateway_errors: u32,
    local_errors: u32,
    /// How often it was left out, less one for every quiet interval since.
    times: u32,
    /// Left out until then.
    until: Option<Instant>,
    /// Back since then.
    back: Option<Instant>,
    /// No table has it any more: a request that was still under way counts for nobody.
    gone: bool,
}

/// Envoy's default `max_ejection_time`.
const LONGEST: Duration = Duration::from_secs(300);

impl Detector {
    pub(crate) fn new(rule: &Outlier, now: Instant) -> Arc<Detector> {
        Arc::new(Detector { rule: rule.clone(), began: now, out: AtomicU32::new(0) })
    }

    /// Whether any endpoint is left out: if not, nobody needs to look closer.
    pub(crate) fn any_out(&self) -> bool {
        self.out.load(Ordering::Relaxed) > 0
    }

    /// Whether an endpoint may be used. Brings it back when its time is over.
    pub(crate) fn is_in(&self, health: &Health, now: Instant) -> bool {
        let mut state = health.lock();
        match state.until {
            None => true,
            Some(until) if now < until => false,
            Some(until) => {
                *state = State { times: state.times, back: Some(until), ..State::default() };
                self.out.fetch_sub(1, Ordering::Relaxed);
                true
            }
        }
    }

    /// Whether so few of `all` endpoints are in that all are used (`minHealthPercent`).
    pub(crate) fn panics(&self, inside: usize, all: usize) -> bool {
        (inside as u64) * 100 < u64::from(self.rule.min_health_percent) * all as u64
    }

    /// Counts how a request ended, and leaves the endpoint out where that was one too many. `all`: endpoints of the cluster.
    pub(crate) fn note(&self, health: &Health, ended: Ended, all: usize, now: Instant) {
        let mut state = health.lock();
        if state.gone {
            return;
        }
        let rule = &self.rule;
        let reached = |count: &mut u32, failed: bool, most: u32| {
            *count = if failed { *count + 1 } else { 0 };
            failed && most > 0 && *count >= most
        };
        let one_too_many = match (ended, rule.local_errors) {
            (Ended::Lost, Some(most)) => reached(&mut state.local_errors, true, most),
            // Envoy counts neither way what the other side cut off, once it tells the two apart.
            (Ended::Cut, Some(_)) => false,
            (Ended::Lost | Ended::Cut, None) => {
                reached(&mut state.server_errors, true, rule.server_errors)
                    | reached(&mut state.gateway_errors, true, rule.gateway_errors)
            }
            (Ended::Answered(status), _) => {
                state.local_errors = 0;
                let (server, gateway) = ((500..600).contains(&status), (502..=504).contains(&status));
                reached(&mut state.server_errors, server, rule.server_errors)
                    | reached(&mut state.gateway_errors, gateway, rule.gateway_errors)
            }
        };
        if !one_too_many || state.until.is_some() {
            return;
        }
        // Istio's default of 10 % leaves none out where there are fewer than ten, as with Envoy.
        let more = |out: u32| (u64::from(out + 1) * 100 <= u64::from(rule.max_percent) * all as u64).then_some(out + 1);
        if self.out.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok() {
            let quiet = state.back.map_or(u128::from(u32::MAX), |back| {
                now.saturating_duration_since(back).as_millis() / u128::from(rule.interval_ms.max(1))
            });
            state.times = state.times.saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX)) + 1;
            let base = Duration::from_millis(rule.base_ms);
            let time = base.saturating_mul(state.times).min(LONGEST.max(base));
            state.until = Some(self.next_look(now + time));
        }
    }

    /// An endpoint comes back when it is looked at, which is once an interval.
    fn next_look(&self, earliest: Instant) -> Instant {
        let interval = u128::from(self.rule.interval_ms.max(1));
        let looks = (earliest - self.began).as_millis().div_ceil(interval);
        self.began + Duration::from_millis(u64::try_from(looks * interval).unwrap_or(u64::MAX / 2))
    }

    /// An endpoint that is gone while it was left out is not left out any more.
    pub(crate) fn forget(&self, health: &Health) {
        let mut state = health.lock();
        state.gone = true;
        if state.until.take().is_some() {
            self.out.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Outlier {
        Outlier {
            server_errors: 3,
            gateway_errors: 2,
            local_errors: None,
            interval_ms: 1000,
            base_ms: 1500,
            max_percent: 50,
            min_health_percent: 0,
        }
    }

    fn after(ms: u64, from: Instant) -> Instant {
        from + Duration::from_millis(ms)
    }

    #[test]
    fn errors_one_after_the_other_leave_an_endpoint_out_and_time_brings_it_back() {
        let now = Instant::now();
        let detector = Detector::new(&rule(), now);
        let health = Health::default();
        for status in [500, 500, 200, 500, 500] {
            detector.note(&health, Ended::Answered(status), 2, now);
        }
        assert!(detector.is_in(&health, now) && !detector.any_out());
        detector.note(&health, Ended::Answered(500), 2, now);
        assert!(detector.any_out());
        for (ms, is_in) in [(0, false), (1500, false), (1999, false), (2000, true)] {
            assert_eq!(detector.is_in(&health, after(ms, now)), is_in, "{ms}");
        }
        assert!(!detector.any_out());
        // The second time it is twice as long.
        for _ in 0..3 {
            detector.note(&health, Ended::Answered(501), 2, after(2000, now));
        }
        for (ms, is_in) in [(4999, false), (5000, true)] {
            assert_eq!(detector.is_in(&health, after(ms, now)), is_in, "{ms}");
        }
    }

    #[test]
    fn gateway_errors_and_lost_requests_count_as_the_rule_says() {
        for (local, ended, times, out) in [
            (None, Ended::Answered(503), 2, true),
            (None, Ended::Answered(503), 1, false),
            (None, Ended::Answered(500), 2, false),
            (None, Ended::Lost, 2, true),
            (Some(4), Ended::Lost, 3, false),
            (Some(4), Ended::Lost, 4, true),
            (Some(4), Ended::Cut, 9, false),
            (None, Ended::Cut, 2, true),
            (Some(4), Ended::Answered(503), 2, true),
            (None, Ended::Answered(404), 9, false),
        ] {
            let now = Instant::now();
            let detector = Detector::new(&Outlier { local_errors: local, ..rule() }, now);
            let health = Health::default();
            (0..times).for_each(|_| detector.note(&health, ended, 2, now));
            assert_eq!(detector.any_out(), out, "{local:?} {ended:?} {times}");
        }
    }

    #[test]
    fn no_more_than_the_rule_allows_are_left_out() {
        let now = Instant::now();
        let detector = Detector::new(&rule(), now);
        let all: Vec<Health> = (0..5).map(|_| Health::default()).collect();
        for health in &all {
            (0..2).for_each(|_| detector.note(health, Ended::Lost, all.len(), now));
        }
        assert_eq!(all.iter().filter(|h| !detector.is_in(h, now)).count(), 2);
        assert!(!detector.panics(0, 5));
        let careful = Detector::new(&Outlier { min_health_percent: 60, ..rule() }, now);
        assert!(careful.panics(2, 5) && !careful.panics(3, 5));
        detector.forget(&all[0]);
        assert!(detector.is_in(&all[0], now));
        (0..2).for_each(|_| detector.note(&all[0], Ended::Lost, all.len(), now));
        assert!(detector.is_in(&all[0], now), "a late answer must not take a place for ever");
    }
}
