//! The lesson: seven steps, one on show; what to do and why, a prediction, checks that the machine makes, and one button.
use super::context::{flag, say};
use super::{Page, Rates, Same};
use crate::model::{Action, STEPS, Step, StepName, StepState, steps};
use crate::text::{self, Key};
use leptos::prelude::*;
use wire::{Command, LessonStep, Rate};

/// The lesson. It shows the step to do next, or the one that somebody has chosen.
#[component]
pub fn Lesson(page: Page, rates: Rates, ask: Callback<Command>, clean_up: Callback<()>) -> impl IntoView {
    let rail = Memo::new(move |_| page.live.status.with(steps));
    let current = Memo::new(move |_| rail.with(|rail| rail.iter().position(|step| step.current).unwrap_or(0)));
    let chosen = RwSignal::new(None::<usize>);
    // What comes next is shown again as soon as it is another.
    Effect::new(move |_| {
        current.track();
        chosen.set(None);
    });
    let shown = Memo::new(move |_| chosen.get().unwrap_or_else(|| current.get()));
    let state = move |i: usize| rail.with(|rail| rail[i].state);
    view! {
        <section class="lesson card" aria-label=page.t(Key::Lesson) data-testid="lesson">
            <ol class="steps">
                {(0..STEPS).map(|i| {
                    let name = rail.with_untracked(|rail| rail[i].name);
                    view! {
                        <li class="step" data-testid=format!("step-{}", id(name)) data-state=say(move || state_name(state(i))) aria-current=move || (current.get() == i).then_some("step")>
                            <button type="button" aria-pressed=say(move || if shown.get() == i { "true" } else { "false" }) title=page.t(title(name)) on:click=move |_| chosen.set(Some(i))>
                                <span aria-hidden="true">{say(move || mark(state(i), i))}</span>
                                <span class="hidden">{page.t(title(name))} ": " {say(move || page.lang.get().t(state_key(state(i))))}</span>
                            </button>
                        </li>
                    }
                }).collect_view()}
            </ol>
            <Shown page rates ask clean_up place=shown step=Signal::derive(move || rail.with(|rail| rail[shown.get()].clone()))/>
            <div class="turns">
                <button type="button" class="quiet" data-testid="lesson-back" disabled=flag(move || shown.get() == 0) on:click=move |_| chosen.set(Some(shown.get_untracked().saturating_sub(1)))>{page.t(Key::StepBefore)}</button>
                <button type="button" class="quiet" data-testid="lesson-next" disabled=flag(move || shown.get() + 1 == STEPS) on:click=move |_| chosen.set(Some((shown.get_untracked() + 1).min(STEPS - 1)))>{page.t(Key::StepAfter)}</button>
            </div>
        </section>
    }
}

#[component]
fn Shown(
    page: Page,
    rates: Rates,
    ask: Callback<Command>,
    clean_up: Callback<()>,
    place: Memo<usize>,
    step: Signal<Step>,
) -> impl IntoView {
    let text =
        Memo::new(move |_| page.live.lesson.with(|lesson| lesson.steps.get(place.get()).cloned().unwrap_or_default()));
    let checks =
        Memo::new(move |_| page.live.progress.with(|p| p.checks.get(place.get()).cloned().unwrap_or_default()));
    let end = Memo::new(move |_| {
        page.live.progress.with(|p| if place.get() + 1 == STEPS { p.end.clone() } else { Vec::new() })
    });
    let state = Memo::new(move |_| step.with(|s| s.state));
    let action =
        Memo::new(move |_| step.with(|s| s.action.filter(|_| s.state != StepState::Busy || s.name == StepName::Break)));
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
    let command = say(move || {
        action
            .get()
            .or_else(|| back.get())
            .map_or(String::new(), |a| page.command(a.command()).replace("%rate%", &rates.shown.get().to_string()))
    });
    // Done already: its button would do nothing.
    let shown_action = move || action.get().filter(|_| state.get() != StepState::Done);
    view! {
        <div class="body">
            <h2 class="headline">{say(move || format!("{} · {}", place.get() + 1, text.with(|t| t.title.clone())))}</h2>
            <p>{say(move || text.with(|t| t.task.clone()))}</p>
            <p class="muted why">
                {move || text.with(|t| t.why.clone()).into_iter().enumerate().map(|(i, piece)| {
                    let explained = !piece.term.is_empty();
                    let target = format!("term-{i}");
                    view! {
                        <span hidden=explained>{if explained { String::new() } else { piece.text.clone() }}</span>
                        <button type="button" class="term" hidden=!explained popovertarget=target.clone()>{piece.text}</button>
                        <span class="meaning" id=target popover="auto">{piece.term}</span>
                    }
                }).collect_view()}
            </p>
            <Prediction page place text/>
            <ul class="checks">
                {move || checks.get().into_iter().map(|check| view! {
                    <li class:done=check.done data-done=if check.done { "true" } else { "false" }>{check.text}</li>
                }).collect_view()}
            </ul>
            <p class="says" class:bad=flag(move || state.get() == StepState::Failed) hidden=flag(move || state.get() == StepState::Todo)>{say(move || step.with(|s| says(page, s)))}</p>
            <ul class="proven" hidden=flag(move || end.with(Vec::is_empty)) data-testid="lesson-end">
                {move || end.get().into_iter().map(|line| view! { <li>{line}</li> }).collect_view()}
            </ul>
            <div class="row">
                {move || shown_action().map(|a| button(a, "primary"))}
                {move || back.get().map(|a| button(a, "small back"))}
            </div>
            <Same page text=command/>
        </div>
    }
}

/// A question before the result, and what each answer means.
#[component]
fn Prediction(page: Page, place: Memo<usize>, text: Memo<LessonStep>) -> impl IntoView {
    // The answers that this browser gave; another language keeps them.
    let given = RwSignal::new([None::<usize>; STEPS]);
    let chosen = move || given.with(|given| given[place.get()]);
    let meaning = Memo::new(move |_| {
        text.with(|t| chosen().and_then(|i| t.answers.get(i)).map(|answer| (answer.right, answer.means.clone())))
    });
    view! {
        <div class="predict" role="group" aria-label=page.t(Key::Prediction) data-testid="prediction">
            <span>{say(move || text.with(|t| t.question.clone()))}</span>
            <div>
                {move || text.with(|t| t.answers.clone()).into_iter().enumerate().map(|(i, answer)| view! {
                    <button type="button" class="small" data-testid=format!("answer-{i}") aria-pressed=say(move || if chosen() == Some(i) { "true" } else { "false" }) on:click=move |_| given.update(|given| given[place.get_untracked()] = Some(i))>{answer.text}</button>
                }).collect_view()}
            </div>
            <p role="status" data-testid="meaning" class=say(move || meaning.with(|m| if m.as_ref().is_some_and(|m| m.0) { "good" } else { "bad" }))>
                {say(move || meaning.with(|m| m.as_ref().map_or_else(String::new, |m| m.1.clone())))}
            </p>
        </div>
    }
}

/// The state in words: the operation's step while it is being worked at, else the condition's.
fn says(page: Page, step: &Step) -> String {
    let lang = page.lang.get();
    let working = page.live.status.with(|s| {
        s.operation.as_ref().filter(|op| op.error.is_none()).map(|op| text::either(lang, &op.step, &op.zh).to_owned())
    });
    let condition = step.says.as_ref().map(|c| text::condition(lang, c)).unwrap_or_default();
    match step.state {
        StepState::Busy => working.filter(|w| !w.is_empty()).unwrap_or(condition),
        StepState::Done | StepState::Failed => condition,
        StepState::Todo => String::new(),
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
        Action::WeightsUneven => Key::DoWeightsUneven,
        Action::WeightsOne => Key::DoWeightsOne,
        Action::Break => Key::DoBreak,
        Action::Cure => Key::DoCure,
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
        Action::WeightsUneven => "weights-uneven",
        Action::WeightsOne => "weights-one",
        Action::Break => "break",
        Action::Cure => "cure",
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
        StepName::Break => "break",
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
        StepName::Break => Key::StepBreak,
        StepName::CleanUp => Key::StepCleanUp,
    }
}

fn mark(state: StepState, place: usize) -> String {
    match state {
        StepState::Done => "✓".to_owned(),
        StepState::Failed => "!".to_owned(),
        StepState::Busy => "…".to_owned(),
        StepState::Todo => (place + 1).to_string(),
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
