//! Names and rates, parsed where they enter.
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Whether `text` is a DNS-1123 label: 1 to 63 of `a-z 0-9 -`, not beginning or ending with `-`.
pub(super) fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

/// A namespace's name: a DNS-1123 label, so it can stand in a path without escaping.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);

impl Namespace {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `istio-app`, as in the walkthrough.
impl Default for Namespace {
    fn default() -> Self {
        Namespace("istio-app".to_owned())
    }
}

impl FromStr for Namespace {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Namespace::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Namespace {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if is_dns_label(&text) {
            return Ok(Namespace(text));
        }
        let shown: String = text.chars().take(80).collect();
        Err(format!(
            "`{}` is not a namespace's name: lower-case letters, digits and `-`, at most 63",
            shown.escape_debug()
        ))
    }
}

impl From<Namespace> for String {
    fn from(ns: Namespace) -> String {
        ns.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Requests started per second, 0 (stopped) to [`Rate::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "f64", into = "u32")]
pub struct Rate(u32);

impl Rate {
    /// The most the generator is asked for: above it one core cannot keep the schedule.
    pub const MAX: u32 = 50_000;

    /// Requests per second.
    pub fn per_second(self) -> u32 {
        self.0
    }

    /// So many requests per second; [`Rate::MAX`] where that is more.
    pub fn at_most(per_second: u32) -> Rate {
        Rate(per_second.min(Rate::MAX))
    }
}

impl TryFrom<f64> for Rate {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        if value.fract() == 0.0 && (0.0..=f64::from(Rate::MAX)).contains(&value) {
            // In range and whole: the cast is exact.
            return Ok(Rate(value as u32));
        }
        Err(format!("a rate of {value} is not a whole number between 0 and {}", Rate::MAX))
    }
}

impl From<Rate> for u32 {
    fn from(rate: Rate) -> u32 {
        rate.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rates_from_outside_are_checked() {
        for (text, ok) in [
            ("istio-app", true),
            ("../x", false),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a\r\nb", false),
        ] {
            assert_eq!(Namespace::from_str(text).is_ok(), ok, "{text:?}");
        }
        for (json, ok) in [
            ("200", true),
            ("0", true),
            ("50000", true),
            ("50001", false),
            ("1000000000", false),
            ("-1", false),
            ("1.5", false),
            ("\"x\"", false),
        ] {
            assert_eq!(serde_json::from_str::<Rate>(json).is_ok(), ok, "{json}");
        }
    }
}
