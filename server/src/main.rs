//! The panel, and every role its pods run in: one binary.
mod config;
mod demo;
mod k8s;
mod roles;
mod startup;
mod tasks;
mod web;

use clap::Parser;
use config::{Action, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(why) = roles::confine_to_pod(std::env::args_os().nth(1).as_deref()) {
        eprintln!("demo-panel: {why}");
        return ExitCode::FAILURE;
    }
    // Before anything makes a TLS connection; fails only where it was done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Cli::parse_from(config::command_line(std::env::args_os())).action() {
        // A role is a process of its own: it builds its own small runtime.
        Ok(Action::Role(role)) => roles::run(role),
        Ok(Action::Kubeconfig(state_dir)) => startup::print_kubeconfig(&state_dir),
        Ok(Action::Token(made)) => startup::print_token(made.as_deref()),
        Ok(Action::Serve(config)) => startup::serve(*config),
        Err(error) => {
            eprintln!("demo-panel: {error}");
            // As clap's own for a usage that cannot be understood.
            ExitCode::from(2)
        }
    }
}
