//! Makes the load client alone. Accepted at once. Errors later, in the operation: `not_ours`, `refused`, `timeout`.
use crate::demo::namespace::facts::Line;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::objects::Id;
use crate::demo::plan::Goal;
use crate::demo::view::commands::{Part, apply};
use app::text::messages::log;
use wire::{ApiError, Operation, Verb};

/// The client's Service and Deployment.
pub fn client(state: &NamespaceState, by: &str) -> Result<Operation, ApiError> {
    let goal = Goal { present: [Id::CLIENT_SERVICE, Id::CLIENT].into(), ..Goal::default() };
    let line = Line {
        by: by.to_owned(),
        verb: Some(Verb::Client),
        what: log::client(),
        command: apply(state, Part::Client),
        ..Line::default()
    };
    Ok(state.pursue(Verb::Client, by, goal, line))
}
