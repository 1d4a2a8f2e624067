//! The engine's handle: an OS thread of its own keeps the schedule and all sockets; this sends it commands and reads its snapshots.
mod answer;
mod arrival;
mod config;
mod connection_upkeep;
mod counters;
mod failure;
mod poller;
mod pool;
mod receive;
mod run;
mod send;
mod window;

use crate::snapshot::{AgentStatus, Mark};
use crate::spec::{LoadSpec, Plan, SpecError};
pub use config::EngineConfig;
use run::{Command, Runner};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use tokio::sync::{oneshot, watch};

/// Why the engine cannot work.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The load cannot be carried out as asked.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// It has been stopped.
    #[error("the load engine has been stopped")]
    Stopped,
    /// No thread, or no descriptors.
    #[error("cannot start the load engine: {0}")]
    Start(#[from] std::io::Error),
}

/// A running engine; clones are handles to the same one. It ends with the last of them.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    config: EngineConfig,
    commands: mpsc::Sender<Command>,
    /// A byte in here makes the thread look at its commands.
    waker: UnixStream,
    status: watch::Receiver<Arc<AgentStatus>>,
}

impl Engine {
    /// Starts the thread; no load yet. Errors: no thread or no descriptors left, or a default URL that is none.
    pub fn start(config: EngineConfig) -> Result<Engine, EngineError> {
        let idle = Plan::new(&LoadSpec::rate(0), &config.default_url, config.proxy.as_deref())?;
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (commands, inbox) = mpsc::channel();
        let (publish, status) = watch::channel(Arc::new(AgentStatus::default()));
        let runner = Runner::new(config.clone(), idle, inbox, woken, publish)?;
        std::thread::Builder::new()
            .name("load-engine".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || runner.run())?;
        Ok(Engine { shared: Arc::new(Shared { config, commands, waker, status }) })
    }

    /// Changes the load: starts, changes the rate without starting the counts again, or stops (rate 0; requests on their way finish).
    /// Counts start from 0 when load starts, and with every load that says how many `requests`: that is a run of its own. A load that does
    /// not say leaves a finite run finite. Errors: the load is refused, or its name has no address.
    pub async fn set_load(&self, spec: &LoadSpec) -> Result<AgentStatus, EngineError> {
        let config = &self.shared.config;
        let mut plan = Plan::new(spec, &config.default_url, config.proxy.as_deref())?;
        if plan.addr.is_none() && spec.rate > 0 {
            let refuse = |why: String| SpecError::Resolve { host: plan.peer.clone(), why };
            let mut found = tokio::net::lookup_host(&*plan.peer).await.map_err(|e| refuse(e.to_string()))?;
            plan.addr = Some(found.next().ok_or_else(|| refuse("it has none".to_owned()))?);
        }
        self.ask(|reply| Command::Load(Box::new(plan), reply)).await
    }

    /// Sets a mark: snapshots tell apart what is sent after it.
    pub async fn mark(&self) -> Result<Mark, EngineError> {
        self.ask(Command::Mark).await
    }

    /// Stops the load, waits for the requests on their way (at most the answer timeout), ends the thread.
    pub async fn stop(&self) {
        // An error says that it has ended already.
        let _ = self.ask(Command::Stop).await;
    }

    /// The newest state, ten a second whether or not there is load.
    pub fn status(&self) -> watch::Receiver<Arc<AgentStatus>> {
        self.shared.status.clone()
    }

    /// Resolves when the thread has ended: it was stopped, or it failed.
    pub async fn ended(&self) {
        let mut status = self.shared.status.clone();
        while status.changed().await.is_ok() {}
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.shared.send(command(reply));
        answer.await.map_err(|_| EngineError::Stopped)
    }
}

impl Shared {
    fn send(&self, command: Command) {
        // Errors mean: the thread has ended (the caller's answer channel says so), or it has a wake-up waiting already.
        let _ = self.commands.send(command);
        let _ = (&self.waker).write(&[1]);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.send(Command::Stop(oneshot::channel().0));
    }
}
