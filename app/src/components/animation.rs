//! Frames of animation.
use leptos::prelude::*;
use std::rc::Rc;

/// Runs `step` with every animation frame until it returns `false`.
pub fn each_frame(step: impl Fn() -> bool + 'static) {
    fn again(step: Rc<dyn Fn() -> bool>) {
        request_animation_frame(move || {
            if step() {
                again(step);
            }
        });
    }
    again(Rc::new(step));
}
