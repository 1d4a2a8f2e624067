//! A cluster whose API hangs, or resets every connection, and a crowd that asks for the preflight: what the panel reports and sends.
mod common;

use common::{TestPanel, holds, message, reason};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Pass,
    /// Connections stay open; nothing is forwarded.
    Hang,
    /// Connections are closed, new ones at once.
    Reset,
}

/// A TCP relay in front of an API.
struct Relay {
    mode: Arc<Mutex<Mode>>,
    /// Connections accepted so far.
    accepted: Arc<AtomicUsize>,
    /// Both ends of those under way.
    open: Arc<Mutex<Vec<TcpStream>>>,
    port: u16,
}

impl Relay {
    fn start(to: String) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay {
            mode: Arc::new(Mutex::new(Mode::Pass)),
            accepted: Arc::default(),
            open: Arc::default(),
            port: listener.local_addr().unwrap().port(),
        };
        let (mode, accepted, open) = (relay.mode.clone(), relay.accepted.clone(), relay.open.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                accepted.fetch_add(1, Ordering::Relaxed);
                if *mode.lock().unwrap() == Mode::Reset {
                    continue;
                }
                let far = TcpStream::connect(&to).unwrap();
                open.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                for (mut from, mut into) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    let mode = mode.clone();
                    std::thread::spawn(move || {
                        let mut buffer = [0; 16 * 1024];
                        while let Ok(n @ 1..) = from.read(&mut buffer) {
                            while *mode.lock().unwrap() == Mode::Hang {
                                std::thread::sleep(Duration::from_millis(10));
                            }
                            if into.write_all(&buffer[..n]).is_err() {
                                break;
                            }
                        }
                        let _ = into.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        relay
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        if mode == Mode::Reset {
            for stream in self.open.lock().unwrap().drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// A panel that drives the other's cluster through this relay.
    fn panel(other: &TestPanel) -> (Relay, TestPanel) {
        let kubeconfig = std::fs::read_to_string(&other.kubeconfig).unwrap();
        let server = kubeconfig
            .split("https://")
            .nth(1)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .trim_matches(['"', '\''])
            .to_owned();
        let relay = Relay::start(server.clone());
        let file: PathBuf = other.dir.path().join("relayed");
        std::fs::write(&file, kubeconfig.replace(&server, &format!("127.0.0.1:{}", relay.port))).unwrap();
        let panel = TestPanel::driving(&file);
        panel.until("the cluster answers", |s| holds(s, "ClusterReachable"));
        (relay, panel)
    }
}

fn seconds_of_day() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 86_400
}

#[test]
fn an_api_that_hangs_is_reported_since_its_last_answer() {
    let embedded = TestPanel::start();
    let (relay, panel) = Relay::panel(&embedded);
    relay.set(Mode::Hang);
    let hung = seconds_of_day();
    let status = panel.until("it is reported", |s| reason(s, "ClusterReachable") == "Unreachable");
    let told = message(&status, "ClusterReachable");
    let clock = told.split("since ").nth(1).unwrap_or_else(|| panic!("{told}"));
    let parts: Vec<u64> = clock.split([':', ' ']).take(3).map(|part| part.parse().unwrap()).collect();
    let since = parts[0] * 3_600 + parts[1] * 60 + parts[2];
    // Whatever was on its way when the relay stopped came before; midnight may lie between.
    assert!((hung + 1 + 86_400 - since) % 86_400 < 60, "{told}, it hangs since second {hung} of the day");
    assert_eq!(panel.get("/readyz").status, 503);
    relay.set(Mode::Pass);
    panel.until("it is back", |s| holds(s, "ClusterReachable"));
}

#[test]
fn a_cluster_that_resets_is_asked_by_the_heartbeat_alone() {
    let embedded = TestPanel::start();
    embedded.ask("deploy", "");
    embedded.until_reason("Deployed", "Deployed");
    embedded.ask("inject", r#"{"inject": true}"#);
    embedded.until_reason("Injected", "Injected");
    let (relay, panel) = Relay::panel(&embedded);
    panel.until("the load agent is followed", |s| holds(s, "Deployed") && holds(s, "Injected"));
    relay.set(Mode::Reset);
    panel.until("it is reported", |s| reason(s, "ClusterReachable") == "Unreachable");
    let (before, began) = (relay.accepted.load(Ordering::Relaxed), Instant::now());
    // A figure per time; on a busy machine there are fewer of them.
    while began.elapsed() < Duration::from_secs(15) {
        panel.status();
        std::thread::sleep(Duration::from_millis(100));
    }
    let asked = relay.accepted.load(Ordering::Relaxed) - before;
    assert!((3..=40).contains(&asked), "{asked} connections in 15 s");
    relay.set(Mode::Pass);
    panel.until("it is back", |s| holds(s, "ClusterReachable") && holds(s, "Deployed"));
}

#[test]
fn a_crowd_that_asks_for_the_preflight_costs_the_cluster_one() {
    let panel = TestPanel::start();
    panel.until("the cluster answers", |s| holds(s, "ClusterReachable"));
    let calls = || -> f64 {
        let metrics = panel.get("/metrics").text;
        metrics
            .lines()
            .filter(|line| line.starts_with("demo_panel_cluster_requests_total"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    let before = calls();
    let one = panel.get("/api/demo/preflight").json();
    let cost_of_one = calls() - before;
    assert!(cost_of_one > 5.0, "{cost_of_one}");
    let before = calls();
    std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..60).map(|_| scope.spawn(|| panel.get("/api/demo/preflight"))).collect();
        for asked in crowd {
            let answer = asked.join().unwrap();
            assert_eq!((answer.status, &answer.json()["namespace"]), (200, &one["namespace"]), "{}", answer.text);
        }
    });
    let cost = calls() - before;
    // The answers of a busy machine may be spread over more than the time that one serves.
    assert!(cost <= 10.0 * cost_of_one, "{cost} calls for sixty, {cost_of_one} for one");
}
