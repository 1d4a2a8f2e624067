//! The live hub: follows the load agent in the newest ready client pod and turns its snapshots into frames.
//!
//! One connection whoever watches. A new client pod takes over the load that was asked for.
use super::conditions::client_without_sidecar;
use super::facts::{Agent, Line, Short, now_ms};
use super::observe::{client_pod, demo_pods};
use super::route;
use super::space::{Space, ToAgent};
use super::traffic::{About, traffic};
use super::verdict::endpoints;
use crate::k8s::open;
use app::text::thousands;
use app::types::{ApiError, Code, Frame, LoadOrder, Rate, Split, Traffic, Verb};
use futures::StreamExt;
use ::load::{AGENT_PORT, AgentClient, AgentError, AgentStatus, LoadSpec, Mark, Snapshot};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info};

/// Frames of history: 60 s, two a second.
const HISTORY: usize = 120;
/// An agent that says nothing for so long is asked anew.
const SILENCE: Duration = Duration::from_secs(3);

/// What is asked for, and how far a finite run of it has come.
#[derive(Default)]
struct Asked {
    order: LoadOrder,
    /// The agent's id of the run.
    run: u64,
    /// Requests of the run that are answered, or failed.
    ended: u64,
}

impl Asked {
    fn stopped(&mut self) {
        *self = Asked { run: self.run, ..Asked::default() };
    }

    /// A finite run ends with its pod: the next one could not know which requests are still to come. That is said, not passed over.
    fn give_up_run(&mut self, space: &Space) {
        let (Some(requests), true) = (self.order.requests, self.order.rate != Rate::default()) else { return };
        let what = format!("run of {} requests ended at {}", thousands(requests), thousands(self.ended));
        let message = format!("The run of {} requests ended at {}: its client pod is gone.", thousands(requests), thousands(self.ended));
        let error = ApiError::new(Code::NoClient, message, "Start it again when the client is ready.");
        self.stopped();
        space.facts.send_modify(|f| {
            f.note(Line { verb: Some(Verb::Load), what, error: Some(error), ..Line::default() });
        });
        set_rate(space, self.order.rate);
    }
}

/// Runs as long as the namespace is looked after.
pub async fn run(space: &Space, mut inbox: mpsc::Receiver<ToAgent>) {
    let mut world = space.world.subscribe();
    let mut asked = Asked::default();
    let mut pause = Duration::from_millis(100);
    loop {
        let Some(pod) = ready_client(space) else {
            set_agent(space, Agent::Absent);
            silence(space);
            tokio::select! {
                Some(command) = inbox.recv() => {
                    if refuse(command) {
                        asked = Asked::default();
                        set_rate(space, asked.order.rate);
                    }
                }
                Ok(()) = world.changed() => {}
                else => return,
            }
            continue;
        };
        let began = Instant::now();
        let ended = follow(space, &pod, &mut inbox, &mut asked).await;
        if !is_there(space, &pod) {
            asked.give_up_run(space);
        }
        if let Err(why) = &ended {
            debug!(pod.name = pod, %why, "The load agent is not followed any more");
            // A pod that is being replaced loses its agent first; that is no news.
            if ready_client(space).as_deref() == Some(&pod) && began.elapsed() < SILENCE {
                set_agent(space, Agent::Unreachable(why.to_string()));
            }
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

fn set_rate(space: &Space, rate: Rate) {
    space.facts.send_if_modified(|f| {
        let changed = f.load != rate;
        f.load = rate;
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
        let _ = answer.send(if stop { Ok(()) } else { Err(refusal) });
        return stop;
    }
    false
}

/// The connection for commands. It lies idle for long and may be closed meanwhile: then a fresh one is tried, once.
struct Commands<'a> {
    space: &'a Space,
    pod: &'a str,
    client: AgentClient,
}

impl<'a> Commands<'a> {
    async fn open(space: &'a Space, pod: &'a str) -> Result<Commands<'a>, AgentError> {
        let mut client = connect(space, pod).await?;
        // A connection that never asked anything is closed soon; one that rests after an answer is kept.
        client.status().await?;
        Ok(Commands { space, pod, client })
    }

    async fn set_load(&mut self, spec: &LoadSpec) -> Result<AgentStatus, AgentError> {
        match self.client.set_load(spec).await {
            Err(AgentError::Lost(_)) => {
                self.client = connect(self.space, self.pod).await?;
                self.client.set_load(spec).await
            }
            answered => answered,
        }
    }

    async fn mark(&mut self) -> Result<Mark, AgentError> {
        match self.client.mark().await {
            Err(AgentError::Lost(_)) => {
                self.client = connect(self.space, self.pod).await?;
                self.client.mark().await
            }
            answered => answered,
        }
    }
}

async fn connect(space: &Space, pod: &str) -> Result<AgentClient, AgentError> {
    let stream = open(&space.cluster, space.ns.as_str(), pod, AGENT_PORT).await.map_err(AgentError::Lost)?;
    AgentClient::new(stream).await
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
}

/// Follows one pod's agent. `Ok` when another pod takes over.
async fn follow(space: &Space, pod: &str, inbox: &mut mpsc::Receiver<ToAgent>, asked: &mut Asked) -> Result<(), AgentError> {
    let mut commands = Commands::open(space, pod).await?;
    let found = commands.client.status().await?;
    let (order, running) = (&asked.order, found.load.rate);
    if order.rate != Rate::default() && running == 0 && order.requests.is_none() {
        info!(pod.name = pod, rate = order.rate.per_second(), "The load goes on from `{pod}`");
        asked.run = commands.set_load(&spec(order)).await?.snapshot.run;
    } else {
        if found.snapshot.run != asked.run {
            // Another pod, or its container has started anew.
            asked.give_up_run(space);
        }
        asked.run = found.snapshot.run;
        if let Ok(rate) = Rate::try_from(f64::from(running)) {
            (asked.order.rate, asked.order.requests) = (rate, found.load.requests.filter(|_| running > 0));
        }
    }
    set_rate(space, asked.order.rate);
    let mut snapshots = connect(space, pod).await?.snapshots().await?;
    let settled_at = Instant::now() + Duration::from_millis(300);
    let mut follower = Follower { space, commands, marked: None, mark: None, first: None, settled_at, kept_at_ms: 0 };
    let mut world = space.world.subscribe();
    loop {
        tokio::select! {
            snapshot = tokio::time::timeout(SILENCE, snapshots.next()) => match snapshot {
                Ok(Some(snapshot)) => follower.take(snapshot?, asked).await?,
                Ok(None) => return Err(AgentError::Lost("it ended".to_owned())),
                Err(_) => return Err(AgentError::Lost(format!("silent for {} s", SILENCE.as_secs()))),
            },
            Some(command) = inbox.recv() => follower.command(command, asked).await?,
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

fn spec(order: &LoadOrder) -> LoadSpec {
    LoadSpec {
        rate: order.rate.per_second(),
        requests: order.requests,
        method: order.method().map(str::to_owned),
        path: order.path().map(str::to_owned),
        headers: order.headers().clone(),
        closed_loop: order.closed_loop(),
        concurrency: order.concurrency(),
        // Whom to ask is the client's to say.
        url: None,
    }
}

impl Follower<'_> {
    async fn command(&mut self, command: ToAgent, asked: &mut Asked) -> Result<(), AgentError> {
        match command {
            // Who asked has given up and was told so: no load may start behind their back. A stop is never late.
            ToAgent::Load(order, answer) if answer.is_closed() && order.rate != Rate::default() => Ok(()),
            ToAgent::Load(order, answer) => {
                let mut order = if asked.order.rate == Rate::default() { order } else { order.over(&asked.order) };
                let outcome = self.commands.set_load(&spec(&order)).await;
                let told = match &outcome {
                    Ok(status) if order.rate == Rate::default() => {
                        asked.stopped();
                        asked.run = status.snapshot.run;
                        Ok(())
                    }
                    Ok(status) => {
                        // A rate alone leaves a finite run finite: the agent says which it is.
                        order.requests = status.load.requests;
                        *asked = Asked { order, run: status.snapshot.run, ended: 0 };
                        Ok(())
                    }
                    Err(AgentError::Refused { message, .. }) => {
                        Err(ApiError::new(Code::BadRequest, format!("The load client refuses: {message}."), "Ask for another rate."))
                    }
                    Err(error) => Err(ApiError::new(Code::ClusterUnreachable, format!("The load client does not answer: {error}."), "Try again in a moment.")),
                };
                if told.is_ok() {
                    self.settled_at = Instant::now() + Duration::from_millis(300);
                    set_rate(self.space, asked.order.rate);
                }
                // Who asked may be gone.
                let _ = answer.send(told);
                match outcome {
                    Err(error @ (AgentError::Lost(_) | AgentError::Unreadable(_))) => Err(error),
                    _ => Ok(()),
                }
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

    async fn take(&mut self, snapshot: Snapshot, asked: &mut Asked) -> Result<(), AgentError> {
        let status = self.space.status.borrow().clone();
        let pods = demo_pods(&self.space.now());
        let with_sidecar = client_without_sidecar(&pods).is_none();
        let about = (status.wished.clone(), with_sidecar);
        if self.marked.as_ref() != Some(&about) && self.first.is_none() {
            self.mark = Some(self.commands.mark().await?);
            self.marked = Some(about);
        }
        if snapshot.run == asked.run {
            asked.ended = snapshot.counts.values().sum::<u64>() + snapshot.errors;
        }
        if Instant::now() > self.settled_at
            && let Ok(rate) = Rate::try_from(snapshot.target_rate)
            && rate != asked.order.rate
        {
            // A finite run that is over, or somebody told the agent by other ways.
            let requests = snapshot.requests.filter(|_| rate != Rate::default());
            let mut order = LoadOrder::default();
            (order.rate, order.requests) = (rate, requests);
            *asked = Asked { order, run: snapshot.run, ended: asked.ended };
            set_rate(self.space, rate);
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
        let endpoints = endpoints(&pods);
        let by_version = status.wished.as_ref().and_then(|w| route::by_version(&self.space.now(), self.space.ns.as_str(), w));
        let told = traffic(snapshot, About { wished: status.wished.as_ref(), by_version: by_version.as_ref(), with_sidecar, endpoints, mark: self.mark.as_ref() });
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
