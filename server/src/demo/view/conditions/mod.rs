//! What is so, from facts. Pure; each reason's words stand here and nowhere else.
pub mod blockers;
mod route;
pub mod scene;
mod sidecar_counts;
mod workloads;

use crate::demo::clock::clock;
use crate::demo::namespace::facts::{Agent, Short};
use crate::demo::plan::Presence;
use app::text::Phrase;
use blockers::{held, namespace_free, permitted, pods_run};
use route::{acknowledged, route_honoured, route_ours, route_present, weights_apply};
use scene::{Scene, is};
use sidecar_counts::sidecars_count;
use wire::ConditionStatus::{False, True, Unknown};
use wire::{Condition, kinds, reasons};
use workloads::{client_ready, deployed, injected};

pub use route::client_without_sidecar;
pub use workloads::is_ready;

/// One condition of each kind.
pub fn conditions(s: &Scene) -> Vec<Condition> {
    vec![
        reachable(s),
        deployed(s),
        verified(s),
        injected(s),
        client_ready(s),
        route_present(s),
        route_honoured(s),
        acknowledged(s),
        weights_apply(s),
        load_running(s),
        route_ours(s),
        clean(s),
        pods_run(s),
        permitted(s),
        namespace_free(s),
        held(s),
        sidecars_count(s),
    ]
}

fn reachable(s: &Scene) -> Condition {
    let kind = kinds::CLUSTER_REACHABLE;
    match &s.reach.failing {
        Some((since_ms, why)) if s.reach.refused => {
            let message = format!(
                "the cluster does not accept the panel's credentials any more: {why}. Give it new ones; it takes no others by itself"
            );
            is(
                kind,
                False,
                reasons::CREDENTIALS_REFUSED,
                message,
                &[("since", Phrase::from(clock(*since_ms))), ("why", Phrase::from(why.clone()))],
            )
        }
        None if s.reach.slow_until_ms.is_some() => is(
            kind,
            Unknown,
            reasons::SLOWED_DOWN,
            "the cluster asks to slow down (429); the panel waits as long as it says",
            &[],
        ),
        None => is(kind, True, reasons::REACHABLE, "the cluster answers", &[]),
        Some((since_ms, why)) => {
            let since = clock(*since_ms);
            is(
                kind,
                False,
                reasons::UNREACHABLE,
                format!("the cluster does not answer since {since}: {why}"),
                &[("since", Phrase::from(since)), ("why", Phrase::from(why.clone()))],
            )
        }
    }
}

fn verified(s: &Scene) -> Condition {
    let kind = kinds::VERIFIED;
    match &s.facts.verified {
        None => is(kind, Unknown, reasons::NOT_VERIFIED, "no pod was asked yet", &[]),
        Some(Ok((path, ms))) => {
            let args = [("path", Phrase::from(path.clone())), ("ms", Phrase::from(ms.to_string()))];
            is(
                kind,
                True,
                reasons::VERIFIED,
                format!("a pod answered from inside with its PATH, {path}, in {ms} ms"),
                &args,
            )
        }
        Some(Err(why)) => is(
            kind,
            False,
            reasons::VERIFY_FAILED,
            format!("a pod did not answer from inside: {why}"),
            &[("why", Phrase::from(why.clone()))],
        ),
    }
}

fn load_running(s: &Scene) -> Condition {
    let kind = kinds::LOAD_RUNNING;
    let rate = s.facts.load.per_second();
    match &s.facts.agent {
        Agent::Unreachable(why) => is(
            kind,
            Unknown,
            reasons::AGENT_UNREACHABLE,
            format!("the load client cannot be reached: {why}"),
            &[("why", Phrase::from(why.clone()))],
        ),
        _ if rate == 0 => is(kind, False, reasons::LOAD_STOPPED, "no load", &[]),
        Agent::Absent => is(
            kind,
            False,
            reasons::LOAD_STOPPED,
            format!("there is no client; the load of {rate} requests/s goes on when it is back"),
            &[],
        ),
        Agent::Connected { short: Some((short, achieved)) } => {
            let rate = if s.facts.granted.is_cut() { s.facts.granted.rate.per_second() } else { rate };
            let args = [("target", Phrase::from(rate.to_string())), ("achieved", Phrase::from(achieved.to_string()))];
            let (reason, why) = match short {
                Short::Machine => (reasons::GENERATOR_LIMITED, format!("this machine keeps {achieved}")),
                Short::Target => {
                    (reasons::TARGET_SATURATED, format!("all connections wait for answers: {achieved} are sent"))
                }
            };
            is(kind, True, reason, format!("{rate} requests/s are asked for, {why}"), &args)
        }
        _ if s.facts.granted.is_cut() => {
            let [granted, of] = [s.facts.granted.rate, s.facts.granted.of].map(|rate| rate.per_second().to_string());
            is(
                kind,
                True,
                reasons::LOAD_CAPPED,
                format!("granted {granted} of {of} requests/s: all load together has one cap"),
                &[("rate", Phrase::from(of)), ("granted", Phrase::from(granted))],
            )
        }
        _ => is(
            kind,
            True,
            reasons::LOAD_RUNNING,
            format!("{rate} requests/s"),
            &[("rate", Phrase::from(rate.to_string()))],
        ),
    }
}

/// Left-overs that are named; a namespace that others use may hold thousands.
const MOST_NAMED: usize = 10;

fn clean(s: &Scene) -> Condition {
    let kind = kinds::CLEAN;
    let ours = s.observed.objects.iter().filter(|(_, o)| matches!(o.presence, Presence::Ours | Presence::Terminating));
    let mut left: Vec<String> = ours.map(|(id, _)| id.to_string()).collect();
    left.extend(s.observed.pods.iter().map(|p| format!("pod/{p}")));
    left.extend(s.observed.strays.iter().map(|(kind, name, _)| format!("{}/{name}", kind.word())));
    if s.facts.goal.teardown {
        let left = left.join(", ");
        return is(
            kind,
            False,
            reasons::CLEANING,
            if left.is_empty() {
                "making sure that nothing is left".to_owned()
            } else {
                format!("still there: {left}")
            },
            &[("left", Phrase::from(left))],
        );
    }
    if !left.is_empty() {
        return is(kind, False, reasons::IN_USE, "the demo is deployed", &[("left", Phrase::from(left.join(", ")))]);
    }
    if s.facts.left.is_empty() {
        return is(kind, True, reasons::CLEAN, "nothing of the demo is left", &[]);
    }
    let (mut what, mut whose): (Vec<String>, Vec<String>) = s.facts.left.theirs.iter().cloned().unzip();
    let more = what.len().saturating_sub(MOST_NAMED);
    what.truncate(MOST_NAMED);
    what.extend((more > 0).then(|| format!("{more} more")));
    whose.sort();
    whose.dedup();
    let (left, whose) = (what.join(", "), whose.join(", "));
    let unseen: Vec<&str> = s.facts.left.unseen.iter().map(|(kind, _)| kind.as_str()).collect();
    let unseen = unseen.join(", ");
    if left.is_empty() {
        let message = format!(
            "nothing of the panel's is left; the namespace stays, because it cannot be told whether it holds {unseen}: they cannot be listed"
        );
        // Other words for the same state: the page need not know the difference.
        return Condition {
            reason: reasons::LEFT_OVER.to_owned(),
            ..is(kind, False, reasons::LEFT_UNSEEN, message, &[("unseen", Phrase::from(unseen))])
        };
    }
    let cannot_tell =
        if unseen.is_empty() { String::new() } else { format!("; it cannot be told whether it holds {unseen}") };
    let message =
        format!("nothing of the panel's is left; the namespace stays for {left}, made by {whose}{cannot_tell}");
    is(kind, False, reasons::LEFT_OVER, message, &[("left", Phrase::from(left)), ("whose", Phrase::from(whose))])
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wording_tests;
