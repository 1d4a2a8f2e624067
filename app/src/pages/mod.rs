//! The pages. A page owns its resources and what its controls do.
mod keys;
mod not_found;
mod rates;
mod shifting;
mod traffic;

pub use not_found::NotFound;
pub use traffic::Traffic;
