//! Many namespaces: as many as the machine carries, none of them lost; names that somebody makes up cost nothing.
mod common;

use common::{TestPanel, holds, message, reason};
use serde_json::Value;
use std::time::{Duration, Instant};

fn post(panel: &TestPanel, ns: &str, verb: &str, body: &str) -> common::Answer {
    panel.send("POST", &format!("/api/demo/{verb}?namespace={ns}"), &[("Content-Type", "application/json")], body)
}

fn status(panel: &TestPanel, ns: &str) -> Value {
    let answer = panel.get(&format!("/api/demo/status?namespace={ns}"));
    assert_eq!(answer.status, 200, "{ns}: {}", answer.text);
    answer.json()
}

/// Waits until the status of a namespace is as desired.
fn until(panel: &TestPanel, ns: &str, what: &str, desired: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        let now = status(panel, ns);
        if desired(&now) {
            return now;
        }
        assert!(Instant::now() < deadline, "never: {what} in {ns}\n{now:#}\n{}", panel.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A figure of `/metrics`; the sum where it has labels.
fn metric(panel: &TestPanel, name: &str, label: &str) -> f64 {
    let text = panel.get("/metrics").text;
    let samples = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#') && line.contains(label));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn until_metric(panel: &TestPanel, name: &str, desired: impl Fn(f64) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !desired(metric(panel, name, "")) {
        assert!(Instant::now() < deadline, "never: {name} is {}", metric(panel, name, ""));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Clients alone: one process a namespace.
fn clients_in(panel: &TestPanel, names: &[String]) {
    std::thread::scope(|scope| {
        for ns in names {
            scope.spawn(move || {
                let answer = post(panel, ns, "client", "{}");
                assert_eq!(answer.status, 202, "{ns}: {}", answer.text);
            });
        }
    });
    for ns in names {
        until(panel, ns, "the client is ready", |s| holds(s, "ClientReady") && s["operation"].is_null());
    }
}

#[test]
fn more_namespaces_than_ever_at_once_are_all_served_and_none_is_forgotten() {
    if common::real::left_out("makes many namespaces of its own, and needs the embedded cluster's room for them") {
        return;
    }
    let panel = TestPanel::start();
    let names: Vec<String> = (0..20).map(|n| format!("many-{n}")).collect();
    clients_in(&panel, &names);
    for ns in &names {
        let log = status(&panel, ns)["log"].clone();
        assert!(
            log.as_array().is_some_and(|log| log.iter().any(|line| line["verb"] == "client")),
            "{ns} was forgotten: {log}"
        );
        assert_eq!(post(&panel, ns, "teardown", "{}").status, 202, "{ns}");
    }
    for ns in &names {
        until(&panel, ns, "it is clean", |s| holds(s, "Clean") && s["operation"].is_null());
    }
    panel.until("no process is left", |_| panel.children().is_empty());
}

#[test]
fn names_that_somebody_makes_up_cost_nothing() {
    if common::real::left_out("makes many namespaces of its own, and needs the embedded cluster's room for them") {
        return;
    }
    let panel = TestPanel::start();
    panel.until("the panel is up", |s| holds(s, "ClusterReachable"));
    let before = metric(&panel, "demo_panel_cluster_requests_total", "verb=\"watch\"");
    std::thread::scope(|scope| {
        for part in 0..4 {
            let panel = &panel;
            scope.spawn(move || {
                for n in 0..100 {
                    let ns = format!("made-up-{part}-{n}");
                    let told = status(panel, &ns);
                    assert!(holds(&told, "Clean") && reason(&told, "Deployed") == "NotDeployed", "{told:#}");
                    // Verbs that need a demo say that there is none.
                    for (verb, body, code) in [
                        ("weights", r#"{"v1": 80, "v2": 20}"#, "not_deployed"),
                        ("load", r#"{"rate": 10}"#, "no_client"),
                        ("inject", r#"{"inject": true}"#, "not_deployed"),
                        ("verify", "{}", "not_deployed"),
                    ] {
                        if n % 25 == 0 {
                            assert_eq!(post(panel, &ns, verb, body).json()["code"], code, "{verb}");
                        }
                    }
                }
            });
        }
    });
    let watches = metric(&panel, "demo_panel_cluster_requests_total", "verb=\"watch\"") - before;
    assert!(watches < 20.0, "{watches} watches for names that do not exist");
    assert!(metric(&panel, "demo_panel_namespaces_known", "") <= 2.0);
    // Even those for which something is asked are not kept.
    for n in 0..30 {
        assert_eq!(post(&panel, &format!("made-up-too-{n}"), "teardown", "{}").status, 202);
    }
    until_metric(&panel, "demo_panel_namespaces_watched", |n| n <= 1.0);
}

#[test]
fn a_namespace_that_rests_wakes_up_with_the_truth() {
    let panel = TestPanel::with(&["--idle-after", "1"]);
    let ns = "resting".to_owned();
    clients_in(&panel, std::slice::from_ref(&ns));
    assert_eq!(post(&panel, &ns, "inject", r#"{"inject": true}"#).status, 202);
    until(&panel, &ns, "it is injected", |s| holds(s, "Injected") && s["operation"].is_null());
    until_metric(&panel, "demo_panel_namespaces_watched", |n| n == 0.0);
    // What happens meanwhile is not missed, and nothing of before is shown.
    let first = status(&panel, &ns);
    assert!(holds(&first, "ClientReady") && holds(&first, "Injected"), "{first:#}");
    assert_ne!(reason(&first, "LoadRunning"), "AgentUnreachable", "{}", message(&first, "LoadRunning"));
    let verbs: Vec<&Value> = first["log"].as_array().unwrap().iter().map(|line| &line["verb"]).collect();
    assert_eq!(verbs, ["inject", "client"], "the log is kept");
    // Load is work: while it runs nothing rests.
    assert_eq!(post(&panel, &ns, "load", r#"{"rate": 20}"#).status, 202);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert_eq!(metric(&panel, "demo_panel_namespaces_watched", ""), 1.0, "a namespace with load is put to rest");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(status(&panel, &ns)["load"]["rate"], 20);
    assert_eq!(post(&panel, &ns, "load", r#"{"rate": 0}"#).status, 202);
    until_metric(&panel, "demo_panel_namespaces_watched", |n| n == 0.0);
    // A verb wakes it as well.
    assert_eq!(post(&panel, &ns, "load", r#"{"rate": 10}"#).status, 202);
    until(&panel, &ns, "it sends", |s| reason(s, "LoadRunning") == "LoadRunning");
}

#[test]
fn all_load_together_stays_below_the_cap_and_is_shared_fairly() {
    let panel = TestPanel::with(&["--max-total-rate", "300"]);
    let names: Vec<String> = ["cap-a", "cap-b", "cap-c"].map(str::to_owned).into();
    clients_in(&panel, &names);
    let load = |ns: &str, body: &str| {
        let answer = post(&panel, ns, "load", body);
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.json()
    };
    let share = |ns: &str, rate: u32, granted: u32| {
        let told = until(&panel, ns, &format!("granted {granted} of {rate}"), |s| {
            s["load"]["rate"] == rate && s["load"]["granted"] == granted
        });
        assert_eq!(reason(&told, "LoadRunning") == "LoadCapped", granted < rate, "{}", message(&told, "LoadRunning"));
        told
    };
    assert_eq!(load("cap-a", r#"{"rate": 250}"#)["step"], "Done");
    share("cap-a", 250, 250);
    // The second one takes from the first, and is told so at once.
    let told = load("cap-b", r#"{"rate": 250}"#);
    assert_eq!(
        (&told["step"], told["zh"].as_str().unwrap().contains("获准 150 个")),
        (&"Granted 150 of 250 requests/s".into(), true)
    );
    share("cap-a", 250, 150);
    let told = share("cap-b", 250, 150);
    assert_eq!(
        (&told["generators"]["running"], &told["generators"]["rate"], &told["generators"]["cap"]),
        (&2.into(), &300.into(), &300.into()),
        "{told:#}"
    );
    // A closed loop says no rate, and a run of so many requests ends by itself: neither is outside the cap.
    load("cap-c", r#"{"rate": 1, "closed_loop": 8, "requests": 500}"#);
    share("cap-a", 250, 100);
    share("cap-b", 250, 100);
    let sent = until(&panel, "cap-c", "the run is over", |s| s["load"]["rate"] == 0);
    assert_eq!(reason(&sent, "LoadRunning"), "LoadStopped");
    share("cap-a", 250, 150);
    load("cap-b", r#"{"rate": 0}"#);
    share("cap-a", 250, 250);
    // Who asks for little gets all of it.
    load("cap-b", r#"{"rate": 10}"#);
    share("cap-b", 10, 10);
    share("cap-a", 250, 250);
    assert_eq!(metric(&panel, "demo_panel_generators_rate", ""), 260.0);
}

#[test]
fn a_closed_loop_is_bounded_by_what_it_is_granted() {
    let panel = TestPanel::with(&["--max-total-rate", "100"]);
    clients_in(&panel, &["loop".to_owned()]);
    let began = Instant::now();
    // The client's requests fail here, as there is no app; they are requests all the same.
    assert_eq!(post(&panel, "loop", "load", r#"{"rate": 1, "closed_loop": 16, "requests": 300}"#).status, 202);
    until(&panel, "loop", "it runs", |s| s["load"]["granted"] == 100);
    until(&panel, "loop", "the run is over", |s| s["load"]["rate"] == 0);
    assert!(began.elapsed() >= Duration::from_millis(2_900), "300 requests at 100/s in {:?}", began.elapsed());
}

#[test]
fn one_switch_stops_all_load_also_that_of_namespaces_which_nobody_looks_after() {
    if common::real::left_out("makes many namespaces of its own, and needs the embedded cluster's room for them") {
        return;
    }
    let panel = TestPanel::start();
    let names: Vec<String> = ["stop-a", "stop-b"].map(str::to_owned).into();
    clients_in(&panel, &names);
    clients_in(&panel, &["stop-c".to_owned()]);
    for ns in &names {
        assert_eq!(post(&panel, ns, "load", r#"{"rate": 20}"#).status, 202);
        until(&panel, ns, "it sends", |s| reason(s, "LoadRunning") == "LoadRunning");
    }
    let stop = |panel: &TestPanel| {
        let answer = panel.send("POST", "/api/demo/stop-all", &[("Content-Type", "application/json")], "{}");
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    // Another panel on the same cluster has not been asked for these namespaces.
    let beside = panel.beside();
    // It finds the generators that run. One that its hub takes up while the switch is used is stopped, but may be missing in the answer.
    let deadline = Instant::now() + common::patience();
    while metric(&beside, "demo_panel_generators ", "") < 2.0 {
        assert!(Instant::now() < deadline, "the other panel does not find the generators that run");
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = stop(&beside);
    assert_eq!(told, serde_json::json!({"stopped": ["stop-a", "stop-b"], "failed": []}));
    for ns in &names {
        until(&panel, ns, "it is off", |s| s["load"]["rate"] == 0 && reason(s, "LoadRunning") == "LoadStopped");
    }
    drop(beside);
    for ns in &names {
        assert_eq!(post(&panel, ns, "load", r#"{"rate": 20}"#).status, 202);
    }
    assert_eq!(stop(&panel)["stopped"], serde_json::json!(["stop-a", "stop-b"]));
    let told = until(&panel, "stop-a", "it is off", |s| s["load"]["rate"] == 0);
    assert_eq!(told["log"][0]["what"], "All load off", "{:#}", told["log"]);
    // It was stopped for good: nothing starts it again by itself.
    assert_eq!(stop(&panel), serde_json::json!({"stopped": [], "failed": []}));
    let page = panel.get("/?namespace=stop-a").text;
    // The browser tests press it.
    assert!(page.contains("data-testid=\"stop-all\""), "the switch is on the page");
    for (method, path, body, status) in [
        ("GET", "/api/demo/stop-all", "", 405),
        ("POST", "/api/demo/stop-all?namespace=a", "{}", 400),
        ("POST", "/api/demo/stop-all", r#"{"x": 1}"#, 400),
    ] {
        assert_eq!(
            panel.send(method, path, &[("Content-Type", "application/json")], body).status,
            status,
            "{method} {path} {body}"
        );
    }
}
