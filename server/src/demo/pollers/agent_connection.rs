//! Connections to the load agent of a client pod, by port-forward.
use crate::demo::namespace::state::NamespaceState;
use crate::k8s::open;
use ::load::{AGENT_PORT, AgentClient, AgentError, AgentStatus, LoadSpec, Mark};
use app::text::Message;
use app::text::messages::{causes, errors};
use wire::{ApiError, Code};

/// The connection for commands. It lies idle for long and may be closed meanwhile: then a fresh one is tried, once.
pub struct Commands<'a> {
    state: &'a NamespaceState,
    pod: &'a str,
    pub client: AgentClient,
}

impl<'a> Commands<'a> {
    pub async fn open(state: &'a NamespaceState, pod: &'a str) -> Result<Commands<'a>, AgentError> {
        let mut client = connect(state, pod).await?;
        // A connection that never asked anything is closed soon; one that rests after an answer is kept.
        client.status().await?;
        Ok(Commands { state, pod, client })
    }

    pub async fn set_load(&mut self, spec: &LoadSpec) -> Result<AgentStatus, AgentError> {
        match self.client.set_load(spec).await {
            Err(AgentError::Lost(_)) => {
                self.client = connect(self.state, self.pod).await?;
                self.client.set_load(spec).await
            }
            answered => answered,
        }
    }

    pub async fn status(&mut self) -> Result<AgentStatus, AgentError> {
        match self.client.status().await {
            Err(AgentError::Lost(_)) => {
                self.client = connect(self.state, self.pod).await?;
                self.client.status().await
            }
            answered => answered,
        }
    }

    pub async fn mark(&mut self) -> Result<Mark, AgentError> {
        match self.client.mark().await {
            Err(AgentError::Lost(_)) => {
                self.client = connect(self.state, self.pod).await?;
                self.client.mark().await
            }
            answered => answered,
        }
    }
}

pub async fn connect(state: &NamespaceState, pod: &str) -> Result<AgentClient, AgentError> {
    let stream = open(&state.cluster, state.ns.as_str(), pod, AGENT_PORT).await.map_err(AgentError::Lost)?;
    AgentClient::new(stream).await
}

/// The error that people see for an error of the agent.
pub fn api_error(error: &AgentError) -> ApiError {
    match error {
        AgentError::Refused { message, .. } => {
            ApiError::new(Code::BadRequest, errors::client_refuses(message), errors::other_rate())
        }
        error => {
            ApiError::new(Code::ClusterUnreachable, errors::client_silent_why(words(error)), errors::try_in_a_moment())
        }
    }
}

/// An error of the agent as a clause.
pub fn words(error: &AgentError) -> Message {
    match error {
        AgentError::Lost(why) => causes::agent_lost(why),
        AgentError::Refused { status, message } => causes::agent_refuses(status.to_string(), message),
        AgentError::Unreadable(why) => causes::agent_unreadable(why),
    }
}

/// A refusal leaves the connection as it was.
pub fn goes_on(error: AgentError) -> Result<(), AgentError> {
    if matches!(error, AgentError::Refused { .. }) { Ok(()) } else { Err(error) }
}
