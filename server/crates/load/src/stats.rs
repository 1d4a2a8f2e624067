//! What counts say about a split: how sure one can be of a share, and how many requests it takes to tell two shares apart.
//!
//! Pure: counts in, numbers out. The words are the page's.
use std::collections::BTreeMap;
use wire::{ChiSquare, Verdict, VerdictKind};

/// Two-sided 95 %: the standard normal quantile at 0.975.
const Z_95: f64 = 1.959_963_985;
/// Power 80 %: the quantile at 0.80.
const Z_POWER_80: f64 = 0.841_621_234;
/// The desired split is called missed beyond so many standard deviations. The page looks ten times a second, so the usual 1.96 would cry wolf
/// every few seconds; the acceptance figure of the split, 4.5, would be slow to see a real miss.
const OFF_TARGET_SIGMA: f64 = 3.5;
/// Shares of either version that the page offers, percent; the desired split is told from its neighbour among them.
pub const PRESETS: [f64; 7] = [0.0, 10.0, 20.0, 50.0, 80.0, 90.0, 100.0];

/// A share with its uncertainty; all three between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Half its width.
    pub fn margin(self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// 95 % Wilson score interval of a share (E. B. Wilson, JASA 22, 1927): honest for few requests and near 0 and 1, where the textbook's ± is not.
/// Without requests it is everything from 0 to 1.
pub fn wilson(successes: u64, n: u64) -> Interval {
    if n == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let (n, z2) = (n as f64, Z_95 * Z_95);
    let p = successes as f64 / n;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Interval { low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
}

/// χ² of `(seen, desired share)` pairs; the shares are of their sum. Nothing without requests or without any share.
pub fn chi_square(versions: &[(u64, f64)]) -> Option<ChiSquare> {
    let n: u64 = versions.iter().map(|(seen, _)| seen).sum();
    let shares: f64 = versions.iter().map(|(_, share)| share).sum();
    if n == 0 || shares.is_nan() || shares <= 0.0 || versions.iter().any(|(_, share)| *share < 0.0) {
        return None;
    }
    let mut statistic = 0.0;
    for (seen, share) in versions {
        let expected = n as f64 * share / shares;
        if expected > 0.0 {
            statistic += (*seen as f64 - expected).powi(2) / expected;
        } else if *seen > 0 {
            statistic = f64::INFINITY;
        }
    }
    let possible = versions.iter().filter(|(_, share)| *share > 0.0).count();
    let degrees = u32::try_from(possible.saturating_sub(1)).unwrap_or(u32::MAX);
    let p_value = if statistic.is_infinite() { 0.0 } else { chi_square_tail(statistic, degrees) };
    // JSON has no infinity.
    Some(ChiSquare { statistic: Some(statistic).filter(|s| s.is_finite()), degrees, p_value })
}

/// P(X ≥ x) for whole degrees of freedom, by the recurrence Q(a + 1, y) = Q(a, y) + yᵃ e⁻ʸ / Γ(a + 1)
/// (Abramowitz and Stegun, 6.5.21) from Q(½, y) = erfc(√y) or Q(1, y) = e⁻ʸ; a = degrees / 2, y = x / 2.
fn chi_square_tail(x: f64, degrees: u32) -> f64 {
    if degrees == 0 || x <= 0.0 {
        return 1.0;
    }
    let y = x / 2.0;
    let odd = degrees % 2 == 1;
    // `term` is yᵃ e⁻ʸ / Γ(a + 1) for the current a.
    let (mut tail, mut a, mut term) = if odd {
        (erfc(y.sqrt()), 0.5, y.sqrt() * (-y).exp() * std::f64::consts::FRAC_2_SQRT_PI)
    } else {
        ((-y).exp(), 1.0, y * (-y).exp())
    };
    while a + 0.25 < f64::from(degrees) / 2.0 {
        tail += term;
        a += 1.0;
        term *= y / a;
    }
    tail.clamp(0.0, 1.0)
}

/// Complementary error function for x ≥ 0, right to 1.5 · 10⁻⁷ (Abramowitz and Stegun, 7.1.26).
fn erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    polynomial.iter().fold(0.0, |sum, c| (sum + c) * t) * (-x * x).exp()
}

/// Requests it takes to tell a share of `desired` from one of `versus`, both 0 to 1: if the desired share is true, a two-sided test at 95 % rules out
/// `versus` with a power of 80 %. `n = ((z₀.₉₇₅ √(p₀q₀) + z₀.₈₀ √(p₁q₁)) / d)²`, p₀ = `versus`, p₁ = `desired`, d their distance, then
/// `n/4 (1 + √(1 + 2/(n d)))²` for counts being whole (Fleiss, Levin, Paik, "Statistical Methods for Rates and Proportions", 3rd edition,
/// 2.5). Where one of the two is 0 or 1, that says too little: there a single request of the other kind decides, and n makes it come with
/// 95 % (the "rule of three"). `u64::MAX` where the two are the same.
pub fn needed(desired: f64, versus: f64) -> u64 {
    let distance = (desired - versus).abs();
    if !distance.is_finite() || distance < 1e-9 {
        return u64::MAX;
    }
    let certain = |p: f64| p <= 0.0 || p >= 1.0;
    let n = if certain(desired) || certain(versus) {
        if distance >= 1.0 { 1.0 } else { 0.05_f64.ln() / (1.0 - distance).ln() }
    } else {
        for_whole_counts(sample_size(versus, desired, Z_95, Z_POWER_80), distance)
    };
    n.ceil() as u64
}

/// Fleiss, Levin, Paik: `((zα √(p₀q₀) + zβ √(p₁q₁)) / |p₁ − p₀|)²`.
fn sample_size(p0: f64, p1: f64, z_level: f64, z_power: f64) -> f64 {
    let spread = |p: f64| (p * (1.0 - p)).sqrt();
    ((z_level * spread(p0) + z_power * spread(p1)) / (p1 - p0)).powi(2)
}

/// The same with the continuity correction.
fn for_whole_counts(n: f64, distance: f64) -> f64 {
    n / 4.0 * (1.0 + (1.0 + 2.0 / (n * distance)).sqrt()).powi(2)
}

/// How likely it is that plain balancing made these counts rather than the desired split, 0 to 1, if either did and neither was more
/// likely at first (Bayes' rule with even odds). `(seen, desired share, plain share)`, shares of their sums. 0.5 without requests, or where
/// the two shares are the same everywhere.
pub fn round_robin_likelihood(versions: &[(u64, f64, f64)]) -> f64 {
    let (desired, plain) = versions.iter().fold((0.0, 0.0), |(w, p), (_, desired, plain)| (w + desired, p + plain));
    if !(desired > 0.0 && plain > 0.0) {
        return 0.5;
    }
    // Log of P(counts | desired) and of P(counts | plain); the multinomial's coefficient is the same in both.
    let (mut log_desired, mut log_plain) = (0.0, 0.0);
    for (seen, share, evenly) in versions.iter().filter(|(seen, ..)| *seen > 0) {
        log_desired += *seen as f64 * (share / desired).ln();
        log_plain += *seen as f64 * (evenly / plain).ln();
    }
    match (log_desired.is_finite(), log_plain.is_finite()) {
        (true, true) => 1.0 / (1.0 + (log_desired - log_plain).exp()),
        (false, true) => 1.0,
        (true, false) => 0.0,
        (false, false) => 0.5,
    }
}

/// What is known of the requests since the last change of weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Good answers by version, to requests *sent* since the change was acknowledged ([`crate::Mark::counts`]).
    pub counts: BTreeMap<String, u64>,
    /// The desired shares, percent; empty where there is no route.
    pub desired: BTreeMap<String, f64>,
    /// Whether the client has a sidecar: a fact, read from its pod.
    pub client_has_sidecar: bool,
    /// Ready endpoints by version: plain balancing gives each endpoint the same. Empty where they are not known: one a version.
    pub endpoints: BTreeMap<String, u32>,
}

/// Judges the evidence.
pub fn verdict(evidence: &Evidence) -> Verdict {
    let Evidence { counts, desired, client_has_sidecar, endpoints } = evidence;
    let names: Vec<&String> =
        if desired.is_empty() { counts.keys().filter(|v| *v != "unknown").collect() } else { desired.keys().collect() };
    let version = names.last().map(|v| (*v).clone()).unwrap_or_default();
    let seen = |name: &str| counts.get(name).copied().unwrap_or(0);
    let requests: u64 = counts.values().sum();
    let pods: u32 = endpoints.values().sum();
    let even = 1.0 / names.len().max(1) as f64;
    // Without a route plain balancing is over every ready endpoint, whichever versions have answered so far.
    let plain = |name: &str| {
        if pods > 0 { f64::from(endpoints.get(name).copied().unwrap_or(0)) / f64::from(pods) } else { even }
    };
    let total: f64 = desired.values().sum();
    let share = |name: &str| if total > 0.0 { desired.get(name).copied().unwrap_or(0.0) / total } else { plain(name) };

    // What answered without a desired share counts against the desired split, as a version with share 0.
    let strangers = counts.keys().filter(|v| !desired.contains_key(*v) && !desired.is_empty());
    let pairs: Vec<(u64, f64)> = names.iter().copied().chain(strangers).map(|v| (seen(v), share(v))).collect();
    let triples: Vec<(u64, f64, f64)> = names.iter().map(|v| (seen(v), share(v), plain(v))).collect();

    let target = share(&version);
    let interval = wilson(seen(&version), requests);
    let plainly = plain(&version);
    let to_tell_from_plain = needed(target, plainly);
    let is_plain =
        triples.iter().all(|(_, share, plain)| (share - plain).abs() < 1e-9) || to_tell_from_plain == u64::MAX;
    let versus = if is_plain || requests >= to_tell_from_plain { neighbour(target) } else { plainly };
    let enough = if is_plain { needed(target, versus) } else { to_tell_from_plain };
    let off_target = pairs.iter().any(|(seen, share)| is_off(*seen, requests, *share));
    let kind = match () {
        // A fact about requests needs requests.
        () if requests == 0 => VerdictKind::NoTraffic,
        () if desired.is_empty() => VerdictKind::NoRoute,
        () if !client_has_sidecar => VerdictKind::ClientHasNoSidecar,
        () if off_target => VerdictKind::OffTarget,
        () if requests < enough => VerdictKind::TooFew,
        () if target < interval.low || target > interval.high => VerdictKind::Borderline,
        () => VerdictKind::InKeeping,
    };
    Verdict {
        kind,
        requests,
        observed: if requests == 0 { 0.0 } else { 100.0 * seen(&version) as f64 / requests as f64 },
        margin: 100.0 * interval.margin(),
        desired: 100.0 * target,
        needed: needed(target, versus).saturating_sub(requests),
        versus: 100.0 * versus,
        chi_square: if desired.is_empty() { None } else { chi_square(&pairs) },
        plain_balancing: round_robin_likelihood(&triples),
        plain: 100.0 * plainly,
        version,
    }
}

/// Whether a count is too far from its share: exact at 0 and 1, else by standard deviations, one request's worth allowed for whole numbers.
fn is_off(seen: u64, n: u64, share: f64) -> bool {
    let (seen, n) = (seen as f64, n as f64);
    let distance = (seen - n * share).abs();
    if share <= 0.0 || share >= 1.0 {
        return distance > 0.5;
    }
    distance - 0.5 > OFF_TARGET_SIGMA * (n * share * (1.0 - share)).sqrt()
}

/// The preset that is hardest to tell from a share, and not the same; both 0 to 1.
fn neighbour(share: f64) -> f64 {
    let others = PRESETS.iter().map(|p| p / 100.0).filter(|p| (p - share).abs() > 1e-9);
    // In reverse, because of several equals the last is taken: 50 is told from 20, not from 80.
    others.rev().max_by_key(|p| needed(share, *p)).unwrap_or(0.5)
}

#[cfg(test)]
#[path = "stats_tests.rs"]
mod tests;
