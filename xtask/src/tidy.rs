//! Rules of the house that no compiler checks: what a file opens with, how long it may be, who may know whom.
use crate::sh::{Context, Result, error, workspace};
use std::path::{Path, PathBuf};

/// Arguments of `cargo xtask tidy`.
#[derive(clap::Args)]
pub struct Tidy {}

impl Tidy {
    /// Prints what breaks a rule.
    pub fn run(self) -> Result<()> {
        check()
    }
}

/// Longest file of ours, tests aside.
const MOST_LINES: usize = 420;

/// Which words a folder's sources must not hold: the direction of dependency inside the server's crate.
const UNKNOWN_TO: [(&str, &[&str]); 3] = [
    ("server/src/k8s", &["crate::demo", "crate::web", "crate::startup"]),
    ("server/src/demo", &["crate::web", "crate::startup", "cluster::"]),
    ("server/src/web", &["crate::startup", "crate::k8s", "cluster::", "mesh::"]),
];

/// Checks every source file. Error: one line a breach.
pub fn check() -> Result<()> {
    let mut breaches = Vec::new();
    let mut files = Vec::new();
    for folder in ["app", "server", "xtask"] {
        sources(&workspace().join(folder), &mut files)?;
    }
    for file in &files {
        let text = std::fs::read_to_string(file).context(format!("read {}", file.display()))?;
        let name = file.strip_prefix(workspace()).unwrap_or(file).to_string_lossy().into_owned();
        let test = name.contains("/tests/")
            || name.ends_with("tests.rs")
            || name.contains("/benches/")
            || name.contains("/examples/");
        if !text.starts_with("//!") && !text.starts_with("#![") {
            breaches.push(format!("{name}: does not open with a `//!` line that says its job"));
        }
        // A module of tests stands at the end of its file.
        let lines = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count();
        if lines > MOST_LINES && !test {
            breaches.push(format!("{name}: {lines} lines, more than {MOST_LINES}"));
        }
        for (folder, words) in UNKNOWN_TO {
            for word in words.iter().filter(|word| name.starts_with(folder) && text.contains(**word)) {
                breaches.push(format!("{name}: knows `{word}`, which {folder} must not"));
            }
        }
    }
    if breaches.is_empty() { Ok(()) } else { Err(error(format!("rules of the house:\n{}", breaches.join("\n")))) }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .context(format!("read {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    Ok(())
}
