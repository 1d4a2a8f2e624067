//! What the panel knows of each namespace, and what keeps that up to date.
pub mod counters;
pub mod facts;
pub mod object;
pub mod rate_shares;
pub mod registry;
pub mod runner;
pub mod state;
pub mod termination;
