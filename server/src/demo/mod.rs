//! The use cases: a verb a file, one actor a namespace, and what the page shows of it.
//!
//! **Invariant:** nothing here knows whether the cluster is embedded.
mod clock;
mod dashboards;
mod errors;
mod exposition;
mod namespace;
mod objects;
mod plan;
mod pods;
mod pollers;
mod preflight;
mod prometheus;
mod service_port;
mod verbs;
mod view;
mod virtual_service;

use crate::k8s::{Cluster, KindName, Reach, heartbeat};

use ::app::api::ControlPlane;
use clock::now_ms;
use namespace::rate_shares::Shares;
use namespace::registry::{Asked, Registry};
use namespace::runner;
use namespace::state::Common;
use pollers::{generators, lease};
use preflight::Rights;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch as latest};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use view::status;
use wire::{
    ApiError, Command, DashboardQuery, Dashboards, Frame, Generators, LastHour, Namespace, Outcome, Preflight, Status,
    StoppedAll, Traffic,
};

pub use dashboards::csv;
pub use namespace::state::{Address, NamespaceState};
pub use objects::{ImageSource, Manifests};
pub use prometheus::Prometheus;
pub use view::commands::Part;

/// First and longest wait before clients that did not answer are asked again.
const RESUME: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What bounds the panel's work.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests a second of all generators together.
    pub total_rate: u32,
    /// How long a namespace is watched after the last one looked and the last work ended.
    pub idle_after: Duration,
}

/// All namespaces the panel looks after. They are begun when somebody asks for them.
pub struct Demo {
    common: Common,
    registry: Arc<Registry>,
    begin: mpsc::UnboundedSender<Arc<NamespaceState>>,
    stop: CancellationToken,
    build: String,
    /// For what was before the panel's own memory; nothing where none was named.
    prometheus: Option<Prometheus>,
    preflights: preflight::Shared,
}

/// What keeps the namespaces going; run by `tasks`.
pub struct Runner {
    demo: Arc<Demo>,
    reach: latest::Sender<Reach>,
    begun: mpsc::UnboundedReceiver<Arc<NamespaceState>>,
}

impl Demo {
    /// Nothing runs before the [`Runner`] does. `stop` ends every namespace's parts. `address`: how a shell reaches this panel.
    /// `identity`: what it calls itself on a cluster that other panels may act on, too.
    #[allow(clippy::too_many_arguments, reason = "start-up alone calls it, with one value of each kind")]
    pub fn new(
        cluster: Cluster,
        manifests: Manifests,
        build: String,
        address: Address,
        identity: Option<String>,
        prometheus: Option<Prometheus>,
        limits: Limits,
        stop: CancellationToken,
    ) -> (Arc<Demo>, Runner) {
        let (begin, begun) = mpsc::unbounded_channel();
        let (reach, seen) = latest::channel(Reach::default());
        let shares = Arc::new(Shares::new(limits.total_rate));
        let common = Common {
            cluster,
            manifests: Arc::new(manifests),
            reach: seen,
            address,
            identity,
            shares,
            rights: Arc::new(Rights::default()),
        };
        let demo = Arc::new(Demo {
            common,
            registry: Arc::new(Registry::new(limits.idle_after)),
            begin,
            stop,
            build,
            prometheus,
            preflights: preflight::Shared::default(),
        });
        (demo.clone(), Runner { demo, reach, begun })
    }

    /// One namespace, woken or begun where it is not awake.
    pub fn state(&self, ns: &Namespace) -> Result<Arc<NamespaceState>, ApiError> {
        Ok(self.woken(self.registry.ask(ns, || NamespaceState::new(ns.clone(), &self.common, self.stop.child_token()))))
    }

    fn woken(&self, asked: Asked) -> Arc<NamespaceState> {
        match asked {
            Asked::Awake(state) => state,
            Asked::Wakes(state) => {
                // The runner is gone only when the program ends.
                let _ = self.begin.send(state.clone());
                state
            }
        }
    }

    /// A namespace that is only looked at. One that the cluster does not have is not watched, and not kept.
    async fn look(&self, ns: &Namespace) -> Result<Arc<NamespaceState>, ApiError> {
        if let Some(known) = self.registry.known(ns) {
            return Ok(self.woken(known));
        }
        let namespaces = self.common.cluster.api(KindName::Namespace, "");
        // Where that cannot be told, watching it tells.
        let absent =
            matches!(tokio::time::timeout(Duration::from_secs(3), namespaces.get_opt(ns.as_str())).await, Ok(Ok(None)));
        if absent { Ok(NamespaceState::absent(ns.clone(), &self.common)) } else { self.state(ns) }
    }

    /// The same for a verb that needs something of the demo to be there, and makes nothing.
    async fn to_use(&self, ns: &Namespace) -> Result<Arc<NamespaceState>, ApiError> {
        self.preflights.forget(ns);
        let state = self.look(ns).await?;
        lease::may_act(&state).await?;
        Ok(state)
    }

    /// A namespace whose [`NamespaceState::status`] shows what is so now, as [`ControlPlane::status`] does.
    pub async fn up_to_date(&self, ns: &Namespace) -> Result<Arc<NamespaceState>, ApiError> {
        let state = self.state(ns)?;
        state.attend();
        // Where the cluster does not answer, that is what is shown.
        let _ = state.looked().await;
        status::refresh(&state);
        Ok(state)
    }

    /// A namespace that is about to be changed. Errors: another panel acts on it.
    async fn to_change(&self, ns: &Namespace) -> Result<Arc<NamespaceState>, ApiError> {
        self.preflights.forget(ns);
        let state = self.state(ns)?;
        lease::may_act(&state).await?;
        Ok(state)
    }

    /// The demo's objects as the panel would apply them, as YAML. Changes nothing.
    pub async fn manifests(&self, ns: &Namespace, part: Part) -> Result<String, ApiError> {
        verbs::manifests::manifests(&*self.look(ns).await?, part).await
    }

    /// Id of this build.
    pub fn build_id(&self) -> &str {
        &self.build
    }

    /// Whether the cluster answers.
    pub fn reach(&self) -> Reach {
        self.common.reach.borrow().clone()
    }

    /// How many namespaces are watched, and how many are known.
    pub fn namespaces(&self) -> (usize, usize) {
        self.registry.count()
    }

    /// How much load runs, in all namespaces together.
    pub fn generators(&self) -> Generators {
        self.common.shares.total()
    }

    /// Takes up generators that ran on while no panel looked after them: they count, and can be stopped. Asks again until every client
    /// has answered.
    async fn resume(&self) {
        let mut wait = RESUME.0;
        loop {
            let known =
                self.registry.all().into_iter().map(|state| state.ns.clone()).chain([Namespace::default()]).collect();
            let found = generators::running(&self.common.cluster, known).await;
            for ns in found.running {
                // Its poller finds out what runs.
                let _ = self.state(&ns);
            }
            if found.unanswered == 0 {
                return;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RESUME.1);
        }
    }
}

impl Runner {
    /// Runs every namespace's parts, and the cluster's heartbeat, until the token.
    pub async fn run(mut self) {
        let mut running = JoinSet::new();
        let (demo, stop) = (self.demo.clone(), self.demo.stop.clone());
        let beating = heartbeat(&demo.common.cluster, now_ms, &self.reach, &stop);
        let mut beating = std::pin::pin!(beating);
        let mut resuming = std::pin::pin!(async {
            let mut reach = demo.common.reach.clone();
            // An answer that is not there yet is waited for; the heartbeat ends with the program.
            let _ = reach.wait_for(|r| r.failing.is_none() && !r.version.is_empty()).await;
            demo.resume().await;
            std::future::pending::<()>().await;
        });
        let mut renewal = tokio::time::interval(lease::RENEW);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = renewal.tick() => {
                    for state in demo.registry.holders() {
                        running.spawn(async move { lease::renew(&state).await });
                    }
                }
                () = &mut beating => break,
                () = &mut resuming => {}
                Some(state) = self.begun.recv() => { running.spawn(runner::run(state, demo.registry.clone())); }
                Some(_) = running.join_next() => {}
            }
        }
        for state in demo.registry.holders() {
            running.spawn(async move {
                let _ = tokio::time::timeout(Duration::from_secs(1), lease::release(&state)).await;
            });
        }
        // Their token is this one's child: they end by themselves, at once.
        while running.join_next().await.is_some() {}
    }
}

#[async_trait::async_trait]
impl ControlPlane for Demo {
    fn build(&self) -> String {
        self.build.clone()
    }

    async fn status(&self, ns: &Namespace) -> Result<Status, ApiError> {
        let state = self.look(ns).await?;
        state.attend();
        // A namespace that was just begun has nothing to show yet; where the cluster does not answer, that is what is shown.
        let _ = state.looked().await;
        Ok(Status::clone(&*status::refresh(&state)))
    }

    async fn recent_frames(&self, ns: &Namespace) -> Result<Vec<Frame>, ApiError> {
        let Some(state) = self.registry.peek(ns) else { return Ok(Vec::new()) };
        let history = state.history.lock().map(|h| h.iter().cloned().collect()).unwrap_or_default();
        Ok(history)
    }

    async fn dashboards(&self, ns: &Namespace, query: &DashboardQuery) -> Result<Dashboards, ApiError> {
        let state = self.look(ns).await?;
        view::dashboards::dashboards(&state, query, self.prometheus.as_ref()).await
    }

    async fn last_hour(&self, ns: &Namespace) -> Result<LastHour, ApiError> {
        match &self.prometheus {
            Some(prometheus) => prometheus.last_hour(ns, now_ms() / 1000).await,
            None => Err(errors::no_prometheus()),
        }
    }

    async fn traffic(&self, ns: &Namespace) -> Result<Traffic, ApiError> {
        Ok(self.registry.peek(ns).and_then(|state| state.frames.borrow().as_deref().cloned()).unwrap_or_default())
    }

    async fn preflight(&self, ns: &Namespace) -> Result<Preflight, ApiError> {
        let told =
            self.preflights.get(ns, || preflight::preflight(&self.common.cluster, &self.common.manifests, ns)).await;
        // What the page says is missing turns off what needs it there, not only in its words.
        if let Some(state) = self.registry.peek(ns) {
            let missing = preflight::missing(&told);
            state.facts.send_if_modified(|f| std::mem::replace(&mut f.missing, missing.clone()) != missing);
        }
        Ok(told)
    }

    async fn run(&self, ns: &Namespace, by: &str, command: Command) -> Result<Outcome, ApiError> {
        verbs::run(self, ns, by, command).await
    }

    async fn stop_all(&self, by: &str) -> Result<StoppedAll, ApiError> {
        Ok(verbs::stop_all::stop_all(&self.common.cluster, &self.common.shares, self.registry.all(), by).await)
    }
}
