//! Makes DestinationRule and VirtualService (50/50), or removes them. Accepted at once.
//! Errors later, in the operation: `not_ours`, `not_found` where Istio's kinds are not served.
use crate::demo::namespace::facts::Line;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::plan::Goal;
use crate::demo::view::commands::{Part, apply, unroute};
use app::text::messages::log;
use wire::{ApiError, Operation, RouteRequest, Verb};

/// The route, there or not.
pub fn route(state: &NamespaceState, by: &str, request: RouteRequest) -> Result<Operation, ApiError> {
    let goal = Goal { route: Some(request.present), ..Goal::default() };
    let (what, command) = if request.present {
        (log::create_route(), apply(state, Part::Route))
    } else {
        (log::remove_route(), unroute(state))
    };
    let line = Line { by: by.to_owned(), verb: Some(Verb::Route), what, command, ..Line::default() };
    Ok(state.pursue(Verb::Route, by, goal, line))
}
