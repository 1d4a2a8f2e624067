//! What the server has worded in both languages, and who did what.
use super::{Key, Lang};

/// The server's words, in a language. It fills in both.
pub fn either<'a>(lang: Lang, en: &'a str, zh: &'a str) -> &'a str {
    if lang == Lang::Zh && !zh.is_empty() { zh } else { en }
}

/// Who did it, seen from the browser that calls itself `me`.
pub fn who(lang: Lang, by: &str, me: &str) -> String {
    match by.strip_prefix("browser ") {
        Some(id) if id == me => lang.t(Key::ByThisBrowser).to_owned(),
        Some(id) => match lang {
            Lang::En => format!("by another browser ({id})"),
            Lang::Zh => format!("由另一个浏览器（{id}）"),
        },
        None if by.is_empty() => String::new(),
        None => lang.fill(Key::ByOther, &[("who", by)]),
    }
}
