//! The long-running parts, by name: started here and nowhere else, ended in order.
//!
//! An end that nobody asked for is logged by the part's name and ends the program. Parts end stage by stage
//! (web → load → node → API), so that a request under way still finds what it needs.
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// When a part ends, relative to the others. In this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What people are connected to.
    Web,
    /// The use cases, the live hub with its load agents.
    Load,
    /// Controllers and the node with its pods.
    Node,
    /// The embedded cluster's API.
    Api,
}

const STAGES: [Stage; 4] = [Stage::Web, Stage::Load, Stage::Node, Stage::Api];

/// Longest wait for a stage to end by itself, before it is dropped. The node's is longer: it stops pods gracefully.
fn patience(stage: Stage) -> Duration {
    Duration::from_millis(match stage {
        Stage::Web => 1_500,
        Stage::Load => 1_500,
        Stage::Node => 4_000,
        Stage::Api => 1_000,
    })
}

/// Why a part ended; `Ok` where it was told to.
pub type Ended = Result<(), String>;

struct Part {
    id: Id,
    name: &'static str,
    stage: Stage,
}

/// All running parts.
pub struct Tasks {
    set: JoinSet<Ended>,
    parts: Vec<Part>,
    tokens: [CancellationToken; 4],
}

impl Tasks {
    /// None yet.
    pub fn new() -> Tasks {
        Tasks { set: JoinSet::new(), parts: Vec::new(), tokens: std::array::from_fn(|_| CancellationToken::new()) }
    }

    /// The token that ends a stage; for connections that must end before their part does.
    pub fn token(&self, stage: Stage) -> CancellationToken {
        self.tokens[stage as usize].clone()
    }

    /// Starts a part. It is given the token of its stage and must end soon after that is cancelled.
    pub fn start<F>(&mut self, stage: Stage, name: &'static str, part: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Ended> + Send + 'static,
    {
        let future: Pin<Box<dyn Future<Output = Ended> + Send>> = Box::pin(part(self.token(stage)));
        let handle = self.set.spawn(future);
        self.parts.push(Part { id: handle.id(), name, stage });
    }

    /// Runs until `shutdown` resolves or a part ends by itself, then ends the rest in order.
    /// Gives whether the end was asked for.
    pub async fn run_until(mut self, shutdown: impl Future<Output = ()>) -> bool {
        let asked = tokio::select! {
            () = shutdown => { info!("Shutting down"); true }
            ended = self.set.join_next_with_id() => {
                let (id, why) = match ended {
                    Some(Ok((id, Ok(())))) => (Some(id), "it returned".to_owned()),
                    Some(Ok((id, Err(why)))) => (Some(id), why),
                    Some(Err(join)) => (Some(join.id()), join.to_string()),
                    None => (None, "nothing was started".to_owned()),
                };
                let name = self.parts.iter().find(|p| Some(p.id) == id).map_or("none", |p| p.name);
                error!(task.name = name, "Part `{name}` ended early: {why}");
                self.parts.retain(|p| Some(p.id) != id);
                false
            }
        };
        for stage in STAGES {
            self.end(stage).await;
        }
        asked
    }

    async fn end(&mut self, stage: Stage) {
        self.tokens[stage as usize].cancel();
        let deadline = tokio::time::Instant::now() + patience(stage);
        while self.parts.iter().any(|p| p.stage == stage) {
            match tokio::time::timeout_at(deadline, self.set.join_next_with_id()).await {
                Ok(Some(Ok((id, _)))) => self.parts.retain(|p| p.id != id),
                Ok(Some(Err(join))) => self.parts.retain(|p| p.id != join.id()),
                Ok(None) => return,
                Err(_) => {
                    for part in self.parts.iter().filter(|p| p.stage == stage) {
                        warn!(task.name = part.name, "Part `{}` did not end in time and is dropped", part.name);
                    }
                    self.parts.retain(|p| p.stage != stage);
                }
            }
        }
    }
}

/// Resolves at SIGINT or SIGTERM. Errors: the handlers cannot be installed.
pub fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn parts_end_in_the_order_of_their_stages() {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Tasks::new();
        for (stage, name) in [(Stage::Api, "api"), (Stage::Web, "web"), (Stage::Node, "node"), (Stage::Load, "load")] {
            let ended = ended.clone();
            tasks.start(stage, name, |stop| async move {
                stop.cancelled().await;
                ended.lock().unwrap().push(name);
                Ok(())
            });
        }
        assert!(tasks.run_until(async {}).await);
        assert_eq!(*ended.lock().unwrap(), ["web", "load", "node", "api"]);
    }

    #[tokio::test]
    async fn an_early_end_ends_the_program() {
        let mut tasks = Tasks::new();
        tasks.start(Stage::Web, "web", |_| async { Err("broken".to_owned()) });
        tasks.start(Stage::Api, "api", |stop| async move {
            stop.cancelled().await;
            Ok(())
        });
        assert!(!tasks.run_until(std::future::pending()).await);
    }
}
