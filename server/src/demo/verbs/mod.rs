//! The verbs, one a file: what each does, how long it takes, and its errors.
pub mod adopt;
pub mod client;
pub mod deploy;
pub mod inject;
pub mod load;
pub mod manifests;
pub mod revert;
pub mod route;
pub mod stop_all;
pub mod takeover;
pub mod teardown;
pub mod verify;
pub mod weights;
