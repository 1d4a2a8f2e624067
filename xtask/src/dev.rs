//! `cargo xtask dev`: the panel, rebuilt and reloaded when a source file changes.
//!
//! The page reloads itself: the live stream's first event carries the build's id.
use crate::browser_half::{self, Profile};
use crate::build;
use crate::sh::{Context, Result, cmd, workspace};
use crate::tools::{WasmCompiler, wasm_compiler};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, SystemTime};

/// Arguments of `cargo xtask dev`.
#[derive(clap::Args)]
pub struct Dev {
    /// Given to the program.
    #[arg(last = true)]
    args: Vec<String>,
}

/// Folders whose change means a rebuild.
const WATCHED: [&str; 4] = ["app", "server", "style", "kubernetes"];

impl Dev {
    /// Runs until it is interrupted.
    pub fn run(self) -> Result<()> {
        let compiler = wasm_compiler()?;
        let mut seen = newest(workspace());
        let mut server = self.rebuild(&compiler)?;
        loop {
            // A half second is below what a person notices after saving a file.
            std::thread::sleep(Duration::from_millis(500));
            let now = newest(workspace());
            if now > seen {
                seen = now;
                if let Some(old) = server.take() {
                    stop(old)?;
                }
                server = self.rebuild(&compiler).unwrap_or_else(|why| {
                    eprintln!("error: {why:#}\n    waiting for the next change");
                    None
                });
            }
        }
    }

    fn rebuild(&self, compiler: &WasmCompiler) -> Result<Option<Child>> {
        browser_half::build(compiler, Profile::Dev)?;
        let program = build::server(false)?;
        cmd(program).args(&self.args).spawn().context("start the panel").map(Some)
    }
}

/// Asks it to end in order, so that its pods end too.
fn stop(mut server: Child) -> Result<()> {
    crate::sh::output(cmd("kill").arg(server.id().to_string()))?;
    server.wait().context("wait for the panel to end").map(drop)
}

fn newest(top: &Path) -> SystemTime {
    WATCHED.iter().map(|folder| newest_below(&top.join(folder))).max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn newest_below(folder: &Path) -> SystemTime {
    let Ok(entries) = std::fs::read_dir(folder) else { return SystemTime::UNIX_EPOCH };
    let times = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => newest_below(&entry.path()),
        Ok(meta) => meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        Err(_) => SystemTime::UNIX_EPOCH,
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
