//! Regular expressions as Istio has them (RE2), in this program's engine; how much of them one object may bring.
//!
//! A pattern is read when an object is admitted and when a table is built, and compiled when a request is first matched with it.
//! What it will take is known from reading it: [`check`] bounds the sum over an object, the same for admission and table.

use super::re2;
use crate::json::{fields, list, present};
use regex_syntax::hir::{Class, Hir, HirKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// States that the patterns of one object may have together when they are compiled. `\w{1,200}` has some 400.
pub(crate) const MOST_STATES: usize = 20_000;
/// What a pattern takes whatever it says, in states: so many patterns are at most in an object as this goes into [`MOST_STATES`].
const STATES_EACH: usize = 40;
/// Far beyond what [`MOST_STATES`] come to; the engine's own limit must never be what refuses a pattern.
const COMPILED_BYTES: usize = 64 << 20;
/// Memory that matching with one pattern may use for speed.
const CACHE_BYTES: usize = 128 << 10;

/// A pattern that must fit the whole text, as RE2's full match does. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pattern(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: String,
    /// The same in the engine's words.
    translated: String,
    states: usize,
    whole: OnceLock<Option<regex::Regex>>,
    /// The same anywhere in a text.
    part: OnceLock<Option<regex::Regex>>,
}

/// Patterns in use: each is read and compiled once, however many objects and tables have it.
static KNOWN: Mutex<Option<HashMap<String, Weak<Inner>>>> = Mutex::new(None);

impl Pattern {
    /// Reads it. Errors: what is wrong with it, or that it alone is more than an object may bring.
    pub fn new(source: &str) -> Result<Pattern, String> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(inner) = known.get(source).and_then(Weak::upgrade) {
            return Ok(Pattern(inner));
        }
        let (translated, states) = read(source)?;
        if states > MOST_STATES {
            return Err(format!("expression is too large: it has {states} states, {MOST_STATES} may be in an object"));
        }
        let (whole, part) = (OnceLock::new(), OnceLock::new());
        let inner = Arc::new(Inner { source: source.to_owned(), translated, states, whole, part });
        if known.len() == known.capacity() {
            known.retain(|_, inner| inner.strong_count() > 0);
        }
        known.insert(source.to_owned(), Arc::downgrade(&inner));
        Ok(Pattern(inner))
    }

    /// Every place where it fits, replaced; `with` is in this engine's words (`${1}`).
    pub(crate) fn replace_all(&self, text: &str, with: &str) -> Option<String> {
        let part = self.0.part.get_or_init(|| compile(&self.0.translated)).as_ref()?;
        Some(part.replace_all(text, with).into_owned())
    }

    /// Whether it fits the whole text.
    pub fn fits(&self, text: &str) -> bool {
        let whole = self.0.whole.get_or_init(|| compile(&format!("^(?:{})$", self.0.translated)));
        whole.as_ref().is_some_and(|whole| whole.is_match(text))
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }
}

/// The pattern in the engine's words and the states it has, about. Errors: what is wrong with it.
fn read(source: &str) -> Result<(String, usize), String> {
    let translated = re2::translate(source)?;
    let read = regex_syntax::Parser::new().parse(&translated).map_err(|error| {
        let words = error.to_string();
        words.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned()
    })?;
    let states = states(&read).saturating_add(STATES_EACH);
    Ok((translated, states))
}

/// The states of a pattern; `None` where it cannot be read.
fn states_of(source: &str) -> Option<usize> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.as_ref().and_then(|known| known.get(source)).and_then(Weak::upgrade);
    known.map(|inner| inner.states).or_else(|| read(source).ok().map(|(_, states)| states))
}

fn compile(pattern: &str) -> Option<regex::Regex> {
    let compiled = regex::RegexBuilder::new(pattern).size_limit(COMPILED_BYTES).dfa_size_limit(CACHE_BYTES).build();
    compiled.inspect_err(|error| tracing::error!(%error, "A pattern that was accepted cannot be compiled")).ok()
}

/// States of the automaton that the expression becomes.
fn states(of: &Hir) -> usize {
    let sum = |all: &[Hir]| all.iter().map(states).fold(0, usize::saturating_add);
    match of.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Bytes(_)) => 1,
        HirKind::Class(Class::Unicode(class)) => {
            let encodings = |range: &regex_syntax::hir::ClassUnicodeRange| match range.end() {
                ..='\x7f' => 0,
                end => {
                    regex_syntax::utf8::Utf8Sequences::new(range.start(), end).map(|bytes| bytes.len()).sum::<usize>()
                }
            };
            1 + class.ranges().iter().map(encodings).sum::<usize>()
        }
        HirKind::Repetition(repeated) => {
            let times = repeated.max.unwrap_or(repeated.min.saturating_add(1)).max(1);
            (states(&repeated.sub).saturating_add(1)).saturating_mul(usize::try_from(times).unwrap_or(usize::MAX))
        }
        HirKind::Capture(group) => states(&group.sub).saturating_add(2),
        HirKind::Concat(all) => sum(all),
        HirKind::Alternation(all) => sum(all).saturating_add(all.len()),
    }
}

/// Whether a VirtualService's patterns are few and small enough together; those that cannot be read at all are others' to report.
/// Errors: one sentence that names the field and says how much there may be.
pub(crate) fn check(spec: &Value) -> Result<(), String> {
    let all: Vec<&str> = patterns(spec).collect();
    if all.len().saturating_mul(STATES_EACH) > MOST_STATES {
        return Err(format!(
            "spec.http: Too many: {} regular expressions: an object may have {}",
            all.len(),
            MOST_STATES / STATES_EACH
        ));
    }
    let states = all.iter().filter_map(|source| states_of(source)).fold(0, usize::saturating_add);
    if states > MOST_STATES {
        return Err(format!(
            "spec.http: Too long: the regular expressions together come to {states} states: an object may have {MOST_STATES}; \
            use fewer of them, or repeat less ({{1,200}})"
        ));
    }
    Ok(())
}

fn regex(holder: &Value) -> Option<&str> {
    holder.get("regex")?.as_str()
}

/// All regular expressions of a VirtualService.
fn patterns(spec: &Value) -> impl Iterator<Item = &str> {
    list(spec, "http").iter().flat_map(move |route| {
        let matches = list(route, "match").iter().flat_map(move |m| {
            let single = ["uri", "method", "scheme", "authority"].into_iter().filter_map(move |key| regex(m.get(key)?));
            let many = ["headers", "withoutHeaders", "queryParams"]
                .into_iter()
                .flat_map(move |key| fields(m, key).filter_map(move |(_, p)| regex(p)));
            single.chain(many)
        });
        let rewrite =
            present(route, "rewrite").and_then(|r| r.pointer("/uriRegexRewrite/match")).and_then(Value::as_str);
        matches.chain(rewrite)
    })
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.source() == other.source()
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.source())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Pattern, D::Error> {
        Pattern::new(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn patterns_match_as_re2_does() {
        for (pattern, text, fits) in [
            (r"\w{1,200}", "abc", true),
            (r"\w{1,200}", "é", false),
            (r"\W", "é", true),
            (r"\d+", "٣", false),
            (r"[\D]", "٣", true),
            (r"[\w.-]{1,64}@[\w.-]{1,200}", "a.b@c-d.e", true),
            (r"[\w.-]{1,64}@[\w.-]{1,200}", "a.b", false),
            (r"\Qa.b\E", "a.b", true),
            (r"\Qa.b\E", "axb", false),
            (r"\Q[a\E+", "[aa", true),
            (r"x\Q(", "x(", true),
            ("a{,2}", "a{,2}", true),
            ("{", "{", true),
            ("a{2}", "aa", true),
            ("[[a]", "[", true),
            ("[a&&b]", "&", true),
            ("[[:alpha:]]+", "abc", true),
            ("[[:^alpha:]]+", "12", true),
            (r"\<a\>", "<a>", true),
            (r"\x{41}\101", "AA", true),
            (r"(?i)abc", "ABC", true),
            (r"(?s).", "\n", true),
            (".", "\n", false),
            (r"[^\s]+", "a", true),
            (r"a\z", "a", true),
            ("[]a]+", "]a", true),
        ] {
            let read = Pattern::new(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
            assert_eq!(read.fits(text), fits, "{pattern} {text}");
        }
        for wrong in ["(", "a{1001}", r"\q", "(?x)a", "(?-u)a", "(?=a)", r"\1", "[b-a]", "[a", r"\8"] {
            assert!(Pattern::new(wrong).is_err(), "{wrong}");
        }
    }

    fn route(patterns: impl Iterator<Item = String>) -> Value {
        json!({"http": patterns.map(|p| json!({"match": [{"headers": {"x": {"regex": p}}}]})).collect::<Vec<_>>()})
    }

    #[test]
    fn an_object_may_bring_so_many_states_and_no_more() {
        assert_eq!(check(&route((0..20).map(|i| format!(r"[\w.-]{{1,64}}@[\w.-]{{1,200}}{i}")))), Ok(()));
        assert_eq!(check(&route((0..400).map(|i| format!("a{i}")))), Ok(()));
        let many = check(&route((0..10_000).map(|i| format!("{i}")))).unwrap_err();
        assert_eq!(many, "spec.http: Too many: 10000 regular expressions: an object may have 500");
        let large = check(&route((0..300).map(|i| format!(r"\w{{1,200}}{i}")))).unwrap_err();
        assert!(large.starts_with("spec.http: Too long: the regular expressions together come to"), "{large}");
        assert!(Pattern::new(r"(\w{1,200}){1,200}").unwrap_err().starts_with("expression is too large"));
        assert!(Pattern::new(&format!("{}a{}", "(".repeat(500), "){1,9}".repeat(500))).is_err());
    }

    proptest! {
        /// What is accepted can be compiled: the estimate is never far below what the engine counts.
        #[test]
        fn what_is_accepted_compiles(source in r"([a-z.\[\](){}|*+?^$,0-9\\wdsWDSpQE-]|\\w|\[\\w.-\]|\{1,90\}|\(|\)){0,30}") {
            if let Ok(pattern) = Pattern::new(&source) {
                prop_assert!(compile(&format!("^(?:{})$", pattern.0.translated)).is_some(), "{}", pattern.0.translated);
                prop_assert!(compile(&pattern.0.translated).is_some());
            }
        }

        #[test]
        fn no_pattern_breaks_the_translation(source: String) {
            let _ = re2::translate(&source);
        }
    }
}
