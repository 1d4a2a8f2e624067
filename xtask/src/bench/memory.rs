//! What the panel and the demo hold in memory together.
use super::panel::{Panel, StateDir};
use super::results::Results;
use crate::sh::{Context, Result, error};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// `resident_mb`: PSS of the panel and all its children, the demo injected and under load, and each process's share. Then what the
/// largest process of each role has for itself.
pub fn measure(program: &Path, results: &mut Results) -> Result<()> {
    println!("==> memory");
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.demo()?;
    panel.post("load", &json!({"rate": 200}))?;
    // Enough requests that every process has allocated what it keeps.
    panel.frames(|frame| {
        frame["counts"].as_object().is_some_and(|c| c.values().filter_map(|n| n.as_u64()).sum::<u64>() >= 2_000)
    })?;
    let (mut sum, mut own) = (0.0, BTreeMap::<String, f64>::new());
    for pid in family(panel.pid())? {
        let memory = Memory::of(pid)?;
        sum += memory.pss_kb;
        let role = role(pid);
        results.note(&format!("pss_mb {role} {pid}"), memory.pss_kb / 1024.0, "MiB");
        let most = own.entry(role).or_default();
        *most = most.max(memory.own_kb / 1024.0);
    }
    results.at_most("resident_mb", sum / 1024.0, "MiB", 50.0);
    for (role, goal) in [("sidecar", 8.0), ("flaskapp", 5.0), ("client", 12.0)] {
        let mb = own.get(role).ok_or_else(|| error(format!("no {role} among the panel's processes")))?;
        results.at_most(&format!("{role}_rss_mb"), *mb, "MiB", goal);
    }
    Ok(())
}

/// A process's memory, shared pages by their share; MiB.
pub fn pss_mb(pid: u32) -> Result<f64> {
    Ok(Memory::of(pid)?.pss_kb / 1024.0)
}

/// The process and everything that descends from it.
pub fn family(top: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").context("list the processes")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        // The name in parentheses may hold anything; the parent is the second field after the last parenthesis.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).and_then(|p| p.parse::<u32>().ok());
        parents.push((pid, parent.unwrap_or(0)));
    }
    let mut found = vec![top];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
        next += 1;
    }
    Ok(found)
}

/// A process's memory, from `smaps_rollup`.
struct Memory {
    /// Shared pages by their share.
    pss_kb: f64,
    /// What goes when the process ends: pages that no other process has, among them all anonymous ones.
    own_kb: f64,
}

impl Memory {
    fn of(pid: u32) -> Result<Memory> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .context(format!("read the memory of {pid}"))?;
        let kb = |name: &str| -> Result<f64> {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .ok_or_else(|| error(format!("smaps_rollup has no {name}")))?;
            line.trim().trim_end_matches(" kB").trim().parse().context(format!("read {name}"))
        };
        Ok(Memory { pss_kb: kb("Pss:")?, own_kb: kb("Private_Clean:")? + kb("Private_Dirty:")? })
    }
}

/// What a process is: the name it was started by where that is a role's, else its first word, else the panel.
fn role(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> = line.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
    let started_as = words
        .first()
        .and_then(|program| program.rsplit('/').next())
        .filter(|name| ["sidecar", "flaskapp", "client"].contains(name));
    let first = words.get(1).filter(|word| !word.starts_with('-') && !word.is_empty());
    started_as.map(str::to_owned).or_else(|| first.cloned()).unwrap_or_else(|| "serve".to_owned())
}
