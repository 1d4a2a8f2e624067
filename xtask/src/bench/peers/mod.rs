//! Our sidecar and our generator beside those that people know, in one run: CPU time a request of the whole process, which other
//! programs on the machine disturb little, and the tail they add, which others disturb much.
mod child;
mod runs;
mod servers;

use super::panel::StateDir;
use super::results::{Results, quantile};
use crate::sh::{Result, cargo, error, run, target_dir, which};
use crate::tools;
use child::{Place, Server};
use servers::{Tools, Upstream};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Length of a run with as much load as there can be, seconds.
const CLOSED_S: f64 = 2.0;
/// Length of a run at a rate: the engine's percentiles look back ten seconds.
const OPEN_S: f64 = 6.0;
/// The rate at which open loops are compared.
const OPEN_RATE: u32 = 2_000;

/// Our two programs and whoever else was found, and a folder for their configurations.
pub struct Peers {
    tools: Tools,
    folder: StateDir,
}

impl Peers {
    /// Builds ours, installs others where we may.
    pub fn find() -> Result<Peers> {
        for (package, example) in [("mesh", "bench_sidecar"), ("load", "bench_load")] {
            run(cargo().args(["build", "--locked", "--release", "-p", package, "--example", example]))?;
        }
        let ours = |name: &str| target_dir().join("release/examples").join(name);
        tools::bench_peers();
        // Debian keeps servers where users' PATH does not go.
        let server = |name: &str| {
            which(name).or_else(|| Some(PathBuf::from("/usr/sbin").join(name)).filter(|file| file.is_file()))
        };
        let envoy = tools::envoy().map_err(|why| println!("    note: without Envoy: {why:#}")).ok();
        let tools = Tools {
            sidecar: ours("bench_sidecar"),
            load: ours("bench_load"),
            nginx: server("nginx").ok_or_else(|| {
                error("nginx is needed, as upstream and as yardstick. On Debian, as root: apt-get install nginx-light")
            })?,
            haproxy: server("haproxy"),
            envoy,
            h2load: which("h2load"),
        };
        Ok(Peers { tools, folder: StateDir::new()? })
    }

    /// The sidecar beside nginx, HAProxy and Envoy: `rounds` times each in turn; medians are quoted.
    pub fn proxies(&self, rounds: usize, results: &mut Results) -> Result<()> {
        println!("==> proxies ({rounds} rounds)");
        proxies(&self.tools, self.folder.path(), rounds, results)?;
        pairs(&self.tools, self.folder.path(), rounds, results)
    }

    /// The load engine beside wrk, hey and oha, likewise.
    pub fn generators(&self, rounds: usize, results: &mut Results) -> Result<()> {
        println!("==> generators ({rounds} rounds)");
        generators(&self.tools, self.folder.path(), rounds, results)
    }
}

/// A name, and its values round by round.
struct Series {
    name: &'static str,
    values: Vec<f64>,
}

impl Series {
    fn new(name: &'static str) -> Series {
        Series { name, values: Vec::new() }
    }

    fn median(&self) -> f64 {
        quantile(&mut self.values.clone(), 0.5)
    }
}

/// Name, process, CPU microseconds a request.
type Proxy<'a> = (&'a Server, Series);

fn proxies(tools: &Tools, folder: &Path, rounds: usize, results: &mut Results) -> Result<()> {
    let upstream = Upstream::start(Place::Beside, tools, folder)?;
    let nginx = servers::nginx_proxy(tools, folder, upstream.versions)?;
    let haproxy =
        tools.haproxy.as_ref().map(|program| servers::haproxy(program, folder, upstream.versions)).transpose()?;
    let envoy = tools.envoy.as_ref().map(|program| servers::envoy(program, folder, upstream.versions)).transpose()?;
    let sidecar = servers::sidecar(tools, folder, upstream.versions)?;

    let mut all: Vec<Proxy<'_>> = vec![(&sidecar.server, Series::new("sidecar")), (&nginx, Series::new("nginx"))];
    all.extend(haproxy.iter().map(|server| (server, Series::new("haproxy"))));
    all.extend(envoy.iter().map(|server| (server, Series::new("envoy"))));
    // The first requests pay for what is allocated once, and a start's own work goes on behind them.
    for (server, _) in &all {
        runs::ours_closed(Place::Beside, &tools.load, server.at, CLOSED_S)?;
    }
    for _ in 0..rounds {
        for (server, series) in &mut all {
            let before = server.cpu_s()?;
            let load = runs::ours_closed(Place::Beside, &tools.load, server.at, CLOSED_S)?;
            series.values.push((server.cpu_s()? - before) * 1e6 / load.answered);
        }
    }
    let us = |name: &str| all.iter().find(|(_, series)| series.name == name).map(|(_, series)| series.median());
    for (_, series) in &all {
        results.note(&format!("{}_cpu_us", series.name), series.median(), "µs");
    }
    let ours = us("sidecar").unwrap_or(f64::NAN);
    results.note("sidecar_one_core_per_s", 1e6 / ours, "/s");
    if let Some(nginx) = us("nginx") {
        results.at_most("sidecar_vs_nginx_cpu", ours / nginx, "×", 1.05);
    }
    if let Some(haproxy) = us("haproxy") {
        results.note("sidecar_vs_haproxy_cpu", ours / haproxy, "×");
    }
    if let (Some(cpu), Some(envoy)) = (us("envoy"), &envoy) {
        results.at_most("sidecar_vs_envoy_cpu", ours / cpu, "×", 0.45);
        // What its one worker can do at most is a core's time by what a request takes of it, however busy the machine is.
        tails(tools, &upstream, envoy, &sidecar.server, (1e6 / cpu / 2.0) as u32, rounds, results)?;
    }
    Ok(())
}

/// Two sidecars in a row beside two Envoys in a row, all of it in HTTP/2: CPU time a request of both.
fn pairs(tools: &Tools, folder: &Path, rounds: usize, results: &mut Results) -> Result<()> {
    let (Some(envoy), Some(h2load)) = (&tools.envoy, &tools.h2load) else {
        println!("    note: without Envoy and h2load there is no comparison of HTTP/2");
        return Ok(());
    };
    let upstream = Upstream::start(Place::Beside, tools, folder)?;
    let envoys = servers::envoys_http2(envoy, folder, upstream.http2)?;
    let sidecars = servers::sidecars_http2(tools, folder, upstream.http2)?;
    let ours = [&sidecars.outbound.server, &sidecars.inbound[0], &sidecars.inbound[1]];
    let theirs = [&envoys[0], &envoys[1]];
    let mut all = [("sidecar_h2", &ours[..], Vec::new()), ("envoy_h2", &theirs[..], Vec::new())];
    for (_, servers, _) in &all {
        runs::h2load(h2load, servers[0].at, CLOSED_S as u32)?;
    }
    for _ in 0..rounds {
        for (_, servers, values) in &mut all {
            let cpu_s = || servers.iter().map(|server| server.cpu_s()).sum::<Result<f64>>();
            let before = cpu_s()?;
            let answered = runs::h2load(h2load, servers[0].at, CLOSED_S as u32)?;
            values.push((cpu_s()? - before) * 1e6 / answered);
        }
    }
    let [ours, theirs] = all.map(|(name, _, mut values)| {
        let median = quantile(&mut values, 0.5);
        results.note(&format!("{name}_cpu_us"), median, "µs");
        median
    });
    results.at_most("sidecar_h2_vs_envoy_cpu", ours / theirs, "×", 0.8);
    Ok(())
}

/// What each adds to the 99th percentile, at half of what Envoy can do at most, the same rate for both.
fn tails(
    tools: &Tools,
    upstream: &Upstream,
    envoy: &Server,
    sidecar: &Server,
    rate: u32,
    rounds: usize,
    results: &mut Results,
) -> Result<()> {
    let (mut added_by_envoy, mut added_by_us, mut direct) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let p99 = |at: SocketAddr| runs::ours_open(Place::Beside, &tools.load, at, rate, OPEN_S).map(|run| run.p99_ms);
        let (without, envoys, ours) = (p99(upstream.server.at)?, p99(envoy.at)?, p99(sidecar.at)?);
        direct.push(without);
        added_by_envoy.push(envoys - without);
        added_by_us.push(ours - without);
    }
    let (envoys, ours) = (quantile(&mut added_by_envoy, 0.5), quantile(&mut added_by_us, 0.5));
    results.note("tail_rate", f64::from(rate), "/s");
    results.note("direct_p99_ms", quantile(&mut direct, 0.5), "ms");
    results.note("envoy_added_p99_ms", envoys, "ms");
    results.note("sidecar_added_p99_ms", ours, "ms");
    results.at_most("sidecar_vs_envoy_p99", ours / envoys, "×", 0.5);
    Ok(())
}

fn generators(tools: &Tools, folder: &Path, rounds: usize, results: &mut Results) -> Result<()> {
    let upstream = Upstream::start(Place::Beside, tools, folder)?;
    let at = upstream.server.at;
    let (wrk, hey, oha) =
        (which("wrk"), which("hey"), tools::oha().map_err(|why| println!("    note: without oha: {why:#}")).ok());
    let names = ["load_closed", "wrk", "hey", "oha_closed", "load_open", "oha_open"];
    let [mut closed, mut of_wrk, mut of_hey, mut oha_closed, mut open, mut oha_open] = names.map(Series::new);
    let (mut errors, mut late, mut most) = (Vec::new(), Vec::new(), 0.0_f64);
    let at_rate = (OPEN_S * f64::from(OPEN_RATE)) as u32;
    for _ in 0..rounds {
        let run = runs::ours_closed(Place::Measured, &tools.load, at, CLOSED_S)?;
        closed.values.push(run.cpu_s * 1e6 / run.answered);
        if let Some(program) = &wrk {
            of_wrk.values.push(runs::wrk_us(program, at, CLOSED_S as u32)?);
        }
        if let Some(program) = &hey {
            of_hey.values.push(runs::hey_us(program, at, 40_000)?);
        }
        if let Some(program) = &oha {
            oha_closed.values.push(runs::oha_us(program, at, 80_000, None)?);
        }
        let run = runs::ours_open(Place::Measured, &tools.load, at, OPEN_RATE, OPEN_S)?;
        open.values.push(run.cpu_s * 1e6 / run.answered);
        errors.push((run.rate / f64::from(OPEN_RATE) - 1.0).abs());
        late.push(run.late_p99_ms);
        if let Some(program) = &oha {
            oha_open.values.push(runs::oha_us(program, at, at_rate, Some(OPEN_RATE))?);
        }
        most = most.max(runs::ours_open(Place::Measured, &tools.load, at, 50_000, 3.0)?.rate);
    }
    for series in [&closed, &of_wrk, &of_hey, &oha_closed, &open, &oha_open]
        .into_iter()
        .filter(|series| !series.values.is_empty())
    {
        results.note(&format!("{}_cpu_us", series.name), series.median(), "µs");
    }
    results.note("load_one_core_per_s", 1e6 / closed.median(), "/s");
    results.note("load_rate_at_50000", most, "/s");
    if wrk.is_some() {
        results.at_most("load_vs_wrk_cpu", closed.median() / of_wrk.median(), "×", 1.1);
    }
    if oha.is_some() {
        results.at_most("open_loop_vs_oha_cpu", open.median() / oha_open.median(), "×", 0.5);
    }
    results.at_most("open_loop_rate_error", quantile(&mut errors, 0.5), "", 0.001);
    results.at_most("open_loop_late_p99_ms", quantile(&mut late, 0.5), "ms", 1.0);
    Ok(())
}
