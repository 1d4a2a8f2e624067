//! What the binary is when it is not the panel: the demo's app, its client, its sidecar, and the few programs its image holds.
//!
//! Each role is a process of its own with one small runtime; environment and arguments are all it knows.
// A pod's environment is its configuration.
#![allow(clippy::disallowed_methods)]
mod client;
mod curl;
mod env;
mod flaskapp;
mod http;
mod life;
mod output;
mod pod;
mod sidecar;
mod sleep;

pub use pod::confine_to_pod;

use std::future::Future;
use std::process::ExitCode;

/// The roles, as subcommands.
#[derive(Debug, clap::Subcommand)]
pub enum Role {
    /// The demo's app: HTTP on port 7777
    Flaskapp(flaskapp::Args),
    /// The load generator and its control API, as they run in the client's pod
    Client(client::Args),
    /// The sidecar proxy of an injected pod
    Sidecar(sidecar::Args),
    /// A small curl: http only, through the pod's proxy
    Curl(curl::Args),
    /// Print the environment
    Env(env::Args),
    /// Wait for so long, or `infinity`
    Sleep(sleep::Args),
}

impl Role {
    /// Is that role until its end.
    pub fn run(self) -> ExitCode {
        life::end_with_the_panel();
        listen::raise_descriptors();
        match self {
            Role::Flaskapp(args) => args.run(),
            Role::Client(args) => args.run(),
            Role::Sidecar(args) => args.run(),
            Role::Curl(args) => args.run(),
            Role::Env(args) => args.run(),
            Role::Sleep(args) => args.run(),
        }
    }
}

/// Is that role until its end; the caller exits with the code.
pub fn run(role: Role) -> ExitCode {
    role.run()
}

/// Runs a role's work on this thread alone: a pod's process is to stay small.
fn block_on(role: &str, work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(e) => failed(role, format_args!("cannot start: {e}")),
    }
}

/// Says on standard error why a role ends.
fn failed(role: &str, why: impl std::fmt::Display) -> ExitCode {
    eprintln!("{role}: {why}");
    ExitCode::FAILURE
}
