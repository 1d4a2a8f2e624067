//! Server functions: what the page asks for, handed to the [`super::ControlPlane`]. POST and JSON alone. The browser calls them in
//! [`super::call`].
use super::error::CallError;
use leptos::prelude::*;
use leptos::server_fn::codec::Json;
use wire::{Command, Namespace};

/// Runs a verb. Answers when it is accepted; [`wire::Status::operation`] shows its progress. Weights are answered when every client-side
/// proxy has them, or after 1 s.
#[server(name = RunCall, prefix = "/api/ui", endpoint = "run", input = Json)]
pub async fn run(ns: Namespace, browser: String, command: Command) -> Result<(), CallError> {
    let (plane, by) = (super::ssr::plane()?, super::ssr::by(&browser));
    plane.run(&ns, &by, command).await.map(drop).map_err(super::ssr::answer_with)
}

/// Stops the load of every namespace. Errors: a namespace's load may run on.
#[server(name = StopAllCall, prefix = "/api/ui", endpoint = "stop-all", input = Json)]
pub async fn stop_all(browser: String) -> Result<(), CallError> {
    use crate::text::messages::errors;
    let (plane, by) = (super::ssr::plane()?, super::ssr::by(&browser));
    let report = plane.stop_all(&by).await.map_err(super::ssr::answer_with)?;
    if report.failed.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = report.failed.iter().map(ToString::to_string).collect();
    Err(super::ssr::answer_with(wire::ApiError::new(
        wire::Code::Timeout,
        errors::clients_silent(names.join(", ")),
        errors::may_run_on(),
    )))
}
