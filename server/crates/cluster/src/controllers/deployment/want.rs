//! What a Deployment asks for, read once. The registry has filled in the defaults; where one is missing the same default is taken.
//!
//! Source: Kubernetes API reference, "DeploymentSpec".
use super::super::object::{int, share_of};
use crate::Object;
use serde_json::Value;

/// How old pods give way to new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// All old pods end before the first new one starts.
    Recreate,
    /// Step by step.
    RollingUpdate {
        /// Pods above `replicas`, at most.
        surge: i64,
        /// Pods below `replicas` that may be unavailable, at most.
        unavailable: i64,
    },
}

/// `spec`, with numbers that fit each other.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// Pods wanted.
    pub replicas: i64,
    /// Never both zero: a rollout could not move.
    pub strategy: Strategy,
    /// No rollout; scaling goes on.
    pub paused: bool,
    /// Seconds without progress until a rollout counts as failed; none for "never".
    pub deadline_s: Option<i64>,
    /// Old ReplicaSets kept for `rollout undo`.
    pub history: usize,
}

impl Want {
    /// Reads a Deployment.
    pub fn read(deployment: &Object) -> Want {
        let replicas = int(deployment, "/spec/replicas").unwrap_or(1).max(0);
        Want {
            replicas,
            strategy: strategy(deployment, replicas),
            paused: deployment.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or(false),
            // The largest 32-bit number is Kubernetes' "no deadline".
            deadline_s: Some(int(deployment, "/spec/progressDeadlineSeconds").unwrap_or(600))
                .filter(|&s| s < i64::from(i32::MAX)),
            history: int(deployment, "/spec/revisionHistoryLimit").and_then(|n| usize::try_from(n).ok()).unwrap_or(10),
        }
    }

    /// Pods above `replicas` that a rollout may make.
    pub fn surge(&self) -> i64 {
        match self.strategy {
            Strategy::RollingUpdate { surge, .. } => surge,
            Strategy::Recreate => 0,
        }
    }

    /// Pods that may be unavailable; never more than there are to be.
    pub fn unavailable(&self) -> i64 {
        match self.strategy {
            Strategy::RollingUpdate { unavailable, .. } if self.replicas > 0 => unavailable.min(self.replicas),
            _ => 0,
        }
    }
}

/// Surge rounds up, unavailable rounds down, as Kubernetes has it: a rollout errs towards more pods.
fn strategy(deployment: &Object, replicas: i64) -> Strategy {
    if deployment.pointer("/spec/strategy/type").is_some_and(|t| t == "Recreate") {
        return Strategy::Recreate;
    }
    let quarter = Value::from("25%");
    let field = |name| deployment.pointer(&format!("/spec/strategy/rollingUpdate/{name}")).unwrap_or(&quarter);
    let surge = share_of(field("maxSurge"), replicas, true).max(0);
    let unavailable = share_of(field("maxUnavailable"), replicas, false).max(0);
    Strategy::RollingUpdate { surge, unavailable: if surge == 0 && unavailable == 0 { 1 } else { unavailable } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn surge_rounds_up_and_unavailable_rounds_down() {
        for (replicas, surge, unavailable, want) in [
            (1, json!("25%"), json!("25%"), (1, 0)),
            (4, json!("25%"), json!("25%"), (1, 1)),
            (10, json!("25%"), json!("25%"), (3, 2)),
            (3, json!(0), json!("25%"), (0, 1)),
            (3, json!(0), json!(5), (0, 3)),
            (0, json!(1), json!(1), (1, 0)),
        ] {
            let read = Want::read(&json!({"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}}));
            assert_eq!((read.surge(), read.unavailable()), want, "{replicas} {surge} {unavailable}");
        }
    }
}
