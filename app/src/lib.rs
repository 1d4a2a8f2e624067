//! The panel's page, for server and browser: one Leptos app, rendered here and taken over there.
// The whole page is one type: erasing parts of it would bring code for hydration in pieces, a third of the wasm.
#![recursion_limit = "512"]

pub mod api;
pub mod components;
pub mod model;
mod pages;
pub mod text;

#[cfg(feature = "ssr")]
mod shell;

#[cfg(feature = "ssr")]
pub use shell::shell;

/// Takes over the server's HTML. Called by Leptos' script, not `start`: that would hydrate twice.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    use leptos::prelude::*;
    use wasm_bindgen::JsCast;
    // In what people load a panic is a trap without words: they would be kilobytes.
    #[cfg(debug_assertions)]
    console_error_panic_hook::set_once();
    let root = document().get_element_by_id("app").and_then(|e| e.dyn_into::<leptos::web_sys::HtmlElement>().ok());
    if let (Some(root), Some(first)) = (root, api::Snapshot::handed_over()) {
        leptos::mount::hydrate_from(root, move || view! { <pages::Panel first/> }).forget();
    }
}
