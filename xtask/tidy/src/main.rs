//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! A crate of its own, so that `cargo xtask run` does not wait for the parser of Rust.
#![allow(clippy::disallowed_methods, reason = "cargo tells by the environment where it is")]
mod cycles;
mod exceptions;
mod facts;
mod figures;
mod layers;
mod lengths;
mod modules;
mod packages;
mod policy;
mod sources;
mod unused;

use anyhow::Result;
use clap::Parser;
use modules::Modules;
use packages::Metadata;
use policy::Policy;
use std::path::Path;
use std::process::ExitCode;

/// Arguments of `cargo xtask tidy`.
#[derive(Parser)]
#[command(bin_name = "cargo xtask tidy")]
struct Cli {
    /// Print the figures of the code as well
    #[arg(long)]
    figures: bool,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let policy = Policy::read(&folder)?;
    let metadata = Metadata::read(&folder, policy.targets())?;
    let mut sources = sources::all(&metadata.workspace_root)?;
    let modules = Modules::build(&metadata.crates(), &mut sources);
    let edges = modules.edges(&sources);
    let groups = cycles::cycles(sources.len(), &edges);
    let mut unused = unused::breaches(&metadata, &sources);
    unused.extend(unused::not_inherited(&metadata)?);
    if cli.figures {
        let counts = figures::Counts { cycles: groups.len(), unused: unused.len() };
        print!("{}", figures::table(&sources, &counts));
    }

    let mut breaches: Vec<String> = sources.iter().flat_map(lengths::breaches).collect();
    breaches.extend(groups.iter().filter_map(|group| cycles::breach(group, &sources, &edges, exceptions::CYCLES)));
    breaches.extend(layers::breaches(&sources, &edges));
    breaches.extend(layers::documented(&metadata.workspace_root)?);
    breaches.extend(policy.breaches(&metadata)?);
    breaches.extend(unused);
    for stale in exceptions::stale(&sources, &edges, &groups).into_iter().chain(policy.stale(&metadata)) {
        println!("    not needed any more: {stale}");
    }
    for breach in &breaches {
        eprintln!("{breach}");
    }
    Ok(if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
