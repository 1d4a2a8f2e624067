//! The shares of the versions, one by one: typed, and where there are more than two, a slider and a lock each.
use super::context::{flag, say};
use super::symbol::{PLACES, colour};
use super::{Page, Shifter};
use crate::model::with_share;
use crate::text::Key;
use leptos::prelude::*;
use wire::Split;

/// What all the fields share.
#[derive(Clone, Copy)]
struct Editing {
    page: Page,
    shifter: Shifter,
    disabled: Signal<bool>,
    /// More than two versions: one slider cannot say it.
    many: Signal<bool>,
    /// What is typed and not yet taken, and in whose field. What comes from the cluster meanwhile must not write over it.
    typed: RwSignal<Option<(usize, String)>>,
    /// Whether what is typed was refused.
    wrong: RwSignal<bool>,
    /// Versions that keep their share while others move.
    kept: RwSignal<Vec<String>>,
    /// The split when a slider was taken: a drag to 100 and back ends where it began.
    taken: StoredValue<Option<Split>>,
}

/// The name of the version at a place; empty where there is none.
pub fn name_at(names: Signal<Vec<String>>, place: usize) -> String {
    names.with(|names| names.get(place).cloned().unwrap_or_default())
}

impl Editing {
    fn split(self) -> Split {
        self.shifter.split.get_untracked().unwrap_or_else(|| with_share(50))
    }

    /// Sets one version's share; whether it was one.
    fn moves(self, from: Split, version: &str, share: &str) -> bool {
        let moved =
            share.trim().parse().ok().and_then(|share| from.moved(version, share, &self.kept.get_untracked()).ok());
        let done = moved.is_some();
        if let Some(moved) = moved {
            self.shifter.set.run(moved);
        }
        done
    }

    /// Takes a slider, if it is not held already; gives the split at that time.
    fn take(self) -> Split {
        self.taken.get_value().unwrap_or_else(|| {
            let split = self.split();
            self.taken.set_value(Some(split.clone()));
            self.shifter.hold.run(true);
            split
        })
    }

    fn let_go(self) {
        if self.taken.with_value(Option::is_some) {
            self.taken.set_value(None);
            self.shifter.hold.run(false);
        }
    }
}

/// A field per version; with more than two, which one slider cannot say, a slider and a lock as well.
#[component]
pub fn Shares(
    page: Page,
    shifter: Shifter,
    names: Signal<Vec<String>>,
    disabled: Signal<bool>,
    many: Signal<bool>,
) -> impl IntoView {
    let editing = Editing {
        page,
        shifter,
        disabled,
        many,
        typed: RwSignal::new(None),
        wrong: RwSignal::new(false),
        kept: RwSignal::new(Vec::new()),
        taken: StoredValue::new(None),
    };
    view! {
        <div class="fields" class:many=many>
            // As many as there are colours; more versions than that are set by kubectl.
            {(0..PLACES).map(|place| view! { <Share editing place name=say(move || name_at(names, place))/> }).collect_view()}
            <button type="button" data-testid="weights-even" hidden=flag(move || !many.get()) disabled=disabled on:click=move |_| shifter.set.run(editing.split().even())>
                {page.t(Key::Evenly)}
            </button>
        </div>
        {move || editing.wrong.get().then(|| view! { <p class="note bad" role="alert" data-testid="weight-error">{page.t(Key::WeightRange)}</p> })}
    }
}

/// What an input of a version is. One closure makes them all: a closure each costs the browser kilobytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Typed,
    Slider,
    Lock,
}

#[component]
fn Share(editing: Editing, place: usize, name: Signal<String>) -> impl IntoView {
    let Editing { page, shifter, disabled, many, typed, wrong, kept, .. } = editing;
    let share = move || {
        shifter
            .split
            .with(|split| split.as_ref().map_or(String::new(), |s| name.with(|name| s.percent(name).to_string())))
    };
    let mine = move || typed.get().filter(|typed| typed.0 == place).map(|typed| typed.1);
    let is_kept = move || kept.with(|kept| name.with(|name| kept.contains(name)));
    let input = move |what: Input| {
        let (class, kind, id, key) = match what {
            Input::Typed => ("num", "text", "weight", Key::ShareOf),
            Input::Slider => ("plain", "range", "slider", Key::ShareOf),
            Input::Lock => ("lock", "checkbox", "keep", Key::KeepShare),
        };
        let shown = move || mine().filter(|_| what == Input::Typed).unwrap_or_else(share);
        let first = untrack(shown);
        view! {
            <input
                class=class type=kind inputmode="numeric" autocomplete="off" data-testid=say(move || format!("{id}-{}", name.get()))
                value=first prop:value=say(shown) hidden=flag(move || what != Input::Typed && !many.get())
                disabled=flag(move || disabled.get() || what == Input::Slider && is_kept())
                aria-label=say(move || page.lang.get().fill(key, &[("version", &name.get())]))
                aria-invalid=move || (what == Input::Typed && wrong.get() && mine().is_some()).then_some("true")
                on:input=move |event| match what {
                    Input::Typed => {
                        wrong.set(false);
                        typed.set(Some((place, event_target_value(&event))));
                    }
                    Input::Slider => {
                        editing.moves(editing.take(), &name.get_untracked(), &event_target_value(&event));
                    }
                    Input::Lock => {}
                }
                on:change=move |event| match what {
                    Input::Typed => {
                        let moved = editing.moves(editing.split(), &name.get_untracked(), &event_target_value(&event));
                        wrong.set(!moved);
                        if moved {
                            typed.set(None);
                        }
                    }
                    Input::Slider => editing.let_go(),
                    Input::Lock => kept.update(|kept| {
                        let name = name.get_untracked();
                        kept.retain(|kept| *kept != name);
                        if event_target_checked(&event) {
                            kept.push(name);
                        }
                    }),
                }
                // Not every browser tells a change where a drag ends at the value that it began with.
                on:pointerup=move |_| editing.let_go()
                on:blur=move |_| {
                    editing.let_go();
                    if !wrong.get_untracked() {
                        typed.set(None);
                    }
                }
            />
        }
    };
    view! {
        <div class=format!("field {}", colour(place)) hidden=flag(move || name.with(String::is_empty))>
            <span>{name}</span>
            {[Input::Slider, Input::Typed, Input::Lock].map(input)}
            "%"
        </div>
    }
}
