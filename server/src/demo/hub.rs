//! The live hub: follows the load agent in the newest ready client pod and turns its snapshots into frames.
//!
//! One connection whoever watches. A new client pod takes over the load that was asked for.
use super::conditions::client_without_sidecar;
use super::facts::{Agent, now_ms};
use super::observe::{client_pod, demo_pods};
use super::route;
use super::space::{Space, ToAgent};
use super::verdict::verdict;
use crate::k8s::open;
use app::types::{ApiError, Code, Frame, LoadRequest, Rate, Split};
use futures::StreamExt;
use ::load::{AGENT_PORT, AgentClient, AgentError, LoadSpec, Mark, Snapshot};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info};

/// Frames of history: 60 s, two a second.
const HISTORY: usize = 120;
/// An agent that says nothing for so long is asked anew.
const SILENCE: Duration = Duration::from_secs(3);

/// Runs as long as the namespace is looked after.
pub async fn run(space: &Space, mut inbox: mpsc::Receiver<ToAgent>) {
    let mut world = space.world.subscribe();
    let mut asked = LoadRequest { rate: Rate::default(), requests: None };
    let mut pause = Duration::from_millis(100);
    loop {
        let Some(pod) = ready_client(space) else {
            set_agent(space, Agent::Absent);
            silence(space);
            tokio::select! {
                Some(command) = inbox.recv() => {
                    if refuse(command) {
                        asked = LoadRequest { rate: Rate::default(), requests: None };
                        set_rate(space, asked.rate);
                    }
                }
                Ok(()) = world.changed() => {}
                else => return,
            }
            continue;
        };
        let began = Instant::now();
        let ended = follow(space, &pod, &mut inbox, &mut asked).await;
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
    let stale = space.frames.borrow().as_ref().is_some_and(|f| f.target_rate > 0.0 || f.achieved_rate > 0.0);
    if stale {
        let wished = space.status.borrow().wished.clone();
        space.frames.send_replace(Some(Arc::new(Frame { at_ms: now_ms(), wished, ..Frame::default() })));
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
        Ok(Commands { space, pod, client: connect(space, pod).await? })
    }

    async fn set_load(&mut self, spec: &LoadSpec) -> Result<(), AgentError> {
        match self.client.set_load(spec).await {
            Err(AgentError::Lost(_)) => {
                self.client = connect(self.space, self.pod).await?;
                self.client.set_load(spec).await.map(|_| ())
            }
            answered => answered.map(|_| ()),
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
async fn follow(space: &Space, pod: &str, inbox: &mut mpsc::Receiver<ToAgent>, asked: &mut LoadRequest) -> Result<(), AgentError> {
    let mut commands = Commands::open(space, pod).await?;
    let running = commands.client.status().await?.load.rate;
    if asked.rate != Rate::default() && running == 0 && asked.requests.is_none() {
        info!(pod.name = pod, rate = asked.rate.per_second(), "The load goes on from `{pod}`");
        commands.set_load(&spec(asked)).await?;
    } else if let Ok(rate) = Rate::try_from(f64::from(running)) {
        *asked = LoadRequest { rate, requests: None };
    }
    set_rate(space, asked.rate);
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
                let pods = demo_pods(&space.now());
                if !pods.iter().any(|p| p.view.name == pod && !p.terminating) {
                    return Ok(());
                }
                if ready_client(space).is_some_and(|newest| newest != pod) {
                    // The old pod may live on where somebody scaled the client.
                    let _ = follower.commands.set_load(&LoadSpec::rate(0)).await;
                    return Ok(());
                }
            }
        }
    }
}

fn spec(request: &LoadRequest) -> LoadSpec {
    LoadSpec { rate: request.rate.per_second(), requests: request.requests, ..LoadSpec::default() }
}

impl Follower<'_> {
    async fn command(&mut self, command: ToAgent, asked: &mut LoadRequest) -> Result<(), AgentError> {
        match command {
            // Who asked has given up and was told so: no load may start behind their back. A stop is never late.
            ToAgent::Load(request, answer) if answer.is_closed() && request.rate != Rate::default() => Ok(()),
            ToAgent::Load(request, answer) => {
                let outcome = self.commands.set_load(&spec(&request)).await;
                let told = match &outcome {
                    Ok(()) => {
                        *asked = request;
                        self.settled_at = Instant::now() + Duration::from_millis(300);
                        set_rate(self.space, request.rate);
                        Ok(())
                    }
                    Err(AgentError::Refused { message, .. }) => {
                        Err(ApiError::new(Code::BadRequest, format!("The load client refuses: {message}."), "Ask for another rate."))
                    }
                    Err(error) => Err(ApiError::new(Code::ClusterUnreachable, format!("The load client does not answer: {error}."), "Try again in a moment.")),
                };
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

    async fn take(&mut self, snapshot: Snapshot, asked: &mut LoadRequest) -> Result<(), AgentError> {
        let status = self.space.status.borrow().clone();
        let with_sidecar = client_without_sidecar(&demo_pods(&self.space.now())).is_none();
        let about = (status.wished.clone(), with_sidecar);
        if self.marked.as_ref() != Some(&about) && self.first.is_none() {
            self.mark = Some(self.commands.mark().await?);
            self.marked = Some(about);
        }
        if Instant::now() > self.settled_at
            && let Ok(rate) = Rate::try_from(snapshot.target_rate)
            && rate != asked.rate
        {
            // A finite run that is over, or somebody told the agent by other ways.
            *asked = LoadRequest { rate, requests: None };
            set_rate(self.space, rate);
        }
        // In tens: the frames have the exact figure, and a status shall not change ten times a second.
        let limited = snapshot.limited.then_some((snapshot.achieved_rate.max(0.0) / 10.0).round() as u32 * 10);
        set_agent(self.space, Agent::Connected { limited });
        self.time_first_request(&snapshot);
        let since = snapshot.mark.as_ref().filter(|m| self.mark.as_ref().is_some_and(|mine| mine.id == m.id));
        let frame = Frame {
            at_ms: snapshot.at_ms,
            run: snapshot.run,
            verdict: verdict(status.wished.as_ref().and_then(|w| route::by_version(&self.space.now(), self.space.ns.as_str(), w)).as_ref(), with_sidecar, since),
            counts: snapshot.counts,
            errors: snapshot.errors,
            target_rate: snapshot.target_rate,
            achieved_rate: snapshot.achieved_rate,
            rates: snapshot.rates,
            p50_ms: snapshot.p50_ms,
            p90_ms: snapshot.p90_ms,
            p99_ms: snapshot.p99_ms,
            limited: snapshot.limited,
            wished: status.wished.clone(),
        };
        self.keep(&frame);
        self.space.frames.send_replace(Some(Arc::new(frame)));
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
