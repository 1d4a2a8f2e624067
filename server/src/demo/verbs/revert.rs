//! Puts back the weights the panel wrote last, over another manager's. Errors: as `adopt`.
use crate::demo::namespace::state::NamespaceState;
use crate::demo::verbs::adopt::take;
use wire::{ApiError, Operation, Verb};

/// Ours again.
pub async fn revert(state: &NamespaceState, by: &str) -> Result<Operation, ApiError> {
    take(state, by, Verb::Revert).await
}
