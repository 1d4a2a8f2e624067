//! Adds or removes sidecars: an explicit `"true"` or `"false"` on the pod templates, then a rollout.
//! Accepted at once; pods are replaced one by one. Errors: `not_deployed`; later, in the operation: `not_ours`, `refused`, `timeout`.
use crate::demo::namespace::facts::Line;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::objects::Id;
use crate::demo::plan::observe::observe;
use crate::demo::plan::{Goal, Presence};
use crate::demo::view::commands;
use app::text::messages::{errors, log};
use wire::{ApiError, Code, InjectRequest, Operation, Verb};

/// The workloads that are named; without names, those of the three that are there.
pub async fn inject(state: &NamespaceState, by: &str, request: InjectRequest) -> Result<Operation, ApiError> {
    let seen = observe(&*state.settled().await?);
    let there = |id: &Id| seen.objects.get(id).is_some_and(|o| o.presence != Presence::Absent);
    let all = [Id::V1, Id::V2, Id::CLIENT];
    let ids: Vec<Id> = match &request.workloads {
        Some(names) => names.iter().map(|name| Id::of(*name)).collect(),
        None => all.into_iter().filter(there).collect(),
    };
    if request.workloads.as_ref().is_some_and(Vec::is_empty) {
        return Err(ApiError::new(Code::BadRequest, errors::no_workloads(), errors::name_workloads()));
    }
    if let Some(absent) = ids.iter().find(|id| !there(id)).or(if ids.is_empty() { Some(&Id::V1) } else { None }) {
        return Err(ApiError::new(
            Code::NotDeployed,
            errors::nothing_to_inject(absent.to_string()),
            errors::deploy_first(),
        ));
    }
    let names: Vec<&str> = ids.iter().map(|id| id.name).collect();
    let what = if request.inject { log::inject(names.join(", ")) } else { log::uninject(names.join(", ")) };
    let command = commands::inject(state, &names, request.inject);
    let goal = Goal { inject: ids.into_iter().map(|id| (id, request.inject)).collect(), ..Goal::default() };
    Ok(state.pursue(
        Verb::Inject,
        by,
        goal,
        Line { by: by.to_owned(), verb: Some(Verb::Inject), what, command, ..Line::default() },
    ))
}
