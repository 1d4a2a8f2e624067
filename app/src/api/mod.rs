//! The page's way to the server: server functions, the live stream, and what this browser prefers.
mod browser;
mod error;
mod first;
mod live;
#[cfg(feature = "ssr")]
mod port;
mod prefs;
#[cfg(feature = "ssr")]
pub(crate) mod ssr;
mod verbs;

pub use browser::{browser_id, copy, keep_prefs};
pub use error::CallError;
#[cfg(feature = "ssr")]
pub use first::{First, first, prepare};
pub use first::{HAND_OVER, Snapshot};
pub use live::{Link, Live, browser_now_ms, use_live};
#[cfg(feature = "ssr")]
pub use port::{ControlPlane, Plane};
pub use prefs::{Prefs, Theme, prefs};
#[cfg(feature = "ssr")]
pub use ssr::parameter;
pub use verbs::{run, stop_all};
