//! Whether the client's sidecars have counted requests, and how many.
use super::scene::{Scene, is};
use app::text::thousands;
use wire::{Condition, ConditionStatus, kinds, reasons};

/// The counts as a list that needs no language: `v1 8,012 · v2 2,000 (12 ✕)`.
pub fn sidecars_count(s: &Scene) -> Condition {
    let kind = kinds::SIDECARS_COUNT;
    let counts = &s.facts.sidecars;
    if counts.is_empty() {
        return is(kind, ConditionStatus::Unknown, reasons::NOT_COUNTED, "no sidecar has counted a request", &[]);
    }
    // Without a route Envoy does not tell versions apart.
    let name = |version: &str| if version.is_empty() { "all".to_owned() } else { version.to_owned() };
    let failed = |n: u64| if n == 0 { String::new() } else { format!(" ({} ✕)", thousands(n)) };
    let said: Vec<String> =
        counts.iter().map(|(v, (n, bad))| format!("{} {}{}", name(v), thousands(*n), failed(*bad))).collect();
    let mut told = is(kind, ConditionStatus::True, reasons::COUNTED, said.join(" · "), &[]);
    // Figures, not a sentence.
    told.message = said.join(" · ");
    for (version, (requests, bad)) in counts {
        told.args.insert(name(version), requests.to_string());
        told.args.insert(format!("{}_failed", name(version)), bad.to_string());
    }
    told
}
