//! Conditions in words. The server fills in both languages.
use super::{Lang, either};
use wire::Condition;

/// The sentence for a condition.
pub fn condition(lang: Lang, condition: &Condition) -> String {
    either(lang, &condition.message, &condition.zh).to_owned()
}
