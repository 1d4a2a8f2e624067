//! What the panel and the demo hold in memory together.
use super::panel::{Panel, StateDir};
use super::results::Results;
use crate::sh::{Context, Result, error};
use serde_json::json;
use std::path::Path;

/// `resident_mb`: PSS of the panel and all its children, the demo injected and under load, and each process's share.
pub fn measure(program: &Path, results: &mut Results) -> Result<()> {
    println!("==> memory");
    let state = StateDir::new()?;
    let panel = Panel::start(program, &state)?;
    panel.demo()?;
    panel.post("load", &json!({"rate": 200}))?;
    // Enough requests that every process has allocated what it keeps.
    panel.frames(|frame| frame["counts"].as_object().is_some_and(|c| c.values().filter_map(|n| n.as_u64()).sum::<u64>() >= 2_000))?;
    let mut sum = 0.0;
    for pid in family(panel.pid())? {
        let kb = pss_kb(pid)?;
        sum += kb;
        results.note(&format!("pss_mb {}", role(pid)), kb / 1024.0, "MiB");
    }
    results.at_most("resident_mb", sum / 1024.0, "MiB", 120.0);
    Ok(())
}

/// The process and everything that descends from it.
fn family(top: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").context("list the processes")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        // The name in parentheses may hold anything; the parent is the second field after the last parenthesis.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).and_then(|p| p.parse::<u32>().ok());
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

fn pss_kb(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context(format!("read the memory of {pid}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or_else(|| error("smaps_rollup has no Pss"))?;
    line.trim().trim_end_matches(" kB").trim().parse().context("read Pss")
}

fn role(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> = line.split(|b| *b == 0).skip(1).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
    let first = words.first().filter(|word| !word.starts_with('-') && !word.is_empty()).cloned();
    format!("{} {pid}", first.unwrap_or_else(|| "serve".to_owned()))
}
