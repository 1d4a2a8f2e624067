//! The one error people see: what failed, and what to do about it.
use serde::{Deserialize, Serialize};

/// Why a request was refused or failed. `snake_case` on the wire; one middleware maps it to an HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request's content is wrong (400).
    BadRequest,
    /// Nobody is signed in (401).
    SignedOut,
    /// Host, Origin or Sec-Fetch-Site does not fit (403).
    ForeignOrigin,
    /// The cluster refuses this user (403).
    Forbidden,
    /// No such thing (404).
    NotFound,
    /// Wrong HTTP method (405).
    MethodNotAllowed,
    /// The demo is not deployed, so the verb has nothing to act on (409).
    NotDeployed,
    /// There is no client to make load with (409).
    NoClient,
    /// Another field manager owns the weights; adopt or revert (409).
    WeightOwned,
    /// Another panel acts on the namespace; take over (409).
    HeldElsewhere,
    /// An object of this name exists and is not ours; it is never touched (409).
    NotOurs,
    /// The body is larger than 1 MiB (413).
    TooLarge,
    /// The body is not JSON (415).
    NotJson,
    /// The cluster's own admission refused it; its words are in the message (422).
    Refused,
    /// The cluster asks to slow down (429).
    TooManyRequests,
    /// The cluster does not answer (503).
    ClusterUnreachable,
    /// It took too long (504).
    Timeout,
    /// A defect of ours; the log has more under the request's id (500).
    Internal,
}

impl Code {
    /// The HTTP status that goes with the code.
    pub fn http_status(self) -> u16 {
        match self {
            Code::BadRequest => 400,
            Code::SignedOut => 401,
            Code::ForeignOrigin | Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::NotDeployed | Code::NoClient | Code::WeightOwned | Code::HeldElsewhere | Code::NotOurs => 409,
            Code::TooLarge => 413,
            Code::NotJson => 415,
            Code::Refused => 422,
            Code::TooManyRequests => 429,
            Code::Internal => 500,
            Code::ClusterUnreachable => 503,
            Code::Timeout => 504,
        }
    }
}

/// Words for people, in both languages of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// English.
    pub en: String,
    /// Chinese; the same as the English where it is a name, or somebody else's words.
    pub zh: String,
}

/// An error for people: `message` says what failed, `hint` what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{message}")]
pub struct ApiError {
    /// For programs.
    pub code: Code,
    /// What failed, in one sentence.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// `message` in Chinese; left out where it is the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh: String,
    /// `hint` in Chinese; left out where it is the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh_hint: String,
}

impl ApiError {
    /// An error from its three parts, the words in both languages.
    pub fn new(code: Code, message: impl Into<Words>, hint: impl Into<Words>) -> ApiError {
        let translation = |words: &Words| if words.zh == words.en { String::new() } else { words.zh.clone() };
        let (message, hint) = (message.into(), hint.into());
        let (zh, zh_hint) = (translation(&message), translation(&hint));
        ApiError { code, message: message.en, hint: hint.en, zh, zh_hint }
    }
}
