//! The walkthrough: each step with its state in words, the current one with its one button.
use super::context::{flag, say};
use super::{Page, Rates, Same};
use crate::model::{Action, Step, StepName, StepState, steps};
use crate::text::{self, Key};
use leptos::prelude::*;
use wire::{Command, Rate, kinds};

/// The rail.
#[component]
pub fn Rail(page: Page, rates: Rates, ask: Callback<Command>, clean_up: Callback<()>) -> impl IntoView {
    let rail = Memo::new(move |_| page.live.status.with(steps));
    view! {
        <ol class="steps card">
            {(0..6).map(|i| view! { <StepLine page rates ask clean_up number=i + 1 step=Signal::derive(move || rail.with(|r| r[i].clone()))/> }).collect_view()}
        </ol>
    }
}

#[component]
fn StepLine(
    page: Page,
    rates: Rates,
    ask: Callback<Command>,
    clean_up: Callback<()>,
    number: usize,
    step: Signal<Step>,
) -> impl IntoView {
    let name = step.with_untracked(|s| s.name);
    let state = Memo::new(move |_| step.with(|s| s.state));
    let current = Memo::new(move |_| step.with(|s| s.current));
    let action = Memo::new(move |_| step.with(|s| s.action.filter(|_| s.current && s.state != StepState::Busy)));
    let back = Memo::new(move |_| step.with(|s| s.back));
    let run = move |action: Action| match action {
        Action::CleanUp => clean_up.run(()),
        Action::LoadStart => rates.start.run(()),
        Action::LoadStop => rates.stop.run(()),
        other => ask.run(other.ask(Rate::default())),
    };
    let button = move |action: Action, class: &'static str| {
        let disabled = flag(move || !page.ready_for(action.verb()));
        view! {
            <button type="button" class=class data-testid=testid(action) disabled=disabled on:click=move |_| run(action)>
                {say(move || label(page, action, rates.shown.get()))}
            </button>
        }
    };
    let same = move |button: Memo<Option<Action>>| {
        let command = say(move || {
            button
                .get()
                .map_or(String::new(), |a| page.command(a.command()).replace("%rate%", &rates.shown.get().to_string()))
        });
        view! { <Same page text=command/> }
    };
    view! {
        <li class="step" data-testid=format!("step-{}", id(name)) data-state=say(move || state_name(state.get())) aria-current=move || current.get().then_some("step")>
            <span class="number" aria-hidden="true">
                {say(move || match state.get() {
                    StepState::Done => "✓".to_owned(),
                    StepState::Failed => "!".to_owned(),
                    StepState::Busy => "…".to_owned(),
                    StepState::Todo => number.to_string(),
                })}
            </span>
            <div class="body">
                <strong>{page.t(title(name))}</strong>
                <span class="hidden">{say(move || page.lang.get().t(state_key(state.get())))}</span>
                <span class="says">{say(move || step.with(|s| says(page, s)))}</span>
                {move || action.get().map(|a| button(a, "primary"))}
                {same(action)}
                {move || back.get().map(|a| button(a, "small back"))}
                {same(back)}
            </div>
        </li>
    }
}

/// The state in words: the operation's step while it is being worked at, else the condition's, else what the step is for.
fn says(page: Page, step: &Step) -> String {
    let lang = page.lang.get();
    let working = page.live.status.with(|s| {
        s.operation.as_ref().filter(|op| op.error.is_none()).map(|op| text::either(lang, &op.step, &op.zh).to_owned())
    });
    let hint = match step.name {
        StepName::Deploy => Key::HintDeploy,
        StepName::Verify => Key::HintVerify,
        StepName::Inject => Key::HintInject,
        StepName::Load => Key::HintLoad,
        StepName::Shift if step.action.is_some() => Key::HintRoute,
        StepName::Shift if page.live.status.with(|s| s.is(kinds::INJECTED)) => Key::HintShift,
        StepName::Shift => Key::HintShiftWaits,
        StepName::CleanUp => Key::HintCleanUp,
    };
    match (step.state, &step.says) {
        (StepState::Busy, Some(c))
            if step.name == StepName::Deploy || step.name == StepName::Inject || step.name == StepName::CleanUp =>
        {
            working.filter(|w| !w.is_empty()).unwrap_or_else(|| text::condition(lang, c))
        }
        (StepState::Busy, _) if working.is_some() => working.unwrap_or_default(),
        (StepState::Done | StepState::Failed | StepState::Busy, Some(c)) => text::condition(lang, c),
        _ => lang.t(hint).to_owned(),
    }
}

/// A button's words. `rate` is what a start means.
pub fn label(page: Page, action: Action, rate: u32) -> String {
    let lang = page.lang.get();
    let key = match action {
        Action::Deploy => Key::DoDeploy,
        Action::DeployAgain => Key::DoDeployAgain,
        Action::Client => Key::DoClient,
        Action::Verify => Key::DoVerify,
        Action::VerifyAgain => Key::DoVerifyAgain,
        Action::Inject => Key::DoInject,
        Action::InjectAgain => Key::DoInjectAgain,
        Action::Uninject => Key::DoUninject,
        Action::LoadStart => return lang.fill(Key::DoStart, &[("rate", &rate.to_string())]),
        Action::LoadStop => Key::StopLoad,
        Action::RouteCreate => Key::DoRouteCreate,
        Action::RouteRemove => Key::DoRouteRemove,
        Action::TakeOver => Key::DoTakeOver,
        Action::CleanUp => Key::CleanUpMore,
    };
    lang.t(key).to_owned()
}

fn testid(action: Action) -> &'static str {
    match action {
        Action::Deploy | Action::DeployAgain => "deploy",
        Action::Client => "client",
        Action::Verify | Action::VerifyAgain => "verify",
        Action::Inject | Action::InjectAgain => "inject",
        Action::Uninject => "uninject",
        Action::LoadStart => "step-load-start",
        Action::LoadStop => "step-load-stop",
        Action::RouteCreate => "route-create",
        Action::RouteRemove => "route-remove",
        Action::TakeOver => "takeover",
        Action::CleanUp => "step-cleanup-open",
    }
}

fn id(name: StepName) -> &'static str {
    match name {
        StepName::Deploy => "deploy",
        StepName::Verify => "verify",
        StepName::Inject => "inject",
        StepName::Load => "load",
        StepName::Shift => "shift",
        StepName::CleanUp => "cleanup",
    }
}

fn title(name: StepName) -> Key {
    match name {
        StepName::Deploy => Key::StepDeploy,
        StepName::Verify => Key::StepVerify,
        StepName::Inject => Key::StepInject,
        StepName::Load => Key::StepLoad,
        StepName::Shift => Key::StepShift,
        StepName::CleanUp => Key::StepCleanUp,
    }
}

fn state_name(state: StepState) -> &'static str {
    match state {
        StepState::Todo => "todo",
        StepState::Busy => "busy",
        StepState::Done => "done",
        StepState::Failed => "failed",
    }
}

fn state_key(state: StepState) -> Key {
    match state {
        StepState::Todo => Key::StateTodo,
        StepState::Busy => Key::StateBusy,
        StepState::Done => Key::StateDone,
        StepState::Failed => Key::StateFailed,
    }
}
