//! The steps of a command: announced when they begin, timed when they end.
use crate::sh::{Context, Result, target_dir};
use std::time::{Duration, Instant};

/// Steps done so far, of a known number.
pub struct Steps {
    total: usize,
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// `total`: how many [`Steps::step`] calls will follow.
    pub fn new(total: usize) -> Steps {
        Steps { total, done: Vec::new() }
    }

    /// Announces, runs and times one step. `what` names it and, where it is long, how long it takes.
    pub fn step<T>(&mut self, what: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("==> [{}/{}] {what}", self.done.len() + 1, self.total);
        let start = Instant::now();
        let value = run()?;
        let took = start.elapsed();
        if took > Duration::from_secs(2) {
            println!("    done in {:.0} s", took.as_secs_f64());
        }
        self.done.push((what.to_owned(), took));
        Ok(value)
    }

    /// Writes the times to `target/xtask-steps.json`, where the bench reads them.
    pub fn save(&self) -> Result<()> {
        let rows: Vec<_> = self
            .done
            .iter()
            .map(|(what, took)| serde_json::json!({"step": what, "seconds": took.as_secs_f64()}))
            .collect();
        let file = target_dir().join("xtask-steps.json");
        std::fs::create_dir_all(target_dir()).context("make the target folder")?;
        std::fs::write(&file, serde_json::to_vec_pretty(&rows).context("write the steps' times")?)
            .context("write the steps' times")
    }
}
