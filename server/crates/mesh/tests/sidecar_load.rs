//! What a sidecar does while things change: weights, endpoints, the control plane, its own end. Nothing healthy may fail.

mod common;

use common::harness::{App, Client, LOCAL, Mesh, PATIENCE};
use common::{input, route, rule, service, split};
use mesh::{Control, MeshInput};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

const URL: &str = "http://flaskapp:7777/env/version";

fn weights(input: &MeshInput, revision: u64, v1: u32, v2: u32) -> MeshInput {
    MeshInput { virtual_services: vec![split(v1, v2)], revision, ..input.clone() }
}

/// Clients that ask without pause, on connections that are kept and on new ones, and note every failure.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    /// Answers of each client.
    each: Vec<Arc<AtomicU64>>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    fn start(to: SocketAddr, clients: usize) -> Load {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut set = JoinSet::new();
        let each: Vec<Arc<AtomicU64>> = (0..clients).map(|_| Arc::default()).collect();
        for (number, own) in each.iter().cloned().enumerate() {
            let (stop, done) = (stop.clone(), done.clone());
            set.spawn(async move {
                let mut failures = Vec::new();
                let mut client = Client::connect(to).await;
                while !stop.load(Ordering::SeqCst) {
                    if number == 0 {
                        client = Client::connect(to).await;
                    }
                    match client.try_ask(&format!("GET {URL} HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n")).await {
                        Some(answer) if answer.status == 200 => {}
                        Some(answer) => failures.push(format!("{} {}", answer.status, answer.text())),
                        None => failures.push("connection ended".into()),
                    }
                    if !failures.is_empty() {
                        break;
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                    own.fetch_add(1, Ordering::SeqCst);
                }
                failures
            });
        }
        Load { stop, done, each, clients: set }
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// Waits for so many more answers.
    async fn more(&self, requests: u64) {
        let goal = self.done() + requests;
        let deadline = Instant::now() + PATIENCE;
        while self.done() < goal {
            assert!(Instant::now() < deadline, "{} of {goal} answers", self.done());
            tokio::task::yield_now().await;
        }
    }

    /// Waits until no request is under way that began before now: each client's next answer may be one's, the one after that is not.
    async fn renewed(&self) {
        let goals: Vec<u64> = self.each.iter().map(|own| own.load(Ordering::SeqCst) + 2).collect();
        let deadline = Instant::now() + PATIENCE;
        while self.each.iter().zip(&goals).any(|(own, goal)| own.load(Ordering::SeqCst) < *goal) {
            assert!(Instant::now() < deadline && !self.clients.is_empty(), "a client has stopped: {:?}", self.each);
            tokio::task::yield_now().await;
        }
    }

    async fn end(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        let mut failures = Vec::new();
        while let Some(ended) = self.clients.join_next().await {
            failures.extend(ended.unwrap());
        }
        failures
    }
}

#[tokio::test]
async fn requests_split_as_the_weights_say_and_zero_is_none() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let objects = input(1, &[("v1", v1.address), ("v2", v2.address)]);
    let mesh = Mesh::start(weights(&objects, 1, 80, 20)).await;
    let mut client = mesh.connect().await;
    const N: usize = 2000;
    for (revision, percent) in [(2, 80), (3, 0), (4, 100), (5, 25)] {
        mesh.publish(weights(&objects, revision, percent, 100 - percent)).await;
        let mut hits = 0;
        for _ in 0..N {
            hits += usize::from(client.get(URL).await.text() == "v1");
        }
        let p = f64::from(percent) / 100.0;
        let sigma = (N as f64 * p * (1.0 - p)).sqrt();
        assert!((hits as f64 - N as f64 * p).abs() <= 4.5 * sigma, "{percent} %: {hits} of {N}");
    }
    mesh.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weight_changes_fail_nothing_and_hold_from_the_acknowledgement_on() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let objects = input(1, &[("v1", v1.address), ("v2", v2.address)]);
    let mesh = Mesh::start(weights(&objects, 1, 100, 0)).await;
    let load = Load::start(mesh.outbound(), 4);
    let mut client = mesh.connect().await;
    let mut took = Vec::new();
    for change in 0..200_u64 {
        let to_v2 = change % 2 == 0;
        let began = Instant::now();
        mesh.publish(weights(&objects, 2 + change, u32::from(!to_v2), u32::from(to_v2))).await;
        took.push(began.elapsed());
        for _ in 0..3 {
            assert_eq!(client.get(URL).await.text(), if to_v2 { "v2" } else { "v1" }, "after change {change}");
        }
        load.more(10).await;
    }
    let done = load.done();
    assert_eq!(load.end().await, Vec::<String>::new());
    took.sort();
    println!(
        "acknowledged after {:?} (median), {:?} (p99), under {done} requests",
        took[took.len() / 2],
        took[took.len() * 99 / 100]
    );
    assert!(done >= 2000, "only {done} requests");
    mesh.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_come_and_go_without_a_failure() {
    let v1 = App::start("v1").await;
    let mut others: Vec<App> = vec![App::start("v2").await];
    let objects = |revision, others: &[App]| {
        let mut versions = vec![("v1", v1.address)];
        versions.extend(others.iter().map(|o| ("v2", o.address)));
        input(revision, &versions)
    };
    let mesh = Mesh::start(objects(1, &others)).await;
    let load = Load::start(mesh.outbound(), 4);
    let mut revision = 1;
    for _ in 0..20 {
        // As a rolling update: the new one is ready, then the old one is taken out, then it ends.
        others.push(App::start("v2").await);
        revision += 1;
        mesh.publish(objects(revision, &others)).await;
        load.more(20).await;
        let old = others.remove(0);
        revision += 1;
        mesh.publish(objects(revision, &others)).await;
        load.renewed().await;
        old.stop().await;
        load.more(20).await;
    }
    assert_eq!(load.end().await, Vec::<String>::new());
    assert!(others[0].count() > 0);
    mesh.end().await;
}

#[tokio::test]
async fn a_killed_app_is_avoided_before_anybody_noticed() {
    let (one, two) = (App::start("v1").await, App::start("v1").await);
    let mesh = Mesh::start(input(1, &[("v1", one.address), ("v1", two.address)])).await;
    let mut client = mesh.connect().await;
    for _ in 0..20 {
        client.get(URL).await;
    }
    one.kill().await;
    for _ in 0..100 {
        assert_eq!(client.get(URL).await.status, 200);
    }
    mesh.end().await;
}

#[tokio::test]
async fn an_app_that_died_behind_its_sidecar_is_avoided_too() {
    let (one, two) = (App::start("v1").await, App::start("v1").await);
    let mut sidecars = Vec::new();
    for app in [&one, &two] {
        sidecars.push(
            Mesh::start_with(MeshInput { revision: 1, ..MeshInput::default() }, |c| {
                c.inbound_ports = vec![app.address.port()]
            })
            .await,
        );
    }
    let at = |i: usize, app: &App| SocketAddr::new(sidecars[i].pod_ip, app.address.port());
    let mesh = Mesh::start(input(1, &[("v1", at(0, &one)), ("v1", at(1, &two))])).await;
    let mut client = mesh.connect().await;
    for _ in 0..20 {
        assert_eq!(client.get(URL).await.status, 200);
    }
    one.kill().await;
    for _ in 0..100 {
        assert_eq!(client.get(URL).await.status, 200);
    }
    mesh.end().await;
    for sidecar in sidecars {
        sidecar.end().await;
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_fails_nobody() {
    let app = App::start("v1").await;
    let address = app.address;
    let mesh = Mesh::start(input(1, &[("v1", address)])).await;
    let mut client = mesh.connect().await;
    for _ in 0..5 {
        assert_eq!(client.get(URL).await.status, 200);
    }
    app.stop().await;
    let app = App::start_at("again", address).await;
    assert_eq!(client.get(URL).await.text(), "again");
    assert_eq!(
        client
            .ask("POST http://flaskapp:7777/body HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 2\r\n\r\nhi")
            .await
            .text(),
        "2:hi"
    );
    assert_eq!(app.count(), 2);
    mesh.end().await;
}

#[tokio::test]
async fn what_may_have_been_processed_is_not_sent_again() {
    let app = App::start("v1").await;
    let mesh = Mesh::start(input(1, &[("v1", app.address)])).await;
    let counter = app.requests.clone();
    let to = mesh.outbound();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { Client::connect(to).await.get("http://flaskapp:7777/slow/60000").await.status });
    let deadline = Instant::now() + PATIENCE;
    while counter.load(Ordering::SeqCst) == 0 && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    app.kill().await;
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), 503);
    assert_eq!(counter.load(Ordering::SeqCst), 1);
    mesh.end().await;
}

#[tokio::test]
async fn the_last_table_serves_while_the_control_plane_is_away() {
    let (v1, v2) = (App::start("v1").await, App::start("v2").await);
    let objects = input(1, &[("v1", v1.address), ("v2", v2.address)]);
    let mesh = Mesh::start(weights(&objects, 1, 0, 100)).await;
    mesh.cut_control();
    let mut client = mesh.connect().await;
    for _ in 0..10 {
        assert_eq!(client.get(URL).await.text(), "v2");
    }
    // Another one takes its place, as after a restart of the panel; it counts revisions on its own.
    std::fs::remove_file(&mesh.socket).unwrap();
    let listener = UnixListener::bind(&mesh.socket).unwrap();
    let control = Control::new();
    control.publish(Arc::new(weights(&objects, 1, 100, 0)));
    let (served, stop) = (control.clone(), tokio_util::sync::CancellationToken::new());
    let token = stop.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { served.serve(listener, token).await });
    let mut acks = control.acks();
    tokio::time::timeout(PATIENCE, acks.wait_for(|a| a.get("istio-app/client-0") == Some(&1))).await.unwrap().unwrap();
    assert_eq!(client.get(URL).await.text(), "v1");
    stop.cancel();
    tasks.join_all().await;
    mesh.end().await;
}

#[tokio::test]
async fn an_unchanged_table_is_not_sent_but_counts_as_acknowledged() {
    let app = App::start("v1").await;
    let mesh = Mesh::start(input(1, &[("v1", app.address)])).await;
    mesh.publish(input(9, &[("v1", app.address)])).await;
    assert_eq!(mesh::client_revision(&mesh.dump().await), Some(1), "it was sent again");
    let reports = mesh.control.reports();
    mesh.publish(MeshInput {
        destination_rules: vec![rule(json!({"host": "nobody"}))],
        ..input(10, &[("v1", app.address)])
    })
    .await;
    assert_eq!(reports.borrow()[0].reason, "HostNotFound");
    let acks = mesh.control.acks();
    mesh.stop.cancel();
    let deadline = Instant::now() + PATIENCE;
    while !acks.borrow().is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(acks.borrow().is_empty(), "a sidecar that is gone still counts");
    mesh.end().await;
}

/// [`input`], and a Service `far` of namespace `other`.
fn with_other(revision: u64, near: SocketAddr, far: SocketAddr) -> MeshInput {
    let mut all = input(revision, &[("v1", near)]);
    all.services.push(service("other", "far", json!([{"name": "http", "port": 7777}])));
    all.endpoint_slices.push(Arc::new(json!({"metadata": {"name": "far-0", "namespace": "other", "labels": {"kubernetes.io/service-name": "far"}},
        "addressType": "IPv4", "endpoints": [{"addresses": [far.ip().to_string()]}], "ports": [{"name": "http", "port": far.port()}]})));
    all
}

#[tokio::test]
async fn hosts_of_another_namespace_are_sent_when_the_first_of_them_is_called() {
    let (near, far, next) = (App::start("near").await, App::start("far").await, App::start("next").await);
    let mesh = Mesh::start(with_other(1, near.address, far.address)).await;
    let has_other = async || mesh.dump().await.to_string().contains("far.other.svc.cluster.local");
    assert!(!has_other().await, "it is sent before anybody needs it");
    // A change there concerns nobody here, and counts as acknowledged.
    mesh.publish(with_other(2, near.address, next.address)).await;
    assert!(!has_other().await);
    let mut client = mesh.connect().await;
    for name in ["far.other", "far.other.svc", "far.other.svc.cluster.local"] {
        let answer = client.get(&format!("http://{name}:7777/env/version")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "next"), "{name}");
    }
    assert!(has_other().await);
    // From here on it is kept up to date, and acknowledged as the others are.
    mesh.publish(with_other(3, near.address, far.address)).await;
    assert_eq!(client.get("http://far.other:7777/env/version").await.text(), "far");
    assert_eq!(client.get(URL).await.text(), "near");
    for name in ["nobody.other", "far.nowhere", "far.other.example.com"] {
        assert_eq!(client.get(&format!("http://{name}:7777/")).await.status, 403, "{name}");
    }
    // One that does not exist is found once it does.
    let mut more = with_other(4, near.address, far.address);
    more.services.push(service("third", "far", json!([{"name": "http", "port": 7777}])));
    assert_eq!(client.get("http://far.third:7777/").await.status, 403);
    mesh.publish(more).await;
    let deadline = Instant::now() + PATIENCE;
    while client.get("http://far.third:7777/").await.status == 403 {
        assert!(Instant::now() < deadline, "it is not found");
        tokio::task::yield_now().await;
    }
    mesh.end().await;
}

#[tokio::test]
async fn a_route_to_another_namespace_brings_its_hosts_along() {
    let (near, far) = (App::start("near").await, App::start("far").await);
    let mut all = with_other(1, near.address, far.address);
    all.virtual_services = vec![route(
        json!({"hosts": ["flaskapp"], "http": [{"route": [{"destination": {"host": "far.other.svc.cluster.local"}}]}]}),
    )];
    let mesh = Mesh::start(all).await;
    assert_eq!(mesh.connect().await.get(URL).await.text(), "far");
    mesh.end().await;
}

#[tokio::test]
async fn a_sidecar_that_stops_finishes_what_it_began() {
    let app = App::start("v1").await;
    let mesh = Mesh::start_with(input(1, &[("v1", app.address)]), |c| c.drain = PATIENCE).await;
    let (to, counter) = (mesh.outbound(), app.requests.clone());
    let mut idle = mesh.connect().await;
    assert_eq!(idle.get(URL).await.header("connection"), None);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { Client::connect(to).await.get("http://flaskapp:7777/held").await });
    while counter.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    let health = SocketAddr::new(mesh.pod_ip, mesh.ports.health);
    mesh.stop.cancel();
    let mut page = Client::connect(health).await;
    assert_eq!(page.ask("GET /healthz/ready HTTP/1.1\r\nhost: a\r\n\r\n").await.status, 503);
    app.release();
    let answer = tasks.join_next().await.unwrap().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "v1"));
    // It was asked for before anybody knew; who asks again on this connection would be cut off.
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(idle.is_closed().await);
    mesh.end().await;
    assert!(tokio::net::TcpStream::connect(to).await.is_err());
}

#[tokio::test]
async fn while_it_goes_it_still_answers_and_says_close() {
    let app = App::start("v1").await;
    let mesh = Mesh::start_with(input(1, &[("v1", app.address)]), |c| c.linger = PATIENCE).await;
    let mut client = mesh.connect().await;
    client.get(URL).await;
    mesh.stop.cancel();
    tokio::task::yield_now().await;
    let kept = client.get(URL).await;
    assert_eq!(kept.status, 200);
    let mut fresh = mesh.connect().await;
    let answer = fresh.get(URL).await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(fresh.is_closed().await);
}

#[tokio::test]
async fn a_tunnel_goes_on_until_the_drain_ends() {
    let app = App::start("v1").await;
    let mesh = Mesh::start_with(input(1, &[("v1", app.address)]), |c| c.drain = PATIENCE).await;
    let mut idle = mesh.connect().await;
    idle.get(URL).await;
    let mut tunnel = mesh.connect().await;
    let switch = "GET http://flaskapp:7777/switch HTTP/1.1\r\nHost: flaskapp:7777\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    assert_eq!(tunnel.ask(switch).await.status, 101);
    mesh.stop.cancel();
    // Idle connections end with the linger; the tunnel is still there then.
    assert!(idle.is_closed().await);
    tunnel.stream.write_all(b"still here").await.unwrap();
    let mut echoed = [0; 10];
    tokio::time::timeout(PATIENCE, tunnel.stream.read_exact(&mut echoed)).await.unwrap().expect("the tunnel is cut");
    assert_eq!(&echoed, b"still here");
    drop(tunnel);
    mesh.end().await;
    // The end of a short drain ends a tunnel that goes on.
    let mesh = Mesh::start_with(input(1, &[("v1", app.address)]), |c| c.drain = Duration::from_millis(50)).await;
    let mut tunnel = mesh.connect().await;
    assert_eq!(tunnel.ask(switch).await.status, 101);
    mesh.end().await;
    assert!(tunnel.is_closed().await);
}

#[tokio::test]
async fn a_request_that_never_ends_ends_with_the_drain() {
    let app = App::start("v1").await;
    let mesh = Mesh::start_with(input(1, &[("v1", app.address)]), |c| c.drain = Duration::from_millis(50)).await;
    let mut client = mesh.connect().await;
    client
        .stream
        .write_all(b"GET http://flaskapp:7777/slow/600000 HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n")
        .await
        .unwrap();
    while app.count() == 0 {
        tokio::task::yield_now().await;
    }
    mesh.end().await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_and_frees_its_endpoint() {
    let app = App::start("v1").await;
    let mesh = Mesh::start(input(1, &[("v1", app.address)])).await;
    let mut client = mesh.connect().await;
    client
        .stream
        .write_all(b"GET http://flaskapp:7777/slow/600000 HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n")
        .await
        .unwrap();
    while app.count() == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = mesh.page(mesh.ports.stats, "/stats/prometheus").await.text();
        if metrics.contains("response_code=\"0\",response_flags=\"DC\"") {
            break;
        }
        assert!(Instant::now() < deadline, "{metrics}");
    }
    assert!(mesh.page(mesh.ports.admin, "/clusters").await.text().contains("::rq_active::0"));
    mesh.end().await;
}

#[tokio::test]
async fn endpoints_are_balanced_as_the_rule_says() {
    let apps = [App::start("v1").await, App::start("v1").await, App::start("v1").await];
    let versions: Vec<_> = apps.iter().map(|a| ("v1", a.address)).collect();
    let with = |revision, balancer| MeshInput {
        destination_rules: vec![rule(json!({"host": "flaskapp", "trafficPolicy": {"loadBalancer": balancer}}))],
        ..input(revision, &versions)
    };
    let mesh = Mesh::start(with(1, json!({"simple": "ROUND_ROBIN"}))).await;
    let mut client = mesh.connect().await;
    for _ in 0..30 {
        client.get(URL).await;
    }
    assert_eq!(apps.iter().map(App::count).collect::<Vec<_>>(), [10, 10, 10]);
    // Whose turn it is outlasts the table.
    for revision in 10..40 {
        let mut input = with(revision, json!({"simple": "ROUND_ROBIN"}));
        input.destination_rules = vec![rule(json!({"host": "flaskapp", "trafficPolicy": {
            "loadBalancer": {"simple": "ROUND_ROBIN"}, "connectionPool": {"tcp": {"connectTimeout": format!("{revision}s")}}}}))];
        mesh.publish(input).await;
        client.get(URL).await;
    }
    assert_eq!(apps.iter().map(App::count).collect::<Vec<_>>(), [20, 20, 20]);
    mesh.publish(with(42, json!({"consistentHash": {"httpHeaderName": "x-user"}}))).await;
    for user in 0..10 {
        let before: Vec<u64> = apps.iter().map(App::count).collect();
        for _ in 0..5 {
            client.ask(&format!("GET {URL} HTTP/1.1\r\nHost: flaskapp:7777\r\nX-User: {user}\r\n\r\n")).await;
        }
        let hit = apps.iter().zip(before).filter(|(a, b)| a.count() > *b).count();
        assert_eq!(hit, 1, "user {user} is spread");
    }
    for (revision, simple) in [(43, "RANDOM"), (44, "LEAST_REQUEST")] {
        mesh.publish(with(revision, json!({"simple": simple}))).await;
        let before: Vec<u64> = apps.iter().map(App::count).collect();
        for _ in 0..300 {
            client.get(URL).await;
        }
        for (app, before) in apps.iter().zip(before) {
            assert!((50..150).contains(&(app.count() - before)), "{simple}: {}", app.count() - before);
        }
    }
    mesh.end().await;
}

#[tokio::test]
async fn a_retry_goes_elsewhere_unless_a_key_decides() {
    let apps = [App::start("v1").await, App::start("v1").await, App::start("v1").await];
    let versions: Vec<_> = apps.iter().map(|a| ("v1", a.address)).collect();
    let with = |revision, balancer| MeshInput {
        destination_rules: vec![rule(json!({"host": "flaskapp", "trafficPolicy": {"loadBalancer": balancer}}))],
        virtual_services: vec![route(
            json!({"hosts": ["flaskapp"], "http": [{"retries": {"attempts": 2, "retryOn": "5xx"}, "route": [{"destination": {"host": "flaskapp"}}]}]}),
        )],
        ..input(revision, &versions)
    };
    let mesh = Mesh::start(with(1, json!({"simple": "RANDOM"}))).await;
    let mut client = mesh.connect().await;
    for round in 1..=10 {
        assert_eq!(client.get("http://flaskapp:7777/status/503").await.status, 503);
        assert_eq!(
            apps.iter().map(App::count).collect::<Vec<_>>(),
            [round; 3],
            "an endpoint is tried twice while another is left"
        );
    }
    mesh.publish(with(2, json!({"consistentHash": {"httpHeaderName": "x-user"}}))).await;
    client.ask("GET http://flaskapp:7777/status/503 HTTP/1.1\r\nHost: flaskapp:7777\r\nX-User: u\r\n\r\n").await;
    let mut counts: Vec<u64> = apps.iter().map(App::count).collect();
    counts.sort_unstable();
    assert_eq!(counts, [10, 10, 13]);
    mesh.end().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = tokio::net::TcpListener::bind((LOCAL, 0)).await.unwrap();
    let mut config = mesh::SidecarConfig::new("a", "b", LOCAL, LOCAL, "/nowhere".into());
    config.ports = mesh::Ports { admin: 0, outbound: taken.local_addr().unwrap().port(), stats: 0, health: 0 };
    let error = mesh::run_sidecar(config, Default::default()).await.unwrap_err();
    assert!(
        error.to_string().starts_with(&format!("the sidecar cannot listen on {}", taken.local_addr().unwrap())),
        "{error}"
    );
}
