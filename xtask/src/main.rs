//! The commands of the README: `cargo xtask run`, `test`, `dev`, `bench`. Each says what it does and how far it is.
//!
//! Here alone programs are fetched and built; the product itself never downloads anything.
// A command of the developer reads the environment where it needs it.
#![allow(clippy::disallowed_methods)]
mod bench;
mod browser_half;
mod build;
mod dev;
mod fuzz;
mod image;
mod real_cluster;
mod real_suite;
mod run;
mod sh;
mod steps;
mod test;
mod test_programs;
mod tidy;
mod tools;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Set-up and commands of demo-panel.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set up what is missing, build, and serve the panel. What follows `--` goes to the program.
    Run(run::Run),
    /// Set up what the tests need and run every test.
    Test(test::Test),
    /// Like `run`, and rebuild and reload when a source file changes.
    Dev(dev::Dev),
    /// A real Kubernetes with Istio on this machine: `up`, `down`, `kubeconfig`.
    #[command(subcommand)]
    Cluster(real_cluster::Cluster),
    /// Write the container image as an archive, without Docker.
    Image(image::ImageCommand),
    /// Measure; prints a table and writes target/bench/results.json.
    Bench(bench::Bench),
    /// Fuzz the parsers of the sidecar; needs a nightly tool chain.
    Fuzz(fuzz::Fuzz),
    /// Build the browser half alone: wasm, JavaScript and CSS, into target/pkg.
    Wasm(browser_half::Wasm),
    /// Check the rules of the house that no compiler checks.
    Tidy(tidy::Tidy),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Dev(command) => command.run(),
        Command::Cluster(command) => command.run(),
        Command::Image(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Fuzz(command) => command.run(),
        Command::Wasm(command) => command.run(),
        Command::Tidy(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
