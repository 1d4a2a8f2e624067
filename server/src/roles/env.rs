//! `env`: prints the environment, one variable a line.
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

/// Arguments of `env`: none.
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Prints; 125 where nobody reads.
    pub fn run(self) -> ExitCode {
        let mut text = Vec::new();
        for (name, value) in std::env::vars_os() {
            for part in [name.as_bytes(), b"=", value.as_bytes(), b"\n"] {
                text.extend_from_slice(part);
            }
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(&text).and_then(|()| out.flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(125),
        }
    }
}
