//! Puts back the weights the panel wrote last, over another manager's. Errors: as `adopt`.
use super::adopt::take;
use super::space::Space;
use wire::{ApiError, Operation, Verb};

/// Ours again.
pub async fn revert(space: &Space, by: &str) -> Result<Operation, ApiError> {
    take(space, by, Verb::Revert).await
}
