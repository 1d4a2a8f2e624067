//! The long-running parts, by name: started here and nowhere else, ended in order.
//!
//! An end that nobody asked for is logged by the part's name and ends the program. Parts end stage by stage
//! (web → load → node → API), so that a request under way still finds what it needs.
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
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

/// Niceness of the node's threads and of pods: what people wait for goes before them on a busy machine. Source: setpriority(2).
const NODE_NICENESS: i32 = 5;
/// Threads of a pool, however many cores there are: each costs memory, and two go on when one of them is busy.
const THREADS: usize = 2;
/// Longest wait for blocked threads at the end.
const BLOCKED: Duration = Duration::from_millis(500);

/// Threads that a part runs on. Each pool has threads of its own, so that no part waits behind the work of another pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Web and use cases.
    Panel,
    /// The embedded cluster's API.
    Api,
    /// Routes to sidecars: moved weights are acknowledged here.
    Mesh,
    /// Controllers, node and pods: most work, and nobody waits for one step of it. Its threads are nice.
    Node,
}

/// The pools of threads of this program. To be dropped outside of them.
pub struct Pools {
    panel: Runtime,
    /// `None` if another program is the cluster: then there is nothing to run on them.
    embedded: Option<[Runtime; 3]>,
}

impl Pools {
    /// Starts the threads. Errors: the limit on processes.
    pub fn start(is_embedded: bool) -> io::Result<Pools> {
        let pool = |name: &str, threads: usize| {
            let mut builder = Builder::new_multi_thread();
            builder.enable_all().thread_name(name).worker_threads(threads);
            builder
        };
        let embedded = || {
            let mut node = pool("node", THREADS);
            node.on_thread_start(|| {
                // `None` is the calling thread. A failure leaves it as quick as the others.
                let _ = rustix::process::setpriority_process(None, NODE_NICENESS);
            });
            io::Result::Ok([pool("api", THREADS).build()?, pool("mesh", 1).build()?, node.build()?])
        };
        Ok(Pools { panel: pool("panel", THREADS).build()?, embedded: is_embedded.then(embedded).transpose()? })
    }

    /// Runs the program in the panel's pool.
    pub fn block_on<F: Future>(&self, program: F) -> F::Output {
        self.panel.block_on(program)
    }

    /// Where parts run.
    pub fn handles(&self) -> Handles {
        let panel = self.panel.handle().clone();
        let of = |i: usize| self.embedded.as_ref().map_or(&self.panel, |all| &all[i]).handle().clone();
        Handles { panel, api: of(0), mesh: of(1), node: of(2) }
    }

    /// Ends the threads. What still blocks one is not worth waiting for.
    pub fn end(self) {
        for pool in self.embedded.into_iter().flatten() {
            pool.shutdown_background();
        }
        self.panel.shutdown_timeout(BLOCKED);
    }
}

/// Handles of the pools.
#[derive(Clone)]
pub struct Handles {
    panel: Handle,
    api: Handle,
    mesh: Handle,
    node: Handle,
}

impl Handles {
    fn of(&self, pool: Pool) -> &Handle {
        match pool {
            Pool::Panel => &self.panel,
            Pool::Api => &self.api,
            Pool::Mesh => &self.mesh,
            Pool::Node => &self.node,
        }
    }
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
    handles: Handles,
}

impl Tasks {
    /// None yet.
    pub fn new(handles: Handles) -> Tasks {
        Tasks {
            set: JoinSet::new(),
            parts: Vec::new(),
            tokens: std::array::from_fn(|_| CancellationToken::new()),
            handles,
        }
    }

    /// The token that ends a stage; for connections that must end before their part does.
    pub fn token(&self, stage: Stage) -> CancellationToken {
        self.tokens[stage as usize].clone()
    }

    /// Starts a part on the pool of its stage. It is given the token of its stage and must end soon after that is cancelled.
    pub fn start<F>(&mut self, stage: Stage, name: &'static str, part: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Ended> + Send + 'static,
    {
        let pool = match stage {
            Stage::Web | Stage::Load => Pool::Panel,
            Stage::Node => Pool::Node,
            Stage::Api => Pool::Api,
        };
        self.start_on(pool, stage, name, part);
    }

    /// Starts a part on a pool that is not the one of its stage.
    pub fn start_on<F>(
        &mut self,
        pool: Pool,
        stage: Stage,
        name: &'static str,
        part: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = Ended> + Send + 'static,
    {
        let future: Pin<Box<dyn Future<Output = Ended> + Send>> = Box::pin(part(self.token(stage)));
        let handle = self.set.spawn_on(future, self.handles.of(pool));
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
    use std::sync::{Arc, Mutex, mpsc};

    /// All parts on the test's own runtime.
    fn here() -> Handles {
        let here = Handle::current;
        Handles { panel: here(), api: here(), mesh: here(), node: here() }
    }

    #[test]
    fn work_of_the_node_that_never_pauses_does_not_hold_up_the_others() {
        let pools = Pools::start(true).unwrap();
        let handles = pools.handles();
        let asked = pools.block_on(async move {
            let mut tasks = Tasks::new(handles);
            let (done, mut busy) = (Arc::new(Mutex::new(Vec::new())), Vec::new());
            // More than there are threads: on a common pool nothing else would run until they end.
            for _ in 0..64 {
                let (end, ended) = mpsc::channel::<()>();
                busy.push(end);
                tasks.start(Stage::Node, "busy", |stop| async move {
                    let _ = ended.recv();
                    stop.cancelled().await;
                    Ok(())
                });
            }
            let (all, shutdown) = tokio::sync::oneshot::channel::<()>();
            let all = Arc::new(Mutex::new(Some((all, busy))));
            for (pool, stage, name) in
                [(Pool::Panel, Stage::Web, "panel"), (Pool::Api, Stage::Api, "api"), (Pool::Mesh, Stage::Node, "mesh")]
            {
                let (done, all) = (done.clone(), all.clone());
                tasks.start_on(pool, stage, name, |stop| async move {
                    let names = {
                        let mut done = done.lock().unwrap();
                        done.push((name, std::thread::current().name().unwrap_or_default().to_owned()));
                        done.clone()
                    };
                    assert!(names.iter().all(|(name, thread)| name == thread), "{names:?}");
                    if names.len() == 3 {
                        drop(all.lock().unwrap().take());
                    }
                    stop.cancelled().await;
                    Ok(())
                });
            }
            let deadline = tokio::time::timeout(Duration::from_secs(60), shutdown);
            tasks.run_until(async { assert!(deadline.await.is_ok(), "the node's work holds up the others") }).await
        });
        pools.end();
        assert!(asked);
    }

    #[tokio::test]
    async fn parts_end_in_the_order_of_their_stages() {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Tasks::new(here());
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
        let mut tasks = Tasks::new(here());
        tasks.start(Stage::Web, "web", |_| async { Err("broken".to_owned()) });
        tasks.start(Stage::Api, "api", |stop| async move {
            stop.cancelled().await;
            Ok(())
        });
        assert!(!tasks.run_until(std::future::pending()).await);
    }
}
