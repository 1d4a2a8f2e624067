//! The decision itself: which route a request meets, and which destination a draw picks.

use super::{Destination, Host, Match, RequestView, Route};

/// The route that a request meets.
pub struct Matched<'t> {
    /// The route.
    pub route: &'t Route,
    /// The match that fitted; `None` where the route takes everything.
    pub by: Option<&'t Match>,
}

/// The first route that fits; `None` where the host has routes and none does (Envoy's 404 NR).
pub fn route_for<'t>(host: &'t Host, request: &RequestView<'_>) -> Option<Matched<'t>> {
    host.routes.iter().find_map(|route| {
        if route.matches.is_empty() {
            return Some(Matched { route, by: None });
        }
        let by = route.matches.iter().find(|m| m.fits(request))?;
        Some(Matched { route, by: Some(by) })
    })
}

/// The destination that `draw`, uniform over all 64 bits, picks. A weight of 0 is never picked; weights need not sum to 100.
/// A single destination is picked whatever its weight, as in Istio. `None` where there is nothing to pick.
pub fn pick_weighted(destinations: &[Destination], draw: u64) -> Option<&Destination> {
    if let [only] = destinations {
        return Some(only);
    }
    let total: u64 = destinations.iter().map(|d| u64::from(d.weight)).sum();
    // Scaled to 0..total without division and without a bias that could be measured.
    let mut at = ((u128::from(draw) * u128::from(total)) >> 64) as u64;
    for destination in destinations {
        let weight = u64::from(destination.weight);
        if at < weight {
            return Some(destination);
        }
        at -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(weights: &[u32]) -> Vec<Destination> {
        weights
            .iter()
            .enumerate()
            .map(|(i, w)| Destination { subset: format!("v{}", i + 1), weight: *w, ..Destination::default() })
            .collect()
    }

    /// SplitMix64, so that the test draws the same every time.
    fn draws(mut seed: u64) -> impl Iterator<Item = u64> {
        std::iter::repeat_with(move || {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
    }

    #[test]
    fn a_split_is_kept_within_4_5_sigma_and_zero_is_never() {
        const N: usize = 100_000;
        for percent in [0_u32, 1, 5, 10, 25, 50, 75, 99, 100] {
            let destinations = split(&[percent, 100 - percent]);
            let hits = draws(u64::from(percent))
                .take(N)
                .filter(|d| pick_weighted(&destinations, *d).unwrap().subset == "v1")
                .count();
            let p = f64::from(percent) / 100.0;
            let sigma = (N as f64 * p * (1.0 - p)).sqrt();
            assert!((hits as f64 - N as f64 * p).abs() <= 4.5 * sigma, "{percent} %: {hits} of {N}");
        }
    }

    #[test]
    fn every_weighting_is_normalised_and_its_edges_hold() {
        for (weights, draw, picked) in [
            (vec![60, 20], 0, Some("v1")),
            (vec![60, 20], u64::MAX, Some("v2")),
            (vec![60, 20], u64::MAX / 4 * 3 - 8, Some("v1")),
            (vec![60, 20], u64::MAX / 4 * 3 + 8, Some("v2")),
            (vec![0, 100], 0, Some("v2")),
            (vec![100, 0], u64::MAX, Some("v1")),
            (vec![0, 1, 0], u64::MAX / 2, Some("v2")),
            (vec![0], 0, Some("v1")),
            (vec![0, 0], 0, None),
            (vec![], 0, None),
            (vec![u32::MAX, u32::MAX], u64::MAX, Some("v2")),
        ] {
            let destinations = split(&weights);
            assert_eq!(pick_weighted(&destinations, draw).map(|d| d.subset.as_str()), picked, "{weights:?} {draw}");
        }
    }
}
