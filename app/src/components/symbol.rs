//! The shape that goes with a version's colour: circle, diamond, triangle, square, triangle upside down, cross.
use leptos::prelude::*;

/// Versions that have a colour and a shape of their own; what comes after them begins anew.
pub const PLACES: usize = 6;

/// The class that colours a version by its place among the versions: `c1`, `c2` …
pub fn colour(place: usize) -> &'static str {
    ["c1", "c2", "c3", "c4", "c5", "c6"][place % PLACES]
}

/// A version's shape.
#[component]
pub fn Symbol(
    /// The version's place among the versions, from 0.
    place: usize,
) -> impl IntoView {
    let d = [
        "M8 1a7 7 0 1 0 0 14A7 7 0 1 0 8 1z",
        "M8 0l8 8-8 8-8-8z",
        "M8 1l8 14H0z",
        "M1 1h14v14H1z",
        "M0 1h16L8 15z",
        "M5 0h6v5h5v6h-5v5H5v-5H0V5h5z",
    ][place % PLACES];
    view! { <svg class="symbol" viewBox="0 0 16 16" aria-hidden="true"><path d=d fill="currentColor"/></svg> }
}
