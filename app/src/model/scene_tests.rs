//! Tables for the chart's geometry.
use super::*;
use std::collections::BTreeMap;
use wire::Frame;

const SIZE: Size = Size { width: 600.0, height: 100.0, lane: 24.0, span_ms: 60_000.0 };

fn frame(at_ms: u64, v1: u64, v2: u64, desired_v2: Option<u8>) -> Frame {
    Frame {
        at_ms,
        run: 1,
        counts: BTreeMap::from([("v1".to_owned(), v1), ("v2".to_owned(), v2)]),
        target_rate: 10.0,
        desired: desired_v2.and_then(|share| Split::v1_v2(share).ok()),
        ..Frame::default()
    }
}

fn two() -> Vec<String> {
    vec!["v1".to_owned(), "v2".to_owned()]
}

#[test]
fn the_border_between_the_versions_is_the_share_of_v1() {
    let history = History::new([
        frame(0, 0, 0, Some(20)),
        frame(1000, 8, 2, Some(20)),
        frame(2000, 16, 4, Some(20)),
        frame(3000, 24, 6, Some(20)),
    ]);
    let drawn = scene(&history, &two(), 0, SIZE);
    assert_eq!(drawn.edges, ["M10.0 20.0L20.0 20.0L30.0 20.0"]);
    assert_eq!(drawn.areas[0], "M10.0 20.0L20.0 20.0L30.0 20.0L30.0 100.0L20.0 100.0L10.0 100.0Z");
    assert_eq!(drawn.areas[1], "M10.0 0.0L20.0 0.0L30.0 0.0L30.0 20.0L20.0 20.0L10.0 20.0Z");
    assert_eq!(drawn.desired, "M0.0 20.0H30.0");
}

#[test]
fn a_change_is_a_step_and_is_not_smoothed_over() {
    let frames = (0..=10)
        .map(|i| frame(i * 100, i * 10, 0, Some(0)))
        .chain((11..=20).map(|i| frame(i * 100, 100, (i - 10) * 10, Some(100))));
    let drawn = scene(&History::new(frames), &two(), 0, SIZE);
    assert!(drawn.edges[0].contains("L10.0 0.0L11.0 100.0"), "{}", drawn.edges[0]);
    assert!(drawn.desired.contains("H11.0V100.0"), "{}", drawn.desired);
}

#[test]
fn silence_and_a_stopped_load_are_gaps() {
    let stopped = |at_ms| Frame { target_rate: 0.0, ..frame(at_ms, 30, 0, None) };
    let frames = [
        frame(0, 0, 0, None),
        frame(1000, 10, 0, None),
        frame(2000, 20, 0, None),
        frame(3000, 30, 0, None),
        stopped(4000),
        stopped(5000),
    ];
    let more = [
        Frame { run: 2, ..frame(9000, 0, 0, None) },
        Frame { run: 2, ..frame(10_000, 5, 5, None) },
        Frame { run: 2, ..frame(11_000, 10, 10, None) },
    ];
    let drawn = scene(&History::new(frames.into_iter().chain(more)), &two(), 0, SIZE);
    assert_eq!(drawn.edges[0].matches('M').count(), 2, "{}", drawn.edges[0]);
    assert_eq!(drawn.desired, "");
}

#[test]
fn a_desired_split_that_was_not_reported_for_a_while_is_not_drawn() {
    let history = History::new([
        frame(0, 0, 0, Some(20)),
        frame(1000, 0, 0, Some(20)),
        frame(9000, 0, 0, Some(20)),
        frame(10_000, 0, 0, None),
        frame(11_000, 0, 0, Some(0)),
    ]);
    assert_eq!(scene(&history, &two(), 0, SIZE).desired, "M0.0 20.0H10.0M90.0 20.0H90.0M110.0 0.0H110.0");
}

#[test]
fn a_stretch_in_which_every_request_fails_is_a_gap() {
    // Five seconds of success, `failing` tenths of failures alone, then success again: with one line or two.
    for (failing, lines) in [(0, 1), (5, 1), (15, 2), (200, 2)] {
        let fails = |i: u64| i.saturating_sub(50).min(failing);
        let frames = (0..=100 + failing)
            .map(|i| Frame { errors: fails(i) * 20, ..frame(i * 100, (i - fails(i)) * 20, 0, None) });
        let drawn = scene(&History::new(frames), &two(), 0, SIZE);
        assert_eq!(drawn.edges[0].matches('M').count(), lines, "{failing}: {}", drawn.edges[0]);
    }
}

#[test]
fn a_slow_load_is_one_line() {
    let history = History::new((0..=200).map(|i| frame(i * 100, i / 20, 0, None)));
    assert_eq!(scene(&history, &two(), 0, SIZE).edges[0].matches('M').count(), 1);
}

#[test]
fn lanes_show_the_rate_of_each_second_on_one_scale() {
    // 30/s at v1, 10/s at v2, and one failure in the third second. Two frames a second, none on its border.
    let frames = (0..=12_u64).map(|i| Frame { errors: u64::from(i > 5), ..frame(i * 500 + 250, i * 15, i * 5, None) });
    let lanes = scene(&History::new(frames), &two(), 0, SIZE).lanes;
    assert_eq!(lanes.len(), 3);
    assert!(
        lanes[0].starts_with("M0.0 124.0V109.0H9.0V124.0Z"),
        "a second that was seen in part is lower: {}",
        lanes[0]
    );
    assert!(lanes[0].contains("M10.0 124.0V104.0H19.0V124.0Z"), "{}", lanes[0]);
    assert!(lanes[1].contains("M10.0 148.0V141.3H19.0V148.0Z"), "{}", lanes[1]);
    assert_eq!(lanes[2].matches('M').count(), 2, "between the frames around a border: {}", lanes[2]);
    assert!(lanes[2].contains("V170.5"), "one failure can be seen: {}", lanes[2]);
    assert!(scene(&History::default(), &two(), 0, SIZE).lanes.is_empty());
}

#[test]
fn the_window_grows_from_ten_seconds_to_a_minute() {
    let history = |from: u64| History::new((0..=600).map(|i| frame(i * 100, i.saturating_sub(from), 0, None)));
    for (first, span) in [(600, 10_000.0), (550, 10_000.0), (400, 20_000.0), (0, 60_000.0)] {
        assert_eq!(span_ms(&history(first), 60_000), span, "{first}");
    }
    assert_eq!(span_ms(&History::default(), 60_000), 10_000.0);
}

#[test]
fn a_moment_is_the_second_around_it() {
    let history = History::new((0..=100).map(|i| Frame { errors: i, ..frame(i * 100, i * 3, i, None) }));
    let told = moment(&history, &two(), 5_000, 10_000);
    assert_eq!((told.ago_s, told.shares, told.answers, told.errors), (5.0, Some(vec![75.0, 25.0]), 40, 10));
    assert_eq!(moment(&history, &two(), 20_000, 20_000).shares, None);
}

#[test]
fn a_third_version_lies_between_borders_of_its_own() {
    let three: Vec<String> = ["v1", "v2", "v3"].map(str::to_owned).to_vec();
    let with =
        |at_ms, n: u64| Frame { counts: three.iter().map(|v| (v.clone(), n)).collect(), ..frame(at_ms, 0, 0, None) };
    let drawn = scene(&History::new([with(0, 0), with(1000, 10), with(2000, 20), with(3000, 30)]), &three, 0, SIZE);
    assert_eq!((drawn.areas.len(), drawn.edges.len()), (3, 2));
    assert!(drawn.edges[1].starts_with("M10.0 33.3"), "{}", drawn.edges[1]);
}
