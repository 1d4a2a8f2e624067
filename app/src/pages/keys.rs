//! The keyboard: what a key does where nothing that takes keys has the focus.
use crate::components::{Page, Rates, Shifter};
use crate::model::{SliderMode, slider_mode};
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

/// How long typed digits wait for Enter.
const TYPING: Duration = Duration::from_secs(4);

/// Listens while the page is there. `help` opens the list of keys.
pub fn use_keys(page: Page, shifter: Shifter, rates: Rates, help: Callback<()>) {
    let strokes = StoredValue::new(0_u64);
    Effect::new(move |_| {
        let listener = window_event_listener(leptos::ev::keydown, move |event| {
            if event.ctrl_key() || event.meta_key() || event.alt_key() || event.default_prevented() {
                return;
            }
            let focus = focus();
            if matches!(focus, Focus::Field | Focus::Dialog) || !handle(page, shifter, rates, help, &event.key(), focus)
            {
                return;
            }
            event.prevent_default();
            let stroke = strokes.get_value() + 1;
            strokes.set_value(stroke);
            set_timeout(
                move || {
                    if strokes.get_value() == stroke && !page.typed.with_untracked(String::is_empty) {
                        page.typed.set(String::new());
                    }
                },
                TYPING,
            );
        });
        on_cleanup(move || listener.remove());
    });
}

/// What has the focus.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Focus {
    Nothing,
    /// A range moves itself.
    Range,
    Field,
    Dialog,
}

fn focus() -> Focus {
    let Some(element) = document().active_element().and_then(|e| e.dyn_into::<HtmlElement>().ok()) else {
        return Focus::Nothing;
    };
    if element.closest("dialog").ok().flatten().is_some() {
        return Focus::Dialog;
    }
    match element.tag_name().as_str() {
        "INPUT" if element.get_attribute("type").as_deref() == Some("range") => Focus::Range,
        "INPUT" | "TEXTAREA" | "SELECT" => Focus::Field,
        _ => Focus::Nothing,
    }
}

/// Whether the key meant something.
fn handle(page: Page, shifter: Shifter, rates: Rates, help: Callback<()>, key: &str, focus: Focus) -> bool {
    let may = |verb: &str| untrack(|| page.may(verb));
    match key {
        "p" => page.projector.update(|on| *on = !*on),
        "Escape" if page.projector.get_untracked() => page.projector.set(false),
        "?" => help.run(()),
        "l" if may("load") && page.live.status.with_untracked(|s| !s.pods.is_empty()) => {
            if rates.running.get_untracked() > 0 { rates.stop.run(()) } else { rates.start.run(()) }
        }
        _ if may("weights")
            && page
                .live
                .status
                .with_untracked(|s| matches!(slider_mode(s), SliderMode::Live | SliderMode::NoRoute)) =>
        {
            return move_share(page, shifter, key, focus);
        }
        _ => return false,
    }
    true
}

/// Arrows, pages, ends, digits and Enter. Pages and ends scroll, but in projector mode.
fn move_share(page: Page, shifter: Shifter, key: &str, focus: Focus) -> bool {
    let share = shifter.share.get_untracked().unwrap_or(50);
    let projector = page.projector.get_untracked();
    let typed = page.typed.get_untracked();
    let to = match key {
        "ArrowLeft" if focus != Focus::Range => share.saturating_sub(1),
        "ArrowRight" if focus != Focus::Range => (share + 1).min(100),
        "PageUp" if focus != Focus::Range && projector => (share + 10).min(100),
        "PageDown" if focus != Focus::Range && projector => share.saturating_sub(10),
        "Home" if focus != Focus::Range && projector => 0,
        "End" if focus != Focus::Range && projector => 100,
        // Also where a button has the focus, as the mouse leaves it: who types a share means the share.
        "Enter" if !typed.is_empty() => {
            page.typed.set(String::new());
            // Digits are the share of v2, as in the field beside the slider.
            100 - typed.parse::<u8>().unwrap_or(0).min(100)
        }
        digit if digit.len() == 1 && digit.as_bytes()[0].is_ascii_digit() => {
            let mut text = if typed.len() >= 3 { String::new() } else { typed };
            text.push_str(digit);
            page.typed.set(text.parse::<u32>().map_or(text, |n| n.min(100).to_string()));
            return true;
        }
        "Escape" | "Backspace" if !typed.is_empty() => {
            page.typed.set(String::new());
            return true;
        }
        _ => return false,
    };
    shifter.to.run(to);
    true
}
