//! Server functions: what the page asks for, handed to the [`super::ControlPlane`]. POST and JSON alone.
use crate::types::{ApiError, InjectRequest, LoadRequest, Namespace, RouteRequest, Split};
use leptos::prelude::*;
use leptos::server_fn::codec::Json;
use serde::{Deserialize, Serialize};

/// What people can ask for, but for moving the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Make everything.
    Deploy,
    /// Make the client alone.
    Client,
    /// Ask a pod from inside.
    Verify,
    /// Add or remove sidecars.
    Inject(InjectRequest),
    /// Make or remove the route.
    Route(RouteRequest),
    /// Take over what another manager wrote.
    Adopt,
    /// Put back what the panel wrote.
    Revert,
    /// Start, change or stop the load.
    Load(LoadRequest),
    /// Act in another panel's place.
    Takeover,
    /// Remove everything of ours.
    Teardown,
    /// Stop the load of every namespace.
    StopAll,
}

/// Starts a verb. Answers when it is accepted; [`crate::types::Status::operation`] tells how far it is.
#[server(name = AskCall, prefix = "/api/ui", endpoint = "ask", input = Json)]
pub async fn ask(ns: Namespace, browser: String, what: Ask) -> Result<(), ApiError> {
    let (plane, by) = (super::ssr::plane()?, super::ssr::by(&browser));
    if what == Ask::StopAll {
        return stop_all(&*plane, &by).await.inspect_err(super::ssr::answer_with);
    }
    match what {
        Ask::Deploy => plane.deploy(&ns, &by).await,
        Ask::Client => plane.client(&ns, &by).await,
        Ask::Verify => plane.verify(&ns, &by).await,
        Ask::Inject(request) => plane.inject(&ns, &by, request).await,
        Ask::Route(request) => plane.route(&ns, &by, request).await,
        Ask::Adopt => plane.adopt(&ns, &by).await,
        Ask::Revert => plane.revert(&ns, &by).await,
        Ask::Load(request) => plane.load(&ns, &by, request.into()).await,
        Ask::Takeover => plane.take_over(&ns, &by).await,
        Ask::Teardown => plane.teardown(&ns, &by).await,
        Ask::StopAll => return Ok(()),
    }
    .map(drop)
    .inspect_err(super::ssr::answer_with)
}

/// Errors: a namespace's load may run on.
#[cfg(feature = "ssr")]
async fn stop_all(plane: &dyn super::ControlPlane, by: &str) -> Result<(), ApiError> {
    let told = plane.stop_all(by).await?;
    if told.failed.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = told.failed.iter().map(ToString::to_string).collect();
    Err(ApiError::new(
        crate::types::Code::Timeout,
        format!("The load client does not answer in {}.", names.join(", ")),
        "Its load may run on: try again, or delete its pod.",
    ))
}

/// Moves requests between versions. Answers when every client-side proxy has the weights, or after 1 s; how long it took is in the log.
#[server(name = ShiftCall, prefix = "/api/ui", endpoint = "shift", input = Json)]
pub async fn shift(ns: Namespace, browser: String, to: Split) -> Result<(), ApiError> {
    let (plane, by) = (super::ssr::plane()?, super::ssr::by(&browser));
    plane.weights(&ns, &by, to).await.map(drop).inspect_err(super::ssr::answer_with)
}
