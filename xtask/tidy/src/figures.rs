//! Figures of the code: what a review would count.
use crate::facts::Facts;
use crate::sources::Source;
use std::fmt::Write;

/// Counts of the rules that look at more than one file.
pub struct Counts {
    /// Groups of files that import each other.
    pub cycles: usize,
    /// Dependencies that no code names.
    pub unused: usize,
}

/// The table that `--figures` prints. Production code is the product's, without tests and without `xtask/`.
pub fn table(sources: &[Source], counts: &Counts) -> String {
    let ours: Vec<&Facts> = sources.iter().filter(|source| source.of_product()).map(|source| &source.facts).collect();
    let sum = |count: fn(&Facts) -> usize| ours.iter().map(|facts| count(facts)).sum::<usize>();
    let functions = ours.iter().flat_map(|facts| &facts.functions).filter(|function| !function.test);
    let without_tests = |facts: &Facts| facts.lines - facts.test_lines;
    let lines = sum(without_tests);
    let all: usize = sources.iter().map(|source| source.facts.lines).sum();
    let wide: usize = sources.iter().map(|source| source.facts.wide_lines).sum();
    let mut text = String::new();
    for (what, value) in [
        ("files / lines, production code", format!("{} / {lines}", ours.len())),
        ("lines, with tests and xtask", all.to_string()),
        ("file length, median / p90 / max", spread(ours.iter().map(|facts| without_tests(facts)).collect())),
        ("function length, median / p90 / max", spread(functions.map(|function| function.lines).collect())),
        ("files that open with `//!`", percent(sum(|facts| usize::from(facts.opens_with_job)), ours.len())),
        ("public items documented", percent(sum(|facts| facts.documented), sum(|facts| facts.public))),
        ("unwrap, expect, panic! per 1,000 lines", format!("{:.2}", per_thousand(sum(|facts| facts.panics), lines))),
        ("bare tokio::spawn", sum(|facts| facts.spawns).to_string()),
        ("unsafe blocks", sum(|facts| facts.unsafe_blocks).to_string()),
        ("lines over 120 columns, all code", wide.to_string()),
        ("import cycles between files", counts.cycles.to_string()),
        ("unused dependencies", counts.unused.to_string()),
    ] {
        let _ = writeln!(text, "{what:<42}{value}");
    }
    text
}

fn spread(mut lengths: Vec<usize>) -> String {
    lengths.sort_unstable();
    let at = |share: f64| lengths.get(((lengths.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or(0);
    format!("{} / {} / {}", at(0.5), at(0.9), at(1.0))
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.1} % of {whole}", if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 })
}

fn per_thousand(count: usize, lines: usize) -> f64 {
    if lines == 0 { 0.0 } else { count as f64 * 1000.0 / lines as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_production_code() {
        let code = "//! A.\n/// B.\npub fn b() {\n    c.unwrap();\n}\npub fn d() {}\n";
        let wide = format!("// {}\n", "x".repeat(120));
        let sources = [("server/a.rs", code), ("server/tests/b.rs", wide.as_str()), ("xtask/c.rs", code)]
            .map(|(name, text)| Source::read(name, text).unwrap());
        let table = table(&sources, &Counts { cycles: 2, unused: 3 });
        let values: Vec<&str> = table.lines().map(|line| line[42..].trim()).collect();
        let wanted =
            ["1 / 6", "13", "6 / 6 / 6", "3 / 3 / 3", "100.0 % of 1", "50.0 % of 2", "166.67", "0", "0", "1", "2", "3"];
        assert_eq!(values, wanted, "{table}");
    }
}
