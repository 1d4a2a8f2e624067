//! What viewers end up with, whatever changes, whenever they come and whatever they skip; and how many bytes that takes.
use super::super::tests::{Viewer, recorded};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use wire::{LogEntry, Split, TimesMs};

/// Something happens in the namespace.
fn change(known: &mut Known, what: u8, n: u64) {
    let status = Arc::make_mut(&mut known.status);
    match what {
        // A new line of the log; the oldest go.
        0 => {
            let id = status.log.first().map_or(0, |entry| entry.id) + 1;
            let split = Split::v1_v2(u8::try_from(n % 100).unwrap()).unwrap();
            status.log.insert(
                0,
                LogEntry {
                    id,
                    at_ms: n,
                    what: split.to_string(),
                    split: Some(split.clone()),
                    ..status.log.first().cloned().unwrap_or_else(line)
                },
            );
            status.log.truncate(5);
            status.desired = Some(split);
        }
        1 => status
            .log
            .iter_mut()
            .take(2)
            .for_each(|entry| entry.times = Some(TimesMs { accepted: Some(n as f64), ..TimesMs::default() })),
        2 => status.log.clear(),
        3 => {
            let mut pod = status.pods.last().cloned().unwrap_or_else(|| recorded().status.pods[0].clone());
            (pod.name, pod.created_s) = (format!("flaskapp-v1-{n}"), pod.created_s + n % 2);
            status.pods.retain(|known| known.name != pod.name);
            status.pods.push(pod);
            status.pods.sort_by(|one, other| (one.created_s, &one.name).cmp(&(other.created_s, &other.name)));
        }
        4 => drop(status.pods.pop()),
        5 => status.pods.iter_mut().take(1).for_each(|pod| pod.restarts += 1),
        6 => status
            .conditions
            .iter_mut()
            .filter(|c| c.kind == "SidecarsCount")
            .for_each(|c| c.message = format!("v1 {n}")),
        7 => status.desired = None,
        8 => status.desired_by = format!("browser {n}"),
        // An order that patches do not keep.
        9 => status.conditions.rotate_left(1),
        _ => {
            let mut traffic = known.traffic.as_deref().cloned().unwrap_or_default();
            traffic.frame.at_ms += 100;
            *traffic.frame.counts.entry("v1".to_owned()).or_default() += n;
            traffic.frame.target_rate = if what == 10 { 0.0 } else { 200.0 };
            known.traffic = Some(Arc::new(traffic));
        }
    }
}

fn line() -> LogEntry {
    recorded().status.log[0].clone()
}

/// One step of a run: something changes or not, time passes, and a viewer comes, goes, or misses what is sent.
#[derive(Clone, Debug)]
struct Step {
    change: Option<u8>,
    pass_ms: u64,
    who: usize,
    does: u8,
}

fn step() -> impl Strategy<Value = Step> {
    (proptest::option::of(0..14_u8), prop_oneof![Just(0_u64), 1..200_u64, 200..4000_u64], 0..4_usize, 0..6_u8)
        .prop_map(|(change, pass_ms, who, does)| Step { change, pass_ms, who, does })
}

proptest! {
    #[test]
    fn every_viewer_has_what_was_sent_and_soon_what_is_so(steps in vec(step(), 1..60)) {
        let mut known = recorded();
        let (mut encoder, mut now_ms) = (Encoder::new(known.clone(), 0), 0);
        let audiences = [Audience::Plain, Audience::Worded(Lang::En), Audience::Worded(Lang::Zh), Audience::Worded(Lang::En)];
        let mut viewers: [Option<Viewer>; 4] = Default::default();
        let watched = |viewers: &[Option<Viewer>; 4]| AUDIENCES.map(|audience| audiences.iter().zip(viewers).any(|(a, viewer)| *a == audience && viewer.is_some()));
        let quiet = [1, 500, 500, 500].map(|pass_ms| Step { change: None, pass_ms, who: 0, does: 5 });
        for (n, Step { change: what, pass_ms, who, does }) in steps.into_iter().chain(quiet).enumerate() {
            now_ms += pass_ms;
            if let Some(what) = what {
                change(&mut known, what, n as u64);
            }
            let joins = does == 0 && viewers[who].is_none();
            let batch = encoder.batch(&known, watched(&viewers), joins, now_ms);
            for (place, (audience, viewer)) in audiences.iter().zip(&mut viewers).enumerate() {
                let Some(viewer) = viewer else { continue };
                let events = &batch[audience.index()];
                // One that skips gets the whole state instead.
                if does == 1 && who == place {
                    viewer.begin(*audience, &mut encoder);
                } else if !events.is_empty() {
                    viewer.hear(events);
                }
            }
            match does {
                0 if joins => {
                    let mut viewer = Viewer::default();
                    viewer.begin(audiences[who], &mut encoder);
                    prop_assert_eq!(viewer.status.as_ref(), Some(&*known.status), "who comes sees what is so");
                    viewers[who] = Some(viewer);
                }
                2 => viewers[who] = None,
                _ => {}
            }
            for viewer in viewers.iter().flatten() {
                prop_assert_eq!(viewer.status.as_ref(), Some(&*encoder.sent.status));
                let at_ms = encoder.sent.traffic.as_ref().map(|traffic| traffic.frame.at_ms);
                prop_assert_eq!(viewer.traffic["at_ms"].as_u64(), at_ms);
            }
            // What is outstanding is never outstanding for long, and nobody is left in silence.
            let due_ms = encoder.due_ms(&known, watched(&viewers));
            prop_assert!(due_ms <= now_ms.max(encoder.sent_ms) + ALIVE_MS);
            if !known.same_status(&encoder.sent) {
                prop_assert!(due_ms <= now_ms + STATUS_MS);
            }
        }
        for (audience, viewer) in audiences.iter().zip(&viewers).filter_map(|(audience, viewer)| Some((audience, viewer.as_ref()?))) {
            prop_assert_eq!(viewer.status.as_ref(), Some(&*known.status));
            let traffic = known.traffic.as_deref().unwrap();
            if let Audience::Worded(lang) = audience {
                let words = board(*lang, &known.status, traffic);
                let heard = (&viewer.sentence, &viewer.progress, &viewer.recent, &viewer.board, &viewer.whole);
                prop_assert_eq!(heard, (&words.sentence, &words.progress, &words.recent, &words.main, &words.whole));
            } else if traffic.frame.target_rate == 0.0 {
                prop_assert_eq!(viewer.figures.as_ref(), Some(traffic), "a run that has ended is told to the last figure");
            }
        }
    }
}

/// Ten seconds as one viewer of each audience gets them: ten frames a second, and so many changes of weights a second.
fn ten_seconds(changes_per_second: u64) -> [(usize, Viewer); AUDIENCES.len()] {
    let mut known = recorded();
    let mut encoder = Encoder::new(known.clone(), 0);
    let mut viewers = AUDIENCES.map(|audience| {
        let mut viewer = Viewer::default();
        viewer.begin(audience, &mut encoder);
        (0, viewer)
    });
    for now_ms in (0..10_000_u64).step_by(10) {
        if changes_per_second > 0 && now_ms % (1000 / changes_per_second) == 0 {
            let status = Arc::make_mut(&mut known.status);
            let (id, v2) = (status.log[0].id + 1, u8::try_from(now_ms / 50 % 90 + 10).unwrap());
            let split = Split::v1_v2(v2).unwrap();
            status.log.insert(
                0,
                LogEntry {
                    id,
                    what: split.to_string(),
                    split: Some(split.clone()),
                    times: None,
                    ..status.log[0].clone()
                },
            );
            status.log.truncate(50);
            status.desired = Some(split);
            status
                .conditions
                .iter_mut()
                .filter(|c| c.kind == "RouteAcknowledged")
                .for_each(|c| c.zh = format!("所有 sidecar 在 {v2} 毫秒内确认"));
        } else if changes_per_second > 0 && now_ms % (1000 / changes_per_second) == 30 {
            // Its times come a moment later.
            Arc::make_mut(&mut known.status).log[0].times = Some(TimesMs {
                accepted: Some(6.865137),
                acknowledged: Some(17.203203),
                first_request: Some(27.961854),
            });
        }
        if now_ms % 5_000 == 0 {
            Arc::make_mut(&mut known.status)
                .conditions
                .iter_mut()
                .filter(|c| c.kind == "SidecarsCount")
                .for_each(|c| c.message = format!("v1 {now_ms} · v2 {now_ms}"));
        }
        if now_ms % 100 == 0 {
            let mut traffic = known.traffic.as_deref().cloned().unwrap();
            traffic.frame.at_ms += 100;
            traffic.frame.counts.values_mut().for_each(|count| *count += 10);
            traffic.recent.versions.values_mut().for_each(|part| part.requests += now_ms % 7);
            known.traffic = Some(Arc::new(traffic));
        }
        let batch = encoder.batch(&known, [true; AUDIENCES.len()], false, now_ms);
        for ((bytes, viewer), events) in viewers.iter_mut().zip(&batch).filter(|(_, events)| !events.is_empty()) {
            viewer.hear(events);
            // What HTTP/1.1 adds to a chunk.
            *bytes += events.len() + 7;
        }
    }
    viewers
}

#[test]
fn a_second_of_traffic_takes_at_most_10_kb_and_one_of_dragging_at_most_25() {
    for (changes_per_second, limit) in [(0, 10_000), (20, 25_000)] {
        for (audience, (bytes, viewer)) in AUDIENCES.iter().zip(ten_seconds(changes_per_second)) {
            let name = format!("{audience:?}, {changes_per_second} changes a second");
            assert!(bytes / 10 <= limit, "{name}: {} bytes a second", bytes / 10);
            assert_eq!(
                (viewer.frames, viewer.wholes),
                (101, 1),
                "{name}: ten frames a second, and no status is sent whole but the first"
            );
            let status = if changes_per_second == 0 { 1..=3 } else { 45..=56 };
            assert!(status.contains(&viewer.patches), "{name}: {} patches", viewer.patches);
        }
    }
}

#[test]
fn each_traffic_event_has_what_programs_read_and_twice_a_second_all_that_is_measured() {
    let mut known = recorded();
    let mut encoder = Encoder::new(known.clone(), 0);
    let mut all = 0;
    for now_ms in (100..=10_000_u64).step_by(100) {
        change(&mut known, 11, 20);
        let mut viewer = Viewer::default();
        viewer.hear(&encoder.batch(&known, [true; AUDIENCES.len()], false, now_ms)[0]);
        for field in [
            "at_ms",
            "run",
            "counts",
            "errors",
            "target_rate",
            "achieved_rate",
            "p50_ms",
            "p90_ms",
            "p99_ms",
            "rates",
            "since",
            "desired",
        ] {
            assert!(viewer.traffic.get(field).is_some(), "`{field}` at {now_ms} ms");
        }
        all += usize::from(viewer.figures.is_some());
    }
    assert_eq!(all, 20);
}

#[test]
fn changes_ride_on_the_next_frame_and_do_not_wait_for_one_that_does_not_come() {
    let watched = [true; AUDIENCES.len()];
    let hear = |events: &Bytes| {
        let mut viewer = Viewer { status: Some((*recorded().status).clone()), ..Viewer::default() };
        viewer.hear(events);
        (viewer.patches, viewer.frames)
    };
    let mut known = recorded();
    let mut encoder = Encoder::new(known.clone(), 0);
    change(&mut known, 11, 1);
    assert_eq!(hear(&encoder.batch(&known, watched, false, 1_000)[0]), (0, 1));
    change(&mut known, 8, 1);
    assert!(encoder.batch(&known, watched, false, 1_050)[0].is_empty(), "a frame is about to come");
    assert_eq!(encoder.due_ms(&known, watched), 1_000 + RIDE_MS);
    change(&mut known, 11, 1);
    assert_eq!(hear(&encoder.batch(&known, watched, false, 1_100)[0]), (1, 1));
    // Without load there are no frames.
    change(&mut known, 8, 2);
    assert_eq!(hear(&encoder.batch(&known, watched, false, 5_000)[0]), (1, 0));
    // Nothing at all for three seconds.
    encoder.batch(&known, watched, false, 5_600);
    let sent_ms = encoder.sent_ms;
    assert!(encoder.batch(&known, watched, false, sent_ms + ALIVE_MS - 1)[0].is_empty());
    assert_eq!(encoder.due_ms(&known, watched), sent_ms + ALIVE_MS);
    let mut viewer = Viewer::default();
    viewer.hear(&encoder.batch(&known, watched, false, sent_ms + ALIVE_MS)[0]);
    assert_eq!(viewer.alive, 1);
}
