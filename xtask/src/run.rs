//! `cargo xtask run`: from a fresh clone to the panel in one command.
use crate::browser_half::{self, Profile};
use crate::build;
use crate::sh::{Result, cmd, error};
use crate::steps::Steps;
use crate::tools::wasm_compiler;
use std::os::unix::process::CommandExt as _;

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub struct Run {
    /// Set up and build, but do not serve.
    #[arg(long)]
    build_only: bool,
    /// Given to the program: `-- --listen 127.0.0.1:4000 --state-dir D`.
    #[arg(last = true)]
    args: Vec<String>,
}

impl Run {
    /// Builds, then becomes the program.
    pub fn run(self) -> Result<()> {
        let mut steps = Steps::new(3);
        let compiler = steps.step("Compiler for the browser's half (wasm)", wasm_compiler)?;
        let what = "Browser's half: wasm, JavaScript, CSS (the first time 2 to 3 min on two cores)";
        steps.step(what, || browser_half::build(&compiler, Profile::Release))?;
        let program =
            steps.step("Server, optimised (the first time 9 to 10 min on two cores)", || build::server(true))?;
        steps.save()?;
        if self.build_only {
            println!("{}", program.display());
            return Ok(());
        }
        println!("==> {} {}", program.display(), self.args.join(" "));
        // The shell's folder is the workspace; signals and the exit code are the program's own.
        let why = cmd(&program).args(&self.args).exec();
        Err(error(format!("cannot start {}: {why}", program.display())))
    }
}
