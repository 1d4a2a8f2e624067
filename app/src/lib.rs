//! The panel's page, for server and browser.
pub mod api;
pub mod types;
