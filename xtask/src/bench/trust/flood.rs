//! A flood of hostile connections on each listener: how long another address waits, and what the flood leaves behind.
use super::sockets::Flood;
use crate::bench::kubectl::Kubectl;
use crate::bench::panel::{Panel, StateDir};
use crate::bench::results::Results;
use crate::sh::{Context, Result, cmd, error, output};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 5_000;
const WARM_UP: usize = 50;
/// Of a head that never ends, or of a TLS handshake.
const PART: usize = 60 * 1024;
const FLOODED: Duration = Duration::from_secs(20);
/// Memory has to be back after this.
const GIVEN_BACK: Duration = Duration::from_secs(60);

struct Listener {
    name: &'static str,
    address: SocketAddr,
    /// What another client asks; `None`: a GET of /healthz by TLS.
    asks: Option<String>,
    /// Process that owns the socket.
    owner: u32,
}

/// `flood_other_peer_ms`, `flood_rss_mb`, `flood_rss_kept_pct`: each the worst of all listeners.
pub fn measure(program: &Path, results: &mut Results) -> Result<()> {
    println!("==> trust: flood");
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.demo()?;
    panel.post("load", &json!({"rate": 50}))?;
    let listeners = listeners(&panel, &state)?;
    let (mut slowest, mut largest, mut before) = (0.0_f64, 0.0_f64, Vec::new());
    for listener in &listeners {
        // What the first refusals read of the program's file stays in memory, and is no flood's.
        flood(listener, WARM_UP, Duration::from_secs(2))?;
    }
    std::thread::sleep(GIVEN_BACK / 4);
    for listener in &listeners {
        let start = rss_mb(listener.owner)?;
        let (waited, most) = flood(listener, CONNECTIONS, FLOODED)?;
        println!("    {:<22} other peer {waited:>6.1} ms, {start:.1} → {most:.1} MiB", listener.name);
        (slowest, largest) = (slowest.max(waited), largest.max(most));
        before.push((listener, start));
    }
    std::thread::sleep(GIVEN_BACK);
    let mut kept = f64::MIN;
    for (listener, start) in before {
        let now = rss_mb(listener.owner)?;
        println!("    {:<22} {start:.1} MiB before, {now:.1} MiB a minute after the last flood", listener.name);
        kept = kept.max((now / start - 1.0) * 100.0);
    }
    results.at_most("flood_other_peer_ms", slowest, "ms", 100.0);
    results.at_most("flood_rss_mb", largest, "MiB", 128.0);
    results.at_most("flood_rss_kept_pct", kept, "%", 10.0);
    Ok(())
}

/// Longest answer to another address in milliseconds, largest resident set of the owner.
fn flood(listener: &Listener, connections: usize, time: Duration) -> Result<(f64, f64)> {
    let mut part = if listener.asks.is_some() {
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Part: ".to_vec()
    } else {
        vec![0x16, 3, 1, 0x3f, 0xff, 1]
    };
    part.resize(PART, b'a');
    let mut flood = Flood::start(listener.address, connections, part)?;
    let (began, mut longest, mut most) = (Instant::now(), 0.0_f64, 0.0_f64);
    while began.elapsed() < time {
        flood.push();
        longest = longest.max(answer_ms(listener)?);
        most = most.max(rss_mb(listener.owner)?);
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok((longest, most))
}

fn answer_ms(listener: &Listener) -> Result<f64> {
    let Some(asks) = &listener.asks else {
        let url = format!("https://{}/healthz", listener.address);
        let seconds =
            output(cmd("curl").args(["-sk", "--max-time", "10", "-o", "/dev/null", "-w", "%{time_total}", &url]))?;
        return Ok(seconds.parse::<f64>().context("read curl's time")? * 1000.0);
    };
    let began = Instant::now();
    let mut stream = TcpStream::connect_timeout(&listener.address, Duration::from_secs(10))
        .context(format!("reach {}", listener.name))?;
    let mut first = [0];
    let asked = stream.set_read_timeout(Some(Duration::from_secs(10))).and_then(|()| stream.write_all(asks.as_bytes()));
    asked.and_then(|()| stream.read_exact(&mut first)).context(format!("be answered by {}", listener.name))?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

fn listeners(panel: &Panel, state: &StateDir) -> Result<Vec<Listener>> {
    let kubectl = Kubectl::new(&state.path().join("kubeconfig"))?;
    kubectl.run_in("default", &["create", "deployment", "plain", "--image=simple-flask-app"])?;
    kubectl.run_in("default", &["rollout", "status", "deployment/plain", "--timeout=60s"])?;
    // Pods of before the injection may still end: they listen on other ports, or no longer.
    let ip = |namespace: &str, app: &str, port: u16| -> Result<String> {
        let mut found = String::new();
        panel.until("the pods of before are gone", |_| {
            found =
                kubectl.run_in(namespace, &["get", "pods", "-l", app, "-o", "jsonpath={.items[*].status.podIP}"])?;
            Ok(!found.contains(' ')
                && found.parse().is_ok_and(|ip: std::net::Ipv4Addr| owner((ip, port).into()).is_ok()))
        })?;
        Ok(found)
    };
    let server = kubectl.run(&["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"])?;
    let (injected, plain) = (ip("istio-app", "app=flaskapp,version=v1", 15000)?, ip("default", "app=plain", 7777)?);
    let service = kubectl.run(&["get", "service", "flaskapp", "-o", "jsonpath={.spec.clusterIP}"])?;
    let get =
        |target: &str, host: &str| Some(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    let app = "http://flaskapp.istio-app:7777/env/version";
    let all = [
        ("panel", panel.address().to_string(), get("/healthz", &panel.address().to_string())),
        ("api", server.trim_start_matches("https://").to_owned(), None),
        ("cluster ip", format!("{service}:7777"), get("/env/version", "flaskapp:7777")),
        ("node proxy", format!("{plain}:15001"), get(app, "flaskapp.istio-app:7777")),
        ("sidecar inbound", format!("{injected}:7777"), get("/env/version", "flaskapp:7777")),
        ("sidecar outbound", format!("{injected}:15001"), get(app, "flaskapp.istio-app:7777")),
        ("sidecar admin", format!("{injected}:15000"), get("/config_dump", "localhost")),
        ("sidecar stats", format!("{injected}:15020"), get("/stats/prometheus", "localhost")),
        ("sidecar health", format!("{injected}:15021"), get("/healthz/ready", "localhost")),
        ("flaskapp", format!("{plain}:7777"), get("/env/version", "localhost")),
    ];
    let read = |(name, address, asks): (&'static str, String, Option<String>)| {
        let address: SocketAddr = address.parse().context(format!("read the address of {name}"))?;
        Ok(Listener { name, owner: owner(address)?, address, asks })
    };
    all.into_iter().map(read).collect()
}

/// The process that listens on an address. Source: `ss(8)`, `users:(("name",pid=N,fd=M))`.
fn owner(address: SocketAddr) -> Result<u32> {
    let text = output(cmd("ss").args(["-tlnpH", "src", &address.to_string()]))?;
    let pid = text.split("pid=").nth(1).and_then(|rest| rest.split(',').next()).and_then(|pid| pid.parse().ok());
    pid.ok_or_else(|| error(format!("nobody listens on {address}: {text}")))
}

fn rss_mb(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).context(format!("read the memory of {pid}"))?;
    let kb = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kb.map(|kb| kb / 1024.0).ok_or_else(|| error(format!("process {pid} has no resident set")))
}
