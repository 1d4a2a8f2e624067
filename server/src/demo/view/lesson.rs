//! What the lesson has measured so far. Pure: traffic in, milestones out; the server keeps them for each namespace.
use wire::{Milestones, Proof, Split, Traffic, Verdict, VerdictKind};

/// So many requests make a share worth telling.
const ENOUGH: u64 = 200;
/// At least so many percent of the requests fail: a version's share, not a stray failure.
const BROKEN: f64 = 5.0;

/// Takes what was measured last. Returns whether that is worth telling: a new milestone, or twice the requests.
pub fn take(milestones: &mut Milestones, traffic: &Traffic) -> bool {
    let before = milestones.clone();
    let frame = &traffic.frame;
    match &frame.failing {
        Some(failing) if failing.share >= BROKEN && failing.share < 100.0 => {
            // Shares of a second stray: the largest is told, in whole percents.
            milestones.broken = Some(milestones.broken.unwrap_or(0.0).max(failing.share.floor()));
            milestones.cured = false;
        }
        None if milestones.broken.is_some() && frame.rates.values().any(|rate| *rate > 0.0) => milestones.cured = true,
        _ => {}
    }
    if let Some(verdict) = traffic.verdict.as_ref().filter(|v| v.requests >= ENOUGH && frame.failing.is_none()) {
        judge(milestones, verdict, frame.desired.as_ref());
    }
    *milestones != before
}

fn judge(milestones: &mut Milestones, verdict: &Verdict, split: Option<&Split>) {
    let desired =
        split.map(|split| split.iter().map(|(_, weight)| weight.percent().to_string()).collect::<Vec<_>>().join("/"));
    let proof = Proof {
        desired: desired.unwrap_or_default(),
        version: verdict.version.clone(),
        observed: verdict.observed,
        requests: verdict.requests,
    };
    let keep = |kept: &mut Option<Proof>| {
        if kept.as_ref().is_none_or(|known| known.desired != proof.desired || known.requests * 2 <= proof.requests) {
            *kept = Some(proof.clone());
        }
    };
    let whole = split.is_some_and(|split| split.iter().any(|(_, weight)| weight.percent() == 100));
    match verdict.kind {
        VerdictKind::NoRoute => keep(&mut milestones.even),
        VerdictKind::InKeeping if whole => keep(&mut milestones.one),
        VerdictKind::InKeeping if split.is_some_and(|split| *split != split.even()) => keep(&mut milestones.weighted),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use wire::{Failing, Frame};

    fn traffic(kind: VerdictKind, v2: Option<u8>, requests: u64, failing: Option<f64>) -> Traffic {
        let failing = failing.map(|share| Failing { share, since_ms: 0, kind: "status_503".into(), version: None });
        let verdict = Verdict {
            kind,
            version: "v2".into(),
            requests,
            observed: 19.8,
            margin: 1.0,
            desired: f64::from(v2.unwrap_or(50)),
            needed: 0,
            versus: 50.0,
            chi_square: None,
            plain_balancing: 0.0,
            plain: 50.0,
        };
        let frame = Frame {
            desired: v2.and_then(|share| Split::v1_v2(share).ok()),
            rates: BTreeMap::from([("v1".to_owned(), 10.0)]),
            failing,
            ..Frame::default()
        };
        Traffic { frame, verdict: Some(verdict), ..Traffic::default() }
    }

    #[test]
    fn what_was_measured_stays_measured() {
        use VerdictKind::{InKeeping, NoRoute, OffTarget, TooFew};
        let flags = |m: &Milestones| {
            [m.even.is_some(), m.weighted.is_some(), m.one.is_some(), m.broken.is_some(), m.cured]
                .map(|so| if so { '1' } else { '0' })
                .iter()
                .collect::<String>()
        };
        let mut milestones = Milestones::default();
        for (what, seen, so_far) in [
            ("few requests", traffic(NoRoute, None, 10, None), "00000"),
            ("no route", traffic(NoRoute, None, 200, None), "10000"),
            ("an even split says nothing", traffic(InKeeping, Some(50), 900, None), "10000"),
            ("too few", traffic(TooFew, Some(20), 900, None), "10000"),
            ("not what was asked for", traffic(OffTarget, Some(20), 900, None), "10000"),
            ("80/20", traffic(InKeeping, Some(20), 900, None), "11000"),
            ("all to v2", traffic(InKeeping, Some(100), 900, None), "11100"),
            ("a stray failure", traffic(InKeeping, Some(20), 900, Some(0.4)), "11100"),
            ("nothing succeeds", traffic(InKeeping, Some(20), 900, Some(100.0)), "11100"),
            ("a fifth fails", traffic(InKeeping, Some(20), 900, Some(20.1)), "11110"),
            ("cured", traffic(TooFew, Some(20), 5, None), "11111"),
            ("again", traffic(TooFew, Some(20), 5, Some(19.0)), "11110"),
        ] {
            take(&mut milestones, &seen);
            assert_eq!(flags(&milestones), so_far, "{what}");
        }
        assert_eq!(milestones.broken, Some(20.0), "the largest share is told");
        assert!(take(&mut milestones, &traffic(InKeeping, Some(20), 400, None)), "cured again");
        assert!(!take(&mut milestones, &traffic(InKeeping, Some(20), 1_700, None)), "not worth telling");
        assert_eq!(milestones.weighted.as_ref().unwrap().requests, 900, "the most requests are told");
        take(&mut milestones, &traffic(InKeeping, Some(10), 400, None));
        assert_eq!(milestones.weighted.unwrap().desired, "90/10");
    }
}
