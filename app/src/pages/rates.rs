//! Setting the rate: a choice that waits while load is off, and is sent at once while it runs.
use crate::api::Live;
use crate::components::Rates;
use leptos::prelude::*;
use std::time::Duration;
use wire::{Command, LoadOrder, Rate};

/// What people start with. Source: the walkthrough's pictures show 200 requests a second.
const FIRST_RATE: u32 = 200;
/// A dragged rate is sent when it has been still for so long, milliseconds.
const STILL_MS: u64 = 120;

/// The chosen rate. `ask` sends.
pub fn use_rates(live: Live, ask: Callback<Command>) -> Rates {
    let running = Memo::new(move |_| live.status.with(|s| s.load.rate.per_second()));
    let chosen = RwSignal::new(None::<u32>);
    let moves = StoredValue::new(0_u64);
    let shown = Signal::derive(move || match (chosen.get(), running.get()) {
        (Some(rate), _) => rate,
        (None, 0) => FIRST_RATE,
        (None, rate) => rate,
    });
    let send = move |per_second: u32| {
        if let Ok(rate) = Rate::try_from(f64::from(per_second)) {
            ask.run(Command::Load(LoadOrder::new(rate, None)));
        }
    };
    Rates {
        shown,
        running: running.into(),
        choose: Callback::new(move |rate: u32| {
            chosen.set(Some(rate.clamp(1, Rate::MAX)));
            let this = moves.get_value() + 1;
            moves.set_value(this);
            if running.get_untracked() > 0 {
                set_timeout(
                    move || {
                        if moves.get_value() == this {
                            send(shown.get_untracked());
                        }
                    },
                    Duration::from_millis(STILL_MS),
                );
            }
        }),
        start: Callback::new(move |()| send(shown.get_untracked())),
        stop: Callback::new(move |()| send(0)),
    }
}
