//! Tables for the chart's geometry.
use super::*;
use std::collections::BTreeMap;

const SIZE: Size = Size { width: 600.0, height: 100.0, band_top: 110.0, band_bottom: 160.0 };

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
    let drawn = scene(&history, &two(), 0, 0, SIZE);
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
    let drawn = scene(&History::new(frames), &two(), 0, 0, SIZE);
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
    let drawn = scene(&History::new(frames.into_iter().chain(more)), &two(), 0, 0, SIZE);
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
    assert_eq!(scene(&history, &two(), 0, 0, SIZE).desired, "M0.0 20.0H10.0M90.0 20.0H90.0M110.0 0.0H110.0");
}

#[test]
fn marks_are_one_a_request_until_there_are_too_many() {
    for (rate, per_mark) in [(1, 1), (10, 1), (200, 20), (5000, 500)] {
        let history = History::new((0..=600).map(|i| frame(i * 100, i * rate / 20, i * rate / 20, Some(50))));
        let drawn = scene(&history, &two(), 0, 0, SIZE);
        assert_eq!(drawn.per_mark, per_mark, "{rate}/s");
        let marks = drawn.marks[0].matches('M').count() + drawn.marks[1].matches('M').count();
        assert!(u64::try_from(marks).unwrap() <= MOST_MARKS, "{rate}/s: {marks}");
        assert!(rate < 10 || marks > 250, "{rate}/s: {marks}");
    }
}

#[test]
fn a_mark_keeps_its_place_when_more_frames_come() {
    let frames: Vec<Frame> = (0..=20).map(|i| frame(i * 100, i, 0, None)).collect();
    let fewer = scene(&History::new(frames[..15].to_vec()), &two(), 0, 0, SIZE).marks[0].clone();
    assert!(scene(&History::new(frames), &two(), 0, 0, SIZE).marks[0].starts_with(&fewer));
}

#[test]
fn thinning_does_not_flicker_at_its_threshold() {
    let at = |n: u64| History::new([frame(0, 0, 0, None), frame(1000, n, 0, None)]);
    assert_eq!(thin(&at(700), 1), 1);
    assert_eq!(thin(&at(901), 1), 2);
    assert_eq!(thin(&at(890), 2), 2);
}

#[test]
fn a_third_version_lies_between_borders_of_its_own() {
    let three: Vec<String> = ["v1", "v2", "v3"].map(str::to_owned).to_vec();
    let with =
        |at_ms, n: u64| Frame { counts: three.iter().map(|v| (v.clone(), n)).collect(), ..frame(at_ms, 0, 0, None) };
    let drawn = scene(&History::new([with(0, 0), with(1000, 10), with(2000, 20), with(3000, 30)]), &three, 0, 0, SIZE);
    assert_eq!((drawn.areas.len(), drawn.edges.len()), (3, 2));
    assert!(drawn.edges[1].starts_with("M10.0 33.3"), "{}", drawn.edges[1]);
}
