//! The page's way to the server: server functions, the live stream, and what this browser prefers.
mod browser;
#[cfg(not(feature = "ssr"))]
mod call;
#[cfg(feature = "ssr")]
mod error;
mod first;
mod live;
#[cfg(feature = "ssr")]
mod port;
mod prefs;
#[cfg(feature = "ssr")]
pub(crate) mod ssr;
#[cfg(feature = "ssr")]
mod verbs;

pub use browser::{browser_id, copy, keep_prefs, keep_stage};
#[cfg(not(feature = "ssr"))]
pub use call::{run, stop_all};
#[cfg(feature = "ssr")]
pub use error::CallError;
#[cfg(feature = "ssr")]
pub use first::{First, first, prepare};
pub use first::{HAND_OVER, Snapshot};
pub use live::{Link, Live, browser_now_ms, use_live};
#[cfg(feature = "ssr")]
pub use port::{ControlPlane, Plane};
pub use prefs::{Prefs, STAGE, Tab, Theme, is_stage, prefs};
#[cfg(feature = "ssr")]
pub use ssr::parameter;

/// Runs a verb: the page drawn by the server asks for nothing.
#[cfg(feature = "ssr")]
pub async fn run(ns: wire::Namespace, browser: String, command: wire::Command) -> Result<(), wire::ApiError> {
    verbs::run(ns, browser, command).await.map_err(|error| error.0)
}

/// Stops the load of every namespace: the page drawn by the server asks for nothing.
#[cfg(feature = "ssr")]
pub async fn stop_all(browser: String) -> Result<(), wire::ApiError> {
    verbs::stop_all(browser).await.map_err(|error| error.0)
}
