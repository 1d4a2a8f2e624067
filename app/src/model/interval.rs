//! How far a measured share can be from the true one.

/// 95 % of the normal distribution, two-sided.
const Z: f64 = 1.96;

/// The 95 % Wilson interval of `hits` of `all`, in percent; `None` without requests. Source: Wilson 1927.
pub fn wilson(hits: u64, all: u64) -> Option<(f64, f64)> {
    if all == 0 {
        return None;
    }
    let (n, p) = (all as f64, hits as f64 / all as f64);
    let (spread, scale) = (Z * Z / n, 1.0 + Z * Z / n);
    let middle = (p + spread / 2.0) / scale;
    let half = Z * (p * (1.0 - p) / n + spread / (4.0 * n)).sqrt() / scale;
    Some(((middle - half).max(0.0) * 100.0, (middle + half).min(1.0) * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_narrows_with_the_requests_and_stays_within_the_scale() {
        // Reference: R's `prop.test(hits, all, correct = FALSE)`.
        for (hits, all, low, high) in
            [(8, 10, 49.02, 94.33), (80, 100, 71.11, 86.66), (0, 10, 0.0, 27.75), (10, 10, 72.25, 100.0)]
        {
            let (l, h) = wilson(hits, all).unwrap();
            assert!((l - low).abs() < 0.02 && (h - high).abs() < 0.02, "{hits} of {all}: {l} to {h}");
        }
        assert_eq!(wilson(0, 0), None);
    }
}
