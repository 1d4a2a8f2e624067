//! Server functions: what the page asks for, handed to the [`super::ControlPlane`]. POST and JSON alone.
use crate::types::{ApiError, Frame, InjectRequest, LoadRequest, Namespace, Operation, RouteRequest, Shifted, Split, Status};
use leptos::prelude::*;
use leptos::server_fn::codec::Json;
use serde::{Deserialize, Serialize};

/// All a page shows before its first event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Id of the server's build.
    pub build: String,
    /// The server's clock: milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The demo's state.
    pub status: Status,
    /// The last 60 s, oldest first, at most two frames a second.
    pub history: Vec<Frame>,
}

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
    /// Remove everything of ours.
    Teardown,
}

/// The page's first state. Errors: the namespace cannot be looked at.
#[server(name = SnapshotCall, prefix = "/api/ui", endpoint = "snapshot", input = Json)]
pub async fn snapshot(ns: Namespace) -> Result<Snapshot, ApiError> {
    let plane = super::ssr::plane()?;
    let (build, now_ms) = (plane.build(), super::ssr::now_ms());
    Ok(Snapshot { build, now_ms, status: plane.status(&ns).await?, history: plane.history(&ns).await? })
}

/// Starts a verb. Answers when it is accepted; [`Status::operation`] tells how far it is.
#[server(name = AskCall, prefix = "/api/ui", endpoint = "ask", input = Json)]
pub async fn ask(ns: Namespace, browser: String, what: Ask) -> Result<Operation, ApiError> {
    let (plane, by) = (super::ssr::plane()?, super::ssr::by(&browser));
    match what {
        Ask::Deploy => plane.deploy(&ns, &by).await,
        Ask::Client => plane.client(&ns, &by).await,
        Ask::Verify => plane.verify(&ns, &by).await,
        Ask::Inject(request) => plane.inject(&ns, &by, request).await,
        Ask::Route(request) => plane.route(&ns, &by, request).await,
        Ask::Adopt => plane.adopt(&ns, &by).await,
        Ask::Revert => plane.revert(&ns, &by).await,
        Ask::Load(request) => plane.load(&ns, &by, request).await,
        Ask::Teardown => plane.teardown(&ns, &by).await,
    }
    .inspect_err(super::ssr::answer_with)
}

/// Moves requests between versions. Answers when every client-side proxy has the weights, or after 1 s.
#[server(name = ShiftCall, prefix = "/api/ui", endpoint = "shift", input = Json)]
pub async fn shift(ns: Namespace, browser: String, to: Split) -> Result<Shifted, ApiError> {
    let (plane, by) = (super::ssr::plane()?, super::ssr::by(&browser));
    plane.weights(&ns, &by, to).await.inspect_err(super::ssr::answer_with)
}
