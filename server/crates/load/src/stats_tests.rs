//! Tables for the statistics: published figures where the row names them, the usual tables of χ², else the formula by hand.
use super::*;
use proptest::prelude::*;

#[test]
fn wilson_agrees_with_published_figures() {
    for (x, n, low, high) in [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.277_53),
        (10, 10, 0.722_47, 1.0),
        (5, 10, 0.236_59, 0.763_41),
        (1, 10, 0.017_88, 0.404_15),
        // Newcombe, Statistics in Medicine 17, 1998, table I, method 3, to four digits.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 100, 0.133_37, 0.288_83),
    ] {
        let got = wilson(x, n);
        assert!((got.low - low).abs() < 1e-4 && (got.high - high).abs() < 1e-4, "{x}/{n}: {got:?}");
    }
}

#[test]
fn chi_square_and_its_tail_agree_with_tables() {
    // The 5 %, 1 % and 0.1 % points of the usual tables.
    for (x, degrees, p) in [
        (3.841, 1, 0.05),
        (6.635, 1, 0.01),
        (10.828, 1, 0.001),
        (5.991, 2, 0.05),
        (9.210, 2, 0.01),
        (7.815, 3, 0.05),
        (16.266, 3, 0.001),
        (9.488, 4, 0.05),
        (18.307, 10, 0.05),
        (0.0, 3, 1.0),
    ] {
        let got = chi_square_tail(x, degrees);
        assert!((got - p).abs() < 2e-5 + p * 2e-3, "{x}, {degrees}: {got}");
    }
    // Mendel's peas, 9:3:3:1: χ² = 0.470 and P = 0.925 (R. A. Fisher, Annals of Science 1, 1936, has 0.4700 for this cross).
    let peas = chi_square(&[(315, 9.0), (101, 3.0), (108, 3.0), (32, 1.0)]).unwrap();
    assert!(
        (peas.statistic.unwrap() - 0.4700).abs() < 1e-4 && peas.degrees == 3 && (peas.p_value - 0.9254).abs() < 1e-4,
        "{peas:?}"
    );
    let by_hand = chi_square(&[(70, 80.0), (30, 20.0)]).unwrap();
    assert!(
        (by_hand.statistic.unwrap() - 6.25).abs() < 1e-9
            && by_hand.degrees == 1
            && (by_hand.p_value - 0.012_42).abs() < 1e-4,
        "{by_hand:?}"
    );
    assert_eq!(
        chi_square(&[(1, 0.0), (99, 100.0)]).map(|c| (c.statistic, c.p_value)),
        Some((None, 0.0)),
        "something where nothing was to come"
    );
    for none in [&[][..], &[(0, 50.0), (0, 50.0)], &[(5, 0.0)]] {
        assert_eq!(chi_square(none), None);
    }
}

#[test]
fn how_many_requests_tell_two_shares_apart() {
    for (desired, versus, n) in [
        (0.9, 0.5, 12), // as the exact binomial test has it: 10 requests cannot tell 90/10 from 50/50
        (0.9, 0.75, 61),
        (0.9, 0.8, 118),
        (0.5, 0.75, 30),
        (0.5, 0.51, 19_716),
        (1.0, 0.5, 5),    // half of requests would miss: 0.5⁵ = 3 %
        (0.0, 0.01, 299), // the rule of three: about 3 / 0.01
        (0.0, 1.0, 1),
        (0.3, 0.3, u64::MAX),
    ] {
        let got = needed(desired, versus);
        assert!(got.abs_diff(n) <= n / 1_000, "{desired} from {versus}: {got}, not {n}");
    }
}

#[test]
fn sample_sizes_agree_with_published_ones() {
    // NIST/SEMATECH e-Handbook, 7.2.4.2: 10 % defective, a change of 10 points, one-sided 5 %, power 90 %: N = 102, and 112 with the
    // continuity correction in its short form, N + 1/δ, which comes within a request of the long one that is used here.
    let (z_95, z_power_90) = (1.644_854, 1.281_552);
    let n = sample_size(0.1, 0.2, z_95, z_power_90);
    assert_eq!(n.ceil(), 102.0);
    assert!((for_whole_counts(n, 0.1).ceil() - 112.0).abs() <= 1.0, "{}", for_whole_counts(n, 0.1));
}

#[test]
fn plain_balancing_is_recognised() {
    for (versions, low, high) in [
        (&[(50, 90.0, 1.0), (50, 10.0, 1.0)][..], 0.999, 1.0),
        (&[(90, 90.0, 1.0), (10, 10.0, 1.0)], 0.0, 0.001),
        (&[(7, 90.0, 1.0), (3, 10.0, 1.0)], 0.6, 0.95),
        (&[(1, 0.0, 1.0), (1, 100.0, 1.0)], 1.0, 1.0),
        (&[(50, 50.0, 1.0), (50, 50.0, 1.0)], 0.5, 0.5),
        (&[(0, 90.0, 1.0), (0, 10.0, 1.0)], 0.5, 0.5),
        // Three replicas of v1 and one of v2: plain balancing is 75/25.
        (&[(150, 50.0, 3.0), (50, 50.0, 1.0)], 0.999, 1.0),
        (&[(100, 50.0, 3.0), (100, 50.0, 1.0)], 0.0, 0.001),
        (&[(75, 75.0, 3.0), (25, 25.0, 1.0)], 0.5, 0.5),
        // No replica of v2 is ready, and it answered: that was not plain balancing.
        (&[(1, 50.0, 1.0), (1, 50.0, 0.0)], 0.0, 0.0),
        (&[], 0.5, 0.5),
    ] {
        let got = round_robin_likelihood(versions);
        assert!((low..=high).contains(&got), "{versions:?}: {got}");
    }
}

fn evidence(desired: &[(&str, f64)], counts: &[(&str, u64)], sidecar: bool) -> Evidence {
    Evidence {
        counts: counts.iter().map(|(v, n)| ((*v).to_owned(), *n)).collect(),
        desired: desired.iter().map(|(v, w)| ((*v).to_owned(), *w)).collect(),
        client_has_sidecar: sidecar,
        endpoints: BTreeMap::new(),
    }
}

#[test]
fn plain_balancing_is_by_endpoint_and_not_by_version() {
    use VerdictKind as K;
    let even = [("v1", 50.0), ("v2", 50.0)];
    let three_to_one = [("v1", 75.0), ("v2", 25.0)];
    for (desired, counts, kind, plain, versus) in [
        // The desired split is 50/50, four pods would give 75/25 anyway: 20 requests do not tell, 200 do.
        (&even[..], &[("v1", 12), ("v2", 8)][..], K::TooFew, 25.0, 25.0),
        (&even, &[("v1", 100), ("v2", 100)], K::InKeeping, 25.0, 20.0),
        (&even, &[("v1", 150), ("v2", 50)], K::OffTarget, 25.0, 20.0),
        // Outside of the 95 % interval, and not so far that it could not be chance.
        (&even, &[("v1", 120), ("v2", 80)], K::Borderline, 25.0, 20.0),
        // Here the desired split is what plain balancing does: it is told from its neighbour.
        (&three_to_one, &[("v1", 15), ("v2", 5)], K::TooFew, 25.0, 20.0),
        (&[], &[("v1", 150), ("v2", 50)], K::NoRoute, 25.0, 20.0),
    ] {
        let endpoints = BTreeMap::from([("v1".to_owned(), 3), ("v2".to_owned(), 1)]);
        let v = verdict(&Evidence { endpoints, ..evidence(desired, counts, true) });
        assert_eq!((v.kind, v.plain, v.versus), (kind, plain, versus), "{desired:?} {counts:?}: {v:?}");
    }
    let none_ready = BTreeMap::from([("v1".to_owned(), 2), ("v2".to_owned(), 0)]);
    let v = verdict(&Evidence { endpoints: none_ready, ..evidence(&even, &[("v1", 10)], true) });
    assert_eq!((v.plain, v.versus), (0.0, 20.0), "{v:?}");
}

#[test]
fn verdicts_rest_on_facts_first() {
    use VerdictKind as K;
    let ninety = [("v1", 90.0), ("v2", 10.0)];
    let even = [("v1", 50.0), ("v2", 50.0)];
    let all_v1 = [("v1", 100.0), ("v2", 0.0)];
    for (desired, counts, sidecar, expected) in [
        (
            &ninety[..],
            &[("v1", 500), ("v2", 500)][..],
            false,
            (K::ClientHasNoSidecar, "v2 50% desired 10% needed 0 versus 20%"),
        ),
        (&[], &[("v1", 50), ("v2", 50)], true, (K::NoRoute, "v2 50% desired 50% needed 0 versus 20%")),
        (&ninety, &[], false, (K::NoTraffic, "v2 0% desired 10% needed 12 versus 50%")),
        (&ninety, &[], true, (K::NoTraffic, "v2 0% desired 10% needed 12 versus 50%")),
        (&ninety, &[("v1", 6), ("v2", 4)], true, (K::TooFew, "v2 40% desired 10% needed 2 versus 50%")),
        (&ninety, &[("v1", 9), ("v2", 1)], true, (K::TooFew, "v2 10% desired 10% needed 2 versus 50%")),
        (&ninety, &[("v1", 92), ("v2", 8)], true, (K::InKeeping, "v2 8% desired 10% needed 18 versus 20%")),
        (&ninety, &[("v1", 500), ("v2", 500)], true, (K::OffTarget, "v2 50% desired 10% needed 0 versus 20%")),
        (&even, &[("v1", 12), ("v2", 4)], true, (K::TooFew, "v2 25% desired 50% needed 4 versus 20%")),
        (&even, &[("v1", 1_012), ("v2", 988)], true, (K::InKeeping, "v2 49% desired 50% needed 0 versus 20%")),
        (&all_v1, &[("v1", 400)], true, (K::InKeeping, "v2 0% desired 0% needed 0 versus 10%")),
        (&all_v1, &[("v1", 100_000), ("v2", 1)], true, (K::OffTarget, "v2 0% desired 0% needed 0 versus 10%")),
        (
            &ninety,
            &[("v1", 900), ("v2", 100), ("v3", 1)],
            true,
            (K::OffTarget, "v2 10% desired 10% needed 0 versus 20%"),
        ),
    ] {
        let v = verdict(&evidence(desired, counts, sidecar));
        let said = format!(
            "{} {:.0}% desired {:.0}% needed {} versus {:.0}%",
            v.version, v.observed, v.desired, v.needed, v.versus
        );
        assert_eq!((v.kind, said.as_str()), expected, "{desired:?} {counts:?}");
    }
}

proptest! {
    #[test]
    fn nothing_is_ever_not_a_number(counts in proptest::collection::vec(0_u64..1_000_000, 0..4), desired in proptest::collection::vec(0_u32..=100, 0..4), sidecar in any::<bool>()) {
        let names = ["v1", "v2", "v3", "v4"];
        let counts: Vec<_> = names.into_iter().zip(counts).collect();
        let desired: Vec<_> = names.into_iter().zip(desired.into_iter().map(f64::from)).collect();
        let v = verdict(&evidence(&desired, &counts, sidecar));
        for number in [v.observed, v.margin, v.desired, v.versus, v.plain_balancing] {
            prop_assert!(number.is_finite() && (0.0..=100.0).contains(&number), "{v:?}");
        }
        let i = wilson(v.requests / 2, v.requests);
        prop_assert!(i.low <= i.high && i.low >= 0.0 && i.high <= 1.0);
    }

    #[test]
    fn a_wilson_interval_holds_the_share_it_was_made_from(n in 1_u64..100_000, part in 0.0_f64..=1.0) {
        let x = (n as f64 * part) as u64;
        let (i, share) = (wilson(x, n), x as f64 / n as f64);
        prop_assert!(i.low <= share + 1e-12 && share <= i.high + 1e-12);
    }
}
