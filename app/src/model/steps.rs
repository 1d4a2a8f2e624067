//! Where people are in the walkthrough, and what the page warns of: conditions in, steps and banners out.
use wire::{
    Command, Condition, ConditionStatus, InjectRequest, LoadOrder, Rate, RouteRequest, Status, Verb, kinds, reasons,
};

/// The steps of the rail, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StepName {
    Deploy,
    Verify,
    Inject,
    Load,
    Shift,
    CleanUp,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StepState {
    Todo,
    Busy,
    Done,
    Failed,
}

/// A button of the rail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    Deploy,
    DeployAgain,
    Client,
    Verify,
    VerifyAgain,
    Inject,
    InjectAgain,
    Uninject,
    LoadStart,
    LoadStop,
    RouteCreate,
    RouteRemove,
    TakeOver,
    CleanUp,
}

impl Action {
    /// The verb it needs, as in the path.
    pub fn verb(self) -> &'static str {
        match self {
            Action::Deploy | Action::DeployAgain => "deploy",
            Action::Client => "client",
            Action::Verify | Action::VerifyAgain => "verify",
            Action::Inject | Action::InjectAgain | Action::Uninject => "inject",
            Action::LoadStart | Action::LoadStop => "load",
            Action::RouteCreate | Action::RouteRemove => "route",
            Action::TakeOver => "takeover",
            Action::CleanUp => "teardown",
        }
    }

    /// The name of its command in [`Status::commands`].
    pub fn command(self) -> &'static str {
        match self {
            Action::Uninject => "uninject",
            Action::LoadStop => "load_stop",
            Action::RouteRemove => "unroute",
            other => other.verb(),
        }
    }

    /// What it asks for. `rate`: the load that a start means. Clean-up is asked about first.
    pub fn ask(self, rate: Rate) -> Command {
        match self {
            Action::Deploy | Action::DeployAgain => Command::Deploy,
            Action::Client => Command::Client,
            Action::Verify | Action::VerifyAgain => Command::Verify,
            Action::Inject | Action::InjectAgain => Command::Inject(InjectRequest { inject: true, workloads: None }),
            Action::Uninject => Command::Inject(InjectRequest { inject: false, workloads: None }),
            Action::LoadStart => Command::Load(LoadOrder::new(rate, None)),
            Action::LoadStop => Command::Load(LoadOrder::default()),
            Action::RouteCreate => Command::Route(RouteRequest { present: true }),
            Action::RouteRemove => Command::Route(RouteRequest { present: false }),
            Action::TakeOver => Command::Takeover,
            Action::CleanUp => Command::Teardown,
        }
    }
}

/// A step of the rail.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which.
    pub name: StepName,
    /// How it stands.
    pub state: StepState,
    /// Whether it is the one to do next.
    pub current: bool,
    /// The condition that tells its state in words.
    pub says: Option<Condition>,
    /// Its button, shown while it is current.
    pub action: Option<Action>,
    /// How to take it back, or do it again.
    pub back: Option<Action>,
}

/// Whether this verb is being worked at.
pub fn running(status: &Status, verb: Verb) -> bool {
    status.operation.as_ref().is_some_and(|op| op.verb == verb && op.error.is_none())
}

fn reason<'a>(status: &'a Status, kind: &str) -> &'a str {
    status.condition(kind).map_or("", |c| c.reason.as_str())
}

/// Whether a verb is off: the panel's user lacks a right that it needs, or another panel acts on the namespace. `verb` as in the path: `deploy`.
pub fn is_off(status: &Status, verb: &str) -> bool {
    if verb != "takeover" && reason(status, kinds::HELD) == reasons::HELD_BY_OTHER {
        return true;
    }
    let denied = status.condition(kinds::PERMITTED).filter(|c| c.status == ConditionStatus::False);
    denied.and_then(|c| c.args.get("off")).is_some_and(|off| off.split(", ").any(|name| name == verb))
}

/// What the rail is told from.
struct Facts {
    /// Something of the demo runs.
    there: bool,
    /// A client is there, or comes.
    client: bool,
    route: bool,
    /// The route names a subset that nothing defines.
    no_subset: bool,
    injected: bool,
    any_sidecar: bool,
    loading: bool,
    cleaning: bool,
    left_over: bool,
}

/// Whether a verb's last operation ended with an error.
fn failed(status: &Status, verb: Verb) -> bool {
    status.operation.as_ref().is_some_and(|op| op.verb == verb && op.error.is_some())
}

impl Facts {
    fn of(status: &Status) -> Facts {
        let is = |kind: &str, wanted: &str| reason(status, kind) == wanted;
        let there = status.is(kinds::DEPLOYED) || !status.pods.is_empty();
        let injected = status.is(kinds::INJECTED);
        let under_way = is(kinds::INJECTED, reasons::INJECTING) || is(kinds::INJECTED, reasons::INJECTION_IGNORED);
        let no_client = is(kinds::CLIENT_READY, reasons::NO_CLIENT)
            || is(kinds::CLIENT_READY, reasons::CLIENT_SCALED_TO_ZERO)
            || failed(status, Verb::Client);
        Facts {
            there,
            client: !no_client,
            route: status.is(kinds::ROUTE_PRESENT),
            no_subset: is(kinds::ROUTE_PRESENT, reasons::SUBSET_MISSING),
            injected,
            any_sidecar: injected || under_way || status.pods.iter().any(|pod| pod.sidecar),
            loading: status.is(kinds::LOAD_RUNNING),
            cleaning: running(status, Verb::Teardown) || is(kinds::CLEAN, reasons::CLEANING),
            left_over: is(kinds::CLEAN, reasons::LEFT_OVER),
        }
    }

    /// The state of each step, in the rail's order.
    fn states(&self, status: &Status) -> [StepState; 6] {
        let is = |kind: &str, wanted: &str| reason(status, kind) == wanted;
        // Something keeps the pods from running, so that waiting alone is of no use.
        let stuck = status.condition(kinds::PODS_RUN).is_some_and(|c| c.status == ConditionStatus::False);
        // What runs is busy, whatever came of it before; what is so counts more than an old failure; pods that come by themselves
        // count last.
        let state = |verbs: &[Verb], done: bool, bad: bool, coming: bool| match () {
            () if verbs.iter().any(|verb| running(status, *verb)) => StepState::Busy,
            () if done => StepState::Done,
            () if bad || verbs.iter().any(|verb| failed(status, *verb)) || coming && stuck => StepState::Failed,
            () if coming => StepState::Busy,
            () => StepState::Todo,
        };
        let deployed = status.is(kinds::DEPLOYED);
        let degraded = is(kinds::DEPLOYED, reasons::DEGRADED);
        let no_load = deployed && (!self.client || is(kinds::LOAD_RUNNING, reasons::AGENT_UNREACHABLE));
        let starting = self.there && is(kinds::CLIENT_READY, reasons::CLIENT_STARTING);
        // A route that was just made is even, and so is traffic without one: what shows that the weights decide is another split.
        let shifted = status.desired.as_ref().is_some_and(|split| *split != split.even())
            && status.is(kinds::WEIGHTS_APPLY)
            && status.is(kinds::ROUTE_ACKNOWLEDGED);
        let verified = status.is(kinds::VERIFIED);
        let (ignored, injecting) =
            (is(kinds::INJECTED, reasons::INJECTION_IGNORED), is(kinds::INJECTED, reasons::INJECTING));
        [
            state(&[Verb::Deploy], deployed, degraded, is(kinds::DEPLOYED, reasons::DEPLOYING)),
            state(&[Verb::Verify], verified, is(kinds::VERIFIED, reasons::VERIFY_FAILED), false),
            state(&[Verb::Inject], self.injected, ignored, injecting),
            state(&[Verb::Load, Verb::Client], self.loading, no_load, starting),
            state(&[Verb::Route, Verb::Weights], shifted && !self.no_subset, self.no_subset, false),
            if self.cleaning {
                StepState::Busy
            } else {
                state(&[Verb::Teardown], false, self.there && self.left_over, false)
            },
        ]
    }

    /// The current step's place: the first that is not done. Nobody has to verify.
    fn current(&self, rail: &[Step; 6]) -> usize {
        if self.cleaning || self.left_over && !self.there {
            return 5;
        }
        let passed_verify = self.injected || self.loading || self.route;
        let skipped = |s: &Step| s.name == StepName::Verify && passed_verify && s.state == StepState::Todo;
        rail.iter().position(|s| s.state != StepState::Done && !skipped(s)).unwrap_or(4)
    }
}

/// The rail.
pub fn steps(status: &Status) -> [Step; 6] {
    let facts = Facts::of(status);
    let [deploy, verify, inject, load, shift, clean] = facts.states(status);
    let there = facts.there;
    let step = |name, state, kind: &str, action: Option<Action>, back: Option<Action>| Step {
        name,
        state,
        current: false,
        says: status.condition(kind).cloned(),
        action,
        back,
    };
    let again = |state, first, again| if state == StepState::Failed { again } else { first };
    let mut rail = [
        step(StepName::Deploy, deploy, kinds::DEPLOYED, Some(again(deploy, Action::Deploy, Action::DeployAgain)), None),
        step(
            StepName::Verify,
            verify,
            kinds::VERIFIED,
            there.then_some(Action::Verify),
            (verify == StepState::Done).then_some(Action::VerifyAgain),
        ),
        step(
            StepName::Inject,
            inject,
            kinds::INJECTED,
            there.then_some(again(inject, Action::Inject, Action::InjectAgain)),
            facts.any_sidecar.then_some(Action::Uninject),
        ),
        step(
            StepName::Load,
            load,
            if facts.client { kinds::LOAD_RUNNING } else { kinds::CLIENT_READY },
            there.then_some(if facts.client { Action::LoadStart } else { Action::Client }),
            facts.loading.then_some(Action::LoadStop),
        ),
        step(
            StepName::Shift,
            shift,
            if facts.no_subset { kinds::ROUTE_PRESENT } else { kinds::WEIGHTS_APPLY },
            (there && !facts.route).then_some(Action::RouteCreate),
            facts.route.then_some(Action::RouteRemove),
        ),
        step(StepName::CleanUp, clean, kinds::CLEAN, (there || facts.left_over).then_some(Action::CleanUp), None),
    ];
    rail[facts.current(&rail)].current = true;
    rail
}

/// Whether the slider can be moved, and what it says where it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliderMode {
    /// Nothing to split.
    Absent,
    /// No sidecar and no route: weights would do nothing.
    NeedsSidecars,
    /// Sidecars, but no route: moving it makes one.
    NoRoute,
    /// It sets the weights.
    Live,
    /// More versions than a slider can split.
    Many,
}

/// How the slider stands.
pub fn slider_mode(status: &Status) -> SliderMode {
    let route = status.desired.is_some();
    // A rollout of what is there is no reason to take the slider away.
    let changing = running(status, Verb::Inject)
        || reason(status, kinds::INJECTED) == reasons::INJECTING
        || reason(status, kinds::DEPLOYED) == reasons::DEGRADED;
    let loading = status.load.rate.per_second() > 0;
    if !status.is(kinds::DEPLOYED) && !route && !loading && !(changing && !status.pods.is_empty()) {
        return SliderMode::Absent;
    }
    if super::versions(status).len() > 2 {
        return SliderMode::Many;
    }
    match (route, status.pods.iter().any(|pod| pod.sidecar)) {
        (true, _) => SliderMode::Live,
        (false, true) => SliderMode::NoRoute,
        (false, false) => SliderMode::NeedsSidecars,
    }
}

/// A warning on the slider, with the button that mends it.
#[derive(Clone, Debug, PartialEq)]
pub struct Banner {
    /// What is so.
    pub says: Condition,
    /// What mends it.
    pub mend: Option<Action>,
    /// Whether to offer adopt and revert.
    pub claim: bool,
}

/// What people must be told, gravest first.
pub fn banners(status: &Status) -> Vec<Banner> {
    let there = status.is(kinds::DEPLOYED) || !status.pods.is_empty();
    // What is known of a cluster that does not answer is old; of a demo that is being removed, on purpose so.
    // What the mesh reports of a subset that is missing is the same once more, in its words.
    let twice = |c: &Condition| {
        c.reason == reasons::ROUTE_IN_PART && reason(status, kinds::ROUTE_PRESENT) == reasons::SUBSET_MISSING
    };
    let moot = |c: &Condition| match reason(status, kinds::CLUSTER_REACHABLE) {
        _ if twice(c) => true,
        reasons::UNREACHABLE => c.reason != reasons::UNREACHABLE,
        _ => running(status, Verb::Teardown) || reason(status, kinds::CLEAN) == reasons::CLEANING,
    };
    status
        .conditions
        .iter()
        .filter(|c| !moot(c))
        .filter_map(|c| {
            let (weight, mend) = match c.reason.as_str() {
                reasons::UNREACHABLE
                | reasons::CREDENTIALS_REFUSED
                | reasons::SLOWED_DOWN
                | reasons::NAMESPACE_TERMINATING
                | reasons::FORBIDDEN
                | reasons::NOT_READY => (0, None),
                reasons::HELD_BY_OTHER => (0, Some(Action::TakeOver)),
                reasons::HOLDER_UNKNOWN => (11, None),
                _ if c.kind == kinds::PODS_RUN => (1, None),
                reasons::CHANGED_BY_OTHER => (1, None),
                reasons::CLIENT_HAS_NO_SIDECAR if c.kind == kinds::WEIGHTS_APPLY && status.desired.is_some() => {
                    (2, Some(Action::Inject))
                }
                reasons::SUBSET_MISSING => (2, Some(Action::RouteCreate)),
                reasons::ROUTE_SAYS_MORE | reasons::ROUTE_IN_PART => (10, None),
                reasons::VERSION_NOT_READY => (3, Some(Action::DeployAgain)),
                reasons::DEGRADED => (4, Some(Action::DeployAgain)),
                reasons::CLIENT_SCALED_TO_ZERO => (5, Some(Action::Client)),
                reasons::NO_CLIENT if there && c.kind == kinds::CLIENT_READY && !running(status, Verb::Deploy) => {
                    (5, Some(Action::Client))
                }
                reasons::INJECTION_IGNORED => (6, Some(Action::InjectAgain)),
                reasons::NO_MESH if there => (6, None),
                reasons::VERIFY_FAILED => (7, Some(Action::VerifyAgain)),
                reasons::AGENT_UNREACHABLE => (8, None),
                reasons::GENERATOR_LIMITED | reasons::TARGET_SATURATED | reasons::LOAD_CAPPED => (9, None),
                _ => return None,
            };
            // The same words under two kinds are said once.
            let again = c.reason == reasons::VERSION_NOT_READY && reason(status, kinds::DEPLOYED) == reasons::DEGRADED
                || c.reason == reasons::DEGRADED
                    && status.condition(kinds::PODS_RUN).is_some_and(|c| c.status == ConditionStatus::False);
            (c.status != ConditionStatus::True
                || matches!(
                    c.reason.as_str(),
                    reasons::GENERATOR_LIMITED
                        | reasons::TARGET_SATURATED
                        | reasons::LOAD_CAPPED
                        | reasons::ROUTE_SAYS_MORE
                ))
            .then_some(())?;
            (!again).then(|| (weight, Banner { says: c.clone(), mend, claim: c.reason == reasons::CHANGED_BY_OTHER }))
        })
        .fold(std::collections::BTreeMap::<(i32, String), Banner>::new(), |mut all, (weight, banner)| {
            all.entry((weight, banner.says.reason.clone())).or_insert(banner);
            all
        })
        .into_values()
        .collect()
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
