//! The counts against a clock that the test moves.
use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn timing(counters: &Counters, scheduled: Instant, started: Instant) -> Timing {
    Timing { scheduled, started: Some(started), run: counters.run() }
}

#[test]
fn percentiles_forget_after_ten_seconds() {
    let t0 = Instant::now();
    let mut counters = Counters::new(t0);
    counters.answered(timing(&counters, t0, t0), "v1", t0 + ms(100));
    for (after_s, seen) in [(1, true), (8, true), (11, false)] {
        let p50 = counters.tick(t0 + ms(after_s * 1_000), 0.0, 0, None).p50_ms;
        assert_eq!(p50.is_some_and(|p| (p - 100.0).abs() < 1.5), seen, "{after_s}: {p50:?}");
    }
}

#[test]
fn latency_counts_from_the_schedule_and_service_from_the_start() {
    let t0 = Instant::now();
    let mut counters = Counters::new(t0);
    counters.sent(t0, t0 + ms(400));
    counters.answered(timing(&counters, t0, t0 + ms(400)), "v1", t0 + ms(500));
    let s = counters.tick(t0 + ms(600), 1.0, 0, None);
    let near = |seen: Option<f64>, ms: f64| seen.is_some_and(|s| (s / ms - 1.0).abs() < 0.02);
    assert!(near(s.p99_ms, 500.0) && near(s.service_p99_ms, 100.0) && near(s.start_p99_ms, 400.0), "{s:?}");
    assert_eq!(s.late, 1);
}

#[test]
fn who_is_short_of_the_schedule_is_said_after_a_second_two_percent_behind() {
    // Of 100 places each tenth of a second: sent, come too late for, refused at once; the rest waits.
    for (sent, skipped, refused, limited, saturated) in [
        (100_u64, 0, 0, false, false),
        (99, 1, 0, false, false),
        (97, 3, 0, true, false),
        (97, 0, 0, false, true),
        (0, 0, 0, false, true),
        (0, 100, 0, true, false),
        (50, 25, 0, true, true),
        (0, 0, 100, false, false),
    ] {
        let t0 = Instant::now();
        let mut counters = Counters::new(t0);
        let mut last = Snapshot::default();
        for tick in 1..=15 {
            counters.due(100);
            counters.skipped(skipped);
            (0..sent).for_each(|_| counters.sent(t0, t0));
            let unsent = Timing { scheduled: t0, started: None, run: counters.run() };
            (0..refused).for_each(|_| counters.failed(unsent, Failure::Refused, None, t0));
            last = counters.tick(t0 + ms(tick * 100), 1_000.0, 0, None);
        }
        assert_eq!((last.limited, last.saturated), (limited, saturated), "{sent} {skipped} {refused}");
        assert!((last.achieved_rate - sent as f64 * 10.0).abs() < 1.0, "{}", last.achieved_rate);
    }
}

#[test]
fn versions_stand_side_by_side_over_the_same_seconds() {
    let t0 = Instant::now();
    let mut counters = Counters::new(t0);
    let mut seen = Snapshot::default();
    for second in 0..20 {
        let at = t0 + ms(second * 1_000);
        counters.tick(at, 100.0, 0, None);
        for n in 0..100 {
            let timing = timing(&counters, at, at);
            // v2 becomes slow and fails now and then after 10 s.
            match (n % 4, second) {
                (0, 10..) if n < 20 => counters.failed(timing, Failure::Status(503), Some("v2"), at + ms(50)),
                (0, 10..) => counters.answered(timing, "v2", at + ms(50)),
                (0, _) => counters.answered(timing, "v2", at + ms(5)),
                _ => counters.answered(timing, "v1", at + ms(5)),
            }
        }
        counters.failed(timing(&counters, at, at), Failure::Timeout, None, at + ms(500));
        seen = counters.tick(at + ms(999), 100.0, 0, None);
    }
    let near = |seen: Option<f64>, ms: f64| seen.is_some_and(|s| (s / ms - 1.0).abs() < 0.02);
    let Recent { seconds, all, versions } = seen.recent;
    let (v1, v2) = (&versions["v1"], &versions["v2"]);
    assert!((seconds - 9.999).abs() < 1e-6 && versions.len() == 2, "{seconds} {versions:?}");
    assert_eq!(
        (all.requests, all.errors, v1.requests, v1.errors, v2.requests, v2.errors),
        (1_010, 60, 750, 0, 250, 50)
    );
    assert!(
        (v1.rate - 75.0).abs() < 0.1 && near(v1.p99_ms, 5.0) && near(v2.p50_ms, 50.0) && near(all.p50_ms, 5.0),
        "{versions:?}"
    );
    assert_eq!((seen.version_errors, seen.errors), (BTreeMap::from([("v2".to_owned(), 50)]), 70));
    let later = counters.tick(t0 + ms(40_000), 100.0, 0, None).recent;
    assert_eq!((later.all, later.versions.len()), (Part::default(), 0), "nothing stays in a window that has passed");
}

#[test]
fn a_whole_run_keeps_three_digits_and_ends_with_it() {
    let t0 = Instant::now();
    let mut counters = Counters::new(t0);
    for us in 1..=10_000_u64 {
        counters.answered(timing(&counters, t0, t0), "v1", t0 + Duration::from_micros(us * 10));
    }
    // Long after the window has forgotten them.
    let whole = counters.tick(t0 + ms(60_000), 0.0, 0, None).whole.unwrap();
    for (seen, ms) in
        [(whole.p50_ms, 50.0), (whole.p90_ms, 90.0), (whole.p99_ms, 99.0), (whole.p999_ms, 99.9), (whole.max_ms, 100.0)]
    {
        assert!((seen / ms - 1.0).abs() < 0.001, "{whole:?}");
    }
    counters.begin_run(t0 + ms(61_000));
    assert_eq!(counters.tick(t0 + ms(61_100), 0.0, 0, None).whole, None);
}

#[test]
fn a_mark_counts_only_what_was_sent_after_it() {
    let t0 = Instant::now();
    let mut counters = Counters::new(t0);
    let old = timing(&counters, t0, t0);
    let mark = counters.set_mark(t0 + ms(10));
    counters.answered(old, "v1", t0 + ms(20));
    counters.answered(timing(&counters, t0, t0 + ms(30)), "v2", t0 + ms(33));
    counters.answered(timing(&counters, t0, t0 + ms(12)), "v2", t0 + ms(34));
    let seen = counters.tick(t0 + ms(100), 1.0, 0, None).mark.unwrap();
    assert_eq!(seen.counts, BTreeMap::from([("v2".to_owned(), 2)]));
    let first = seen.first["v2"];
    counters.begin_run(t0 + ms(200));
    let next = counters.tick(t0 + ms(300), 1.0, 0, None).mark.unwrap();
    assert_eq!(
        (next.id, next.first, next.counts.len()),
        (seen.id, seen.first.clone(), 0),
        "another run: the same mark, counted anew"
    );
    assert!(
        first.sent_us.abs_diff(mark.at_us + 2_000) <= 1 && first.answered_us.abs_diff(mark.at_us + 24_000) <= 1,
        "{seen:?}"
    );
}

#[test]
fn an_old_runs_answers_do_not_count_and_names_are_bounded() {
    let t0 = Instant::now();
    let mut counters = Counters::new(t0);
    let old = timing(&counters, t0, t0);
    counters.begin_run(t0);
    assert!(counters.run() > old.run);
    counters.answered(old, "v1", t0);
    counters.failed(old, Failure::Reset, None, t0);
    for i in 0..100 {
        counters.answered(timing(&counters, t0, t0), &format!("v{i}"), t0);
    }
    let s = counters.tick(t0 + ms(100), 1.0, 0, None);
    assert_eq!((s.errors, s.counts.len(), s.counts["other"]), (0, MAX_VERSIONS + 1, 68));
}
