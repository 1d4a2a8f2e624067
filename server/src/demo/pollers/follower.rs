//! One agent that is followed: carries out commands on it, keeps its load at what is granted, and turns its snapshots into frames.
use crate::demo::namespace::facts::Granted;
use crate::demo::namespace::facts::{Agent, Short};
use crate::demo::namespace::state::{NamespaceState, ToAgent};
use crate::demo::plan::observe::demo_pods;
use crate::demo::pollers::agent_connection::{Commands, api_error, goes_on};
use crate::demo::pollers::load_order::{Asked, cut, spec};
use crate::demo::view::conditions::client_without_sidecar;
use crate::demo::view::failing::FailureWatch;
use crate::demo::view::lesson;
use crate::demo::view::traffic::{About, traffic};
use crate::demo::view::verdict::endpoints;
use crate::demo::virtual_service;
use crate::k8s::Cache;
use ::load::{AgentError, AgentStatus, LoadSpec, Mark, Snapshot};
use app::text::messages::errors;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::{ApiError, Code, Frame, LoadOrder, Rate, Split};

/// Frames of history: 60 s, two a second.
const HISTORY: usize = 120;

pub fn set_agent(state: &NamespaceState, agent: Agent) {
    state.facts.send_if_modified(|f| {
        let changed = f.agent != agent;
        f.agent = agent;
        changed
    });
}

/// The agent that is followed, and what is known of it.
pub struct Follower<'a> {
    state: &'a NamespaceState,
    commands: Commands<'a>,
    /// What the counts of the newest mark are about.
    marked: Option<Marked>,
    mark: Option<Mark>,
    /// Line of the log that waits for its first request, milliseconds before the mark, the mark.
    first: Option<(u64, f64, Mark, Split)>,
    /// Snapshots before this may still tell the old rate.
    settled_at: Instant,
    kept_at_ms: u64,
    scene: Scene,
    failures: FailureWatch,
}

/// All that decides where a request goes. Counts from before a change of it say nothing about now.
#[derive(Clone, Debug, PartialEq)]
struct Marked {
    desired: Option<Split>,
    /// Every subset of the route is one that a DestinationRule defines.
    resolves: bool,
    with_sidecar: bool,
    /// Ready pods by version.
    endpoints: BTreeMap<String, u32>,
}

/// What a frame needs of the namespace's objects; read once for each change of them.
#[derive(Default)]
struct Scene {
    cache: Option<Arc<Cache>>,
    desired: Option<Split>,
    by_version: Option<Split>,
    resolves: bool,
    with_sidecar: bool,
    endpoints: BTreeMap<String, u32>,
}

impl Scene {
    fn refresh(&mut self, state: &NamespaceState) {
        let cache = state.now();
        if self.cache.as_ref().is_some_and(|known| Arc::ptr_eq(known, &cache)) {
            return;
        }
        let (ns, pods) = (state.ns.as_str(), demo_pods(&cache));
        let route = virtual_service::find(&cache, ns);
        self.desired = route.and_then(|seen| virtual_service::split(&seen.object, ns));
        let defined = virtual_service::defined_subsets(&cache, ns);
        self.resolves = route
            .is_none_or(|seen| virtual_service::subsets(&seen.object).into_iter().all(|name| defined.contains(&name)));
        self.by_version = self.desired.as_ref().and_then(|desired| virtual_service::by_version(&cache, ns, desired));
        self.with_sidecar = client_without_sidecar(&pods).is_none();
        self.endpoints = endpoints(&pods);
        self.cache = Some(cache);
    }
}

impl<'a> Follower<'a> {
    pub fn new(state: &'a NamespaceState, commands: Commands<'a>) -> Follower<'a> {
        let settled_at = Instant::now() + Duration::from_millis(300);
        Follower {
            state,
            commands,
            marked: None,
            mark: None,
            first: None,
            settled_at,
            kept_at_ms: 0,
            scene: Scene::default(),
            failures: FailureWatch::default(),
        }
    }

    /// Whether the log waits for the first request on new weights.
    pub fn waits_for_first_request(&self) -> bool {
        self.first.is_some()
    }

    /// What the agent says of itself.
    pub async fn status(&mut self) -> Result<AgentStatus, AgentError> {
        self.commands.status().await
    }

    /// Stops what runs without a change of what is asked for: another pod goes on with it.
    pub async fn hand_over(&mut self) -> Result<(), AgentError> {
        self.commands.set_load(&LoadSpec::rate(0)).await.map(drop)
    }

    pub async fn command(&mut self, command: ToAgent, asked: &mut Asked) -> Result<(), AgentError> {
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
                        let cap = self.state.shares.cap().to_string();
                        ApiError::new(Code::TooManyRequests, errors::cap_used_up(cap), errors::stop_another())
                    }),
                    Err(error) => Err(api_error(error)),
                });
                outcome.map(drop).or_else(goes_on)
            }
            ToAgent::FirstRequest { line, so_far_ms, split } => {
                let mark = self.commands.mark().await?;
                self.marked = Some(Marked {
                    desired: Some(split.clone()),
                    resolves: true,
                    with_sidecar: true,
                    endpoints: self.scene.endpoints.clone(),
                });
                self.mark = Some(mark.clone());
                self.first = Some((line, so_far_ms, mark, split));
                Ok(())
            }
        }
    }

    /// Starts or changes the load. Returns what is granted, or `None` where not one request a second can be.
    async fn start(&mut self, order: LoadOrder, asked: &mut Asked) -> Result<Option<Granted>, AgentError> {
        if !self.state.shares.has_room(&self.state.ns) {
            return Ok(None);
        }
        let mut order = if asked.order.rate == Rate::default() { order } else { order.over(&asked.order) };
        let closed = order.closed_loop().is_some();
        let wanted = if closed { Rate::at_most(Rate::MAX) } else { order.rate };
        let granted = self.state.shares.ask(&self.state.ns, wanted);
        match self.commands.set_load(&spec(&order, granted)).await {
            Ok(status) => {
                // A rate alone leaves a finite run finite: the agent says which it is.
                order.requests = status.load.requests;
                *asked = Asked {
                    order,
                    sent: status.load,
                    granted,
                    agent: status.snapshot.agent,
                    stops: asked.stops,
                    run: status.snapshot.run,
                    ended: 0,
                };
                self.settled_at = Instant::now() + Duration::from_millis(300);
                asked.tell(self.state);
                Ok(Some(Granted { rate: granted, of: wanted }))
            }
            Err(error) => {
                // What ran before goes on.
                asked.take_part(self.state);
                Err(error)
            }
        }
    }

    pub async fn stop(&mut self, asked: &mut Asked) -> Result<(), AgentError> {
        let status = self.commands.set_load(&LoadSpec::rate(0)).await?;
        asked.stopped();
        (asked.run, asked.sent) = (status.snapshot.run, status.load);
        asked.take_part(self.state);
        self.settled_at = Instant::now() + Duration::from_millis(300);
        asked.tell(self.state);
        Ok(())
    }

    /// Others have started or stopped: the agent is told what is granted now. The run, its counts and its end stay.
    pub async fn obey_grant(&mut self, asked: &mut Asked) -> Result<(), AgentError> {
        let granted = self.state.shares.granted(&self.state.ns);
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
        asked.tell(self.state);
        Ok(())
    }

    pub async fn take(&mut self, snapshot: Snapshot, asked: &mut Asked) -> Result<(), AgentError> {
        let is_settled = Instant::now() > self.settled_at;
        if is_settled && asked.is_of_another_agent(&snapshot) && snapshot.target_rate == 0.0 && asked.sent.rate > 0 {
            // It came on a new connection, from a container that was started anew: nobody has stopped the load.
            return Err(AgentError::Lost("the agent was started anew".to_owned()));
        }
        self.scene.refresh(self.state);
        let about = Marked {
            desired: self.scene.desired.clone(),
            resolves: self.scene.resolves,
            with_sidecar: self.scene.with_sidecar,
            endpoints: self.scene.endpoints.clone(),
        };
        if self.mark.as_ref().is_some_and(|mine| is_lost(mine, &snapshot)) {
            (self.marked, self.first) = (None, None);
        }
        if self.marked.as_ref() != Some(&about) && self.first.is_none() {
            self.mark = Some(self.commands.mark().await?);
            self.marked = Some(about);
        }
        if snapshot.run == asked.run {
            asked.ended = snapshot.counts.values().sum::<u64>() + snapshot.errors;
        }
        if is_settled
            && let Ok(rate) = Rate::try_from(snapshot.target_rate)
            && (rate.per_second() != asked.sent.rate || snapshot.run != asked.run && rate != Rate::default())
        {
            // A finite run that is over, or somebody told the agent by other ways.
            let found = self.commands.status().await?;
            let mut order = LoadOrder::default();
            (order.rate, order.requests) =
                (Rate::at_most(found.load.rate), found.load.requests.filter(|_| found.load.rate > 0));
            *asked = Asked {
                order,
                sent: found.load,
                granted: asked.granted,
                agent: found.snapshot.agent,
                stops: asked.stops,
                run: found.snapshot.run,
                ended: asked.ended,
            };
            asked.take_part(self.state);
            asked.tell(self.state);
            self.obey_grant(asked).await?;
        }
        // In tens, rounded down: the frames have the exact figure, and a status shall not change ten times a second.
        let achieved = (snapshot.achieved_rate.max(0.0) / 10.0).floor() as u32 * 10;
        let short = match (snapshot.limited, snapshot.saturated) {
            (true, _) => Some((Short::Machine, achieved)),
            (false, true) => Some((Short::Target, achieved)),
            (false, false) => None,
        };
        set_agent(self.state, Agent::Connected { short });
        self.time_first_request(&snapshot);
        let scene = &self.scene;
        let failing = self.failures.take(&snapshot);
        let told = traffic(
            snapshot,
            About {
                desired: scene.desired.as_ref(),
                by_version: scene.by_version.as_ref(),
                with_sidecar: scene.with_sidecar,
                endpoints: scene.endpoints.clone(),
                mark: self.mark.as_ref(),
                failing,
            },
        );
        self.keep(&told.frame);
        self.state.facts.send_if_modified(|f| lesson::take(&mut f.milestones, &told));
        self.state.frames.send_replace(Some(Arc::new(told)));
        Ok(())
    }

    /// Every fifth frame is history.
    fn keep(&mut self, frame: &Frame) {
        if frame.at_ms < self.kept_at_ms + 450 {
            return;
        }
        self.kept_at_ms = frame.at_ms;
        if let Ok(mut history) = self.state.history.lock() {
            history.push_back(frame.clone());
            while history.len() > HISTORY {
                history.pop_front();
            }
        }
    }

    /// Writes into the log when the first request on the new weights was answered, or gives up when another mark is set.
    fn time_first_request(&mut self, snapshot: &Snapshot) {
        let Some((line, so_far_ms, mark, split)) = &self.first else { return };
        let Some(seen) = snapshot.mark.as_ref().filter(|m| m.id >= mark.id) else { return };
        if seen.id != mark.id {
            // Another panel has set one, which knows nothing of the requests before it.
            self.first = None;
            return;
        }
        let answered =
            seen.first.iter().filter(|(version, _)| split.percent(version) > 0).map(|(_, f)| f.answered_us).min();
        if let Some(answered_us) = answered {
            let since_mark_ms =
                std::time::Duration::from_micros(answered_us.saturating_sub(seen.at_us)).as_secs_f64() * 1000.0;
            let (line, ms) = (*line, so_far_ms + since_mark_ms);
            self.state.facts.send_modify(|f| {
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

/// Whether the agent does not know the mark any more: it was started anew, behind a connection that was opened again.
fn is_lost(mine: &Mark, later: &Snapshot) -> bool {
    later.at_ms.saturating_mul(1000) > mine.at_us && later.mark.as_ref().is_none_or(|seen| seen.id < mine.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_lost_when_a_later_snapshot_does_not_have_it() {
        let mark = |id| Mark { id, at_us: 5_000, ..Mark::default() };
        let snapshot = |at_ms, id: Option<u64>| Snapshot { at_ms, mark: id.map(mark), ..Snapshot::default() };
        for (at_ms, seen, lost) in [
            (4, None, false),
            (5, Some(6), false),
            (6, Some(7), false),
            (6, Some(8), false),
            (6, Some(6), true),
            (6, None, true),
        ] {
            assert_eq!(is_lost(&mark(7), &snapshot(at_ms, seen)), lost, "{at_ms} {seen:?}");
        }
    }
}
