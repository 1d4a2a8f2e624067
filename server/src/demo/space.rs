//! One namespace: its watched objects, its facts, and the parts that keep it going.
use super::commands::Address;
use super::facts::{Facts, Line};
use super::plan::Goal;
use super::{about, actor, hub, lease, proxies, sidecars, status};
use crate::k8s::{Cluster, Manifests, Reach, World, Writer, watch};
use app::types::{ApiError, Code, Frame, LoadOrder, Namespace, Operation, Split, Status, Traffic, Verb};
use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch as latest};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A command to the hub, which alone speaks to the load agent.
pub enum ToAgent {
    /// Change the load; the answer says whether the agent took it.
    Load(LoadOrder, oneshot::Sender<Result<(), ApiError>>),
    /// See which request is the first to be answered from now on, and write its time into this line of the log.
    FirstRequest {
        /// The line.
        line: u64,
        /// Milliseconds from the change's beginning until now.
        so_far_ms: f64,
        /// The new weights.
        split: Split,
    },
}

/// Everything known and wished in one namespace.
pub struct Space {
    /// Which one.
    pub ns: Namespace,
    /// The way to it.
    pub cluster: Cluster,
    /// The only writer.
    pub writer: Writer,
    /// What is applied.
    pub manifests: Arc<Manifests>,
    /// Its objects.
    pub world: latest::Sender<Arc<World>>,
    /// What the panel knows beyond them.
    pub facts: latest::Sender<Facts>,
    /// Whether the cluster answers.
    pub reach: latest::Receiver<Reach>,
    /// What the page shows; changes only when that changes.
    pub status: latest::Sender<Arc<Status>>,
    /// Held while a status is put together and published, so that an older one never replaces a newer one.
    pub status_turn: Mutex<()>,
    /// The newest frame. A `watch`, not a queue: a slow viewer skips frames and holds nobody up.
    pub frames: latest::Sender<Option<Arc<Traffic>>>,
    /// The last 60 s, two frames a second, oldest first.
    pub history: Mutex<VecDeque<Frame>>,
    /// Held while a route is written, so that changes do not overtake each other.
    pub route_turn: tokio::sync::Mutex<()>,
    /// Changes of weights that were asked for so far.
    pub moves: AtomicU64,
    /// To the hub.
    pub to_agent: mpsc::Sender<ToAgent>,
    agent_inbox: Mutex<Option<mpsc::Receiver<ToAgent>>>,
    /// How a shell reaches this panel, for the commands it prints.
    pub address: Address,
    /// What this panel calls itself where other panels may act on the namespace, too.
    pub identity: Option<String>,
    /// Told when the cluster refused something for want of a right.
    pub recheck: tokio::sync::Notify,
    /// Ends this namespace's parts.
    pub stop: CancellationToken,
}

impl Space {
    /// Nothing runs yet.
    pub fn new(ns: Namespace, cluster: Cluster, manifests: Arc<Manifests>, reach: latest::Receiver<Reach>, address: Address, identity: Option<String>, stop: CancellationToken) -> Arc<Space> {
        let (to_agent, inbox) = mpsc::channel(16);
        let empty = status::empty(&ns, &cluster.view);
        Arc::new(Space {
            writer: Writer::new(cluster.clone()),
            world: latest::Sender::new(Arc::new(World::default())),
            facts: latest::Sender::new(Facts::default()),
            status: latest::Sender::new(Arc::new(empty)),
            status_turn: Mutex::new(()),
            frames: latest::Sender::new(None),
            history: Mutex::new(VecDeque::new()),
            route_turn: tokio::sync::Mutex::new(()),
            moves: AtomicU64::new(0),
            agent_inbox: Mutex::new(Some(inbox)),
            ns,
            cluster,
            manifests,
            reach,
            to_agent,
            address,
            identity,
            recheck: tokio::sync::Notify::new(),
            stop,
        })
    }

    /// Runs the namespace's parts until its token.
    pub async fn run(self: Arc<Space>) {
        let inbox = self.agent_inbox.lock().ok().and_then(|mut inbox| inbox.take());
        let Some(inbox) = inbox else { return };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = watch(&self.cluster, self.ns.as_str(), &self.world, &self.stop) => {}
            () = actor::run(&self) => {}
            () = proxies::run(&self) => {}
            () = hub::run(&self, inbox) => {}
            () = about::run(&self) => {}
            () = sidecars::run(&self) => {}
            () = status::run(&self) => {}
            () = lease::run(&self) => {}
        }
        // Whoever comes next need not wait until it runs out.
        let _ = tokio::time::timeout(Duration::from_secs(1), lease::release(&self)).await;
    }

    /// Its objects as they are now.
    pub fn now(&self) -> Arc<World> {
        self.world.borrow().clone()
    }

    /// Waits until everything was listed once. Errors: the cluster does not answer within 3 s.
    pub async fn settled(&self) -> Result<Arc<World>, ApiError> {
        let mut world = self.world.subscribe();
        let listed = world.wait_for(|w| w.settled());
        if let Ok(Ok(world)) = tokio::time::timeout(Duration::from_secs(3), listed).await {
            return Ok(world.clone());
        }
        if let Some(words) = self.now().refusal() {
            let message = format!("The cluster does not let the panel look: {words}.");
            self.recheck.notify_one();
            return Err(ApiError::new(Code::Forbidden, message, "Give the panel's user that right, or use another kubeconfig."));
        }
        let why = self.reach.borrow().failing.as_ref().map_or_else(|| "its objects cannot be listed".to_owned(), |(_, why)| why.clone());
        Err(ApiError::new(
            Code::ClusterUnreachable,
            format!("The cluster does not answer: {why}."),
            "See whether the cluster runs; the panel goes on trying.",
        ))
    }

    /// Makes a goal the one to reach, in place of or on top of what is under way, and writes it into the log.
    pub fn pursue(&self, verb: Verb, by: &str, goal: Goal, line: Line) -> Operation {
        let mut begun = None;
        self.facts.send_modify(|facts| {
            facts.goal = std::mem::take(&mut facts.goal).superseded_by(goal);
            facts.note(line);
            begun = Some(facts.begin(verb, by, "waiting for its turn"));
        });
        info!(namespace = %self.ns, ?verb, by, "{verb:?} is asked for by {by}");
        // `send_modify` runs its closure exactly once.
        begun.unwrap_or_else(|| Facts::default().begin(verb, by, ""))
    }
}
