//! Puts back the weights the panel wrote last, over another manager's. Errors: as `adopt`.
use crate::demo::namespace::state::Space;
use crate::demo::verbs::adopt::take;
use wire::{ApiError, Operation, Verb};

/// Ours again.
pub async fn revert(space: &Space, by: &str) -> Result<Operation, ApiError> {
    take(space, by, Verb::Revert).await
}
