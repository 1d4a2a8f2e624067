//! `cargo xtask fuzz`: the fuzz targets of the sidecar, each for a while. No part of the tests: what they find becomes a row there.
use crate::sh::{Context, Result, cargo, cmd, error, output, run, target_dir, which, workspace};
use std::fs;
use std::process::Command;

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Fuzz {
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// One of the targets alone: `heads`, `large_heads`, `bodies`, `config`
    target: Option<String>,
}

const FOLDER: &str = "server/crates/mesh/fuzz";
const TARGETS: [&str; 4] = ["heads", "large_heads", "bodies", "config"];

/// Counts which code a run reaches, as libFuzzer wants it, and stops at what an address sanitizer sees.
const FLAGS: &str = "--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions=on -Coverflow-checks=on -Ccodegen-units=1";

impl Fuzz {
    /// Builds the targets with a nightly tool chain and runs them; what they find is kept in the fuzz folder's `artifacts`.
    pub fn run(self) -> Result<()> {
        let targets: Vec<&str> = match self.target.as_deref() {
            None => TARGETS.to_vec(),
            Some(one) => vec![
                *TARGETS
                    .iter()
                    .find(|t| **t == one)
                    .ok_or_else(|| error(format!("no fuzz target {one}: there are {}", TARGETS.join(", "))))?,
            ],
        };
        let host = host()?;
        let build = target_dir().join("fuzz");
        println!("Building {} for {host} (the first time 2 min on two cores)", targets.join(", "));
        let mut command = nightly()?;
        command
            .args(["build", "--locked", "--release", "--target", &host, "--manifest-path"])
            .arg(workspace().join(FOLDER).join("Cargo.toml"));
        command.env("CARGO_TARGET_DIR", &build).env("RUSTFLAGS", FLAGS);
        run(&mut command)?;
        for target in targets {
            let folder = |kind: &str| workspace().join(FOLDER).join(kind).join(target);
            let (corpus, artifacts) = (folder("corpus"), folder("artifacts"));
            for dir in [&corpus, &artifacts] {
                fs::create_dir_all(dir).context(format!("make {}", dir.display()))?;
            }
            println!("Fuzzing {target} for {} s", self.seconds);
            let mut fuzzer = cmd(build.join(&host).join("release").join(target));
            // A hang over 1 s or more than 256 MiB is a defect; a sanitizer's own needs come on top.
            fuzzer.args([
                format!("-max_total_time={}", self.seconds),
                format!("-artifact_prefix={}/", artifacts.display()),
            ]);
            fuzzer
                .args([
                    "-timeout=5",
                    "-rss_limit_mb=1024",
                    "-print_final_stats=1",
                    if target == "large_heads" { "-max_len=61440" } else { "-max_len=8192" },
                ])
                .arg(corpus)
                .arg(folder("seeds"));
            run(&mut fuzzer)?;
        }
        Ok(())
    }
}

/// Cargo of the nightly tool chain; without it, what to install.
fn nightly() -> Result<Command> {
    let rustup = which("rustup").ok_or_else(|| {
        error(
            "fuzzing needs rustup and a nightly tool chain: https://rustup.rs, then `rustup toolchain install nightly`",
        )
    })?;
    let installed = output(cmd(&rustup).args(["toolchain", "list"]))?;
    if !installed.lines().any(|line| line.starts_with("nightly")) {
        return Err(error("fuzzing needs a nightly tool chain: `rustup toolchain install nightly`"));
    }
    if which("c++").is_none() {
        return Err(error("fuzzing needs a C++ compiler for libFuzzer's run time: install `g++` or `clang`"));
    }
    let mut command = cmd(rustup);
    command.args(["run", "nightly", "cargo"]);
    // What the cargo that runs us has set is about its own tool chain.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    Ok(command)
}

/// This machine, as rustc names it. Named on the command line, so that build scripts are built without the sanitizer.
fn host() -> Result<String> {
    let told = output(cargo().arg("-vV"))?;
    told.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| error("cargo does not say what machine this is"))
}
