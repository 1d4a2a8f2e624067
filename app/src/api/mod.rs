//! The page's way to the server.
#[cfg(feature = "ssr")]
mod port;

#[cfg(feature = "ssr")]
pub use port::{ControlPlane, Plane};
