//! Running other programs: what was run, and what it said when it failed.
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Result of a step; [`Context`] adds what was being done.
pub use anyhow::{Context, Result};

/// An error from words that say what to do.
pub fn error(words: impl Into<String>) -> anyhow::Error {
    anyhow::Error::msg(words.into())
}

/// The workspace's top folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Cargo's target folder: `CARGO_TARGET_DIR` where it is set, else `target`.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), |dir| workspace().join(dir))
}

/// Where fetched programs are kept between runs and between clones:
/// `DEMO_PANEL_CACHE`, else `$XDG_CACHE_HOME/demo-panel`, else `~/.cache/demo-panel`, else a folder in `target`.
pub fn cache_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("DEMO_PANEL_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("demo-panel")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/demo-panel")))
        .unwrap_or_else(|| target_dir().join("cache"))
}

/// A command in the workspace's top folder.
pub fn cmd(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace());
    command
}

/// Cargo, as the one that runs us.
pub fn cargo() -> Command {
    let mut command = cmd(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What it says of us would make the build scripts that look at it run again, and most crates after them; and once more the next
    // time that `cargo xtask` is called.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|of_us| name.to_string_lossy().starts_with(of_us)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs to the end; its output goes to the terminal.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().context(format!("start `{shown}`"))?;
    if status.success() { Ok(()) } else { Err(error(format!("`{shown}` failed: {status}"))) }
}

/// Runs to the end and returns its standard output, trimmed; its errors are part of ours.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let out = command.stdin(Stdio::null()).output().context(format!("start `{shown}`"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    let tail: Vec<&str> = said.lines().rev().take(12).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(error(format!("`{shown}` failed: {}\n{}", out.status, tail.join("\n"))))
}

/// The program of this name on PATH.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn show(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    let line = words.join(" ");
    if line.len() > 200 { format!("{}…", line.chars().take(200).collect::<String>()) } else { line }
}
