//! `cargo xtask bench trust`: what one client, one fault or a crowd takes away from everybody else.
mod api;
mod flood;
mod large_requests;
mod replicas;
mod sandboxes;
mod soak;
mod sockets;
mod stream;
mod viewers;
mod writes;

use super::results::Results;
use crate::sh::{Result, error};
use std::path::Path;
use std::time::Duration;

/// The parts, in the order in which they run.
pub const PARTS: [&str; 7] = ["writes", "stream", "viewers", "sandboxes", "replicas", "flood", "soak"];

/// Measures these parts, or all of them if none is named; the soak only if it is given a time.
pub fn measure(program: &Path, parts: &[String], soak: Option<Duration>, results: &mut Results) -> Result<()> {
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        return Err(error(format!("trust has no part `{unknown}`; there are: {}", PARTS.join(", "))));
    }
    sockets::raise_descriptor_limit()?;
    let wanted = |name: &str| parts.is_empty() || parts.iter().any(|part| part == name);
    if wanted("writes") {
        writes::measure(program, results)?;
    }
    if wanted("stream") {
        stream::measure(program, results)?;
    }
    if wanted("viewers") {
        viewers::measure(program, results)?;
    }
    if wanted("sandboxes") {
        sandboxes::measure(program, results)?;
    }
    if wanted("replicas") {
        replicas::measure(program, results)?;
    }
    if wanted("flood") {
        flood::measure(program, results)?;
    }
    match soak {
        Some(time) if wanted("soak") => soak::measure(program, time, results),
        None if parts.iter().any(|part| part == "soak") => Err(error("the soak needs a time: --soak-minutes 30")),
        _ => Ok(()),
    }
}
