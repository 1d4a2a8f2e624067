//! Starts, changes or stops the load: the load agent's poller tells the agent. The operation's step says how much of it is granted where the
//! cap on all load together takes something away. Errors: `no_client`, `cluster_unreachable`, `bad_request`, `too_many_requests`.
use crate::demo::errors::no_client;
use crate::demo::namespace::facts::Line;
use crate::demo::namespace::state::{NamespaceState, ToAgent};
use crate::demo::view::commands;
use app::text::messages::{errors, log, steps};
use std::time::Duration;
use tokio::sync::oneshot;
use wire::{ApiError, Code, LoadOrder, Operation, Verb};

/// Answers when the agent has taken it.
pub async fn load(state: &NamespaceState, by: &str, order: LoadOrder) -> Result<Operation, ApiError> {
    let rate = order.rate.per_second();
    let requests = order.requests;
    let command = commands::load_of(state, &serde_json::to_string(&order).unwrap_or_default());
    let (answer, taken) = oneshot::channel();
    let gone = || ApiError::new(Code::ClusterUnreachable, errors::client_silent(), errors::asked_again());
    if state.stop.is_cancelled() && rate > 0 {
        // Nothing runs where there is no such namespace.
        return Err(no_client());
    }
    // One that just woke up has yet to find its client.
    let _ = state.looked_at(|look| look.agent).await;
    state.to_agent.send(ToAgent::Load(order, answer)).await.map_err(|_| gone())?;
    let outcome = match tokio::time::timeout(Duration::from_secs(5), taken).await {
        Ok(Ok(outcome)) => outcome,
        _ => Err(gone()),
    };
    let what = match requests {
        _ if rate == 0 => log::load_off(),
        Some(n) => log::load_of(n.to_string(), rate.to_string()),
        None => log::load(rate.to_string()),
    };
    let mut operation = None;
    state.facts.send_modify(|f| {
        let line = Line {
            by: by.to_owned(),
            verb: Some(Verb::Load),
            what,
            command,
            error: outcome.as_ref().err().cloned(),
            ..Line::default()
        };
        f.note(line);
        let step = match &outcome {
            Ok(granted) if granted.is_cut() => {
                steps::granted(granted.rate.per_second().to_string(), granted.of.per_second().to_string())
            }
            _ => steps::done(),
        };
        operation = Some(f.aside(Verb::Load, by, &step));
    });
    outcome?;
    operation.ok_or_else(gone)
}
