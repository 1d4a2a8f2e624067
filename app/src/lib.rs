//! The panel's page, for server and browser.
pub mod types;
