//! What a pod does next: inputs in, actions out. No clock, no I/O; [`super::worker`] is the shell around it.
//!
//! Source: Kubernetes, "Pod Lifecycle" and "Sidecar Containers".
use std::time::Duration;

use super::container::{Container, Now, State, Verdict};
use super::pod_events::{Action, Input};
use super::spec::{PodSpec, ProbeKind, RestartPolicy, Role};

/// From SIGTERM to SIGKILL at least, also where waiting for the traffic to end took the whole grace period.
const LEAST_GRACE: Duration = Duration::from_secs(1);
/// Sidecars get this much after the pod's grace period.
const SIDECAR_GRACE: Duration = Duration::from_secs(2);

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// `namespace/name(uid)`, for messages as the kubelet has them.
    title: String,
    /// Its containers, in the order of the spec.
    pub containers: Vec<Container>,
    restart: RestartPolicy,
    grace: Duration,
    /// Every init container is done and every sidecar was up once.
    pub initialized: bool,
    ending: Option<Ending>,
    failed: bool,
    /// When [`Pod::handle`] was last called: what was due then has been done or waits for something else.
    seen: Duration,
}

#[derive(Clone, Debug)]
struct Ending {
    deadline: Duration,
    drained: bool,
    at_once: bool,
    /// When SIGKILL follows; none before SIGTERM.
    kill: Option<Duration>,
}

impl Pod {
    /// A pod that has not started.
    pub fn new(title: String, spec: &PodSpec) -> Pod {
        let inits = spec.containers.iter().any(|container| container.role != Role::App);
        let waiting = if inits { "PodInitializing" } else { "ContainerCreating" };
        Pod {
            title,
            containers: spec.containers.iter().map(|container| Container::new(container.clone(), waiting)).collect(),
            restart: spec.restart,
            grace: spec.grace,
            initialized: !inits,
            ending: None,
            failed: false,
            seen: Duration::ZERO,
        }
    }

    /// Whether the pod was told to end and nothing of it runs any more.
    pub fn is_over(&self) -> bool {
        self.ending.is_some() && !self.containers.iter().any(Container::is_up)
    }

    /// `status.phase`. Source: Kubernetes, "Pod phase".
    pub fn phase(&self) -> &'static str {
        let apps = || self.containers.iter().filter(|container| container.spec.role == Role::App);
        if self.failed {
            return "Failed";
        }
        if self.initialized && apps().all(|container| container.state == State::Ended) {
            return if apps().all(Container::succeeded) { "Succeeded" } else { "Failed" };
        }
        let never_ran = |container: &Container| !container.ran;
        if !self.initialized || apps().any(never_ran) { "Pending" } else { "Running" }
    }

    /// Takes an input and says what to do.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.seen = now.mono;
        match input {
            Input::Tick => {}
            Input::Started { index, id } => {
                self.containers[index].on_started(now, id);
                event(&mut actions, false, index, "Started", "Container started".to_owned());
            }
            Input::NotStarted { index, reason, message } => {
                event(&mut actions, true, index, "Failed", message.clone());
                self.containers[index].retry_later(now, reason, message);
            }
            Input::Changed { index, spec } => {
                let message = format!("Container {} definition changed, will be restarted", spec.name);
                if self.containers[index].replace(now, spec, self.grace) {
                    event(&mut actions, false, index, "Killing", message);
                }
            }
            Input::StartError { index, id, message } => {
                event(&mut actions, true, index, "Failed", format!("Error: {message}"));
                self.containers[index].on_start_error(now, id, message, self.restart);
                self.after_exit(now, index, &mut actions);
            }
            Input::Exited { index, exit, oom } => {
                let reason = if oom {
                    "OOMKilled"
                } else if exit.code == 0 {
                    "Completed"
                } else {
                    "Error"
                };
                self.containers[index].on_exited(now, exit, reason, String::new());
                self.after_exit(now, index, &mut actions);
            }
            Input::Probed { index, run, probe, result } => self.on_probe(now, index, run, probe, &result, &mut actions),
            Input::End { grace, drain } => self.on_end(now, grace, drain, &mut actions),
            Input::Drained => {
                if let Some(ending) = &mut self.ending {
                    ending.drained = true;
                }
            }
        }
        if self.ending.is_some() {
            self.plan_end(now);
        } else {
            self.plan_run(now, &mut actions);
        }
        self.plan_signals(now, &mut actions);
        actions
    }

    /// When to call [`Pod::handle`] at the latest.
    pub fn wake(&self) -> Option<Duration> {
        let of_container = |container: &Container| {
            let due = match &container.state {
                State::Waiting { due, .. } if self.ending.is_none() => *due,
                _ => None,
            };
            let probe = if self.ending.is_none() { container.next_probe() } else { None };
            [due, probe, container.term_at, container.kill_at].into_iter().flatten()
        };
        let deadline = self.ending.as_ref().filter(|ending| !ending.drained).map(|ending| ending.deadline);
        self.containers.iter().flat_map(of_container).chain(deadline).filter(|at| *at > self.seen).min()
    }

    fn after_exit(&mut self, now: Now, index: usize, actions: &mut Vec<Action>) {
        let container = &mut self.containers[index];
        if self.ending.is_some() || matches!(container.state, State::Waiting { .. }) {
            return;
        }
        if container.runs_again(self.restart) {
            let delay = container.back_off(now, &self.title);
            if !delay.is_zero() {
                let message =
                    format!("Back-off restarting failed container {} in pod {}", container.spec.name, self.title);
                event(actions, true, index, "BackOff", message);
            }
        } else if container.spec.role == Role::Init && !container.succeeded() {
            self.failed = true;
        }
    }

    fn on_probe(
        &mut self,
        now: Now,
        index: usize,
        run: u32,
        probe: usize,
        result: &Result<(), String>,
        actions: &mut Vec<Action>,
    ) {
        let container = &mut self.containers[index];
        if container.restarts != run {
            return;
        }
        let verdict = container.on_probe(now, probe, result.is_ok());
        let (Err(why), false) = (result, verdict == Verdict::Quiet) else { return };
        let kind = match container.probes[probe].spec.kind {
            ProbeKind::Startup => "Startup",
            ProbeKind::Readiness => "Readiness",
            ProbeKind::Liveness => "Liveness",
        };
        let name = container.spec.name.clone();
        event(actions, true, index, "Unhealthy", format!("{kind} probe failed: {why}"));
        if verdict == Verdict::Restart && !self.containers[index].stopping {
            let lower = kind.to_lowercase();
            event(
                actions,
                false,
                index,
                "Killing",
                format!("Container {name} failed {lower} probe, will be restarted"),
            );
            self.containers[index].stop(now.mono, now.mono + self.grace);
        }
    }

    fn on_end(&mut self, now: Now, grace: Duration, drain: bool, actions: &mut Vec<Action>) {
        let deadline = now.mono + grace;
        match &mut self.ending {
            // A second delete may shorten the grace period, never lengthen it.
            Some(ending) => {
                ending.deadline = ending.deadline.min(deadline);
                ending.drained |= !drain;
                ending.at_once |= grace.is_zero();
            }
            None => {
                let drain = drain && !grace.is_zero() && self.containers.iter().any(|container| container.ready);
                self.ending = Some(Ending { deadline, drained: !drain, at_once: grace.is_zero(), kill: None });
                if drain {
                    actions.push(Action::Drain);
                }
                for (index, container) in self.containers.iter().enumerate().filter(|(_, one)| one.is_up()) {
                    event(actions, false, index, "Killing", format!("Stopping container {}", container.spec.name));
                }
            }
        }
    }

    /// Starts what is due, in the order of the spec.
    fn plan_run(&mut self, now: Now, actions: &mut Vec<Action>) {
        let finished = matches!(self.phase(), "Succeeded" | "Failed");
        if finished {
            self.ending = Some(Ending { deadline: now.mono + self.grace, drained: true, at_once: false, kill: None });
            return self.plan_end(now);
        }
        let mut gate = true;
        for index in 0..self.containers.len() {
            let container = &self.containers[index];
            match container.spec.role {
                Role::Init if self.initialized || container.succeeded() => {}
                Role::Init => {
                    if gate {
                        self.start_if_due(now, index, actions);
                    }
                    gate = false;
                }
                Role::Sidecar => {
                    let up = matches!(container.state, State::Running(_)) && container.started;
                    if gate || self.initialized || container.ran_here {
                        self.start_if_due(now, index, actions);
                    }
                    gate &= up;
                }
                Role::App => {
                    self.initialized |= gate;
                    if self.initialized {
                        self.start_if_due(now, index, actions);
                    }
                }
            }
        }
        for (index, container) in self.containers.iter_mut().enumerate() {
            let run = container.restarts;
            actions.extend(container.due_probes(now).into_iter().map(|probe| Action::Probe { index, run, probe }));
        }
    }

    fn start_if_due(&mut self, now: Now, index: usize, actions: &mut Vec<Action>) {
        let container = &mut self.containers[index];
        let State::Waiting { due, .. } = container.state else { return };
        // Its turn has come: a container that was never due is due at once.
        if due.is_none_or(|due| due <= now.mono) {
            container.state = State::Starting;
            actions.push(Action::Start(index));
        }
    }

    /// Apps and inits first; then the sidecars, the last one first.
    fn plan_end(&mut self, now: Now) {
        let Some(ending) = &mut self.ending else { return };
        ending.drained |= now.mono >= ending.deadline;
        if !ending.drained {
            return;
        }
        // With a grace period of 0 everything goes at once.
        let least = if ending.at_once { Duration::ZERO } else { LEAST_GRACE };
        let kill = ending.kill.unwrap_or(Duration::MAX).min(ending.deadline.max(now.mono + least));
        ending.kill = Some(kill);
        let mut apps_up = false;
        for container in self.containers.iter_mut().filter(|container| container.spec.role != Role::Sidecar) {
            apps_up |= container.is_up();
            let pre_stop = container.spec.pre_stop;
            container.stop(now.mono + pre_stop, kill);
        }
        if apps_up && now.mono < kill {
            return;
        }
        let extra = if ending.at_once { Duration::ZERO } else { SIDECAR_GRACE };
        if let Some(sidecar) = self.containers.iter_mut().rev().find(|container| container.is_up())
            && sidecar.spec.role == Role::Sidecar
        {
            sidecar.stop(now.mono, kill.max(now.mono) + extra);
        }
    }

    fn plan_signals(&mut self, now: Now, actions: &mut Vec<Action>) {
        for (index, container) in self.containers.iter_mut().enumerate() {
            if !matches!(container.state, State::Running(_)) {
                continue;
            }
            if container.kill_at.is_some_and(|at| at <= now.mono) {
                (container.term_at, container.kill_at) = (None, None);
                actions.push(Action::Kill(index));
            } else if container.term_at.is_some_and(|at| at <= now.mono) {
                container.term_at = None;
                actions.push(Action::Terminate(index));
            }
        }
    }
}

fn event(actions: &mut Vec<Action>, warning: bool, index: usize, reason: &'static str, message: String) {
    actions.push(Action::Event { warning, index, reason, message });
}

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;
