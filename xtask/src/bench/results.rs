//! Figures with their goals.
use crate::sh::{Context, Result, target_dir};
use serde::Serialize;

/// One figure.
#[derive(Serialize)]
struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    /// At most this much; nothing for a figure that only explains another.
    goal: Option<f64>,
    met: Option<bool>,
}

/// All of a run, in the order they were measured.
#[derive(Default)]
pub struct Results(Vec<Row>);

impl Results {
    /// A figure with a goal: it is met at or below it.
    pub fn at_most(&mut self, name: &str, value: f64, unit: &'static str, goal: f64) {
        self.add(Row { name: name.to_owned(), value, unit, goal: Some(goal), met: Some(value <= goal) });
    }

    /// A figure that explains another.
    pub fn note(&mut self, name: &str, value: f64, unit: &'static str) {
        self.add(Row { name: name.to_owned(), value, unit, goal: None, met: None });
    }

    fn add(&mut self, row: Row) {
        println!("    {}: {:.2} {}", row.name, row.value, row.unit);
        self.0.push(row);
    }

    /// The table.
    pub fn print(&self) {
        println!("\n{:<36} {:>12} {:<6} {:>10}  met", "figure", "value", "unit", "goal");
        for row in &self.0 {
            let goal = row.goal.map_or(String::new(), |goal| format!("≤ {goal}"));
            let met = row.met.map_or("", |met| if met { "yes" } else { "NO" });
            println!("{:<36} {:>12.2} {:<6} {:>10}  {met}", row.name, row.value, row.unit, goal);
        }
    }

    /// `target/bench/results.json`.
    pub fn save(&self) -> Result<()> {
        let folder = target_dir().join("bench");
        std::fs::create_dir_all(&folder).context("make target/bench")?;
        let json = serde_json::to_vec_pretty(&self.0).context("write the results")?;
        std::fs::write(folder.join("results.json"), json).context("write target/bench/results.json")
    }
}

/// The q-quantile of these values, nearest rank; NaN of none.
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
