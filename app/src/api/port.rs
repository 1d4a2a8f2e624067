//! The port the page acts through. The server implements it once, for the page and for `/api/demo/*` alike.
use std::sync::Arc;
use wire::{
    ApiError, Command, DashboardQuery, Dashboards, Frame, LastHour, Namespace, Outcome, Preflight, Status, StoppedAll,
    Traffic,
};

/// Everything the page may ask for. `ns` is the demo's namespace; `by` says who asks (`browser 3f2a`, `curl`) and ends up in the log.
///
/// Verbs answer as soon as they are accepted; [`Status::operation`] and the conditions show their progress.
#[async_trait::async_trait]
pub trait ControlPlane: Send + Sync + 'static {
    /// Id of this build. A page of another build reloads itself.
    fn build(&self) -> String;
    /// The state of the demo, at once and from memory. Errors only where the namespace cannot be looked at.
    async fn status(&self, ns: &Namespace) -> Result<Status, ApiError>;
    /// The last 60 s, oldest first, two frames a second; empty where nothing was measured.
    async fn recent_frames(&self, ns: &Namespace) -> Result<Vec<Frame>, ApiError>;
    /// What the sidecars counted in a span of the last hour. Errors: a Prometheus was named and does not answer.
    async fn dashboards(&self, ns: &Namespace, query: &DashboardQuery) -> Result<Dashboards, ApiError>;
    /// The last hour, as the Prometheus that was named has it. Errors: there is none, or it does not answer.
    async fn last_hour(&self, ns: &Namespace) -> Result<LastHour, ApiError>;
    /// The newest of what is measured; all 0 where nothing was.
    async fn traffic(&self, ns: &Namespace) -> Result<Traffic, ApiError>;
    /// What stands between the cluster and the demo; asks the cluster, changes nothing. What cannot be told is a line, not an error.
    async fn preflight(&self, ns: &Namespace) -> Result<Preflight, ApiError>;
    /// Runs a verb. Each says in [`wire::Verb`] what it does.
    async fn run(&self, ns: &Namespace, by: &str, command: Command) -> Result<Outcome, ApiError>;
    /// Stops every generator of every namespace; answers when all clients have answered, or after 10 s at most.
    async fn stop_all(&self, by: &str) -> Result<StoppedAll, ApiError>;
}

/// The port as it is put into Leptos' context: `provide_context(plane.clone())`, for pages and for server functions.
pub type Plane = Arc<dyn ControlPlane>;
