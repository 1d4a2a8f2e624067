//! The whole embedded cluster as its users see it: API over TLS, controllers, a node with real child processes.
mod capacity;
mod fixture;
mod kubectl;
mod restart;
mod workloads;
