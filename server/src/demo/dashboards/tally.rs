//! Sums of counters, and the numbers that are read from them: rate, success, percentiles, error budget, burn rate. Pure.
use super::flow::{Counts, Flow};
use super::histogram::Histogram;
use wire::{BUDGET_S, BURN_S, Budget, Slo, Tally};

/// What several flows counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sum {
    /// Requests.
    pub requests: u64,
    /// Failed ones.
    pub failed: u64,
    /// Durations.
    pub histogram: Histogram,
    sized: u64,
    request_bytes: u64,
    response_bytes: u64,
}

impl Sum {
    /// Adds what a flow counted.
    pub fn add(&mut self, flow: &Flow, counts: &Counts) {
        self.requests += counts.requests;
        if flow.is_failure() {
            self.failed += counts.requests;
        }
        self.histogram.add(&counts.histogram);
        self.sized += counts.sized;
        self.request_bytes += counts.request_bytes;
        self.response_bytes += counts.response_bytes;
    }

    /// Its numbers, where it was counted in so many seconds.
    pub fn tally(&self, seconds: f64) -> Tally {
        let mean = |bytes: u64| (self.sized > 0).then(|| bytes as f64 / self.sized as f64);
        Tally {
            seconds,
            requests: self.requests,
            failed: self.failed,
            timed: self.histogram.count(),
            rate: (seconds > 0.0).then(|| self.requests as f64 / seconds),
            success_percent: (self.requests > 0)
                .then(|| 100.0 * (self.requests - self.failed) as f64 / self.requests as f64),
            p50_ms: self.histogram.quantile_ms(0.5),
            p90_ms: self.histogram.quantile_ms(0.9),
            p99_ms: self.histogram.quantile_ms(0.99),
            bucket_ms: self.histogram.only_bucket_ms(0.5, 0.99),
            request_bytes: mean(self.request_bytes),
            response_bytes: mean(self.response_bytes),
        }
    }
}

/// Requests and failures of the budget's period, and of the burn rate's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// In the whole period: requests, and failed ones.
    pub period: (u64, u64),
    /// In the last minutes of it.
    pub recent: (u64, u64),
}

impl Spent {
    /// The budget of an objective, of which so many seconds were read.
    pub fn budget(self, slo: Slo, read_s: f64) -> Budget {
        let (requests, failed) = self.period;
        let allowed = requests as f64 * slo.allowed();
        let (recent, bad) = self.recent;
        Budget {
            period_s: BUDGET_S,
            read_s,
            requests,
            failed,
            allowed,
            left_percent: (requests > 0).then(|| 100.0 * (1.0 - failed as f64 / allowed)),
            burn_period_s: BURN_S,
            burn_rate: (recent > 0).then(|| bad as f64 / recent as f64 / slo.allowed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::dashboards::flow::{End, Metric};
    use crate::demo::dashboards::histogram::Bounds;
    use wire::Reporter;

    #[test]
    fn numbers_are_read_from_counters() {
        let flow = |code: &str| Flow {
            reporter: Reporter::Source,
            source: End::default(),
            destination: End::default(),
            service: String::new(),
            code: code.to_owned(),
            metric: Metric::Istio,
        };
        let counts = |requests| Counts {
            requests,
            histogram: Histogram::new(Bounds::new(vec![1_000, 5_000]), vec![0, requests, 0]).unwrap(),
            sized: requests,
            request_bytes: 0,
            response_bytes: requests * 12,
            duration_us: 0,
        };
        let mut sum = Sum::default();
        for (code, n) in [("200", 90), ("404", 6), ("503", 3), ("0", 1)] {
            sum.add(&flow(code), &counts(n));
        }
        let tally = sum.tally(50.0);
        assert_eq!((tally.requests, tally.failed, tally.timed), (100, 4, 100));
        assert_eq!((tally.rate, tally.success_percent), (Some(2.0), Some(96.0)));
        assert_eq!((tally.p50_ms, tally.p99_ms, tally.bucket_ms), (Some(3.0), Some(4.96), Some([1.0, 5.0])));
        assert_eq!((tally.request_bytes, tally.response_bytes), (Some(0.0), Some(12.0)));
        let nothing = Sum::default().tally(50.0);
        assert_eq!(
            (nothing.rate, nothing.success_percent, nothing.p50_ms, nothing.request_bytes),
            (Some(0.0), None, None, None)
        );
        assert_eq!(Sum::default().tally(0.0).rate, None, "what was not read is not 0");
    }

    #[test]
    fn a_budget_is_what_the_objective_allows() {
        for (slo, period, recent, left, burn) in [
            ("99.9", (10_000, 0), (1_000, 0), Some(100.0), Some(0.0)),
            ("99.9", (10_000, 5), (1_000, 5), Some(50.0), Some(5.0)),
            ("99.9", (10_000, 10), (1_000, 1), Some(0.0), Some(1.0)),
            ("99.9", (10_000, 40), (0, 0), Some(-300.0), None),
            ("50", (10, 5), (10, 5), Some(0.0), Some(1.0)),
            ("99.9", (0, 0), (0, 0), None, None),
        ] {
            let told = Spent { period, recent }.budget(slo.parse().unwrap(), 3_600.0);
            let round = |n: Option<f64>| n.map(|n| (n * 1e6).round() / 1e6);
            assert_eq!((round(told.left_percent), round(told.burn_rate)), (left, burn), "{slo} {period:?} {recent:?}");
        }
    }
}
