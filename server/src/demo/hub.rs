//! The live hub: follows the load agent in the newest ready client pod and turns its snapshots into frames.
//!
//! While somebody looks the agent streams ten snapshots a second, over one connection however many look; else it is asked now and then.
//! A new client pod takes over the load that was asked for. What all generators together may send is shared out (`share.rs`).
use super::agent_connection::{Commands, api_error, connect, goes_on};
use super::conditions::client_without_sidecar;
use super::facts::{Agent, Short, now_ms};
use super::load_order::{Asked, cut, spec};
use super::observe::{client_pod, demo_pods};
use super::route;
use super::space::{Granted, Space, ToAgent};
use super::traffic::{About, traffic};
use super::verdict::endpoints;
use crate::k8s::World;
use app::types::{ApiError, Code, Frame, LoadOrder, Rate, Split, Traffic};
use futures::StreamExt;
use ::load::{AgentError, LoadSpec, Mark, Snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info};

/// Frames of history: 60 s, two a second.
const HISTORY: usize = 120;
/// An agent that says nothing for so long is asked anew.
const SILENCE: Duration = Duration::from_secs(3);

/// How often the agent is asked while load runs and nobody looks: the chart keeps two frames a second for who comes next.
const UNSEEN: Duration = Duration::from_millis(500);
/// How often where there is no load either: somebody may start it by other ways.
const RESTING: Duration = Duration::from_secs(5);
/// How soon after somebody asked for the namespace it is seen whether they stay.
const SOON: Duration = Duration::from_millis(100);

/// Runs as long as the namespace is awake.
pub async fn run(space: &Space, inbox: &mut mpsc::Receiver<ToAgent>) {
    let mut world = space.world.subscribe();
    let mut stops = space.shares.stops();
    let mut asked = Asked { stops: *stops.borrow_and_update(), ..Asked::default() };
    let mut pause = Duration::from_millis(100);
    loop {
        let Some(pod) = ready_client(space) else {
            set_agent(space, Agent::Absent);
            // Others may use what is not sent.
            space.shares.ask(&space.ns, Rate::default());
            looked(space);
            silence(space);
            tokio::select! {
                Some(command) = inbox.recv() => {
                    if refuse(command) {
                        asked.stopped();
                        asked.tell(space);
                    }
                }
                Ok(()) = stops.changed() => {
                    asked.stops = *stops.borrow_and_update();
                    asked.stopped();
                    asked.tell(space);
                }
                Ok(()) = world.changed() => {}
                else => return,
            }
            continue;
        };
        let began = Instant::now();
        let ended = follow(space, &pod, inbox, &mut asked).await;
        if !is_there(space, &pod) {
            asked.give_up_run(space);
        }
        if let Err(why) = &ended {
            debug!(pod.name = pod, %why, "The load agent is not followed any more");
            // A pod that is being replaced loses its agent first; that is no news.
            if ready_client(space).as_deref() == Some(&pod) && began.elapsed() < SILENCE {
                set_agent(space, Agent::Unreachable(why.to_string()));
            }
            looked(space);
        }
        pause = if began.elapsed() > SILENCE { Duration::from_millis(100) } else { (pause * 2).min(Duration::from_secs(2)) };
        if ended.is_ok() {
            pause = Duration::from_millis(20);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = world.changed() => {}
        }
    }
}

/// The client was looked at, or it is known that there is none.
fn looked(space: &Space) {
    if space.now().settled() {
        space.facts.send_if_modified(|f| !std::mem::replace(&mut f.first_look.agent, true));
    }
}

fn ready_client(space: &Space) -> Option<String> {
    client_pod(&demo_pods(&space.now())).filter(|p| p.ready).map(|p| p.view.name.clone())
}

fn is_there(space: &Space, pod: &str) -> bool {
    demo_pods(&space.now()).iter().any(|p| p.view.name == pod && !p.terminating)
}

fn set_agent(space: &Space, agent: Agent) {
    space.facts.send_if_modified(|f| {
        let changed = f.agent != agent;
        f.agent = agent;
        changed
    });
}

/// Without a client nothing is sent, and the page shall not show otherwise.
fn silence(space: &Space) {
    let stale = space.frames.borrow().as_ref().is_some_and(|t| t.frame.target_rate > 0.0 || t.achieved_rate > 0.0);
    if stale {
        let wished = space.status.borrow().wished.clone();
        space.frames.send_replace(Some(Arc::new(Traffic { frame: Frame { at_ms: now_ms(), wished, ..Frame::default() }, ..Traffic::default() })));
    }
}

/// Without a client there is nothing to command, but to stop. Gives whether that was asked for.
fn refuse(command: ToAgent) -> bool {
    if let ToAgent::Load(request, answer) = command {
        let stop = request.rate == Rate::default();
        let refusal = ApiError::new(Code::NoClient, "There is no ready client to make load with.", "Deploy the client first, or wait until it is ready.");
        // Who asked may be gone.
        let _ = answer.send(if stop { Ok(Granted::default()) } else { Err(refusal) });
        return stop;
    }
    false
}

struct Follower<'a> {
    space: &'a Space,
    commands: Commands<'a>,
    /// What the counts of the newest mark are about.
    marked: Option<(Option<Split>, bool)>,
    mark: Option<Mark>,
    /// Line of the log that waits for its first request, milliseconds before the mark, the mark.
    first: Option<(u64, f64, Mark, Split)>,
    /// Snapshots before this may still tell the old rate.
    settled_at: Instant,
    kept_at_ms: u64,
    scene: Scene,
}

/// What a frame needs of the namespace's objects; read once for each change of them.
#[derive(Default)]
struct Scene {
    world: Option<Arc<World>>,
    wished: Option<Split>,
    by_version: Option<Split>,
    with_sidecar: bool,
    endpoints: BTreeMap<String, u32>,
}

impl Scene {
    fn refresh(&mut self, space: &Space) {
        let world = space.now();
        if self.world.as_ref().is_some_and(|known| Arc::ptr_eq(known, &world)) {
            return;
        }
        let (ns, pods) = (space.ns.as_str(), demo_pods(&world));
        self.wished = route::find(&world, ns).and_then(|seen| route::split(&seen.object, ns));
        self.by_version = self.wished.as_ref().and_then(|wished| route::by_version(&world, ns, wished));
        self.with_sidecar = client_without_sidecar(&pods).is_none();
        self.endpoints = endpoints(&pods);
        self.world = Some(world);
    }
}

/// Follows one pod's agent. `Ok` when another pod takes over.
async fn follow(space: &Space, pod: &str, inbox: &mut mpsc::Receiver<ToAgent>, asked: &mut Asked) -> Result<(), AgentError> {
    let mut commands = Commands::open(space, pod).await?;
    let (mut stops, mut grants) = (space.shares.stops(), space.shares.changes());
    let found = commands.client.status().await?;
    let running = found.load.rate;
    let stops_so_far = *stops.borrow_and_update();
    if asked.stops != stops_so_far {
        // The switch was used while there was no connection. It is obeyed once the agent has said so.
        asked.stopped();
        asked.take_part(space);
        asked.run = commands.set_load(&LoadSpec::rate(0)).await?.snapshot.run;
        asked.stops = stops_so_far;
    } else if asked.order.rate != Rate::default() && running == 0 && asked.order.requests.is_none() {
        info!(pod.name = pod, rate = asked.order.rate.per_second(), "The load goes on from `{pod}`");
        asked.take_part(space);
        let status = commands.set_load(&spec(&asked.order, asked.granted)).await?;
        (asked.run, asked.sent) = (status.snapshot.run, status.load);
    } else {
        if found.snapshot.run != asked.run {
            // Another pod, or its container has started anew.
            asked.give_up_run(space);
        }
        asked.run = found.snapshot.run;
        // What was cut down here before runs as it was sent, and is still asked for in full.
        if running != asked.sent.rate || asked.order.rate == Rate::default() {
            asked.order.rate = Rate::at_most(running);
            asked.order.requests = found.load.requests.filter(|_| running > 0);
        }
        asked.sent = found.load;
        asked.granted = Rate::at_most(running);
        asked.take_part(space);
    }
    asked.tell(space);
    let settled_at = Instant::now() + Duration::from_millis(300);
    let mut follower = Follower { space, commands, marked: None, mark: None, first: None, settled_at, kept_at_ms: 0, scene: Scene::default() };
    follower.obey_grant(asked).await?;
    follower.take(found.snapshot, asked).await?;
    looked(space);
    let mut world = space.world.subscribe();
    let mut snapshots = None;
    let mut next_poll = Instant::now() + UNSEEN;
    loop {
        match (&snapshots, space.is_viewed()) {
            (None, true) => snapshots = Some(connect(space, pod).await?.snapshots().await?),
            (Some(_), false) => {
                snapshots = None;
                next_poll = Instant::now() + UNSEEN;
            }
            _ => {}
        }
        let streams = snapshots.is_some();
        let streamed = async {
            match &mut snapshots {
                Some(snapshots) => tokio::time::timeout(SILENCE, snapshots.next()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            snapshot = streamed => match snapshot {
                Ok(Some(snapshot)) => follower.take(snapshot?, asked).await?,
                Ok(None) => return Err(AgentError::Lost("it ended".to_owned())),
                Err(_) => return Err(AgentError::Lost(format!("silent for {} s", SILENCE.as_secs()))),
            },
            () = tokio::time::sleep_until(next_poll), if !streams => {
                let status = follower.commands.status().await?;
                follower.take(status.snapshot, asked).await?;
                let pause = match (asked.order.rate == Rate::default(), follower.first.is_some()) {
                    (true, _) => RESTING,
                    (false, true) => SOON,
                    (false, false) => UNSEEN,
                };
                next_poll = Instant::now() + pause;
            }
            () = space.asked.notified(), if !streams => next_poll = next_poll.min(Instant::now() + SOON),
            Some(command) = inbox.recv() => {
                follower.command(command, asked).await?;
                next_poll = next_poll.min(Instant::now() + SOON);
            }
            Ok(()) = grants.changed() => follower.obey_grant(asked).await?,
            Ok(()) = stops.changed() => {
                let stops_so_far = *stops.borrow_and_update();
                // Where that fails, the next connection begins with it.
                follower.stop(asked).await?;
                asked.stops = stops_so_far;
            }
            Ok(()) = world.changed() => {
                if !is_there(space, pod) {
                    return Ok(());
                }
                if ready_client(space).is_some_and(|newest| newest != pod) {
                    asked.give_up_run(space);
                    // The old pod may live on where somebody scaled the client.
                    let _ = follower.commands.set_load(&LoadSpec::rate(0)).await;
                    return Ok(());
                }
            }
        }
    }
}

impl Follower<'_> {
    async fn command(&mut self, command: ToAgent, asked: &mut Asked) -> Result<(), AgentError> {
        match command {
            // Who asked has given up and was told so: no load may start behind their back. A stop is never late.
            ToAgent::Load(order, answer) if answer.is_closed() && order.rate != Rate::default() => Ok(()),
            ToAgent::Load(order, answer) if order.rate == Rate::default() => {
                let outcome = self.stop(asked).await;
                // Who asked may be gone.
                let _ = answer.send(outcome.as_ref().map(|()| Granted::default()).map_err(api_error));
                outcome.or_else(goes_on)
            }
            ToAgent::Load(order, answer) => {
                let outcome = self.start(order, asked).await;
                let _ = answer.send(match &outcome {
                    Ok(granted) => granted.ok_or_else(|| {
                        let message = format!("The panel's cap of {} requests/s on all load together is used up.", self.space.shares.cap());
                        ApiError::new(Code::TooManyRequests, message, "Stop another load, or start the panel with a higher --max-total-rate.")
                    }),
                    Err(error) => Err(api_error(error)),
                });
                outcome.map(drop).or_else(goes_on)
            }
            ToAgent::FirstRequest { line, so_far_ms, split } => {
                let mark = self.commands.mark().await?;
                self.marked = Some((Some(split.clone()), true));
                self.mark = Some(mark.clone());
                self.first = Some((line, so_far_ms, mark, split));
                Ok(())
            }
        }
    }

    /// Starts or changes the load. Returns what is granted, or `None` where not one request a second can be.
    async fn start(&mut self, order: LoadOrder, asked: &mut Asked) -> Result<Option<Granted>, AgentError> {
        if !self.space.shares.has_room(&self.space.ns) {
            return Ok(None);
        }
        let mut order = if asked.order.rate == Rate::default() { order } else { order.over(&asked.order) };
        let closed = order.closed_loop().is_some();
        let wanted = if closed { Rate::at_most(Rate::MAX) } else { order.rate };
        let granted = self.space.shares.ask(&self.space.ns, wanted);
        match self.commands.set_load(&spec(&order, granted)).await {
            Ok(status) => {
                // A rate alone leaves a finite run finite: the agent says which it is.
                order.requests = status.load.requests;
                *asked = Asked { order, sent: status.load, granted, stops: asked.stops, run: status.snapshot.run, ended: 0 };
                self.settled_at = Instant::now() + Duration::from_millis(300);
                asked.tell(self.space);
                Ok(Some(Granted { rate: granted, of: wanted }))
            }
            Err(error) => {
                // What ran before goes on.
                asked.take_part(self.space);
                Err(error)
            }
        }
    }

    async fn stop(&mut self, asked: &mut Asked) -> Result<(), AgentError> {
        let status = self.commands.set_load(&LoadSpec::rate(0)).await?;
        asked.stopped();
        (asked.run, asked.sent) = (status.snapshot.run, status.load);
        asked.take_part(self.space);
        self.settled_at = Instant::now() + Duration::from_millis(300);
        asked.tell(self.space);
        Ok(())
    }

    /// Others have started or stopped: the agent is told what is granted now. The run, its counts and its end stay.
    async fn obey_grant(&mut self, asked: &mut Asked) -> Result<(), AgentError> {
        let granted = self.space.shares.granted(&self.space.ns);
        if asked.order.rate == Rate::default() {
            return Ok(());
        }
        if granted == Rate::default() {
            // More generators than requests a second to give: this one ends.
            return self.stop(asked).await;
        }
        let next = LoadSpec { requests: None, ..cut(asked.sent.clone(), asked.order.rate, granted) };
        if next != (LoadSpec { requests: None, ..asked.sent.clone() }) {
            asked.sent = self.commands.set_load(&next).await?.load;
            self.settled_at = Instant::now() + Duration::from_millis(300);
        }
        asked.granted = granted;
        asked.tell(self.space);
        Ok(())
    }

    async fn take(&mut self, snapshot: Snapshot, asked: &mut Asked) -> Result<(), AgentError> {
        if Instant::now() > self.settled_at && snapshot.run != asked.run && snapshot.target_rate == 0.0 && asked.sent.rate > 0 {
            // It came on a new connection, from a container that was started anew: nobody has stopped the load.
            return Err(AgentError::Lost("the agent was started anew".to_owned()));
        }
        self.scene.refresh(self.space);
        let about = (self.scene.wished.clone(), self.scene.with_sidecar);
        if self.marked.as_ref() != Some(&about) && self.first.is_none() {
            self.mark = Some(self.commands.mark().await?);
            self.marked = Some(about);
        }
        if snapshot.run == asked.run {
            asked.ended = snapshot.counts.values().sum::<u64>() + snapshot.errors;
        }
        if Instant::now() > self.settled_at
            && let Ok(rate) = Rate::try_from(snapshot.target_rate)
            && rate.per_second() != asked.sent.rate
        {
            // A finite run that is over, or somebody told the agent by other ways.
            let found = self.commands.status().await?;
            let mut order = LoadOrder::default();
            (order.rate, order.requests) = (Rate::at_most(found.load.rate), found.load.requests.filter(|_| found.load.rate > 0));
            *asked = Asked { order, sent: found.load, granted: asked.granted, stops: asked.stops, run: found.snapshot.run, ended: asked.ended };
            asked.take_part(self.space);
            asked.tell(self.space);
            self.obey_grant(asked).await?;
        }
        // In tens: the frames have the exact figure, and a status shall not change ten times a second.
        let achieved = (snapshot.achieved_rate.max(0.0) / 10.0).round() as u32 * 10;
        let short = match (snapshot.limited, snapshot.saturated) {
            (true, _) => Some((Short::Machine, achieved)),
            (false, true) => Some((Short::Target, achieved)),
            (false, false) => None,
        };
        set_agent(self.space, Agent::Connected { short });
        self.time_first_request(&snapshot);
        let scene = &self.scene;
        let told = traffic(
            snapshot,
            About {
                wished: scene.wished.as_ref(),
                by_version: scene.by_version.as_ref(),
                with_sidecar: scene.with_sidecar,
                endpoints: scene.endpoints.clone(),
                mark: self.mark.as_ref(),
            },
        );
        self.keep(&told.frame);
        self.space.frames.send_replace(Some(Arc::new(told)));
        Ok(())
    }

    /// Every fifth frame is history.
    fn keep(&mut self, frame: &Frame) {
        if frame.at_ms < self.kept_at_ms + 450 {
            return;
        }
        self.kept_at_ms = frame.at_ms;
        if let Ok(mut history) = self.space.history.lock() {
            history.push_back(frame.clone());
            while history.len() > HISTORY {
                history.pop_front();
            }
        }
    }

    /// Writes into the log when the first request on the new weights was answered, or gives up when another mark is set.
    fn time_first_request(&mut self, snapshot: &Snapshot) {
        let Some((line, so_far_ms, mark, split)) = &self.first else { return };
        let Some(seen) = snapshot.mark.as_ref().filter(|m| m.id == mark.id) else { return };
        let answered = seen.first.iter().filter(|(version, _)| split.percent(version) > 0).map(|(_, f)| f.answered_us).min();
        if let Some(answered_us) = answered {
            let since_mark_ms = std::time::Duration::from_micros(answered_us.saturating_sub(seen.at_us)).as_secs_f64() * 1000.0;
            let (line, ms) = (*line, so_far_ms + since_mark_ms);
            self.space.facts.send_modify(|f| {
                f.amend(line, |entry| {
                    if let Some(times) = &mut entry.times {
                        times.first_request = Some(ms);
                    }
                });
            });
        }
        // Without load there is no first request to wait for.
        if answered.is_some() || snapshot.target_rate == 0.0 {
            self.first = None;
        }
    }
}
