//! Where people are in the lesson: conditions and milestones in, steps out.
use super::versions::with_share;
use wire::{
    Command, Condition, ConditionStatus, InjectRequest, LoadOrder, Rate, RouteRequest, ScaleRequest, Status, Verb,
    WorkloadName, kinds, reasons,
};

/// The steps of the lesson, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StepName {
    Deploy,
    Verify,
    Inject,
    Load,
    Shift,
    Break,
    CleanUp,
}

/// How many there are.
pub const STEPS: usize = 7;
/// Places among them.
const SHIFT: usize = 4;
const BREAK: usize = 5;

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StepState {
    Todo,
    Busy,
    Done,
    Failed,
}

/// A button of the lesson.
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
    /// Sets 80/20.
    WeightsUneven,
    /// Sets 0/100.
    WeightsOne,
    /// Takes the pods of v2 away.
    Break,
    /// Brings them back.
    Cure,
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
            Action::WeightsUneven | Action::WeightsOne => "weights",
            Action::Break => "scale",
            Action::Cure => "deploy",
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
            Action::WeightsUneven => Command::Weights(with_share(80)),
            Action::WeightsOne => Command::Weights(with_share(0)),
            Action::Break => Command::Scale(ScaleRequest { workload: WorkloadName::FlaskappV2, replicas: 0 }),
            Action::Cure => Command::Deploy,
            Action::TakeOver => Command::Takeover,
            Action::CleanUp => Command::Teardown,
        }
    }
}

/// A step of the lesson.
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

/// The reason of a condition; empty if there is no such condition.
pub fn reason<'a>(status: &'a Status, kind: &str) -> &'a str {
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

/// What the steps are told from.
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
    /// A version or the client has no ready pod.
    degraded: bool,
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
            degraded: is(kinds::DEPLOYED, reasons::DEGRADED),
        }
    }

    /// The state of each step, in order.
    fn states(&self, status: &Status) -> [StepState; STEPS] {
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
        let no_load = deployed && (!self.client || is(kinds::LOAD_RUNNING, reasons::AGENT_UNREACHABLE));
        let starting = self.there && is(kinds::CLIENT_READY, reasons::CLIENT_STARTING);
        // A route that was just made is even, and so is traffic without one: what shows that the weights decide are an uneven split
        // that was measured, and a version that got every request.
        let milestones = &status.milestones;
        let measured = milestones.weighted.is_some() && milestones.one.is_some();
        // Weights count while a version has no pods, too: that is what "Break" shows.
        let apply = status.is(kinds::WEIGHTS_APPLY) || is(kinds::WEIGHTS_APPLY, reasons::VERSION_NOT_READY);
        let shifted = measured && self.route && apply;
        let verified = status.is(kinds::VERIFIED);
        let (ignored, injecting) =
            (is(kinds::INJECTED, reasons::INJECTION_IGNORED), is(kinds::INJECTED, reasons::INJECTING));
        [
            state(&[Verb::Deploy], deployed, self.degraded, is(kinds::DEPLOYED, reasons::DEPLOYING)),
            state(&[Verb::Verify], verified, is(kinds::VERIFIED, reasons::VERIFY_FAILED), false),
            state(&[Verb::Inject], self.injected, ignored, injecting),
            state(&[Verb::Load, Verb::Client], self.loading, no_load, starting),
            state(&[Verb::Route, Verb::Weights], shifted && !self.no_subset, self.no_subset, false),
            state(&[Verb::Scale], milestones.cured, false, milestones.broken.is_some()),
            if self.cleaning {
                StepState::Busy
            } else {
                state(&[Verb::Teardown], false, self.there && self.left_over, false)
            },
        ]
    }

    /// What comes next in "Shift": a route with subsets, an uneven split, all to one version. Returns `None` while it is being measured.
    fn shift(&self, status: &Status) -> Option<Action> {
        let Some(split) = status.desired.as_ref().filter(|_| !self.no_subset) else {
            return (!self.route || self.no_subset).then_some(Action::RouteCreate);
        };
        let whole = split.iter().any(|(_, weight)| weight.percent() == 100);
        match (status.milestones.weighted.is_some(), status.milestones.one.is_some()) {
            (false, _) => (*split == split.even() || whole).then_some(Action::WeightsUneven),
            (true, false) => (!whole).then_some(Action::WeightsOne),
            (true, true) => None,
        }
    }

    /// What comes next in "Break": a split of which v2 has a part, no pods of v2, and its pods again.
    fn breaks(&self, status: &Status) -> Action {
        let share = status.desired.as_ref().map_or(0, |split| split.percent("v2"));
        let pods = status.pods.iter().any(|pod| pod.workload == "flaskapp-v2");
        match () {
            () if !pods || status.milestones.broken.is_some() => Action::Cure,
            () if share == 0 || share == 100 => Action::WeightsUneven,
            () => Action::Break,
        }
    }

    /// The current step's place: the first that is not done. Nobody has to verify.
    fn current(&self, rail: &[Step; STEPS]) -> usize {
        if self.cleaning || self.left_over && !self.there {
            return STEPS - 1;
        }
        // A version that lost its pods is what "Break" is about, once its turn has come.
        if rail[SHIFT].state == StepState::Done && rail[0].state != StepState::Done && self.there {
            return BREAK;
        }
        let passed_verify = self.injected || self.loading || self.route;
        let skipped = |s: &Step| s.name == StepName::Verify && passed_verify && s.state == StepState::Todo;
        rail.iter().position(|s| s.state != StepState::Done && !skipped(s)).unwrap_or(STEPS - 1)
    }
}

/// The steps of the lesson.
pub fn steps(status: &Status) -> [Step; STEPS] {
    let facts = Facts::of(status);
    let [deploy, verify, inject, load, shift, broken, clean] = facts.states(status);
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
            facts.shift(status).filter(|_| there),
            facts.route.then_some(Action::RouteRemove),
        ),
        step(StepName::Break, broken, kinds::DEPLOYED, facts.route.then_some(facts.breaks(status)), None),
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

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
