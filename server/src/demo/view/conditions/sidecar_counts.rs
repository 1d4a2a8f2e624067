//! Whether the client's sidecars have counted requests, and how many.
use super::scene::Scene;
use app::text::messages::conditions as said;
use app::text::{Message, thousands};
use wire::{Condition, ConditionStatus, kinds, reasons};

/// The counts as a list that needs no language: `v1 8,012 · v2 2,000 (12 ✕)`.
pub fn sidecars_count(s: &Scene) -> Condition {
    let kind = kinds::SIDECARS_COUNT;
    let counts = &s.facts.sidecars;
    if counts.is_empty() {
        return said::not_counted().condition(kind, ConditionStatus::Unknown);
    }
    // Without a route Envoy does not tell versions apart.
    let name = |version: &str| if version.is_empty() { said::all_versions() } else { version.into() };
    let failed = |n: u64| if n == 0 { String::new() } else { format!(" ({} ✕)", thousands(n)) };
    let told = counts.iter().map(|(version, (n, bad))| (name(version), format!("{}{}", thousands(*n), failed(*bad))));
    let (en, zh): (Vec<String>, Vec<String>) =
        told.map(|(name, figures)| (format!("{} {figures}", name.en), format!("{} {figures}", name.zh))).unzip();
    let figures = Message::worded(en.join(" · "), zh.join(" · "));
    let mut args = std::collections::BTreeMap::new();
    for (version, (requests, bad)) in counts {
        args.insert(name(version).en, requests.to_string());
        args.insert(format!("{}_failed", name(version).en), bad.to_string());
    }
    // Figures, not a sentence.
    Condition {
        kind: kind.to_owned(),
        status: ConditionStatus::True,
        reason: reasons::COUNTED.to_owned(),
        zh: figures.translation(),
        message: figures.en,
        args,
    }
}
