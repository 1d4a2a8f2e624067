//! Generators and what a run of one says: requests, and what it used of a CPU.
use super::child::{Place, placed, spent};
use crate::sh::{Context, Result, error, output};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// Connections of every run.
pub const CONNECTIONS: u32 = 32;

/// What our generator said of a run.
pub struct Ours {
    /// Its CPU seconds.
    pub cpu_s: f64,
    /// Good answers.
    pub answered: f64,
    /// Requests a second that were sent, from the first second's end to the last.
    pub rate: f64,
    /// 99th percentile from the scheduled time, ms.
    pub p99_ms: f64,
    /// 99th percentile of how late a request was written, ms.
    pub late_p99_ms: f64,
}

/// As fast as 32 connections allow.
pub fn ours_closed(place: Place, program: &Path, at: SocketAddr, seconds: f64) -> Result<Ours> {
    ours(placed(place, program).arg(at.to_string()).arg("closed").arg(CONNECTIONS.to_string()).arg(seconds.to_string()))
}

/// So many requests a second.
pub fn ours_open(place: Place, program: &Path, at: SocketAddr, rate: u32, seconds: f64) -> Result<Ours> {
    ours(placed(place, program).arg(at.to_string()).arg("open").arg(rate.to_string()).arg(seconds.to_string()))
}

fn ours(command: &mut Command) -> Result<Ours> {
    let (said, cpu_s) = spent(command)?;
    let [first, last, end]: [Value; 3] = serde_json::from_str(&said).context("read what our generator says")?;
    if end["errors"] != 0 {
        return Err(error(format!("requests failed, so nothing was measured: {}", end["error_kinds"])));
    }
    let number = |of: &Value, name: &str| of[name].as_f64().unwrap_or(f64::NAN);
    let answered = end["counts"].as_object().map_or(f64::NAN, |counts| counts.values().filter_map(Value::as_f64).sum());
    let rate =
        (number(&last, "sent") - number(&first, "sent")) / (number(&last, "at_ms") - number(&first, "at_ms")) * 1000.0;
    Ok(Ours { cpu_s, answered, rate, p99_ms: number(&last, "p99_ms"), late_p99_ms: number(&last, "start_p99_ms") })
}

/// CPU microseconds a request of wrk.
pub fn wrk_us(program: &Path, at: SocketAddr, seconds: u32) -> Result<f64> {
    let mut command = placed(Place::Measured, program);
    let (said, cpu_s) =
        spent(command.args(["-t", "1", "-c", &CONNECTIONS.to_string(), "-d", &format!("{seconds}s")]).arg(url(at)))?;
    let requests = said.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<f64>().ok());
    Ok(cpu_s * 1e6 / requests.ok_or_else(|| error(format!("wrk does not say how many requests it made:\n{said}")))?)
}

/// Requests that h2load had answered, as fast as 4 connections of 16 streams allow.
pub fn h2load(program: &Path, at: SocketAddr, seconds: u32) -> Result<f64> {
    let mut command = placed(Place::Beside, program);
    command.args(["-t", "1", "-c", "4", "-m", "16", "-D", &seconds.to_string(), &format!("--connect-to={at}")]);
    let said = output(command.arg("http://flaskapp:7777/env/version"))?;
    let requests = said.lines().find_map(|line| line.strip_prefix("requests: ")).unwrap_or_default();
    let count = |word: &str| requests.split(", ").find_map(|part| part.strip_suffix(word)?.trim().parse::<f64>().ok());
    match (count("succeeded"), count("failed"), count("errored")) {
        (Some(good), Some(0.0), Some(0.0)) if good > 0.0 => Ok(good),
        _ => Err(error(format!("requests failed, so nothing was measured:\n{said}"))),
    }
}

/// CPU microseconds a request of hey, which is told how many to make.
pub fn hey_us(program: &Path, at: SocketAddr, requests: u32) -> Result<f64> {
    let mut command = placed(Place::Measured, program);
    let command =
        command.args(["-cpus", "1", "-c", &CONNECTIONS.to_string(), "-n", &requests.to_string()]).arg(url(at));
    // It rounds down to a multiple of the connections.
    Ok(spent(command)?.1 * 1e6 / f64::from(requests / CONNECTIONS * CONNECTIONS))
}

/// CPU microseconds a request of oha: a closed loop, or at a rate.
pub fn oha_us(program: &Path, at: SocketAddr, requests: u32, rate: Option<u32>) -> Result<f64> {
    let mut command = placed(Place::Measured, program);
    command.args(["--no-tui", "-c", &CONNECTIONS.to_string(), "-n", &requests.to_string()]);
    if let Some(rate) = rate {
        command.args(["-q", &rate.to_string()]);
    }
    Ok(spent(command.arg(url(at)))?.1 * 1e6 / f64::from(requests))
}

fn url(at: SocketAddr) -> String {
    format!("http://{at}/env/version")
}
