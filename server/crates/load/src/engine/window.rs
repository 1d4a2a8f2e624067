//! Latencies of the last ten seconds.
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::time::Duration;

/// Seconds that the percentiles look back.
pub(super) const WINDOW_S: usize = 10;

/// Histograms of one second each, the oldest reused.
pub(super) struct Sliding {
    seconds: VecDeque<Histogram<u32>>,
    sum: Histogram<u32>,
}

impl Sliding {
    pub fn new() -> Sliding {
        // 1 µs to 60 s at two digits: 10 kB each, and a percentile is right to 1 %.
        let empty = Histogram::new_with_bounds(1, 60_000_000, 2).unwrap_or_else(|_| unreachable!("the bounds are constant and valid"));
        Sliding { seconds: (0..WINDOW_S).map(|_| empty.clone()).collect(), sum: empty }
    }

    pub fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        if let Some(newest) = self.seconds.back_mut() {
            newest.saturating_record(micros);
        }
    }

    pub fn rotate(&mut self) {
        if let Some(mut oldest) = self.seconds.pop_front() {
            if !oldest.is_empty() {
                oldest.reset();
            }
            self.seconds.push_back(oldest);
        }
    }

    pub fn clear(&mut self) {
        self.seconds.iter_mut().for_each(Histogram::reset);
    }

    /// Percentiles in milliseconds, in the order asked for.
    pub fn percentiles<const N: usize>(&mut self, of: [f64; N]) -> [Option<f64>; N] {
        self.sum.reset();
        for second in self.seconds.iter().filter(|s| !s.is_empty()) {
            // Same bounds, so it always fits.
            let _ = self.sum.add(second);
        }
        of.map(|q| (!self.sum.is_empty()).then(|| self.sum.value_at_quantile(q) as f64 / 1_000.0))
    }
}
