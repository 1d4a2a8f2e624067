//! Makes Services, Deployments and the client. Accepted at once; pods take about a second. Repeating it changes nothing,
//! but brings back what was scaled to 0. Errors later, in the operation: `not_ours`, `refused`, `timeout`.
use crate::demo::namespace::facts::Line;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::objects::Id;
use crate::demo::plan::Goal;
use crate::demo::view::commands::{Part, apply};
use app::text::messages::log;
use wire::{ApiError, Operation, Verb};

/// The whole demo but its route.
pub fn deploy(state: &NamespaceState, by: &str) -> Result<Operation, ApiError> {
    let goal =
        Goal { present: [Id::SERVICE, Id::V1, Id::V2, Id::CLIENT_SERVICE, Id::CLIENT].into(), ..Goal::default() };
    state.facts.send_modify(|f| f.left = Default::default());
    let line = Line {
        by: by.to_owned(),
        verb: Some(Verb::Deploy),
        what: log::deploy(),
        command: apply(state, Part::Deploy),
        ..Line::default()
    };
    Ok(state.pursue(Verb::Deploy, by, goal, line))
}
