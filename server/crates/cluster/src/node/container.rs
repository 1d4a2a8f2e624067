//! One container's state: waiting, running or ended, its probes and its back-off. No clock, no I/O.
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::process::Exit;
use super::spec::{ContainerSpec, ProbeKind, ProbeSpec, RestartPolicy, Role};

/// An instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    /// Since the node started; never jumps, so periods are counted on it.
    pub mono: Duration,
    /// For people.
    pub wall: Timestamp,
}

/// First delay of the back-off. The very first restart comes at once. Source: Kubernetes, "Pod Lifecycle".
const BACKOFF_FIRST: Duration = Duration::from_secs(10);
const BACKOFF_LONGEST: Duration = Duration::from_secs(300);
/// A run this long forgives all failures before it.
const HEALTHY: Duration = Duration::from_secs(600);
/// While a container is younger than this, startup and readiness are looked at more often than their period says, so
/// that a process that listens after 30 ms is not called unready for a whole period. Failures then do not count.
const YOUNG: Duration = Duration::from_secs(3);
const EARLY_FIRST: Duration = Duration::from_millis(25);

/// What a container is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Not running; `due` is when to start it, none while its turn has not come.
    Waiting {
        /// For programs.
        reason: Cow<'static, str>,
        /// For people.
        message: String,
        /// When to start.
        due: Option<Duration>,
    },
    /// Being started.
    Starting,
    /// Running.
    Running(Now),
    /// Ended, and not to be started again.
    Ended,
}

/// How a run ended: `containerStatuses[].lastState.terminated`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Exit code; 128 + signal where one ended it.
    pub code: i32,
    /// The signal, where one ended it.
    pub signal: Option<i32>,
    /// `Completed`, `Error`, `StartError` …
    pub reason: String,
    /// For people; may be empty.
    pub message: String,
    /// When it had started.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// `containerID`.
    pub id: String,
}

/// A probe's progress in one run.
#[derive(Clone, Debug)]
pub struct ProbeRun {
    /// What it is.
    pub spec: ProbeSpec,
    /// When to probe next; none while a probe is under way.
    pub next: Option<Duration>,
    early: Duration,
    good: u32,
    bad: u32,
}

/// A container.
#[derive(Clone, Debug)]
pub struct Container {
    /// What it is.
    pub spec: Arc<ContainerSpec>,
    /// What it does.
    pub state: State,
    /// How its newest finished run ended.
    pub last: Option<Ended>,
    /// Runs before this one.
    pub restarts: u32,
    /// Whether it ever ran, so that a start is a restart.
    pub ran: bool,
    /// Whether it ran since this node started, so that its turn has come.
    pub ran_here: bool,
    /// `containerID` of the newest run.
    pub id: String,
    /// Running, and the startup probe succeeded.
    pub started: bool,
    /// Gets traffic, as far as this container is concerned.
    pub ready: bool,
    /// Probes of this run.
    pub probes: Vec<ProbeRun>,
    /// When SIGTERM goes out, while `preStop` sleeps.
    pub term_at: Option<Duration>,
    /// When SIGKILL follows.
    pub kill_at: Option<Duration>,
    /// Whether this run was told to end.
    pub stopping: bool,
    failures: u32,
}

/// What a probe's result changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing to tell.
    Quiet,
    /// A failure that counts.
    Unhealthy,
    /// So many that the container must be restarted.
    Restart,
}

impl Container {
    /// A container that has not had its turn.
    pub fn new(spec: ContainerSpec, waiting: &'static str) -> Container {
        Container {
            spec: Arc::new(spec),
            state: State::Waiting { reason: waiting.into(), message: String::new(), due: None },
            last: None,
            restarts: 0,
            ran: false,
            ran_here: false,
            id: String::new(),
            started: false,
            ready: false,
            probes: Vec::new(),
            term_at: None,
            kill_at: None,
            stopping: false,
            failures: 0,
        }
    }

    /// Whether a process exists or is about to.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Running(_) | State::Starting)
    }

    /// Whether its last run ended well and it is not to run again.
    pub fn succeeded(&self) -> bool {
        self.state == State::Ended && self.last.as_ref().is_some_and(|ended| ended.code == 0)
    }

    /// It runs.
    pub fn on_started(&mut self, now: Now, id: String) {
        self.state = State::Running(now);
        self.begin_run(id);
        let has = |kind| self.spec.probes.iter().any(|probe| probe.kind == kind);
        self.started = !has(ProbeKind::Startup);
        self.ready = self.started && !has(ProbeKind::Readiness);
        self.probes = self
            .spec
            .probes
            .iter()
            .map(|spec| ProbeRun {
                next: Some(now.mono + spec.initial_delay),
                spec: spec.clone(),
                early: EARLY_FIRST,
                good: 0,
                bad: 0,
            })
            .collect();
    }

    /// Only what came to be a run counts: a start that could not be made is none.
    fn begin_run(&mut self, id: String) {
        self.restarts = self.next_run();
        self.id = id;
        self.ran = true;
        self.ran_here = true;
    }

    /// Number of the run that comes next.
    pub fn next_run(&self) -> u32 {
        self.restarts + u32::from(self.ran)
    }

    /// Notes the end of a run; the caller decides what comes next.
    pub fn on_exited(&mut self, now: Now, exit: Exit, reason: &str, message: String) {
        let since = match self.state {
            State::Running(since) => since,
            _ => now,
        };
        if now.mono.saturating_sub(since.mono) >= HEALTHY {
            self.failures = 0;
        }
        self.last = Some(Ended {
            code: exit.code,
            signal: exit.signal,
            reason: reason.to_owned(),
            message,
            started: since.wall,
            finished: now.wall,
            id: self.id.clone(),
        });
        self.down();
        self.state = State::Ended;
    }

    /// Schedules the next start after a failed run.
    pub fn back_off(&mut self, now: Now, pod: &str) -> Duration {
        let delay = backoff(self.failures);
        self.failures += 1;
        self.state = if delay.is_zero() {
            State::Waiting { reason: "ContainerCreating".into(), message: String::new(), due: Some(now.mono) }
        } else {
            let message =
                format!("back-off {}s restarting failed container={} pod={pod}", delay.as_secs(), self.spec.name);
            State::Waiting { reason: "CrashLoopBackOff".into(), message, due: Some(now.mono + delay) }
        };
        delay
    }

    /// Schedules the next try after a start that could not even be made.
    pub fn retry_later(&mut self, now: Now, reason: Cow<'static, str>, message: String) {
        let delay = backoff(self.failures + 1);
        let reason = if reason == "ErrImagePull" && self.failures > 0 { "ImagePullBackOff".into() } else { reason };
        self.failures += 1;
        self.down();
        self.state = State::Waiting { reason, message, due: Some(now.mono + delay) };
    }

    /// Notes a program that cannot be run: the run counts as ended, and is tried again later where the pod restarts at all.
    pub fn on_start_error(&mut self, now: Now, id: String, message: String, policy: RestartPolicy) {
        self.begin_run(id);
        self.on_exited(now, Exit { code: 128, signal: None }, "StartError", message.clone());
        let first = self.failures == 0;
        self.failures = self.failures.max(1);
        if first && self.runs_again(policy) {
            self.state = State::Waiting {
                reason: "RunContainerError".into(),
                message,
                due: Some(now.mono + backoff(self.failures)),
            };
        }
    }

    fn down(&mut self) {
        self.started = false;
        self.ready = false;
        self.probes.clear();
        self.term_at = None;
        self.kill_at = None;
        self.stopping = false;
    }

    /// Ends this run: SIGTERM at `term`, SIGKILL at `kill`; a later call can only make it sooner.
    pub fn stop(&mut self, term: Duration, kill: Duration) {
        if self.stopping {
            self.kill_at = self.kill_at.map(|at| at.min(kill));
        } else if matches!(self.state, State::Running(_)) {
            self.stopping = true;
            self.term_at = Some(term);
            self.kill_at = Some(kill);
        }
    }

    /// Takes another image: a run of the old one is ended, a start that waits for a better time is tried at once. True for the former.
    pub fn replace(&mut self, now: Now, spec: ContainerSpec, grace: Duration) -> bool {
        self.spec = Arc::new(spec);
        self.failures = 0;
        if let State::Waiting { due: Some(due), .. } = &mut self.state {
            *due = now.mono;
        }
        let runs = matches!(self.state, State::Running(_)) && !self.stopping;
        self.stop(now.mono, now.mono + grace);
        runs
    }

    /// Indices of the probes to start now.
    pub fn due_probes(&mut self, now: Now) -> Vec<usize> {
        let started = self.started;
        if !matches!(self.state, State::Running(_)) || self.stopping {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (index, probe) in self.probes.iter_mut().enumerate() {
            // Startup alone until it succeeded; then never again.
            if (probe.spec.kind == ProbeKind::Startup) != started && probe.next.is_some_and(|next| next <= now.mono) {
                probe.next = None;
                due.push(index);
            }
        }
        due
    }

    /// When the next probe is due.
    pub fn next_probe(&self) -> Option<Duration> {
        if self.stopping {
            return None;
        }
        let relevant = |probe: &&ProbeRun| (probe.spec.kind == ProbeKind::Startup) != self.started;
        self.probes.iter().filter(relevant).filter_map(|probe| probe.next).min()
    }

    /// Takes a probe's result.
    pub fn on_probe(&mut self, now: Now, index: usize, healthy: bool) -> Verdict {
        let State::Running(since) = self.state else { return Verdict::Quiet };
        let Some(probe) = self.probes.get_mut(index) else { return Verdict::Quiet };
        let kind = probe.spec.kind;
        if healthy {
            probe.next = Some(now.mono + probe.spec.period);
            probe.bad = 0;
            probe.good = probe.good.saturating_add(1);
            if probe.good >= probe.spec.success {
                match kind {
                    ProbeKind::Startup => {
                        self.started = true;
                        self.ready = !self.probes.iter().any(|other| other.spec.kind == ProbeKind::Readiness);
                    }
                    ProbeKind::Readiness => self.ready = true,
                    ProbeKind::Liveness => {}
                }
            } else if now.mono.saturating_sub(since.mono) < YOUNG {
                probe.next = Some(now.mono + probe.early);
            }
            return Verdict::Quiet;
        }
        probe.good = 0;
        let waits_for_first = match kind {
            ProbeKind::Startup => !self.started,
            ProbeKind::Readiness => !self.ready,
            ProbeKind::Liveness => false,
        };
        let age = now.mono.saturating_sub(since.mono + probe.spec.initial_delay);
        if waits_for_first && age < YOUNG && probe.early < probe.spec.period {
            probe.next = Some(now.mono + probe.early);
            probe.early *= 2;
            return Verdict::Quiet;
        }
        probe.next = Some(now.mono + probe.spec.period);
        probe.bad = probe.bad.saturating_add(1);
        if probe.bad < probe.spec.failure {
            return Verdict::Unhealthy;
        }
        match kind {
            ProbeKind::Readiness => {
                self.ready = false;
                Verdict::Unhealthy
            }
            ProbeKind::Startup | ProbeKind::Liveness => Verdict::Restart,
        }
    }

    /// Whether a run that ended is to be followed by another.
    pub fn runs_again(&self, policy: RestartPolicy) -> bool {
        use RestartPolicy::{Always, Never, OnFailure};
        let failed = self.last.as_ref().is_some_and(|ended| ended.code != 0);
        match (self.spec.role, policy) {
            (Role::Sidecar, _) | (Role::App, Always) => true,
            (Role::Init, Always | OnFailure) | (Role::App, OnFailure) => failed,
            (Role::Init | Role::App, Never) => false,
        }
    }
}

/// Delay before restart number `failures` (from 0).
pub fn backoff(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => BACKOFF_FIRST.saturating_mul(1 << (n - 1).min(8)).min(BACKOFF_LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_and_the_delay_doubles_to_five_minutes() {
        let delays: Vec<u64> = (0..8).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff(u32::MAX).as_secs(), 300);
    }
}
