//! The words of the sign-in page. The server alone draws it.
use super::Lang;

/// A text of the sign-in page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SignInWord {
    Lead,
    Token,
    Enter,
    Wrong,
}

impl SignInWord {
    /// In a language.
    pub fn said(self, lang: Lang) -> &'static str {
        let texts = match self {
            SignInWord::Lead => [
                "This panel changes a cluster. It asks for the token it was started with.",
                "此面板会更改集群，需要其启动时所用的令牌。",
            ],
            SignInWord::Token => ["Token", "令牌"],
            SignInWord::Enter => ["Sign in", "登录"],
            SignInWord::Wrong => ["That is not the token.", "令牌不正确。"],
        };
        texts[usize::from(lang == Lang::Zh)]
    }
}
