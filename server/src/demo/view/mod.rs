//! What people see of the state: status, conditions, traffic, commands.
pub mod commands;
pub mod conditions;
pub mod dashboards;
pub mod failing;
pub mod lesson;
pub mod status;
pub mod traffic;
pub mod verdict;
