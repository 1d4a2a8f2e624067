//! What the page warns of: conditions in, banners out.
use super::steps::{Action, reason, running};
use wire::{Condition, ConditionStatus, Status, Verb, kinds, reasons};

/// A warning on the slider, with the button that mends it.
#[derive(Clone, Debug, PartialEq)]
pub struct Banner {
    /// What is so.
    pub says: Condition,
    /// What mends it.
    pub mend: Option<Action>,
    /// Whether to offer adopt and revert.
    pub claim: bool,
}

/// What people must be told, gravest first.
pub fn banners(status: &Status) -> Vec<Banner> {
    let there = status.is(kinds::DEPLOYED) || !status.pods.is_empty();
    // What is known of a cluster that does not answer is old; of a demo that is being removed, on purpose so.
    // What the mesh reports of a subset that is missing is the same once more, in its words.
    let twice = |c: &Condition| {
        c.reason == reasons::ROUTE_IN_PART && reason(status, kinds::ROUTE_PRESENT) == reasons::SUBSET_MISSING
    };
    let moot = |c: &Condition| match reason(status, kinds::CLUSTER_REACHABLE) {
        _ if twice(c) => true,
        reasons::UNREACHABLE => c.reason != reasons::UNREACHABLE,
        _ => running(status, Verb::Teardown) || reason(status, kinds::CLEAN) == reasons::CLEANING,
    };
    status
        .conditions
        .iter()
        .filter(|c| !moot(c))
        .filter_map(|c| {
            let (weight, mend) = match c.reason.as_str() {
                reasons::UNREACHABLE
                | reasons::CREDENTIALS_REFUSED
                | reasons::SLOWED_DOWN
                | reasons::NAMESPACE_TERMINATING
                | reasons::FORBIDDEN
                | reasons::NOT_READY => (0, None),
                reasons::HELD_BY_OTHER => (0, Some(Action::TakeOver)),
                reasons::HOLDER_UNKNOWN => (11, None),
                _ if c.kind == kinds::PODS_RUN => (1, None),
                reasons::CHANGED_BY_OTHER => (1, None),
                reasons::CLIENT_HAS_NO_SIDECAR if c.kind == kinds::WEIGHTS_APPLY && status.desired.is_some() => {
                    (2, Some(Action::Inject))
                }
                reasons::SUBSET_MISSING => (2, Some(Action::RouteCreate)),
                reasons::PORT_NOT_HTTP if c.kind == kinds::WEIGHTS_APPLY => (2, None),
                reasons::ROUTE_SAYS_MORE | reasons::ROUTE_IN_PART => (10, None),
                reasons::VERSION_NOT_READY => (3, Some(Action::DeployAgain)),
                reasons::DEGRADED => (4, Some(Action::DeployAgain)),
                reasons::CLIENT_SCALED_TO_ZERO => (5, Some(Action::Client)),
                reasons::NO_CLIENT if there && c.kind == kinds::CLIENT_READY && !running(status, Verb::Deploy) => {
                    (5, Some(Action::Client))
                }
                reasons::INJECTION_IGNORED => (6, Some(Action::InjectAgain)),
                reasons::NO_MESH if there => (6, None),
                reasons::VERIFY_FAILED => (7, Some(Action::VerifyAgain)),
                reasons::AGENT_UNREACHABLE => (8, None),
                reasons::GENERATOR_LIMITED | reasons::TARGET_SATURATED | reasons::LOAD_CAPPED => (9, None),
                _ => return None,
            };
            // The same words under two kinds are said once.
            let again = c.reason == reasons::VERSION_NOT_READY && reason(status, kinds::DEPLOYED) == reasons::DEGRADED
                || c.reason == reasons::DEGRADED
                    && status.condition(kinds::PODS_RUN).is_some_and(|c| c.status == ConditionStatus::False);
            (c.status != ConditionStatus::True
                || matches!(
                    c.reason.as_str(),
                    reasons::GENERATOR_LIMITED
                        | reasons::TARGET_SATURATED
                        | reasons::LOAD_CAPPED
                        | reasons::ROUTE_SAYS_MORE
                ))
            .then_some(())?;
            (!again).then(|| (weight, Banner { says: c.clone(), mend, claim: c.reason == reasons::CHANGED_BY_OTHER }))
        })
        .fold(std::collections::BTreeMap::<(i32, String), Banner>::new(), |mut all, (weight, banner)| {
            all.entry((weight, banner.says.reason.clone())).or_insert(banner);
            all
        })
        .into_values()
        .collect()
}
