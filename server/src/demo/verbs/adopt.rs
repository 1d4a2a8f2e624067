//! Takes over the weights another manager wrote: a forced apply of what is shown. Accepted when it is done.
//! Errors: `not_found` where nobody else owns the route, `refused`.
use crate::demo::namespace::state::NamespaceState;
use crate::demo::verbs::weights::{Force, shift};
use crate::demo::view::status;
use crate::demo::virtual_service;
use app::text::Message;
use app::text::messages::{errors, steps};
use tokio::time::Instant;
use wire::{ApiError, Code, Operation, Split, Verb};

/// Theirs becomes ours.
pub async fn adopt(state: &NamespaceState, by: &str) -> Result<Operation, ApiError> {
    take(state, by, Verb::Adopt).await
}

/// Takes the route over, with their weights or with ours.
pub async fn take(state: &NamespaceState, by: &str, verb: Verb) -> Result<Operation, ApiError> {
    let asked = Instant::now();
    let _turn = state.route_turn.lock().await;
    let cache = state.looked_at(|look| look.proxies).await?;
    let ns = state.ns.as_str();
    let claim = virtual_service::find(&cache, ns).and_then(|seen| status::claim(seen, ns, &state.facts.borrow()));
    let Some(claim) = claim else {
        return Err(ApiError::new(Code::NotFound, errors::route_not_others(), errors::nothing_to_adopt()));
    };
    let split = if verb == Verb::Adopt { claim.theirs } else { claim.ours };
    let split = split
        .or_else(|| Split::v1_v2(50).ok())
        .ok_or_else(|| ApiError::new(Code::NotFound, errors::no_weights(), errors::set_instead()))?;
    let mut begun = None;
    state
        .facts
        .send_modify(|f| begun = Some(f.begin_if_idle(verb, by, &steps::taking_over_route(claim.manager.as_str()))));
    let operation =
        begun.unwrap_or_else(|| crate::demo::namespace::facts::Facts::default().begin(verb, by, &Message::default()));
    let outcome = shift(state, by, &split, asked, Force::Clicked).await;
    state.facts.send_modify(|f| f.end(operation.id, outcome.as_ref().err().cloned()));
    outcome.map(|_| operation)
}
