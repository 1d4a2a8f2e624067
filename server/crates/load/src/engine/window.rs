//! Latencies of the last ten seconds, and of a whole run.
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::time::Duration;
use wire::Whole;

/// Seconds that the percentiles look back.
pub(super) const WINDOW_S: usize = 10;
/// Longest latency told from longer ones, microseconds.
const LONGEST_US: u64 = 60_000_000;

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1)
}

fn millis(us: u64) -> f64 {
    us as f64 / 1_000.0
}

/// One second's part.
#[derive(Clone)]
struct Second {
    latencies: Histogram<u32>,
    failed: u64,
}

/// Histograms of one second each, the oldest reused, and their sum.
pub(super) struct Sliding {
    seconds: VecDeque<Second>,
    sum: Histogram<u32>,
}

impl Sliding {
    pub fn new() -> Sliding {
        // 1 µs to 60 s at two digits: 10 kB each, and a percentile is right to 1 %.
        let empty = Histogram::new_with_bounds(1, LONGEST_US, 2)
            .unwrap_or_else(|_| unreachable!("the bounds are constant and valid"));
        let second = Second { latencies: empty.clone(), failed: 0 };
        Sliding { seconds: vec![second; WINDOW_S].into(), sum: empty }
    }

    pub fn record(&mut self, took: Duration, failed: bool) {
        if let Some(newest) = self.seconds.back_mut() {
            newest.latencies.saturating_record(micros(took));
            newest.failed += u64::from(failed);
            self.sum.saturating_record(micros(took));
        }
    }

    pub fn rotate(&mut self) {
        let Some(mut oldest) = self.seconds.pop_front() else { return };
        if !oldest.latencies.is_empty() {
            // All that it holds was added to the sum, so it can be taken away.
            let _ = self.sum.subtract(&oldest.latencies);
            oldest.latencies.reset();
        }
        oldest.failed = 0;
        self.seconds.push_back(oldest);
    }

    pub fn clear(&mut self) {
        for second in &mut self.seconds {
            second.latencies.reset();
            second.failed = 0;
        }
        self.sum.reset();
    }

    /// Requests that ended, and how many of them failed.
    pub fn counted(&self) -> (u64, u64) {
        (self.sum.len(), self.seconds.iter().map(|s| s.failed).sum())
    }

    /// Percentiles in milliseconds, in the order asked for.
    pub fn percentiles<const N: usize>(&self, of: [f64; N]) -> [Option<f64>; N] {
        of.map(|q| (!self.sum.is_empty()).then(|| millis(self.sum.value_at_quantile(q))))
    }
}

/// Latencies of a whole run, however long: 1 µs to 60 s at three digits, 140 kB.
pub(super) struct Run(Histogram<u64>);

impl Run {
    pub fn new() -> Run {
        Run(Histogram::new_with_bounds(1, LONGEST_US, 3)
            .unwrap_or_else(|_| unreachable!("the bounds are constant and valid")))
    }

    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record(micros(took));
    }

    pub fn clear(&mut self) {
        self.0.reset();
    }

    pub fn figures(&self) -> Option<Whole> {
        let at = |q: f64| millis(self.0.value_at_quantile(q));
        let whole = || Whole {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: millis(self.0.max()),
        };
        (!self.0.is_empty()).then(whole)
    }
}
