//! The pages. A page owns what its controls do.
mod keys;
#[cfg(feature = "ssr")]
mod lonely;
#[cfg(feature = "ssr")]
mod past;
#[cfg(feature = "ssr")]
mod preflight;
mod rates;
mod shifting;
#[cfg(feature = "ssr")]
mod sign_in;
mod traffic;

#[cfg(feature = "ssr")]
pub use lonely::{Failed, NotFound};
#[cfg(feature = "ssr")]
pub use past::PastPage;
#[cfg(feature = "ssr")]
pub use preflight::PreflightPage;
#[cfg(feature = "ssr")]
pub use sign_in::SignIn;
pub use traffic::Panel;
