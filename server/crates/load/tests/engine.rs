//! The engine against a tiny server: what is sent when, and what is counted.
mod common;

use common::{Mood, PATIENCE, Server, engine, engine_with, eventually, good, keeps_rate, set_rate, until};
use load::{LoadSpec, Snapshot};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn finite(rate: u32, requests: u64) -> LoadSpec {
    LoadSpec { requests: Some(requests), ..LoadSpec::rate(rate) }
}

#[tokio::test]
async fn the_rate_is_kept_and_every_request_is_counted() {
    let server = Server::start();
    let engine = engine(&server);
    let s = keeps_rate(&engine, 500, 2_000).await;
    assert_eq!((s.target_rate, s.errors, server.complaints()), (500.0, 0, Default::default()));
    assert!(s.achieved_rate > 0.0, "{s:?}");
    assert!(s.counts["v1"] > 0 && s.counts["v2"] > 0, "connections take turns: {:?}", s.counts);
    engine.stop().await;
    let s = engine.status().borrow().snapshot.clone();
    assert_eq!((good(&s), s.sent, s.in_flight), (server.requests(), server.requests(), 0));
}

#[tokio::test]
async fn a_finite_run_is_exact_and_ten_requests_show_both_versions() {
    let server = Server::start();
    let engine = engine(&server);
    let mut before = 0;
    for n in [10, 1, 3_000] {
        let rate = if n > 100 { 2_000 } else { 200 };
        let run = engine.set_load(&finite(rate, n)).await.unwrap().snapshot.run;
        let s = until(&engine, "the run is over", |s| s.run == run && good(s) + s.errors == n && s.target_rate == 0.0)
            .await;
        assert_eq!((good(&s), s.sent, s.requests), (n, n, Some(n)));
        assert_eq!(server.requests() - before, n, "not one more arrives");
        before += n;
        if n == 10 {
            assert_eq!(s.counts.keys().collect::<Vec<_>>(), ["v1", "v2"], "{:?}", s.counts);
        }
    }
    assert_eq!(engine.status().borrow().load.rate, 0);
}

#[tokio::test]
async fn a_finite_run_keeps_its_end_when_the_rate_changes_and_starts_anew_when_asked_for_again() {
    let server = Server::start();
    let engine = engine(&server);
    // Slow enough not to be over before its rate changes.
    let run = engine.set_load(&finite(5, 400)).await.unwrap().snapshot.run;
    until(&engine, "it has begun", |s| s.run == run && good(s) > 2).await;
    let faster = set_rate(&engine, 1_000).await;
    assert_eq!((faster.snapshot.run, faster.load.requests), (run, Some(400)), "another rate, the same run");
    let s = until(&engine, "it ends by itself", |s| s.target_rate == 0.0 && s.in_flight == 0).await;
    assert_eq!((good(&s), s.requests), (400, Some(400)));
    let second = engine.set_load(&finite(5, 400)).await.unwrap().snapshot.run;
    until(&engine, "the second has begun", |s| s.run == second && good(s) > 2).await;
    let third = engine.set_load(&finite(1_000, 400)).await.unwrap().snapshot.run;
    assert!(third > second && second > run, "the same number again is another run");
    let s = until(&engine, "the third ends", |s| s.run == third && s.target_rate == 0.0 && s.in_flight == 0).await;
    assert_eq!(good(&s), 400, "counted from 0, and all of it");
}

#[tokio::test]
async fn failures_are_counted_with_the_version_that_answered_them() {
    let server = Server::start();
    let engine = engine(&server);
    set_rate(&engine, 200).await;
    until(&engine, "both versions answer", |s| s.recent.versions.len() == 2).await;
    server.mood(Mood::Broken);
    let s = until(&engine, "failures", |s| s.errors >= 20).await;
    assert_eq!((s.version_errors.len(), s.version_errors.values().sum::<u64>()), (2, s.errors), "{s:?}");
    let recent = &s.recent.versions["v1"];
    assert!(recent.errors > 0 && recent.errors < recent.requests && recent.p99_ms.is_some(), "{recent:?}");
    server.mood(Mood::Unavailable);
    let s = until(&engine, "failures of nobody", |s| s.errors > s.version_errors.values().sum::<u64>() + 20).await;
    assert_eq!(s.version_errors.len(), 2, "{s:?}");
}

#[tokio::test]
async fn latency_counts_from_the_schedule_so_a_stall_shows_in_full() {
    let server = Server::start();
    server.mood(Mood::Stalled);
    let engine = engine_with(&server, |c| c.max_connections = 4);
    engine.set_load(&finite(200, 100)).await.unwrap();
    until(&engine, "all are due, and four are sent", |s| (s.in_flight, s.sent, s.target_rate) == (100, 4, 0.0)).await;
    server.mood(Mood::Well);
    let s = until(&engine, "all are answered", |s| good(s) == 100).await;
    // They were due 5 ms or more apart, and none was answered before the last was due. A slow machine makes every latency longer.
    // A closed loop sees four slow answers, one a connection; we see a hundred, and half of them waited for 50 × 5 ms or more.
    let whole = s.whole.unwrap();
    assert!(whole.p50_ms > 240.0 && whole.p90_ms > 440.0 && whole.max_ms > 490.0, "{s:?}");
    assert!(s.p50_ms.unwrap() > 240.0 && s.p90_ms.unwrap() > 440.0, "{s:?}");
    assert_eq!(s.errors, 0);
}

#[tokio::test]
async fn the_rate_changes_live_without_starting_the_counts_again() {
    let server = Server::start();
    let engine = engine(&server);
    let run = set_rate(&engine, 50).await.snapshot.run;
    until(&engine, "some at the first rate", |s| good(s) >= 10).await;
    let fast = keeps_rate(&engine, 1_000, 1_000).await;
    assert_eq!((fast.run, fast.target_rate), (run, 1_000.0));
    set_rate(&engine, 0).await;
    let stopped =
        until(&engine, "silence", |s| s.target_rate == 0.0 && s.in_flight == 0 && s.achieved_rate == 0.0).await;
    assert_eq!((good(&stopped), stopped.run), (server.requests(), run));
    assert!(set_rate(&engine, 10).await.snapshot.run > run, "started again: another run");
    let s = until(&engine, "counted from 0", |s| s.run > run && good(s) > 0).await;
    assert!(good(&s) < good(&stopped), "{s:?}");
}

#[tokio::test]
async fn stopping_lets_requests_on_their_way_finish_and_sends_no_more() {
    let server = Server::start();
    server.mood(Mood::Stalled);
    let engine = engine(&server);
    set_rate(&engine, 300).await;
    until(&engine, "some on their way", |s| s.in_flight > 20).await;
    let sent = set_rate(&engine, 0).await.snapshot.sent;
    assert_eq!(engine.status().borrow().load.rate, 0, "who asks next hears of the load that was set");
    server.mood(Mood::Well);
    let s = until(&engine, "all back", |s| s.in_flight == 0).await;
    assert_eq!((good(&s), s.errors, s.sent), (sent, 0, sent));
    assert_eq!((server.requests(), server.complaints().1), (sent, 0));
}

#[tokio::test]
async fn the_end_of_the_thread_is_noticed() {
    let engine = load::Engine::start(load::EngineConfig::default()).unwrap();
    let watcher = engine.clone();
    tokio::select! {
        biased;
        () = watcher.ended() => panic!("the thread runs"),
        () = std::future::ready(()) => {}
    }
    engine.stop().await;
    watcher.ended().await;
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (mood, kind) in [(Mood::Unavailable, "status_503"), (Mood::HangUp, "reset"), (Mood::Stalled, "timeout")] {
        let server = Server::start();
        server.mood(mood);
        // A short wait only where nothing answers: on a busy machine what comes late would be another failure.
        let timeout = if mood == Mood::Stalled { Duration::from_millis(300) } else { PATIENCE };
        let engine = engine_with(&server, |c| c.answer_timeout = timeout);
        set_rate(&engine, 100).await;
        let s = until(&engine, kind, |s| s.errors >= 20).await;
        assert_eq!((good(&s), s.error_kinds.keys().map(String::as_str).collect::<Vec<_>>()), (0, vec![kind]));
        assert!(s.p50_ms.is_some(), "errors have a latency too");
        server.mood(Mood::Well);
        until(&engine, "it recovers", |s| good(s) > 20).await;
    }
    let server = Server::start();
    server.close();
    let engine = engine(&server);
    set_rate(&engine, 100).await;
    let s = until(&engine, "refused", |s| s.errors >= 20).await;
    assert_eq!(s.error_kinds, BTreeMap::from([("refused".to_owned(), s.errors)]));
}

#[tokio::test]
async fn renewing_connections_loses_nothing() {
    let server = Server::start();
    let engine = engine_with(&server, |c| c.connection_life = Some(Duration::from_millis(50)));
    set_rate(&engine, 1_000).await;
    let s = until(&engine, "100 connections", |s| server.connections() > 100 && good(s) > 1_000).await;
    assert_eq!((s.errors, server.complaints()), (0, Default::default()));
    engine.stop().await;
    let s = engine.status().borrow().snapshot.clone();
    assert_eq!((s.errors, good(&s)), (0, s.sent));
}

#[tokio::test]
async fn the_version_is_in_the_header_else_in_the_body_else_unknown() {
    for (mood, name) in [(Mood::BodyOnly, "v7"), (Mood::Anonymous, "unknown")] {
        let server = Server::start();
        server.mood(mood);
        let engine = engine(&server);
        engine.set_load(&finite(100, 5)).await.unwrap();
        let s = until(&engine, name, |s| good(s) == 5).await;
        assert_eq!(s.counts, BTreeMap::from([(name.to_owned(), 5)]));
    }
}

#[tokio::test]
async fn what_is_too_much_is_shed_and_said() {
    let server = Server::start();
    server.mood(Mood::Stalled);
    let engine = engine_with(&server, |c| (c.max_connections, c.max_in_flight) = (4, 20));
    // A rate that four connections can carry on any machine, once they are answered.
    set_rate(&engine, 50).await;
    // The server is what stalls. A machine that is too slow would be `limited`.
    let s = until(&engine, "saturated", |s| s.saturated && s.in_flight == 20 && s.shed > 20).await;
    assert_eq!(s.sent, 4, "{s:?}");
    eventually("the four are accepted", || server.connections() == 4).await;
    server.mood(Mood::Well);
    until(&engine, "not saturated any more", |later| !later.saturated && good(later) > 20).await;
}

#[tokio::test]
async fn a_mark_tells_when_a_version_first_answered_after_it() {
    let server = Server::start();
    server.mood(Mood::BodyOnly);
    let engine = engine(&server);
    set_rate(&engine, 500).await;
    until(&engine, "v7 answers", |s| good(s) > 50).await;
    let mark = engine.mark().await.unwrap();
    server.mood(Mood::Well);
    let s = until(&engine, "v1 answers", |s| s.mark.as_ref().is_some_and(|m| m.first.contains_key("v1"))).await;
    let seen = s.mark.unwrap();
    let first = seen.first["v1"];
    assert_eq!((seen.id, seen.at_us), (mark.id, mark.at_us));
    assert!(first.sent_us >= mark.at_us && first.answered_us >= first.sent_us, "{seen:?}");
}

#[tokio::test]
async fn a_closed_loop_is_as_fast_as_its_connections_allow() {
    let server = Server::start();
    let engine = engine(&server);
    engine.set_load(&LoadSpec { closed_loop: Some(4), requests: Some(2_000), ..LoadSpec::rate(1) }).await.unwrap();
    let s: Snapshot = until(&engine, "all answered", |s| good(s) == 2_000).await;
    assert_eq!((s.sent, s.errors, server.requests(), server.connections()), (2_000, 0, 2_000, 4));
}

#[tokio::test]
async fn a_closed_loop_stays_below_its_limit() {
    let server = Server::start();
    let engine = engine(&server);
    let limited =
        |limit| LoadSpec { closed_loop: Some(4), requests: Some(300), limit: Some(limit), ..LoadSpec::rate(1) };
    let began = Instant::now();
    engine.set_load(&limited(200)).await.unwrap();
    let s = until(&engine, "all answered", |s| good(s) == 300 && s.in_flight == 0).await;
    // The first is sent at once, and the slack of 5 ms is one place.
    assert!(began.elapsed() >= Duration::from_millis(298 * 5), "{:?}", began.elapsed());
    assert_eq!((s.sent, s.errors, server.requests()), (300, 0, 300));
    // A target that was away is not hit by what was not sent meanwhile.
    engine.set_load(&LoadSpec { requests: Some(3_000), ..limited(1_000) }).await.unwrap();
    server.mood(Mood::Stalled);
    until(&engine, "all connections wait", |s| s.in_flight == 4).await;
    let (resumed, before) = (Instant::now(), server.requests() - 300);
    server.mood(Mood::Well);
    until(&engine, "all answered again", |s| good(s) == 3_000).await;
    let left = u32::try_from(3_000 - before).unwrap();
    assert!(resumed.elapsed() >= Duration::from_millis(1) * (left - 20), "{left} in {:?}", resumed.elapsed());
}

#[tokio::test]
async fn open_and_closed_loop_and_concurrency_change_while_it_runs() {
    let server = Server::start();
    let engine = engine_with(&server, |c| c.connection_life = None);
    let run = set_rate(&engine, 500).await.snapshot.run;
    until(&engine, "an open loop", |s| good(s) > 100).await;
    let closed = |n| LoadSpec { closed_loop: Some(n), ..LoadSpec::rate(1) };
    // The connections of the open loop are idle at this moment: they must be woken.
    engine.set_load(&closed(4)).await.unwrap();
    let changed = until(&engine, "a closed loop", |s| s.target_rate == 1.0 && s.in_flight <= 4).await;
    let before = until(&engine, "it goes on", |s| good(s) > good(&changed) + 1_000).await;
    assert!(before.in_flight <= 4 && before.run == run, "{before:?}");
    for n in [12, 2] {
        engine.set_load(&closed(n)).await.unwrap();
        until(&engine, "no more than asked for", |s| s.in_flight <= u64::from(n)).await;
        server.mood(Mood::Stalled);
        let s = until(&engine, "as many as asked for wait", |s| s.in_flight == u64::from(n)).await;
        server.mood(Mood::Well);
        until(&engine, "they go on", |later| good(later) > good(&s) + 100).await;
    }
    // In an open loop it is the connections that are few; what is due waits.
    engine.set_load(&LoadSpec { concurrency: Some(3), ..LoadSpec::rate(400) }).await.unwrap();
    server.mood(Mood::Stalled);
    let three = |s: &Snapshot| server.requests() == good(s) + 3;
    let s = until(&engine, "three are under way, and many wait", |s| s.in_flight > 50 && three(s)).await;
    let s = until(&engine, "more wait, and still three are under way", |later| {
        later.in_flight > s.in_flight + 50 && three(later)
    })
    .await;
    server.mood(Mood::Well);
    until(&engine, "they go on", |later| good(later) > good(&s) + 100).await;
    set_rate(&engine, 0).await;
    let s = until(&engine, "all that was sent is answered", |s| s.target_rate == 0.0 && s.in_flight == 0).await;
    assert_eq!((s.errors, s.run, good(&s), server.complaints()), (0, run, server.requests(), Default::default()));
}

#[tokio::test]
async fn method_path_and_headers_change_while_it_runs() {
    let server = Server::start();
    let engine = engine(&server);
    let run = set_rate(&engine, 500).await.snapshot.run;
    until(&engine, "the demo's own request", |s| good(s) > 50).await;
    assert_eq!(server.complaints(), Default::default());
    let headers = [("x-who".to_owned(), "me".to_owned())].into();
    let load = LoadSpec {
        method: Some("POST".to_owned()),
        path: Some("/other?a=b".to_owned()),
        headers,
        ..LoadSpec::rate(500)
    };
    let changed = engine.set_load(&load).await.unwrap();
    until(&engine, "the changed request", |s| s.run == run && good(s) > good(&changed.snapshot) + 50).await;
    let seen: Vec<String> = server.complaints().0.into_iter().collect();
    let wanted = "POST http://flaskapp:7777/other?a=b HTTP/1.1\r\nhost: flaskapp:7777\r\n\
        user-agent: demo-panel-client\r\naccept: */*\r\ncontent-length: 0\r\nx-who: me\r\n\r\n";
    assert_eq!(
        (seen, changed.load),
        (vec![wanted.to_owned()], LoadSpec { url: Some(load::DEFAULT_URL.to_owned()), ..load })
    );
}

#[tokio::test]
async fn a_long_run_is_as_exact_as_a_short_one() {
    let server = Server::start();
    let engine = engine(&server);
    engine.set_load(&finite(50_000, 100_000)).await.unwrap();
    let s = until(&engine, "the run is over", |s| s.target_rate == 0.0 && s.in_flight == 0 && s.sent > 0).await;
    // Where the machine cannot keep the schedule, places are shed, and the run goes on until all of it was sent.
    assert_eq!((good(&s), s.errors, server.requests()), (100_000, 0, 100_000), "{s:?}");
}

#[tokio::test]
async fn without_a_proxy_only_the_own_service_is_asked_by_its_name() {
    let engine = load::Engine::start(load::EngineConfig {
        default_url: "http://no-such-host.invalid:7777/".to_owned(),
        ..Default::default()
    })
    .unwrap();
    let refused = |e: Result<_, load::EngineError>| e.map(|_: load::AgentStatus| ()).unwrap_err().to_string();
    let foreign = LoadSpec { url: Some("http://127.0.0.1:1/".to_owned()), ..LoadSpec::rate(1) };
    assert_eq!(refused(engine.set_load(&foreign).await), "`127.0.0.1:1` is not the service this client may ask");
    assert!(
        refused(engine.set_load(&LoadSpec::rate(1)).await)
            .starts_with("cannot find the address of `no-such-host.invalid:7777`")
    );
    engine.stop().await;
    assert_eq!(refused(engine.set_load(&LoadSpec::rate(0)).await), "the load engine has been stopped");
}
