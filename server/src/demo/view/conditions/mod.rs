//! What is so, from facts. Pure; the words stand in `app::text::messages::conditions`.
pub mod blockers;
mod route;
pub mod scene;
mod sidecar_counts;
mod workloads;

use crate::demo::clock::clock;
use crate::demo::errors::silence;
use crate::demo::namespace::facts::{Agent, Left, Short};
use crate::demo::plan::Presence;
use app::text::Message;
use app::text::messages::{causes, conditions as said};
use blockers::{held, namespace_free, permitted, pods_run};
use route::{acknowledged, route_honoured, route_ours, route_present, weights_apply};
use scene::Scene;
use sidecar_counts::sidecars_count;
use wire::ConditionStatus::{False, True, Unknown};
use wire::{Condition, kinds};
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
    let (status, message) = match &s.reach.failing {
        Some((since_ms, why)) if s.reach.refused => {
            (False, said::credentials_refused(silence(why)).with("since", clock(*since_ms)))
        }
        None if s.reach.slow_until_ms.is_some() => (Unknown, said::slowed_down()),
        None => (True, said::reachable()),
        Some((since_ms, why)) => (False, said::unreachable(clock(*since_ms), silence(why))),
    };
    message.condition(kinds::CLUSTER_REACHABLE, status)
}

fn verified(s: &Scene) -> Condition {
    let (status, message) = match &s.facts.verified {
        None => (Unknown, said::not_verified()),
        Some(Ok((path, ms))) => (True, said::verified(path, ms.to_string())),
        Some(Err(why)) => (False, said::verify_failed(why)),
    };
    message.condition(kinds::VERIFIED, status)
}

fn load_running(s: &Scene) -> Condition {
    let granted = &s.facts.granted;
    let rate = s.facts.load.per_second();
    let (status, message) = match &s.facts.agent {
        Agent::Unreachable(why) => (Unknown, said::agent_unreachable(why)),
        _ if rate == 0 => (False, said::load_stopped()),
        Agent::Absent => (False, said::load_without_client(rate.to_string())),
        Agent::Connected { short: Some((short, achieved)) } => {
            let target = if granted.is_cut() { granted.rate.per_second() } else { rate };
            let (target, achieved) = (target.to_string(), achieved.to_string());
            let message = match short {
                Short::Machine => said::generator_limited(target, achieved),
                Short::Target => said::target_saturated(target, achieved),
            };
            (True, message)
        }
        _ if granted.is_cut() => {
            let [granted, of] = [granted.rate, granted.of].map(|rate| rate.per_second().to_string());
            (True, said::load_capped(of, granted))
        }
        _ => (True, said::load_running(rate.to_string())),
    };
    message.condition(kinds::LOAD_RUNNING, status)
}

/// Left-overs that are named; a namespace that others use may hold thousands.
const MOST_NAMED: usize = 10;

fn clean(s: &Scene) -> Condition {
    let ours = s.observed.objects.iter().filter(|(_, o)| matches!(o.presence, Presence::Ours | Presence::Terminating));
    let mut left: Vec<String> = ours.map(|(id, _)| id.to_string()).collect();
    left.extend(s.observed.pods.iter().map(|p| format!("pod/{p}")));
    left.extend(s.observed.strays.iter().map(|(kind, name, _)| format!("{}/{name}", kind.word())));
    let none = left.is_empty();
    let left = left.join(", ");
    let (status, message) = match s.facts.goal.teardown {
        true if none => (False, said::cleaning_check().with("left", left)),
        true => (False, said::cleaning(left)),
        false if !none => (False, said::in_use().with("left", left)),
        false if s.facts.left.is_empty() => (True, said::clean()),
        false => (False, left_over(&s.facts.left)),
    };
    message.condition(kinds::CLEAN, status)
}

fn left_over(left: &Left) -> Message {
    let (what, mut whose): (Vec<String>, Vec<String>) = left.theirs.iter().cloned().unzip();
    let more = what.len().saturating_sub(MOST_NAMED);
    let named = what.into_iter().take(MOST_NAMED).map(Message::from);
    let what = Message::listed(named.chain((more > 0).then(|| causes::and_more(more.to_string()))));
    whose.sort();
    whose.dedup();
    let whose = Message::listed(whose.into_iter().map(Message::from));
    let unseen = Message::listed(left.unseen.iter().map(|(kind, _)| Message::from(kind)));
    match (what.is_empty(), unseen.is_empty()) {
        (true, _) => said::left_unseen(unseen),
        (false, true) => said::left_over(what, whose),
        (false, false) => said::left_over_and_unseen(what, whose, unseen),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wording_tests;
