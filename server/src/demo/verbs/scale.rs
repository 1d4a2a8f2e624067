//! Sets how many pods a workload has. Answers when the cluster has taken it; the pods follow. Errors: `not_deployed`, `not_ours`, `refused`.
use crate::demo::errors::{failed, not_ours};
use crate::demo::namespace::facts::Line;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::objects::Id;
use crate::demo::plan::Presence;
use crate::demo::plan::observe::observe;
use crate::demo::view::commands;
use app::text::messages::{causes, errors, log, steps};
use wire::{ApiError, Code, Operation, ScaleRequest, Verb};

/// One of the demo's Deployments.
pub async fn scale(state: &NamespaceState, by: &str, request: ScaleRequest) -> Result<Operation, ApiError> {
    let id = Id::of(request.workload);
    match observe(&*state.settled().await?).objects.get(&id).map(|object| object.presence) {
        Some(Presence::Ours) => {}
        Some(Presence::Foreign) => return Err(not_ours(id)),
        Some(Presence::Absent | Presence::Terminating) | None => {
            return Err(ApiError::new(
                Code::NotDeployed,
                errors::nothing_to_scale(id.to_string()),
                errors::deploy_first(),
            ));
        }
    }
    let replicas = request.replicas;
    state
        .writer
        .scale(id.kind, state.ns.as_str(), id.name, replicas)
        .await
        .map_err(|e| failed(causes::scale(id.to_string()), &e))?;
    let line = Line {
        by: by.to_owned(),
        verb: Some(Verb::Scale),
        what: log::scale(id.name, replicas.to_string()),
        command: commands::scale(state, id, &replicas.to_string()),
        ..Line::default()
    };
    let mut operation = None;
    state.facts.send_modify(|f| {
        f.note(line);
        operation = Some(f.aside(Verb::Scale, by, &steps::done()));
    });
    operation.ok_or_else(|| ApiError::new(Code::Internal, errors::nothing_done(), errors::try_again()))
}
