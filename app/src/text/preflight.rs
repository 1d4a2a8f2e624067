//! The preflight page's words, and the names of verbs. A check's own words are the server's, in both languages.
use super::{Lang, either};
use wire::{Check, Verb};

/// A check's title and its reason in a language.
pub fn check(lang: Lang, check: &Check) -> (String, String) {
    (either(lang, &check.what, &check.zh_what).to_owned(), either(lang, &check.reason, &check.zh).to_owned())
}

/// A text of the preflight page itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Word {
    Title,
    Back,
    Again,
    AllWell,
    Works,
    ToMend,
    Unsure,
    InOrder,
    Stops,
    Mend,
    Ok,
    Warn,
    Fail,
    Unknown,
    Note,
}

impl Word {
    /// In a language.
    pub fn said(self, lang: Lang) -> &'static str {
        let texts = match self {
            Word::Title => ["Preflight", "环境预检"],
            Word::Back => ["Back to the panel", "返回面板"],
            Word::Again => ["Check again", "重新检查"],
            Word::AllWell => ["Everything the demo needs is here", "检查通过，可以开始"],
            Word::Works => ["The demo works here, with some notes", "演示可以运行，但有几点须知"],
            Word::ToMend => ["To fix", "需要处理"],
            Word::Unsure => ["Cannot tell with current permissions", "现有权限无法判断"],
            Word::InOrder => ["In order", "正常"],
            Word::Stops => ["Off until then:", "在此之前停用："],
            Word::Mend => ["Fix (needs permission):", "由有权限的人执行以修复："],
            Word::Ok => ["in order", "正常"],
            Word::Warn => ["note", "须知"],
            Word::Fail => ["does not work", "不可用"],
            Word::Unknown => ["cannot tell", "无法判断"],
            Word::Note => {
                ["Nothing was changed: the trial pod is a dry run.", "未作任何更改：试验 Pod 只是演练（dry run）。"]
            }
        };
        texts[usize::from(lang == Lang::Zh)]
    }
}

/// What stands in the way, in figures.
pub fn troubles(lang: Lang, fail: usize) -> String {
    match (lang, fail) {
        (Lang::En, 1) => "One thing stands in the way".to_owned(),
        (Lang::En, n) => format!("{n} things stand in the way"),
        (Lang::Zh, n) => format!("有 {n} 项阻碍"),
    }
}

/// A verb's name on its button.
pub fn verb(lang: Lang, verb: Verb) -> &'static str {
    let texts = match verb {
        Verb::Deploy => ["Deploy", "部署"],
        Verb::Client => ["Deploy the client", "部署客户端"],
        Verb::Inject => ["Inject", "注入"],
        Verb::Route => ["Route", "路由"],
        Verb::Weights => ["Weights", "权重"],
        Verb::Adopt => ["Adopt", "采纳"],
        Verb::Revert => ["Revert", "还原"],
        Verb::Scale => ["Scale", "调整副本数"],
        Verb::Load => ["Load", "负载"],
        Verb::Verify => ["Verify", "验证"],
        Verb::Teardown => ["Clean up", "清理"],
        Verb::Takeover => ["Take over", "接管"],
    };
    texts[usize::from(lang == Lang::Zh)]
}
