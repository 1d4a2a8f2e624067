//! The pages. A page owns what its controls do.
mod keys;
#[cfg(feature = "ssr")]
mod lonely;
#[cfg(feature = "ssr")]
mod preflight;
mod rates;
mod shifting;
mod traffic;

#[cfg(feature = "ssr")]
pub use lonely::{Failed, NotFound};
#[cfg(feature = "ssr")]
pub use preflight::PreflightPage;
pub use traffic::Panel;
