//! The pages. A page owns what its controls do.
mod keys;
#[cfg(feature = "ssr")]
mod lonely;
mod rates;
mod shifting;
mod traffic;

#[cfg(feature = "ssr")]
pub use lonely::{Failed, NotFound};
pub use traffic::Panel;
