//! What a verb answers.
use crate::{Operation, Shifted};

/// What became of a [`crate::Command`].
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is accepted, and its operation is under way or done.
    Accepted(Operation),
    /// The weights are written.
    Shifted(Shifted),
}
