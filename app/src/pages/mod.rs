//! The pages. A page owns what its controls do.
#[cfg(feature = "ssr")]
mod dashboards;
#[cfg(feature = "ssr")]
mod error;
mod keys;
#[cfg(feature = "ssr")]
mod preflight;
mod rates;
mod shifting;
#[cfg(feature = "ssr")]
mod sign_in;
mod traffic;

#[cfg(feature = "ssr")]
pub use dashboards::DashboardsPage;
#[cfg(feature = "ssr")]
pub use error::{Failed, NotFound};
#[cfg(feature = "ssr")]
pub use preflight::PreflightPage;
#[cfg(feature = "ssr")]
pub use sign_in::SignIn;
pub use traffic::Panel;
