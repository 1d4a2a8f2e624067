//! Asks a pod from inside: `curl http://127.0.0.1:7777/env/PATH` in a flaskapp pod, through the API server.
//! Answers when the pod has, or after 10 s; what it said is the condition `Verified`. Errors: `not_deployed`.
use crate::demo::errors::api_error;
use crate::demo::namespace::facts::Line;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::plan::observe::demo_pods;
use crate::demo::view::commands;
use crate::k8s::exec;
use app::text::Message;
use app::text::messages::{causes, errors, log, steps};
use std::time::Instant;
use wire::{ApiError, Code, Operation, Verb};

const COMMAND: [&str; 3] = ["curl", "-s", "http://127.0.0.1:7777/env/PATH"];

/// Runs the command and waits for its end, at most 10 s.
pub async fn verify(state: &NamespaceState, by: &str) -> Result<Operation, ApiError> {
    let pods = demo_pods(&*state.settled().await?);
    let Some(pod) = pods.iter().filter(|p| p.app == "flaskapp" && !p.terminating).max_by_key(|p| p.ready) else {
        return Err(ApiError::new(Code::NotDeployed, errors::no_pod_to_ask(), errors::deploy_first()));
    };
    let name = pod.view.name.clone();
    let command = commands::verify(state, &name);
    let line = Line {
        by: by.to_owned(),
        verb: Some(Verb::Verify),
        what: log::verify(name.as_str()),
        command,
        ..Line::default()
    };
    let (mut operation, mut entry) = (None, 0);
    state.facts.send_modify(|f| {
        entry = f.note(line);
        // A verb that runs keeps its place: asking a pod changes nothing.
        operation = Some(f.begin_if_idle(Verb::Verify, by, &steps::asking(name.as_str())));
    });
    let operation = operation.unwrap_or_else(|| {
        crate::demo::namespace::facts::Facts::default().begin(Verb::Verify, by, &Message::default())
    });
    let began = Instant::now();
    let outcome = match exec(&state.cluster, state.ns.as_str(), &name, "flaskapp", &COMMAND).await {
        Ok(said) if said.success && !said.stdout.trim().is_empty() => {
            Ok((said.stdout.trim().to_owned(), u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)))
        }
        Ok(said) => Err(Message::from(format!("{} {}", said.stderr.trim(), said.stdout.trim()).trim())),
        Err(error) => {
            let error = api_error(causes::run_command(&name), &error);
            Err(Message::worded(error.message, error.zh))
        }
    };
    state.facts.send_modify(|f| {
        let error = outcome
            .as_ref()
            .err()
            .map(|why| ApiError::new(Code::Refused, errors::pod_did_not_answer(&name, why), errors::see_pod()));
        f.amend(entry, |e| e.error.clone_from(&error));
        f.end(operation.id, error);
        f.verified = Some(outcome);
    });
    Ok(operation)
}
