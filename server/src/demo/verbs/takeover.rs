//! Takes a namespace over from another panel. Answers when it is done. Errors: `not_found` where no other panel holds it.
use crate::demo::namespace::facts::Line;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::pollers::lease::keep;
use crate::demo::view::commands;
use crate::k8s::{Held, LeaseLock, Seize, api_error};
use app::text::phrases;
use wire::{ApiError, Code, Operation, Verb};

/// Seizes the Lease.
pub async fn take_over(state: &NamespaceState, by: &str) -> Result<Operation, ApiError> {
    let before = state.facts.borrow().held.clone();
    let (Some(me), Held::Other { holder, .. }) = (state.identity.as_deref(), &before) else {
        return Err(ApiError::new(
            Code::NotFound,
            "No other panel acts on this namespace.",
            "There is nothing to take over.",
        ));
    };
    let mut lock = LeaseLock::new(&state.cluster, state.ns.as_str(), me);
    let held = lock.hold(Seize::Clicked).await.map_err(|e| api_error("take over the Lease", &e))?;
    keep(state, held);
    let command = commands::takeover(state, me);
    let mut operation = None;
    state.facts.send_modify(|f| {
        f.note(Line {
            by: by.to_owned(),
            verb: Some(Verb::Takeover),
            what: phrases::take_over(holder.as_str()),
            command,
            ..Line::default()
        });
        operation = Some(f.aside(Verb::Takeover, by, &phrases::done()));
    });
    operation.ok_or_else(|| ApiError::new(Code::Internal, "Nothing was done.", "Try again."))
}
