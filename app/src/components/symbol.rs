//! The shape that goes with a version's colour: circle, diamond, triangle.
use leptos::prelude::*;

/// The class that colours a version by its place among the versions: `c1`, `c2` … again from the start after four.
pub fn colour(place: usize) -> &'static str {
    ["c1", "c2", "c3", "c4"][place % 4]
}

/// A version's shape.
#[component]
pub fn Symbol(
    /// The version's place among the versions, from 0.
    place: usize,
) -> impl IntoView {
    let d = match place % 4 {
        0 => "M8 1a7 7 0 1 0 0 14A7 7 0 1 0 8 1z",
        1 => "M8 0l8 8-8 8-8-8z",
        2 => "M8 1l8 14H0z",
        _ => "M1 1h14v14H1z",
    };
    view! { <svg class="symbol" viewBox="0 0 16 16" aria-hidden="true"><path d=d fill="currentColor"/></svg> }
}
