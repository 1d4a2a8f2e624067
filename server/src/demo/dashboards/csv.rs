//! What a dashboard shows as CSV: the same numbers as its JSON, a row per series, then a row per series and step. Pure.
//!
//! Source: RFC 4180. A number that is not known is an empty field.
use crate::demo::clock::rfc3339;
use std::fmt::Write as _;
use wire::{Budget, Dashboards, DurationHistogram, Figure, Series, Step, Tally};

/// Names of the columns that come before the figures.
const BEFORE: &str = "part,kind,of,name,begin,end,seconds,requests,failed,timed";
/// Names of those after them.
const AFTER: &str = "budget_left_percent,burn_rate";

/// Kind of a row, and whose part it is: `version` of `flaskapp`.
#[derive(Clone, Copy)]
struct Kind<'a>(&'a str, &'a str);

/// The whole text.
pub fn csv(shown: &Dashboards) -> String {
    let mut text = format!("{BEFORE},{},{AFTER}\r\n", Figure::ALL.map(Figure::name).join(","));
    for (kind, series, budget) in all(shown) {
        let whole = Step { from_ms: shown.from_ms, to_ms: shown.to_ms };
        row(&mut text, "span", kind, &series.name, whole, &series.total, budget);
    }
    if let Some(board) = &shown.workload {
        let whole = Step { from_ms: shown.from_ms, to_ms: shown.to_ms };
        buckets(&mut text, "span", &board.name, whole, &board.histogram, &board.histogram.counts);
    }
    for (at, step) in shown.steps.iter().enumerate() {
        for (kind, series, _) in all(shown) {
            if let Some(tally) = series.points.get(at) {
                row(&mut text, "step", kind, &series.name, *step, tally, None);
            }
        }
        if let Some(board) = &shown.workload
            && let Some(counts) = board.histogram.steps.get(at)
        {
            buckets(&mut text, "step", &board.name, *step, &board.histogram, counts);
        }
    }
    text
}

/// Every series that is shown.
fn all(shown: &Dashboards) -> Vec<(Kind<'_>, &Series, Option<&Budget>)> {
    let mut all = Vec::new();
    for row in &shown.services {
        all.push((Kind("service", ""), &row.service, Some(&row.budget)));
        let versions = row.versions.iter();
        all.extend(versions.map(|v| (Kind("version", &row.service.name), &v.version, Some(&v.budget))));
    }
    if let Some(board) = &shown.workload {
        all.push((Kind("workload", ""), &board.all, None));
        for (kind, series) in [
            ("version", &board.versions),
            ("code", &board.codes),
            ("source", &board.sources),
            ("destination", &board.destinations),
        ] {
            all.extend(series.iter().map(|series| (Kind(kind, &board.name), series, None)));
        }
    }
    all
}

fn begin(text: &mut String, part: &str, Kind(kind, of): Kind<'_>, name: &str, step: Step) {
    let (from, to) = (rfc3339(step.from_ms), rfc3339(step.to_ms));
    let _ = write!(text, "{part},{kind},{},{},{from},{to}", field(of), field(name));
}

fn row(text: &mut String, part: &str, kind: Kind<'_>, name: &str, step: Step, tally: &Tally, budget: Option<&Budget>) {
    begin(text, part, kind, name, step);
    let _ = write!(text, ",{},{},{},{}", tally.seconds, tally.requests, tally.failed, tally.timed);
    let budget = [budget.and_then(|b| b.left_percent), budget.and_then(|b| b.burn_rate)];
    for number in Figure::ALL.iter().map(|figure| tally.get(*figure)).chain(budget) {
        text.push(',');
        if let Some(number) = number {
            let _ = write!(text, "{number}");
        }
    }
    text.push_str("\r\n");
}

/// The histogram: requests by the upper bound of their bucket in milliseconds.
fn buckets(text: &mut String, part: &str, of: &str, step: Step, histogram: &DurationHistogram, counts: &[u64]) {
    let columns = Figure::ALL.len() + 2;
    for (at, n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        let bound = histogram.bounds_ms.get(at).map_or("+Inf".to_owned(), f64::to_string);
        begin(text, part, Kind("bucket", of), &bound, step);
        let _ = write!(text, ",,{n},,{n}{}\r\n", ",".repeat(columns));
    }
}

/// A name as a field. What a spreadsheet would take for a formula is made text: callers name themselves.
fn field(name: &str) -> String {
    let formula = name.starts_with(['=', '+', '-', '@', '\t', '\r']) && name != "+Inf";
    let name = if formula { format!("'{name}") } else { name.to_owned() };
    if name.contains([',', '"', '\r', '\n']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fields_and_no_formulas() {
        for (name, written) in
            [("flaskapp-v1", "flaskapp-v1"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("=1+1", "'=1+1"), ("", "")]
        {
            assert_eq!(field(name), written);
        }
    }
}
