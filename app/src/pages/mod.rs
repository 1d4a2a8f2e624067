//! The pages. A page owns what its controls do.
#[cfg(feature = "ssr")]
mod error;
#[cfg(feature = "ssr")]
mod history;
mod keys;
#[cfg(feature = "ssr")]
mod preflight;
mod rates;
mod shifting;
#[cfg(feature = "ssr")]
mod sign_in;
mod traffic;

#[cfg(feature = "ssr")]
pub use error::{Failed, NotFound};
#[cfg(feature = "ssr")]
pub use history::PastPage;
#[cfg(feature = "ssr")]
pub use preflight::PreflightPage;
#[cfg(feature = "ssr")]
pub use sign_in::SignIn;
pub use traffic::Panel;
