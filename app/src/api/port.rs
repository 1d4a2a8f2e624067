//! The port the page acts through. The server implements it once, for the page and for `/api/demo/*` alike.
use crate::types::{
    ApiError, Frame, InjectRequest, LoadOrder, Namespace, Operation, Past, Preflight, RouteRequest, Shifted, Split,
    Status, StoppedAll, Traffic,
};
use std::sync::Arc;

/// Everything the page may ask for. `ns` is the demo's namespace; `by` says who asks (`browser 3f2a`, `curl`) and ends up in the log.
///
/// Verbs answer as soon as they are accepted; how far they are is told by [`Status::operation`] and the conditions.
#[async_trait::async_trait]
pub trait ControlPlane: Send + Sync + 'static {
    /// Id of this build. A page of another build reloads itself.
    fn build(&self) -> String;
    /// The state of the demo, at once and from memory. Errors only where the namespace cannot be looked at.
    async fn status(&self, ns: &Namespace) -> Result<Status, ApiError>;
    /// The last 60 s, oldest first, two frames a second; empty where nothing was measured.
    async fn history(&self, ns: &Namespace) -> Result<Vec<Frame>, ApiError>;
    /// Whether there is a Prometheus to ask for more than that.
    fn has_past(&self) -> bool;
    /// The last hour, as that Prometheus has it. Errors: there is none, or it does not answer.
    async fn past(&self, ns: &Namespace) -> Result<Past, ApiError>;
    /// The newest of what is measured; all 0 where nothing was.
    async fn traffic(&self, ns: &Namespace) -> Result<Traffic, ApiError>;
    /// What stands between the cluster and the demo; asks the cluster, changes nothing. What cannot be told is a line, not an error.
    async fn preflight(&self, ns: &Namespace) -> Result<Preflight, ApiError>;
    /// Makes Services, Deployments and the client.
    async fn deploy(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError>;
    /// Makes the client alone.
    async fn client(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError>;
    /// Adds or removes sidecars.
    async fn inject(&self, ns: &Namespace, by: &str, request: InjectRequest) -> Result<Operation, ApiError>;
    /// Makes or removes DestinationRule and VirtualService.
    async fn route(&self, ns: &Namespace, by: &str, request: RouteRequest) -> Result<Operation, ApiError>;
    /// Sets the weights; answers when every client-side proxy has them, or after 1 s.
    async fn weights(&self, ns: &Namespace, by: &str, split: Split) -> Result<Shifted, ApiError>;
    /// Takes over the weights another field manager wrote.
    async fn adopt(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError>;
    /// Puts back the weights the panel wrote last.
    async fn revert(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError>;
    /// Starts, changes or stops the load.
    async fn load(&self, ns: &Namespace, by: &str, order: LoadOrder) -> Result<Operation, ApiError>;
    /// Asks a pod from inside.
    async fn verify(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError>;
    /// Acts on the namespace in another panel's place.
    async fn take_over(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError>;
    /// Stops every generator of every namespace; answers when all clients have answered, or after 10 s at most.
    async fn stop_all(&self, by: &str) -> Result<StoppedAll, ApiError>;
    /// Removes everything of ours.
    async fn teardown(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError>;
}

/// The port as it is put into Leptos' context: `provide_context(plane.clone())`, for pages and for server functions.
pub type Plane = Arc<dyn ControlPlane>;
