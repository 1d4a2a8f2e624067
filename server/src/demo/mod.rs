//! The use cases: a verb a file, one actor a namespace, and what the page shows of it.
//!
//! **Invariant:** nothing here knows whether the cluster is embedded.
mod facts;
mod plan;
mod pods;
mod namespaces;
mod preflight;
mod observe;
mod route;
mod conditions;
mod traffic;
mod trouble;
mod status;
mod space;
mod about;
mod actor;
mod commands;
mod proxies;
mod sidecars;
mod hub;
mod lease;
mod process;
mod verdict;

mod adopt;
mod client;
mod deploy;
mod inject;
mod load;
mod revert;
mod routes;
mod teardown;
mod verify;
mod weights;

use crate::k8s::{Cluster, Manifests, Reach, heartbeat};
use crate::prometheus::Prometheus;
use ::app::api::ControlPlane;
use ::app::types::{ApiError, Code, Frame, InjectRequest, LoadOrder, Namespace, Operation, Past, Preflight, RouteRequest, Shifted, Split, Status, Traffic};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch as latest};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use commands::{Address, Part};
pub use space::Space;

/// Namespaces looked after at once: each has five watches.
const SPACES: usize = 16;

/// All namespaces the panel looks after. They are begun when somebody asks for them.
pub struct Demo {
    cluster: Cluster,
    manifests: Arc<Manifests>,
    reach: latest::Receiver<Reach>,
    spaces: Mutex<BTreeMap<Namespace, Arc<Space>>>,
    begin: mpsc::UnboundedSender<Arc<Space>>,
    stop: CancellationToken,
    build: String,
    address: Address,
    identity: Option<String>,
    /// For what was before the panel's own memory; nothing where none was named.
    prometheus: Option<Prometheus>,
    preflights: preflight::Shared,
}

/// What keeps the namespaces going; run by `tasks`.
pub struct Runner {
    cluster: Cluster,
    reach: latest::Sender<Reach>,
    begun: mpsc::UnboundedReceiver<Arc<Space>>,
    stop: CancellationToken,
}

impl Demo {
    /// Nothing runs before the [`Runner`] does. `stop` ends every namespace's parts. `address`: how a shell reaches this panel.
    /// `identity`: what it calls itself on a cluster that other panels may act on, too.
    pub fn new(
        cluster: Cluster,
        manifests: Manifests,
        build: String,
        address: Address,
        identity: Option<String>,
        prometheus: Option<Prometheus>,
        stop: CancellationToken,
    ) -> (Arc<Demo>, Runner) {
        let (begin, begun) = mpsc::unbounded_channel();
        let (reach, seen) = latest::channel(Reach::default());
        let demo = Demo {
            cluster: cluster.clone(),
            manifests: Arc::new(manifests),
            reach: seen,
            spaces: Mutex::default(),
            begin,
            stop: stop.clone(),
            build,
            address,
            identity,
            prometheus,
            preflights: preflight::Shared::default(),
        };
        (Arc::new(demo), Runner { cluster, reach, begun, stop })
    }

    /// One namespace, begun where it is new. Errors: too many are looked after already.
    pub fn space(&self, ns: &Namespace) -> Result<Arc<Space>, ApiError> {
        let mut spaces = self.spaces.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(space) = spaces.get(ns) {
            return Ok(space.clone());
        }
        if spaces.len() >= SPACES {
            // One that nobody looks at and where nothing is under way makes room.
            let idle = |s: &Arc<Space>| s.status.receiver_count() == 0 && s.frames.receiver_count() == 0 && s.facts.borrow().goal == Default::default();
            let victim = spaces.iter().find(|(_, s)| idle(s)).map(|(ns, _)| ns.clone());
            let Some(victim) = victim.and_then(|ns| spaces.remove(&ns)) else {
                return Err(ApiError::new(
                    Code::TooManyRequests,
                    format!("The panel looks after {SPACES} namespaces already."),
                    "Close the page of one of them, then try again.",
                ));
            };
            victim.stop.cancel();
        }
        let space = Space::new(ns.clone(), self.cluster.clone(), self.manifests.clone(), self.reach.clone(), self.address.clone(), self.identity.clone(), self.stop.child_token());
        spaces.insert(ns.clone(), space.clone());
        // The runner is gone only when the program ends.
        let _ = self.begin.send(space.clone());
        Ok(space)
    }

    /// A namespace whose [`Space::status`] shows what is so now, as [`ControlPlane::status`] does.
    pub async fn up_to_date(&self, ns: &Namespace) -> Result<Arc<Space>, ApiError> {
        let space = self.space(ns)?;
        // Where the cluster does not answer, that is what is shown.
        let _ = space.settled().await;
        status::publish(&space);
        Ok(space)
    }

    /// A namespace that is about to be changed. Errors: another panel acts on it.
    async fn to_change(&self, ns: &Namespace) -> Result<Arc<Space>, ApiError> {
        let space = self.space(ns)?;
        lease::may_act(&space).await?;
        Ok(space)
    }

    /// The demo's objects as the panel would apply them, as YAML. Changes nothing.
    pub async fn manifests(&self, ns: &Namespace, part: Part) -> Result<String, ApiError> {
        commands::manifests(&*self.space(ns)?, part).await
    }

    /// Id of this build.
    pub fn build_id(&self) -> &str {
        &self.build
    }

    /// Whether the cluster answers.
    pub fn reach(&self) -> Reach {
        self.reach.borrow().clone()
    }

    /// The namespaces that are looked after.
    pub fn spaces(&self) -> Vec<Arc<Space>> {
        self.spaces.lock().map(|s| s.values().cloned().collect()).unwrap_or_default()
    }
}

impl Runner {
    /// Runs every namespace's parts, and the cluster's heartbeat, until the token.
    pub async fn run(mut self) {
        let mut spaces = JoinSet::new();
        let beating = heartbeat(&self.cluster, facts::now_ms, &self.reach, &self.stop);
        let mut beating = std::pin::pin!(beating);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = &mut beating => break,
                Some(space) = self.begun.recv() => { spaces.spawn(space.run()); }
                Some(_) = spaces.join_next() => {}
            }
        }
        // Their token is this one's child: they end by themselves, at once.
        while spaces.join_next().await.is_some() {}
    }
}

#[async_trait::async_trait]
impl ControlPlane for Demo {
    fn build(&self) -> String {
        self.build.clone()
    }

    async fn status(&self, ns: &Namespace) -> Result<Status, ApiError> {
        let space = self.space(ns)?;
        // A namespace that was just begun has nothing to show yet; where the cluster does not answer, that is what is shown.
        let _ = space.settled().await;
        let (world, facts, reach) = (space.now(), space.facts.borrow().clone(), space.reach.borrow().clone());
        Ok(status::compose(&space, &world, &facts, &reach).0)
    }

    async fn history(&self, ns: &Namespace) -> Result<Vec<Frame>, ApiError> {
        let space = self.space(ns)?;
        let history = space.history.lock().map(|h| h.iter().cloned().collect()).unwrap_or_default();
        Ok(history)
    }

    fn has_past(&self) -> bool {
        self.prometheus.is_some()
    }

    async fn past(&self, ns: &Namespace) -> Result<Past, ApiError> {
        match &self.prometheus {
            Some(prometheus) => prometheus.past(ns, facts::now_ms() / 1000).await,
            None => Err(ApiError::new(Code::NotFound, "No Prometheus was named, so only the last minute is known.", "Start the panel with --prometheus-url.")),
        }
    }

    async fn traffic(&self, ns: &Namespace) -> Result<Traffic, ApiError> {
        Ok(self.space(ns)?.frames.borrow().as_deref().cloned().unwrap_or_default())
    }

    async fn preflight(&self, ns: &Namespace) -> Result<Preflight, ApiError> {
        let told = self.preflights.get(ns, || preflight::preflight(&self.cluster, &self.manifests, ns)).await;
        // What the page says is missing turns off what needs it there, not only in its words.
        if let Ok(space) = self.space(ns) {
            let missing = preflight::missing(&told);
            space.facts.send_if_modified(|f| std::mem::replace(&mut f.missing, missing.clone()) != missing);
        }
        Ok(told)
    }

    async fn deploy(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError> {
        deploy::deploy(&*self.to_change(ns).await?, by)
    }

    async fn client(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError> {
        client::client(&*self.to_change(ns).await?, by)
    }

    async fn inject(&self, ns: &Namespace, by: &str, request: InjectRequest) -> Result<Operation, ApiError> {
        inject::inject(&*self.to_change(ns).await?, by, request).await
    }

    async fn route(&self, ns: &Namespace, by: &str, request: RouteRequest) -> Result<Operation, ApiError> {
        routes::route(&*self.to_change(ns).await?, by, request)
    }

    async fn weights(&self, ns: &Namespace, by: &str, split: Split) -> Result<Shifted, ApiError> {
        weights::weights(&*self.to_change(ns).await?, by, split).await
    }

    async fn adopt(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError> {
        adopt::adopt(&*self.to_change(ns).await?, by).await
    }

    async fn revert(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError> {
        revert::revert(&*self.to_change(ns).await?, by).await
    }

    async fn load(&self, ns: &Namespace, by: &str, order: LoadOrder) -> Result<Operation, ApiError> {
        load::load(&*self.to_change(ns).await?, by, order).await
    }

    async fn verify(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError> {
        verify::verify(&*self.to_change(ns).await?, by).await
    }

    async fn teardown(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError> {
        teardown::teardown(&*self.to_change(ns).await?, by).await
    }

    async fn take_over(&self, ns: &Namespace, by: &str) -> Result<Operation, ApiError> {
        lease::take_over(&*self.space(ns)?, by).await
    }
}
