//! One namespace: its watched objects, its facts, and what is shown of them. [`super::runner`] keeps it up to date.
use crate::demo::errors::silence;
use crate::demo::namespace::counters::Counters;
use crate::demo::namespace::facts::{Facts, FirstLook, Granted, Line};
use crate::demo::namespace::rate_shares::Shares;
use crate::demo::objects::Manifests;
use crate::demo::plan::Goal;
use crate::demo::preflight::Rights;
use crate::k8s::{Cache, Cluster, Reach, Writer};
use app::text::Message;
use app::text::messages::{causes, errors, steps};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch as latest};
use tokio_util::sync::CancellationToken;
use tracing::info;
use wire::{ApiError, Code, Frame, LoadOrder, Namespace, Operation, Rate, Split, Status, Traffic, Verb};

/// A command to the poller of the load agent, which alone speaks to it.
pub enum ToAgent {
    /// Change the load; the answer says whether the agent took it, and what is asked for and granted of it.
    Load(LoadOrder, oneshot::Sender<Result<Granted, ApiError>>),
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

/// How a shell on a person's machine reaches the panel.
#[derive(Clone, Debug, Default)]
pub struct Address {
    /// `http://127.0.0.1:3000`.
    pub url: String,
    /// What curl needs besides: the token's header, trust in our own certificate.
    pub options: String,
}

/// What all namespaces have in common. Cheap handles.
#[derive(Clone)]
pub struct Common {
    /// The way to the cluster.
    pub cluster: Cluster,
    /// What is applied.
    pub manifests: Arc<Manifests>,
    /// Whether the cluster answers.
    pub reach: latest::Receiver<Reach>,
    /// How a shell reaches this panel, for the commands it prints.
    pub address: Address,
    /// What this panel calls itself where other panels may act on the same cluster, too.
    pub identity: Option<String>,
    /// The cap on all generators together.
    pub shares: Arc<Shares>,
    /// What is known of the panel's rights.
    pub rights: Arc<Rights>,
}

/// Longest wait for the first list of everything while the cluster answers other calls: it may be busy.
const SLOW: Duration = Duration::from_secs(20);
/// The same where it does not answer.
const SILENT: Duration = Duration::from_secs(3);
/// Longest wait for the first look at what is not watched.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// A namespace is watched over by somebody who asks for its status at least so often.
const ATTENTION: Duration = Duration::from_secs(10);

/// Everything known and desired in one namespace.
pub struct NamespaceState {
    /// Which one.
    pub ns: Namespace,
    /// The way to it.
    pub cluster: Cluster,
    /// The only writer.
    pub writer: Writer,
    /// What is applied.
    pub manifests: Arc<Manifests>,
    /// Its objects.
    pub cache: latest::Sender<Arc<Cache>>,
    /// What the panel knows beyond them.
    pub facts: latest::Sender<Facts>,
    /// Whether the cluster answers.
    pub reach: latest::Receiver<Reach>,
    /// What the page shows; changes only when that changes.
    pub status: latest::Sender<Arc<Status>>,
    /// The newest frame. A `watch`, not a queue: a slow viewer skips frames and holds nobody up.
    pub frames: latest::Sender<Option<Arc<Traffic>>>,
    /// The last 60 s, two frames a second, oldest first.
    pub history: Mutex<VecDeque<Frame>>,
    /// Held while a status is put together, so that the newest is published last.
    pub composing: Mutex<()>,
    /// Held while a route is written, so that changes do not overtake each other.
    pub route_turn: tokio::sync::Mutex<()>,
    /// Changes of weights that were asked for so far.
    pub moves: AtomicU64,
    /// To the poller of the load agent.
    pub to_agent: mpsc::Sender<ToAgent>,
    /// Locked by the run that is awake: the next one waits until it has ended.
    pub agent_inbox: tokio::sync::Mutex<mpsc::Receiver<ToAgent>>,
    /// Told whenever somebody asks for this namespace.
    pub asked: tokio::sync::Notify,
    /// When that was last.
    attention: Mutex<Option<tokio::time::Instant>>,
    /// Whether the namespace had nothing of the demo when it went to rest.
    went_empty: AtomicBool,
    /// What its sidecars counted in the last hour.
    pub counters: Counters,
    /// The cap on all generators together.
    pub shares: Arc<Shares>,
    /// What is known of the panel's rights.
    pub rights: Arc<Rights>,
    /// How a shell reaches this panel, for the commands it prints.
    pub address: Address,
    /// What this panel calls itself where other panels may act on the namespace, too.
    pub identity: Option<String>,
    /// Told when the cluster refused something for want of a right.
    pub recheck: tokio::sync::Notify,
    /// Ends this namespace's parts.
    pub stop: CancellationToken,
}

impl NamespaceState {
    /// Nothing runs yet.
    pub fn new(ns: Namespace, common: &Common, stop: CancellationToken) -> Arc<NamespaceState> {
        let (to_agent, inbox) = mpsc::channel(16);
        let Common { cluster, manifests, reach, address, identity, shares, rights } = common.clone();
        let empty = Status::empty(&ns, &cluster.view);
        Arc::new(NamespaceState {
            writer: Writer::new(cluster.clone()),
            cache: latest::Sender::new(Arc::new(Cache::default())),
            facts: latest::Sender::new(Facts::default()),
            status: latest::Sender::new(Arc::new(empty)),
            frames: latest::Sender::new(None),
            history: Mutex::new(VecDeque::new()),
            composing: Mutex::new(()),
            route_turn: tokio::sync::Mutex::new(()),
            moves: AtomicU64::new(0),
            agent_inbox: tokio::sync::Mutex::new(inbox),
            asked: tokio::sync::Notify::new(),
            attention: Mutex::new(None),
            went_empty: AtomicBool::new(true),
            counters: Counters::new(),
            ns,
            cluster,
            manifests,
            reach,
            to_agent,
            address,
            identity,
            shares,
            rights,
            recheck: tokio::sync::Notify::new(),
            stop,
        })
    }

    /// A namespace that the cluster does not have. Nothing of it is watched, and nothing ever runs.
    pub fn absent(ns: Namespace, common: &Common) -> Arc<NamespaceState> {
        let state = NamespaceState::new(ns, common, CancellationToken::new());
        let reach = common.reach.borrow().clone();
        // Where the cluster has not said what it serves, nothing is held against it.
        let meshless = !reach.version.is_empty() && reach.mesh.is_empty();
        state.cache.send_replace(Arc::new(Cache::nothing(meshless)));
        state.facts.send_modify(|f| f.first_look.all());
        state.stop.cancel();
        state
    }

    /// Whether anybody has the page open. Viewers are those who hold a receiver of `status` or of `frames`; nothing else may.
    pub fn is_viewed(&self) -> bool {
        self.status.receiver_count() > 0 || self.frames.receiver_count() > 0
    }

    /// Whether somebody looks, be it by asking for the status now and then.
    pub fn is_attended(&self) -> bool {
        let asked = self.attention.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.is_viewed() || asked.is_some_and(|at| at.elapsed() < ATTENTION)
    }

    /// Somebody asks for the status.
    pub fn attend(&self) {
        *self.attention.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(tokio::time::Instant::now());
    }

    /// Whether anything must go on here: somebody looks, load runs, or something that was asked for is not done.
    pub fn is_live(&self) -> bool {
        let facts = self.facts.borrow();
        let working = facts.goal != Goal::default() || facts.operation.as_ref().is_some_and(|o| o.error.is_none());
        self.is_viewed() || working || facts.load != Rate::default() || facts.expected.is_some()
    }

    /// Whether nothing of the demo is known to be in the namespace.
    pub fn is_empty(&self) -> bool {
        self.cache.borrow().is_empty()
    }

    /// Whether it was so when the namespace went to rest.
    pub fn was_empty(&self) -> bool {
        self.went_empty.load(Ordering::Relaxed)
    }

    /// Forgets what was watched: it is not kept up to date while the namespace rests, so it must not be shown when it wakes.
    pub fn forget(&self) {
        self.went_empty.store(self.is_empty(), Ordering::Relaxed);
        self.cache.send_replace(Arc::new(Cache::default()));
        self.facts.send_modify(Facts::forget);
        self.status.send_replace(Arc::new(Status::empty(&self.ns, &self.cluster.view)));
        self.frames.send_replace(None);
        if let Ok(mut history) = self.history.lock() {
            *history = VecDeque::new();
        }
    }

    /// Its objects as they are now.
    pub fn now(&self) -> Arc<Cache> {
        self.cache.borrow().clone()
    }

    /// Waits until everything was listed once, and what is not watched was looked at once: before that nothing can be told.
    /// Errors: see [`NamespaceState::settled`].
    pub async fn looked(&self) -> Result<Arc<Cache>, ApiError> {
        self.looked_at(FirstLook::is_done).await
    }

    /// The same, where a part of it is enough.
    pub async fn looked_at(&self, enough: impl Fn(FirstLook) -> bool) -> Result<Arc<Cache>, ApiError> {
        let cache = self.settled().await?;
        let mut facts = self.facts.subscribe();
        // What does not answer is shown as such.
        let _ = tokio::time::timeout(FIRST_LOOK, facts.wait_for(|f| enough(f.first_look))).await;
        Ok(cache)
    }

    /// Waits until everything was listed once. Errors: the cluster does not answer within 3 s, or is too busy to within 20 s.
    pub async fn settled(&self) -> Result<Arc<Cache>, ApiError> {
        let (mut cache, mut reach) = (self.cache.subscribe(), self.reach.clone());
        let listed = cache.wait_for(|w| w.settled());
        let patience = async {
            tokio::time::sleep(SILENT).await;
            if self.now().refusal().is_some() {
                return;
            }
            // As long as it answers anything it is busy, not away.
            let _ = tokio::time::timeout(SLOW - SILENT, reach.wait_for(|r| r.failing.is_some())).await;
        };
        tokio::select! {
            biased;
            Ok(cache) = listed => return Ok(cache.clone()),
            () = patience => {}
        }
        if let Some(words) = self.now().refusal() {
            self.recheck.notify_one();
            return Err(ApiError::new(Code::Forbidden, errors::may_not_look(words), errors::give_right()));
        }
        let why = self.reach.borrow().failing.as_ref().map_or_else(causes::not_listed, |(_, why)| silence(why));
        Err(ApiError::new(Code::ClusterUnreachable, errors::cluster_silent(why), errors::cluster_runs()))
    }

    /// Makes a goal the one to reach, in place of or on top of what is under way, and writes it into the log.
    pub fn pursue(&self, verb: Verb, by: &str, goal: Goal, line: Line) -> Operation {
        let mut begun = None;
        self.facts.send_modify(|facts| {
            facts.goal = std::mem::take(&mut facts.goal).superseded_by(goal);
            facts.note(line);
            begun = Some(facts.begin(verb, by, &steps::waiting_for_turn()));
        });
        info!(namespace = %self.ns, ?verb, by, "{verb:?} is asked for by {by}");
        // `send_modify` runs its closure exactly once.
        begun.unwrap_or_else(|| Facts::default().begin(verb, by, &Message::default()))
    }
}
