//! Breaches that are known: code that is being split. Nothing may be added here. What breaks no rule any more is told and deleted.
use crate::modules::Edge;
use crate::sources::Source;

/// Files that are too long: name, lines of code.
const FILES: &[(&str, usize)] = &[];

/// Functions that are too long: file, name, lines.
const FUNCTIONS: &[(&str, &str, usize)] = &[];

/// Files that import each other.
pub const CYCLES: &[&[&str]] = &[];

/// Uses that the layers do not allow: user, used.
const USES: &[(&str, &str)] = &[("app/src/api/live.rs", "app/src/components/figures_html.rs")];

/// Lines that a file may have though the rule says fewer.
pub fn file_lines(file: &str) -> Option<usize> {
    FILES.iter().find(|(name, _)| *name == file).map(|(_, lines)| *lines)
}

/// Lines that a function may have though the rule says fewer.
pub fn function_lines(file: &str, function: &str) -> Option<usize> {
    FUNCTIONS.iter().find(|(name, called, _)| *name == file && *called == function).map(|(.., lines)| *lines)
}

/// Whether a use is known though the layers do not allow it.
pub fn use_of(user: &str, used: &str) -> bool {
    USES.contains(&(user, used))
}

/// Entries that nothing needs any more. `groups`: the cycles that there are.
pub fn stale(sources: &[Source], edges: &[Edge], groups: &[Vec<usize>]) -> Vec<String> {
    let find = |name: &str| sources.iter().position(|source| source.name == name);
    let mut stale = Vec::new();
    for &(name, lines) in FILES {
        if find(name).is_none_or(|file| sources[file].facts.code_lines() < lines) {
            stale.push(format!("{name} with {lines} lines"));
        }
    }
    for &(name, called, lines) in FUNCTIONS {
        let same =
            |file: usize| sources[file].facts.functions.iter().any(|one| one.name == called && one.lines >= lines);
        if !find(name).is_some_and(same) {
            stale.push(format!("{called} of {name} with {lines} lines"));
        }
    }
    for known in CYCLES {
        let whole = |group: &Vec<usize>| known.iter().all(|name| find(name).is_some_and(|file| group.contains(&file)));
        if !groups.iter().any(whole) {
            stale.push(format!("the cycle of {}", known.join(", ")));
        }
    }
    for &(user, used) in USES {
        let is = |edge: &Edge| sources[edge.from].name == user && sources[edge.to].name == used;
        if !edges.iter().any(is) {
            stale.push(format!("{user} uses {used}"));
        }
    }
    stale
}
