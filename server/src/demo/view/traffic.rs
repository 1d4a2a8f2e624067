//! From the agent's snapshot to what the page shows: rounded, with the verdict. Pure.
use crate::demo::view::verdict::verdict;
use ::load::{Mark, Snapshot};
use std::collections::BTreeMap;
use wire::{Failing, Frame, Part, Recent, Split, Traffic, Whole};

/// What is known beside the snapshot.
pub struct About<'a> {
    /// The weights that are desired, by subset.
    pub desired: Option<&'a Split>,
    /// The same by version: what answers says its version.
    pub by_version: Option<&'a Split>,
    /// Whether every client pod has a sidecar.
    pub with_sidecar: bool,
    /// Ready pods by version.
    pub endpoints: BTreeMap<String, u32>,
    /// The newest mark that was set since these weights are desired. A later one, of another panel, is about them as well.
    pub mark: Option<&'a Mark>,
    /// What fails now.
    pub failing: Option<Failing>,
}

/// All that is measured, and what it says about the weights.
pub fn traffic(snapshot: Snapshot, about: About<'_>) -> Traffic {
    let since = snapshot.mark.filter(|m| about.mark.is_some_and(|mine| m.id >= mine.id));
    let recent = snapshot.recent;
    Traffic {
        verdict: verdict(about.by_version, about.with_sidecar, about.endpoints, since.as_ref()),
        frame: Frame {
            at_ms: snapshot.at_ms,
            run: snapshot.run,
            counts: snapshot.counts,
            errors: snapshot.errors,
            target_rate: snapshot.target_rate,
            rates: snapshot.rates.into_iter().map(|(name, rate)| (name, tenths(rate))).collect(),
            since: since.map(|m| m.counts).unwrap_or_default(),
            desired: about.desired.cloned(),
            // Rounded down, so that "100 %" is all of them; what fails at all is never 0.
            failing: about.failing.map(|f| Failing { share: ((f.share * 10.0).floor() / 10.0).max(0.1), ..f }),
        },
        achieved_rate: tenths(snapshot.achieved_rate),
        p50_ms: snapshot.p50_ms.map(micros),
        p90_ms: snapshot.p90_ms.map(micros),
        p99_ms: snapshot.p99_ms.map(micros),
        limited: snapshot.limited,
        saturated: snapshot.saturated,
        requests: snapshot.requests,
        error_kinds: snapshot.error_kinds,
        version_errors: snapshot.version_errors,
        late: snapshot.late,
        shed: snapshot.shed,
        start_p99_ms: snapshot.start_p99_ms.map(micros),
        recent: Recent {
            seconds: tenths(recent.seconds),
            all: rounded(recent.all),
            versions: recent.versions.into_iter().map(|(name, part)| (name, rounded(part))).collect(),
        },
        whole: snapshot.whole.map(|w| Whole {
            p50_ms: micros(w.p50_ms),
            p90_ms: micros(w.p90_ms),
            p99_ms: micros(w.p99_ms),
            p999_ms: micros(w.p999_ms),
            max_ms: micros(w.max_ms),
        }),
    }
}

fn rounded(part: Part) -> Part {
    let ms = |p: Option<f64>| p.map(micros);
    Part { rate: tenths(part.rate), p50_ms: ms(part.p50_ms), p90_ms: ms(part.p90_ms), p99_ms: ms(part.p99_ms), ..part }
}

/// To one decimal. A frame is sent ten times a second to every viewer, and a rate has no more digits that mean something.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Milliseconds to whole microseconds.
fn micros(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_the_agent_counts_is_lost_on_the_way_to_the_page() {
        let json = r#"{"at_ms": 5, "run": 2, "counts": {"v1": 90, "v2": 9}, "errors": 4, "version_errors": {"v2": 3}, "error_kinds": {"status_503": 3, "timeout": 1},
            "sent": 104, "in_flight": 1, "agent": 1, "target_rate": 10.0, "achieved_rate": 9.5, "rates": {"v1": 9.0, "v2": 0.5}, "p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0,
            "service_p50_ms": 0.5, "service_p99_ms": 0.75, "start_p99_ms": 0.25, "late": 7, "shed": 8, "limited": true, "saturated": true, "requests": 1000,
            "recent": {"seconds": 9.5, "all": {"rate": 10.0, "requests": 95, "errors": 4, "p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.0},
                "versions": {"v2": {"rate": 1.0, "requests": 12, "errors": 3, "p50_ms": 4.0, "p90_ms": 5.0, "p99_ms": 6.0}}},
            "whole": {"p50_ms": 1.5, "p90_ms": 2.5, "p99_ms": 3.5, "p999_ms": 4.5, "max_ms": 5.5},
            "mark": {"id": 3, "at_us": 0, "sent": 0, "counts": {"v1": 40, "v2": 9}, "errors": 0, "first": {}}}"#;
        let snapshot: Snapshot = serde_json::from_str(json).unwrap();
        let desired = Split::v1_v2(10).unwrap();
        let mark = Mark { id: 3, ..Mark::default() };
        let endpoints = BTreeMap::from([("v1".to_owned(), 3), ("v2".to_owned(), 1)]);
        let told = traffic(
            snapshot,
            About {
                desired: Some(&desired),
                by_version: Some(&desired),
                with_sidecar: true,
                endpoints,
                mark: Some(&mark),
                failing: None,
            },
        );
        let mut written = serde_json::to_value(&told).unwrap();
        let verdict = written["verdict"].take();
        let mut expected: serde_json::Value = serde_json::from_str(json).unwrap();
        let fields = expected.as_object_mut().unwrap();
        // What the page shows otherwise, or not at all.
        for gone in ["agent", "sent", "in_flight", "service_p50_ms", "service_p99_ms", "mark"] {
            fields.remove(gone);
        }
        fields.extend([
            ("since".to_owned(), serde_json::json!({"v1": 40, "v2": 9})),
            ("desired".to_owned(), serde_json::json!({"v1": 90, "v2": 10})),
            ("verdict".to_owned(), serde_json::Value::Null),
        ]);
        assert_eq!(written, expected);
        assert_eq!(
            (&verdict["requests"], &verdict["plain"], &verdict["chi_square"]["degrees"]),
            (&49.into(), &25.0.into(), &1.into()),
            "{verdict}"
        );
        assert_eq!(serde_json::from_value::<Traffic>(serde_json::to_value(&told).unwrap()).unwrap(), told);
    }
}
