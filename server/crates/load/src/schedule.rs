//! When requests are due: t_i = t0 + i / rate, fixed in advance, whatever became of earlier requests. No clock in here.
//!
//! Above [`PAIRS_ABOVE`] they are due two by two: a wake-up costs more CPU time than a request, and two then share one.
use std::time::{Duration, Instant};

/// How much of the schedule may be made up for after a stall; what is older is left out and counted.
pub(crate) const BACKFILL: Duration = Duration::from_millis(100);

/// Requests a second above which places come in pairs, a millisecond or less apart.
const PAIRS_ABOVE: u32 = 1_000;

/// An open-loop schedule. **Invariant:** the rate is above 0.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    t0: Instant,
    rate: u32,
    /// Index of the next place.
    next: u64,
}

impl Schedule {
    /// Starts at `t0` with the first place due at once.
    pub fn new(t0: Instant, rate: u32) -> Schedule {
        Schedule { t0, rate: rate.max(1), next: 0 }
    }

    fn at(&self, i: u64) -> Instant {
        let i = if self.rate > PAIRS_ABOVE { i & !1 } else { i };
        let nanos = u128::from(i) * 1_000_000_000 / u128::from(self.rate);
        self.t0 + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 2))
    }

    /// When the next place is due.
    pub fn next_due(&self) -> Instant {
        self.at(self.next)
    }

    /// Takes the next place if it is due.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next_due();
        (due <= now).then(|| {
            self.next += 1;
            due
        })
    }

    /// Leaves out what was due more than [`BACKFILL`] before `now`; says how many places that were.
    pub fn skip_stale(&mut self, now: Instant) -> u64 {
        let Some(oldest) = now.checked_sub(BACKFILL).filter(|oldest| *oldest > self.next_due()) else { return 0 };
        let first_kept = u128::from(self.rate) * (oldest - self.t0).as_nanos() / 1_000_000_000 + 1;
        let first_kept = u64::try_from(first_kept).unwrap_or(u64::MAX).max(self.next);
        let skipped = first_kept - self.next;
        self.next = first_kept;
        skipped
    }

    /// Another rate from now on: the gap that has begun is cut or stretched to the new rate, without a burst.
    pub fn set_rate(&mut self, now: Instant, rate: u32) {
        let rate = rate.max(1);
        if rate == self.rate {
            return;
        }
        let last = if self.next == 0 { self.t0 } else { self.at(self.next - 1) };
        let gap = Duration::from_nanos(1_000_000_000 / u64::from(rate));
        let first = if self.next == 0 { self.t0 } else { (last + gap).max(now) };
        *self = Schedule { t0: first, rate, next: 0 };
    }
}

/// Upper bound of a closed loop's rate. A place that nobody took is lost: a slow target is not made up for by a burst.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    gap: Duration,
    next: Instant,
}

impl Limit {
    /// At most `rate` requests a second, the first at once.
    pub fn new(now: Instant, rate: u32) -> Limit {
        Limit { gap: Duration::from_secs(1) / rate.max(1), next: now }
    }

    /// When the next request may be sent.
    pub fn next_due(&self) -> Instant {
        self.next
    }

    /// Takes a place if one is free. Up to [`SLACK`] of unused time counts, because the thread wakes up late.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.next > now {
            return false;
        }
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        self.next = self.next.max(earliest) + self.gap;
        true
    }
}

/// How much of a limit's unused time may be used later.
const SLACK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn places_do_not_drift_and_do_not_depend_on_when_they_are_taken() {
        let t0 = Instant::now();
        for (rate, together) in [(1, 1), (3, 1), (7, 1), (200, 1), (1_000, 1), (1_002, 2), (2_000, 2), (50_000, 2)] {
            let mut s = Schedule::new(t0, rate);
            let mut taken = 0_u64;
            for step in 0..1_000_u64 {
                while let Some(due) = s.take(t0 + ms(step * 10)) {
                    let exact = (taken / together * together) as f64 / f64::from(rate);
                    assert!(((due - t0).as_secs_f64() - exact).abs() < 1e-8, "{rate}");
                    taken += 1;
                }
            }
            let groups = u64::from(rate) * 9_990 / 1_000 / together + 1;
            assert_eq!(taken, groups * together, "{rate}");
        }
    }

    #[test]
    fn a_long_stall_is_left_out_and_a_short_one_made_up_for() {
        let t0 = Instant::now();
        for (stall_ms, skipped, then_due) in [(50, 0, 51), (100, 0, 101), (1_000, 901, 100), (10_000, 9_901, 100)] {
            let mut s = Schedule::new(t0, 1_000);
            assert_eq!(s.skip_stale(t0 + ms(stall_ms)), skipped, "{stall_ms}");
            let due = std::iter::from_fn(|| s.take(t0 + ms(stall_ms))).count();
            assert_eq!(due, then_due, "{stall_ms}");
        }
    }

    #[test]
    fn a_new_rate_takes_effect_at_once_without_a_burst() {
        let t0 = Instant::now();
        for (from, to, after_ms, next_ms) in [(1, 1_000, 500, 500), (1_000, 1, 500, 1_500), (10, 20, 100, 150)] {
            let mut s = Schedule::new(t0, from);
            let now = t0 + ms(after_ms);
            while s.take(now).is_some() {}
            s.set_rate(now, to);
            assert_eq!(s.next_due() - t0, ms(next_ms), "{from}→{to}");
            assert!(std::iter::from_fn(|| s.take(now)).count() <= 1);
        }
    }

    #[test]
    fn a_limit_is_never_exceeded_and_saves_nothing_up() {
        let t0 = Instant::now();
        for (rate, pause_ms) in [(1, 0), (100, 0), (1_000, 0), (20_000, 0), (1_000, 3_000)] {
            let mut limit = Limit::new(t0, rate);
            let begin = t0 + ms(pause_ms);
            let taken: u32 = (0..=2_000)
                .map(|step| std::iter::from_fn(|| limit.take(begin + ms(step)).then_some(1)).sum::<u32>())
                .sum();
            // Two seconds, and what the slack may add.
            let most = 2 * rate + rate / 200 + 1;
            assert!(taken <= most && taken >= 2 * rate, "{rate} after {pause_ms} ms: {taken}");
        }
    }
}
