//! The log's lines, who did them, and what is being done, in words.
use super::{Key, Lang};
use crate::types::{LogEntry, Operation, Verb};

/// What one line says: the server's words in English; in Chinese from the verb, with its figures.
pub fn entry(lang: Lang, entry: &LogEntry) -> String {
    if let Some(split) = &entry.split {
        return split.to_string();
    }
    match (lang, entry.verb) {
        (Lang::Zh, Some(verb)) => {
            let figure: String = entry.what.chars().skip_while(|c| !c.is_ascii_digit()).take_while(|c| !c.is_whitespace()).collect();
            if figure.is_empty() { verb_zh(verb).to_owned() } else { format!("{} {figure}", verb_zh(verb)) }
        }
        _ => entry.what.clone(),
    }
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

/// What is being done.
pub fn working(lang: Lang, operation: &Operation) -> String {
    match lang {
        Lang::En => operation.step.clone(),
        Lang::Zh if operation.step.is_empty() => verb_zh(operation.verb).to_owned(),
        Lang::Zh => format!("{}（{}）", verb_zh(operation.verb), operation.step),
    }
}

fn verb_zh(verb: Verb) -> &'static str {
    match verb {
        Verb::Deploy => "部署",
        Verb::Client => "部署客户端",
        Verb::Inject => "注入 sidecar",
        Verb::Route => "路由",
        Verb::Weights => "权重",
        Verb::Adopt => "采纳",
        Verb::Revert => "还原",
        Verb::Load => "负载",
        Verb::Verify => "验证",
        Verb::Teardown => "清理",
        Verb::Takeover => "接管",
    }
}
