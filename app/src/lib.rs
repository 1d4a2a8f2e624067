//! The panel's page, for server and browser: one Leptos app, rendered here and taken over there.
pub mod api;
pub mod components;
pub mod model;
mod pages;
pub mod text;
pub mod types;

use api::Prefs;
use leptos::prelude::*;
use leptos_router::components::{Route, Router, Routes};
use leptos_router::{SsrMode, StaticSegment};

/// The document around the app. `options` name the files: `/pkg/<output_name>.css`, `.js` and `_bg.wasm`.
///
/// The server puts a [`api::Plane`] and, by `leptos_axum`, the request's parts into the context.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    let Prefs { lang, theme } = api::prefs();
    let style = format!("/{}/{}.css", options.site_pkg_dir, options.output_name);
    view! {
        <!DOCTYPE html>
        <html lang=lang.tag() data-theme=theme.name()>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <title>"demo-panel"</title>
                <link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='10' height='16' rx='3' fill='%230067a8'/%3E%3Crect x='11' width='5' height='16' rx='2' fill='%23b4500b'/%3E%3C/svg%3E"/>
                <link rel="stylesheet" href=style/>
                <HydrationScripts options/>
            </head>
            <body>
                <App/>
            </body>
        </html>
    }
}

/// The app: what the server renders and the browser hydrates.
#[component]
pub fn App() -> impl IntoView {
    view! {
        <Router>
            <Routes fallback=pages::NotFound>
                <Route path=StaticSegment("") view=pages::Traffic ssr=SsrMode::Async/>
            </Routes>
        </Router>
    }
}

/// Takes over the server's HTML. Called by Leptos' script, not `start`: that would hydrate twice.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(App);
}
