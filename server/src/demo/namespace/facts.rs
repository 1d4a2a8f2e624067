//! What the panel knows of a namespace beyond its objects: desired weights, operations, the log, acknowledgements.
use crate::demo::clock::now_ms;
use crate::demo::plan::Goal;
use crate::k8s::Held;
use app::text::Message;
use std::collections::{BTreeMap, VecDeque};
use tokio::time::Instant;
use wire::{ApiError, LogEntry, Milestones, Operation, Rate, Split, TimesMs, Verb};

/// Lines kept in the log.
const LOG_LENGTH: usize = 50;

/// Requests and failures, by version.
pub type Counts = BTreeMap<String, (u64, u64)>;

/// A right that is not had, and what does not work without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// `patch deployments.apps`, or a clause.
    pub what: Message,
    /// What needs it; never empty.
    pub stops: Vec<Verb>,
}

/// What a clean-up leaves in the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// What others have, `kind/name`, and who they are.
    pub theirs: Vec<(String, String)>,
    /// Kinds of which it cannot be told, and why not, in the cluster's words.
    pub unseen: Vec<(String, String)>,
}

impl Left {
    /// Whether the namespace is known to hold nothing of anybody's.
    pub fn is_empty(&self) -> bool {
        self.theirs.is_empty() && self.unseen.is_empty()
    }
}

/// A generator's part of what all of them together may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// What it is granted.
    pub rate: Rate,
    /// What it would send without the cap; a closed loop as much as it can.
    pub of: Rate,
}

impl Granted {
    /// Whether the cap takes anything away.
    pub fn is_cut(self) -> bool {
        self.rate < self.of
    }
}

/// Why a rate is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// The machine that makes the load is too slow.
    Machine,
    /// All its connections wait for answers.
    Target,
}

/// What is known of the client's load agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Agent {
    /// There is no client to ask.
    #[default]
    Absent,
    /// It answers.
    Connected {
        /// Whether the rate is not kept: who is short of it, and the rate that is reached.
        short: Option<(Short, u32)>,
    },
    /// It should answer and does not.
    Unreachable(Message),
}

/// What a client-side proxy said about its routes.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack {
    /// The weights it has; nothing where it has no route for the host.
    pub split: Option<Split>,
    /// Milliseconds from the moment the weights were asked for, or seen, until it was read.
    pub ms: Option<f64>,
    /// Changes whenever the proxy takes up a route.
    pub stamp: String,
    /// When it was read.
    pub read: Instant,
}

/// One namespace's facts. Short-lived but for what the cluster's objects say anyway.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What is being done, or was done last in error.
    pub operation: Option<Operation>,
    /// What is desired and not done; empty when there is nothing to do.
    pub goal: Goal,
    /// What was done, newest first.
    pub log: VecDeque<LogEntry>,
    /// How the last verification ended: the PATH it read and milliseconds, or why it failed.
    pub verified: Option<Result<(String, u64), Message>>,
    /// The load that is asked for.
    pub load: Rate,
    /// What the cap on all generators together grants of it.
    pub granted: Granted,
    /// What of the things that are not watched was looked at since the namespace woke up.
    pub first_look: FirstLook,
    /// The client's load agent.
    pub agent: Agent,
    /// Pods with a client-side proxy, and what they have.
    pub acks: BTreeMap<String, Option<Ack>>,
    /// The weights that acknowledgement is awaited for, and since when: proxies are asked often meanwhile.
    pub expected: Option<(Split, Instant)>,
    /// The weights the panel wrote last.
    pub ours: Option<Split>,
    /// Who asked for them.
    pub desired_by: String,
    /// What the lesson has measured.
    pub milestones: Milestones,
    /// Whether the demo was ready once since it was deployed.
    pub was_ready: bool,
    /// What a clean-up found of others.
    pub left: Left,
    /// Rights that the panel lacks, and what does not work without them.
    pub denied: Vec<Denied>,
    /// What else was found missing before a deploy, in one clause each, and what does not work without it.
    pub missing: Vec<Denied>,
    /// Where the namespace is being removed: what holds it.
    pub namespace_held: Option<Message>,
    /// What the client's sidecars have counted, by version.
    pub sidecars: Counts,
    /// Who acts on the namespace.
    pub held: Held,
    /// Why pods that ask for a sidecar have none, as far as the cluster says; asked when that is seen.
    /// With the namespace's labels at that time.
    pub injection_why: Option<(BTreeMap<String, String>, Message)>,
    /// The namespace's labels, as they were seen last.
    pub namespace_labels: BTreeMap<String, String>,
    next_id: u64,
}

/// What was looked at once: as long as it was not, nothing can be told about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstLook {
    /// The load agent.
    pub agent: bool,
    /// The client-side proxies.
    pub proxies: bool,
    /// The namespace itself.
    pub namespace: bool,
    /// The Lease.
    pub lease: bool,
}

impl FirstLook {
    /// Whether everything was looked at.
    pub fn is_done(self) -> bool {
        self.agent && self.proxies && self.namespace && self.lease
    }

    /// Everything counts as looked at.
    pub fn all(&mut self) {
        *self = FirstLook { agent: true, proxies: true, namespace: true, lease: true };
    }
}

impl Facts {
    /// Forgets what is not kept up to date while a namespace rests. What people did, and what is remembered of the panel's own
    /// doing, stays.
    pub fn forget(&mut self) {
        self.first_look = FirstLook::default();
        self.agent = Agent::Absent;
        self.acks = BTreeMap::new();
        self.sidecars = Counts::new();
        self.namespace_held = None;
        self.injection_why = None;
        self.granted = Granted::default();
    }

    /// Begins an operation in place of what was under way.
    pub fn begin(&mut self, verb: Verb, by: &str, step: &Message) -> Operation {
        let operation = self.aside(verb, by, step);
        self.operation = Some(operation.clone());
        operation
    }

    /// An operation that is told to who asked for it, and takes nobody's place.
    pub fn aside(&mut self, verb: Verb, by: &str, step: &Message) -> Operation {
        Operation {
            id: self.id(),
            verb,
            by: by.to_owned(),
            since: now_ms(),
            step: step.sentence(),
            zh: step.translation(),
            error: None,
        }
    }

    /// The same, in the place of what was under way unless a goal is pursued: that one keeps its place.
    pub fn begin_if_idle(&mut self, verb: Verb, by: &str, step: &Message) -> Operation {
        if self.goal == Goal::default() { self.begin(verb, by, step) } else { self.aside(verb, by, step) }
    }

    /// Tells where an operation is; nothing happens where a newer one has taken its place.
    pub fn step(&mut self, id: u64, step: &Message) -> bool {
        match &mut self.operation {
            Some(operation) if operation.id == id && operation.step != step.sentence() => {
                (operation.step, operation.zh) = (step.sentence(), step.translation());
                true
            }
            _ => false,
        }
    }

    /// Ends an operation: forgotten when it went well, kept with its error when it did not.
    pub fn end(&mut self, id: u64, error: Option<ApiError>) {
        if self.operation.as_ref().is_some_and(|o| o.id == id) {
            match error {
                Some(error) => {
                    if let Some(operation) = &mut self.operation {
                        operation.error = Some(error);
                    }
                }
                None => self.operation = None,
            }
        }
    }

    /// Adds a line to the log; gives its id.
    pub fn note(&mut self, line: Line) -> u64 {
        let id = self.id();
        self.log.push_front(LogEntry {
            id,
            at_ms: now_ms(),
            by: line.by,
            verb: line.verb,
            zh: line.what.translation(),
            what: line.what.sentence(),
            command: line.command,
            split: line.split,
            times: line.times,
            error: line.error,
        });
        self.log.truncate(LOG_LENGTH);
        id
    }

    /// Adds a line about a failure; the same one again takes the place of the last, as a slider that is dragged repeats it.
    pub fn note_failure(&mut self, line: Line) {
        let code = |e: &Option<ApiError>| e.as_ref().map(|e| e.code);
        if self
            .log
            .front()
            .is_some_and(|last| last.verb == line.verb && last.by == line.by && code(&last.error) == code(&line.error))
        {
            self.log.pop_front();
        }
        self.note(line);
    }

    /// Changes a line of the log, where it is still kept.
    pub fn amend(&mut self, id: u64, change: impl FnOnce(&mut LogEntry)) {
        if let Some(entry) = self.log.iter_mut().find(|e| e.id == id) {
            change(entry);
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// A line for the log.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Who.
    pub by: String,
    /// Which verb, where it is one of ours.
    pub verb: Option<Verb>,
    /// What happened.
    pub what: Message,
    /// The kubectl command that does the same.
    pub command: String,
    /// New weights.
    pub split: Option<Split>,
    /// Their times.
    pub times: Option<TimesMs>,
    /// Why it failed.
    pub error: Option<ApiError>,
}
