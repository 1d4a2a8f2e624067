//! What the dashboards' hour takes of memory, and how soon a span is drawn from it.
use super::results::Results;
use crate::sh::{Context, Result, cargo, error, output};

/// The test of the server that fills an hour of one sandbox, then of a hundred, and prints the figures.
const TEST: &str = "demo::dashboards::figures::an_hour_of_one_sandbox_and_of_a_hundred";

/// `history_mb`, `history_100_mb`: what the process grows by. `span_ms`: the longest of twenty changes of span, as JSON.
pub fn measure(results: &mut Results) -> Result<()> {
    println!("==> history");
    let mut command = cargo();
    command.args(["test", "--locked", "--release", "-p", "demo-panel", "--bin", "demo-panel", "--"]);
    command.args(["--ignored", "--exact", TEST, "--nocapture"]);
    let said = output(&mut command)?;
    let figure = |name: &str| -> Result<f64> {
        let value = said.lines().find_map(|line| line.split_once(&format!("{name}="))).map(|(_, value)| value.trim());
        value.ok_or_else(|| error(format!("the test does not say {name}")))?.parse().context(format!("read {name}"))
    };
    results.at_most("history_mb", figure("history_mb")?, "MiB", 6.0);
    results.at_most("history_100_mb", figure("history_100_mb")?, "MiB", 60.0);
    results.at_most("span_ms", figure("span_ms")?, "ms", 100.0);
    Ok(())
}
