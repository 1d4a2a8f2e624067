//! Errors in words. The server fills in both languages; what has no Chinese is shown in English.
use super::{Lang, either};
use wire::ApiError;

/// What the page says about an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorText {
    /// What failed.
    pub title: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// Words for `error`.
pub fn error(lang: Lang, error: &ApiError) -> ErrorText {
    ErrorText {
        title: either(lang, &error.message, &error.zh).to_owned(),
        hint: either(lang, &error.hint, &error.zh_hint).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::messages::{Message, errors};
    use wire::Code;

    #[test]
    fn an_error_is_shown_in_the_readers_language_where_it_has_words_in_it() {
        let own = ApiError::new(Code::NotFound, errors::no_such_version("v3"), errors::versions_are("v1, v2"));
        let foreign = ApiError::new(Code::Refused, Message::from("denied"), Message::from(""));
        for (error, lang, title, hint) in [
            (&own, Lang::En, "There is no version `v3`.", "The versions are v1, v2."),
            (&own, Lang::Zh, "没有版本 `v3`。", "现有版本：v1, v2。"),
            (&foreign, Lang::Zh, "denied", ""),
        ] {
            assert_eq!(super::error(lang, error), ErrorText { title: title.to_owned(), hint: hint.to_owned() });
        }
    }
}
