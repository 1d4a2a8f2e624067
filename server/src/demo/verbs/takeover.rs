//! Takes a namespace over from another panel. Answers when it is done. Errors: `not_found` where no other panel holds it.
use crate::demo::errors::api_error;
use crate::demo::namespace::facts::Line;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::pollers::lease::keep;
use crate::demo::view::commands;
use crate::k8s::{Held, LeaseLock, Seize};
use app::text::messages::{causes, errors, log, steps};
use wire::{ApiError, Code, Operation, Verb};

/// Seizes the Lease.
pub async fn take_over(state: &NamespaceState, by: &str) -> Result<Operation, ApiError> {
    let before = state.facts.borrow().held.clone();
    let (Some(me), Held::Other { holder, .. }) = (state.identity.as_deref(), &before) else {
        return Err(ApiError::new(Code::NotFound, errors::no_other_panel(), errors::nothing_to_take_over()));
    };
    let mut lock = LeaseLock::new(&state.cluster, state.ns.as_str(), me);
    let held = lock.hold(Seize::Clicked).await.map_err(|e| api_error(causes::take_lease_over(), &e))?;
    keep(state, held);
    let command = commands::takeover(state, me);
    let mut operation = None;
    state.facts.send_modify(|f| {
        f.note(Line {
            by: by.to_owned(),
            verb: Some(Verb::Takeover),
            what: log::take_over(holder.as_str()),
            command,
            ..Line::default()
        });
        operation = Some(f.aside(Verb::Takeover, by, &steps::done()));
    });
    operation.ok_or_else(|| ApiError::new(Code::Internal, errors::nothing_done(), errors::try_again()))
}
