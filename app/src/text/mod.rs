//! Every word of the page, in English and Chinese.
//!
//! Plain texts of the page are keyed by [`Key`]; a key without a text in both languages does not compile. What the server says is a
//! [`Message`]: it is worded in both languages there, and the page only chooses one.
mod conditions;
#[cfg(any(feature = "ssr", test))]
mod dashboards;
mod errors;
#[cfg(any(feature = "ssr", test))]
mod figures;
#[cfg(any(feature = "ssr", test))]
mod lesson;
mod log;
#[cfg(any(feature = "ssr", test))]
pub mod messages;
mod preflight;
#[cfg(any(feature = "ssr", test))]
mod progress;
#[cfg(any(feature = "ssr", test))]
mod sentence;
#[cfg(any(feature = "ssr", test))]
mod sign_in;
mod table;

pub use conditions::condition;
#[cfg(any(feature = "ssr", test))]
pub use dashboards::{
    allowed, bytes, figure, milliseconds, objective, per_second, percent, times, whole_percent, within,
};
pub use errors::{ErrorText, error};
#[cfg(any(feature = "ssr", test))]
pub use figures::{FigureWord, detail, failure};
#[cfg(any(feature = "ssr", test))]
pub use lesson::lesson;
pub use log::{either, who};
#[cfg(any(feature = "ssr", test))]
pub use messages::Message;
pub use preflight::{Word, check, troubles, verb};
#[cfg(any(feature = "ssr", test))]
pub use progress::progress;
#[cfg(any(feature = "ssr", test))]
pub use sentence::sentence;
#[cfg(any(feature = "ssr", test))]
pub use sign_in::SignInWord;
pub use table::Key;

/// Language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Simplified Chinese.
    Zh,
}

impl Lang {
    /// The language that a tag such as `zh-CN` asks for; English where it is neither.
    pub fn named(tag: &str) -> Lang {
        if tag.to_ascii_lowercase().starts_with("zh") { Lang::Zh } else { Lang::En }
    }

    /// BCP 47 tag for the `lang` attribute.
    pub fn tag(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Zh => "zh-CN",
        }
    }

    /// The other one.
    pub fn other(self) -> Lang {
        match self {
            Lang::En => Lang::Zh,
            Lang::Zh => Lang::En,
        }
    }

    /// The text of `key`.
    pub fn t(self, key: Key) -> &'static str {
        key.texts()[match self {
            Lang::En => 0,
            Lang::Zh => 1,
        }]
    }

    /// The text of `key` with its `{placeholders}` replaced.
    pub fn fill(self, key: Key, args: &[(&str, &str)]) -> String {
        fill(self.t(key), |name| args.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
            .unwrap_or_default()
    }
}

/// Replaces `{name}` by `value(name)`. Nothing where a value is missing: half a sentence is worse than the server's own.
fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut text = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        text.push_str(before);
        text.push_str(&value(name)?);
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

/// `11,994`: digits in groups of three.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_or_nothing_is_said() {
        let one = |name: &str| (name == "n").then(|| "7".to_owned());
        assert_eq!(fill("{n} of {n}", one), Some("7 of 7".to_owned()));
        assert_eq!(fill("no {m}", one), None);
        assert_eq!(fill("plain", one), Some("plain".to_owned()));
    }

    #[test]
    fn both_languages_of_a_key_have_the_same_placeholders() {
        let names = |text: &str| {
            let mut names: Vec<String> =
                text.split('{').skip(1).filter_map(|p| p.split_once('}').map(|(n, _)| n.to_owned())).collect();
            names.sort();
            names.dedup();
            names
        };
        for key in Key::ALL {
            let [en, zh] = key.texts();
            assert!(!en.is_empty() && !zh.is_empty(), "{key:?}");
            assert_eq!(names(en), names(zh), "{key:?}");
        }
    }

    #[test]
    fn figures_are_grouped() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (11994, "11,994"), (1234567, "1,234,567")] {
            assert_eq!(thousands(n), text);
        }
    }
}
