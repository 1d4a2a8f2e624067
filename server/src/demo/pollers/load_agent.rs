//! Follows the load agent in the newest ready client pod and turns its snapshots into frames.
//!
//! While somebody looks the agent streams ten snapshots a second, over one connection however many look; else it is asked now and then.
//! A new client pod takes over the load that was asked for. What all generators together may send is shared out (`share.rs`).
use crate::demo::clock::now_ms;
use crate::demo::errors::no_client;
use crate::demo::namespace::facts::Agent;
use crate::demo::namespace::facts::Granted;
use crate::demo::namespace::state::{NamespaceState, ToAgent};
use crate::demo::plan::observe::{client_pod, demo_pods};
use crate::demo::pollers::agent_connection::{Commands, connect, words};
use crate::demo::pollers::follower::{Follower, set_agent};
use crate::demo::pollers::load_order::{Asked, spec};
use ::load::{AgentError, LoadSpec};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info};
use wire::{Frame, Rate, Traffic};

/// An agent that says nothing for so long is asked anew.
const SILENCE: Duration = Duration::from_secs(3);

/// How often the agent is asked while load runs and nobody looks: the chart keeps two frames a second for who comes next.
const UNSEEN: Duration = Duration::from_millis(500);
/// How often where there is no load either: somebody may start it by other ways.
const RESTING: Duration = Duration::from_secs(5);
/// How soon after somebody asked for the namespace it is seen whether they stay.
const SOON: Duration = Duration::from_millis(100);

/// Runs as long as the namespace is awake.
pub async fn run(state: &NamespaceState, inbox: &mut mpsc::Receiver<ToAgent>) {
    let mut cache = state.cache.subscribe();
    let mut stops = state.shares.stops();
    let mut asked = Asked { stops: *stops.borrow_and_update(), ..Asked::default() };
    let mut pause = Duration::from_millis(100);
    loop {
        let Some(pod) = ready_client(state) else {
            set_agent(state, Agent::Absent);
            // Others may use what is not sent.
            state.shares.ask(&state.ns, Rate::default());
            looked(state);
            silence(state);
            tokio::select! {
                Some(command) = inbox.recv() => {
                    if refuse(command) {
                        asked.stopped();
                        asked.tell(state);
                    }
                }
                Ok(()) = stops.changed() => {
                    asked.stops = *stops.borrow_and_update();
                    asked.stopped();
                    asked.tell(state);
                }
                Ok(()) = cache.changed() => {}
                else => return,
            }
            continue;
        };
        let began = Instant::now();
        let ended = follow(state, &pod, inbox, &mut asked).await;
        if !is_there(state, &pod) {
            asked.give_up_run(state);
        }
        if let Err(why) = &ended {
            debug!(pod.name = pod, %why, "The load agent is not followed any more");
            // A pod that is being replaced loses its agent first; that is no news.
            if ready_client(state).as_deref() == Some(&pod) && began.elapsed() < SILENCE {
                set_agent(state, Agent::Unreachable(words(why)));
            }
            looked(state);
        }
        pause = if began.elapsed() > SILENCE {
            Duration::from_millis(100)
        } else {
            (pause * 2).min(Duration::from_secs(2))
        };
        if ended.is_ok() {
            pause = Duration::from_millis(20);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = cache.changed() => {}
        }
    }
}

/// The client was looked at, or it is known that there is none.
fn looked(state: &NamespaceState) {
    if state.now().settled() {
        state.facts.send_if_modified(|f| !std::mem::replace(&mut f.first_look.agent, true));
    }
}

fn ready_client(state: &NamespaceState) -> Option<String> {
    client_pod(&demo_pods(&state.now())).filter(|p| p.ready).map(|p| p.view.name.clone())
}

fn is_there(state: &NamespaceState, pod: &str) -> bool {
    demo_pods(&state.now()).iter().any(|p| p.view.name == pod && !p.terminating)
}

/// Without a client nothing is sent, and the page shall not show otherwise.
fn silence(state: &NamespaceState) {
    let stale = state.frames.borrow().as_ref().is_some_and(|t| t.frame.target_rate > 0.0 || t.achieved_rate > 0.0);
    if stale {
        let desired = state.status.borrow().desired.clone();
        state.frames.send_replace(Some(Arc::new(Traffic {
            frame: Frame { at_ms: now_ms(), desired, ..Frame::default() },
            ..Traffic::default()
        })));
    }
}

/// Without a client there is nothing to command, but to stop. Gives whether that was asked for.
fn refuse(command: ToAgent) -> bool {
    if let ToAgent::Load(request, answer) = command {
        let stop = request.rate == Rate::default();
        // Who asked may be gone.
        let _ = answer.send(if stop { Ok(Granted::default()) } else { Err(no_client()) });
        return stop;
    }
    false
}

/// Connects to a pod's agent, and brings it and what is asked for together: it obeys the stop-all switch, goes on with a load that a pod
/// before it had, or has its own load taken over.
async fn take_up<'a>(
    state: &'a NamespaceState,
    pod: &'a str,
    asked: &mut Asked,
    stops_so_far: u64,
) -> Result<Follower<'a>, AgentError> {
    let mut commands = Commands::open(state, pod).await?;
    let found = commands.client.status().await?;
    let running = found.load.rate;
    if asked.stops != stops_so_far {
        // The switch was used while there was no connection. It is obeyed once the agent has said so.
        asked.stopped();
        asked.take_part(state);
        asked.run = commands.set_load(&LoadSpec::rate(0)).await?.snapshot.run;
        asked.stops = stops_so_far;
    } else if asked.order.rate != Rate::default()
        && running == 0
        && asked.order.requests.is_none()
        && asked.is_of_another_agent(&found.snapshot)
    {
        info!(pod.name = pod, rate = asked.order.rate.per_second(), "The load goes on from `{pod}`");
        asked.take_part(state);
        let status = commands.set_load(&spec(&asked.order, asked.granted)).await?;
        (asked.run, asked.sent) = (status.snapshot.run, status.load);
    } else {
        if asked.is_of_another_agent(&found.snapshot) {
            asked.give_up_run(state);
        }
        asked.run = found.snapshot.run;
        // What was cut down here before runs as it was sent, and is still asked for in full.
        if running != asked.sent.rate || asked.order.rate == Rate::default() {
            asked.order.rate = Rate::at_most(running);
            asked.order.requests = found.load.requests.filter(|_| running > 0);
        }
        asked.sent = found.load;
        asked.granted = Rate::at_most(running);
        asked.take_part(state);
    }
    asked.agent = found.snapshot.agent;
    asked.tell(state);
    let mut follower = Follower::new(state, commands);
    follower.obey_grant(asked).await?;
    follower.take(found.snapshot, asked).await?;
    looked(state);
    Ok(follower)
}

/// Follows one pod's agent. `Ok` when another pod takes over.
async fn follow(
    state: &NamespaceState,
    pod: &str,
    inbox: &mut mpsc::Receiver<ToAgent>,
    asked: &mut Asked,
) -> Result<(), AgentError> {
    // Before the agent is asked anything: a switch that is used meanwhile is seen in the loop.
    let (mut stops, mut grants) = (state.shares.stops(), state.shares.changes());
    let stops_so_far = *stops.borrow_and_update();
    let mut follower = take_up(state, pod, asked, stops_so_far).await?;
    let mut cache = state.cache.subscribe();
    let mut snapshots = None;
    let mut next_poll = Instant::now() + UNSEEN;
    loop {
        match (&snapshots, state.is_viewed()) {
            (None, true) => snapshots = Some(connect(state, pod).await?.snapshots().await?),
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
                let status = follower.status().await?;
                follower.take(status.snapshot, asked).await?;
                let pause = match (asked.order.rate == Rate::default(), follower.waits_for_first_request()) {
                    (true, _) => RESTING,
                    (false, true) => SOON,
                    (false, false) => UNSEEN,
                };
                next_poll = Instant::now() + pause;
            }
            () = state.asked.notified(), if !streams => next_poll = next_poll.min(Instant::now() + SOON),
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
            Ok(()) = cache.changed() => {
                if !is_there(state, pod) {
                    return Ok(());
                }
                if ready_client(state).is_some_and(|newest| newest != pod) {
                    asked.give_up_run(state);
                    // The old pod may live on where somebody scaled the client.
                    let _ = follower.hand_over().await;
                    asked.handed_over();
                    return Ok(());
                }
            }
        }
    }
}
