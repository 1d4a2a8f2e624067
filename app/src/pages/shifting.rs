//! Moving the weights: the draft under the thumb, and what is sent while it is dragged.
use crate::api::{self, Live};
use crate::components::Shifter;
use crate::model::{Coalescer, with_share};
use leptos::prelude::*;
use leptos::task::spawn_local;
use std::time::Duration;
use wire::{ApiError, Command, Namespace, Split};

/// How often a waiting value is looked at, milliseconds.
const LOOK_MS: u64 = 25;
/// How long a draft outlives its acknowledgement, so that the thumb does not jump back before the stream catches up.
const SETTLE_MS: u64 = 300;
/// Shortest time between two changes: on a real cluster istiod waits for 100 ms of quiet and would starve.
const GAP_REAL_MS: u64 = 150;
/// The same on the embedded cluster, which answers in a few milliseconds: two frames of a screen.
const GAP_EMBEDDED_MS: u64 = 33;

#[derive(Clone, Copy)]
struct Sending {
    ns: StoredValue<Namespace>,
    me: RwSignal<String>,
    error: RwSignal<Option<ApiError>>,
    draft: RwSignal<Option<Split>>,
    held: RwSignal<bool>,
    queue: StoredValue<Coalescer<Split>>,
    timer: StoredValue<bool>,
}

/// What the slider and its kin move. Shares are percentages of v1.
pub fn use_shifter(ns: StoredValue<Namespace>, me: RwSignal<String>, live: Live) -> Shifter {
    let error = RwSignal::new(None);
    let gap = if live.status.with_untracked(|s| s.cluster.kind == "embedded") { GAP_EMBEDDED_MS } else { GAP_REAL_MS };
    let sending = Sending {
        ns,
        me,
        error,
        draft: RwSignal::new(None),
        held: RwSignal::new(false),
        queue: StoredValue::new(Coalescer::new(gap)),
        timer: StoredValue::new(false),
    };
    let split = Signal::derive(move || sending.draft.get().or_else(|| live.desired.get()));
    let set = Callback::new(move |split: Split| {
        sending.draft.set(Some(split.clone()));
        sending.queue.update_value(|queue| queue.want(split));
        sending.pump();
    });
    let share = Memo::new(move |_| split.with(|split| split.as_ref().map(|s| s.percent("v1"))));
    Shifter {
        share: share.into(),
        split,
        refused: error,
        set,
        hold: Callback::new(move |held: bool| {
            sending.held.set(held);
            if !held {
                sending.settle();
            }
        }),
        to: Callback::new(move |share: u8| set.run(with_share(share))),
    }
}

impl Sending {
    fn pump(self) {
        let now = u64::try_from(api::browser_now_ms()).unwrap_or(0);
        if let Some((id, split)) = self.queue.try_update_value(|queue| queue.due(now)).flatten() {
            spawn_local(async move {
                let weights = Command::Weights(split);
                let answer = api::run(self.ns.get_value(), self.me.get_untracked(), weights).await;
                self.queue.update_value(|queue| queue.acknowledged(id));
                self.error.set(answer.err());
                self.pump();
                self.settle();
            });
        }
        if self.queue.with_value(Coalescer::is_waiting) && !self.timer.get_value() {
            self.timer.set_value(true);
            set_timeout(
                move || {
                    self.timer.set_value(false);
                    self.pump();
                },
                Duration::from_millis(LOOK_MS),
            );
        }
    }

    /// A thumb that nobody holds follows the cluster again, once all is answered.
    fn settle(self) {
        let settled = move || !self.held.get_untracked() && self.queue.with_value(Coalescer::is_idle);
        if settled() {
            set_timeout(
                move || {
                    if settled() && self.draft.with_untracked(Option::is_some) {
                        self.draft.set(None);
                    }
                },
                Duration::from_millis(SETTLE_MS),
            );
        }
    }
}
