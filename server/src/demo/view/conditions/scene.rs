//! What conditions are told from, and how one is made.
use crate::demo::namespace::facts::Facts;
use crate::demo::plan::Observed;
use crate::demo::pods::PodSeen;
use crate::k8s::{Cache, Reach};
use app::text::{Phrase, sentence};
use wire::{Condition, ConditionStatus, RouteClaim, Split};

/// All that conditions are told from.
pub struct Scene<'a> {
    /// The namespace's name.
    pub ns: &'a str,
    /// Its objects.
    pub cache: &'a Cache,
    /// The same, digested.
    pub observed: &'a Observed,
    /// The demo's pods.
    pub pods: &'a [PodSeen],
    /// What the panel knows.
    pub facts: &'a Facts,
    /// Whether the cluster answers.
    pub reach: &'a Reach,
    /// The weights of the route.
    pub desired: Option<&'a Split>,
    /// Another manager's claim on them.
    pub claim: Option<&'a RouteClaim>,
}

pub fn is(
    kind: &str,
    status: ConditionStatus,
    reason: &str,
    message: impl Into<String>,
    args: &[(&str, Phrase)],
) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: full_stop(sentence(&message.into())),
        args: args.iter().map(|(k, v)| ((*k).to_owned(), v.en.clone())).collect(),
        zh: app::text::in_chinese(reason, args),
    }
}

fn full_stop(mut message: String) -> String {
    if !message.is_empty() && !message.ends_with(['.', '!', '?']) {
        message.push('.');
    }
    message
}
