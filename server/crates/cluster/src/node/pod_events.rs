//! What a pod is told, and what it wants done.
use std::borrow::Cow;
use std::time::Duration;

use super::process::Exit;
use super::spec::ContainerSpec;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Time passed, nothing else.
    Tick,
    /// A container's process runs.
    Started {
        /// Which container.
        index: usize,
        /// `containerID`.
        id: String,
    },
    /// It could not be made: the image is unknown, a port is taken. Not counted as a restart.
    NotStarted {
        /// Which container.
        index: usize,
        /// Waiting reason.
        reason: Cow<'static, str>,
        /// For people.
        message: String,
    },
    /// It has another image now.
    Changed {
        /// Which container.
        index: usize,
        /// As it is to run.
        spec: ContainerSpec,
    },
    /// Its program is no program.
    StartError {
        /// Which container.
        index: usize,
        /// `containerID`.
        id: String,
        /// For people.
        message: String,
    },
    /// A container's process has ended.
    Exited {
        /// Which container.
        index: usize,
        /// How.
        exit: Exit,
        /// Because it had more memory than its limit.
        oom: bool,
    },
    /// A probe answered.
    Probed {
        /// Which container.
        index: usize,
        /// In which run.
        run: u32,
        /// Which of its probes.
        probe: usize,
        /// The error says what was wrong.
        result: Result<(), String>,
    },
    /// End the pod.
    End {
        /// From SIGTERM to SIGKILL.
        grace: Duration,
        /// Whether to wait until no endpoint slice sends traffic here.
        drain: bool,
    },
    /// No traffic comes any more.
    Drained,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start a container's process.
    Start(usize),
    /// End it.
    Terminate(usize),
    /// End it at once.
    Kill(usize),
    /// Run a probe.
    Probe {
        /// Which container.
        index: usize,
        /// In which run.
        run: u32,
        /// Which of its probes.
        probe: usize,
    },
    /// Answer [`Input::Drained`] once no endpoint slice sends traffic here.
    Drain,
    /// Tell people.
    Event {
        /// `Warning` or `Normal`.
        warning: bool,
        /// The container concerned.
        index: usize,
        /// For programs.
        reason: &'static str,
        /// For people.
        message: String,
    },
}
