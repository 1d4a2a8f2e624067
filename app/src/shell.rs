//! The document around the page. The server alone draws it.
use crate::api::{self, First, HAND_OVER, Prefs, Tab};
use crate::pages::{DashboardsPage, Failed, NotFound, Panel, PreflightPage, SignIn};
use crate::text::{Key, lesson, progress, sentence};
use leptos::prelude::*;

/// The whole document. `options` name the files: `/pkg/<build>/app.css`, `app.js` and `app_bg.wasm`.
///
/// The server puts a [`First`] into the context, and `leptos_axum` the request's parts, the response's options and the nonce.
/// Only the panel is taken over by the browser; the other pages bring no script.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    let Prefs { lang, theme, drawer } = api::prefs();
    let style = format!("/{}/{}.css", options.site_pkg_dir, options.output_name);
    let first = use_context::<First>().unwrap_or(First::NotFound);
    let scripts = matches!(first, First::Panel { .. }).then(|| view! { <HydrationScripts options/> });
    let body = match first {
        First::Panel { mut first } => {
            first.sentence = sentence(lang, &first.status, &first.traffic);
            first.lesson = lesson(lang);
            first.progress = progress(lang, &first.status, &first.traffic);
            view! {
            <script type="application/json" id=HAND_OVER inner_html=first.to_script()></script>
            <noscript><p class="message warn">{lang.t(Key::NoScript)}</p></noscript>
            <div id="app"><Panel first=*first/></div>
            }
            .into_any()
        }
        First::Dashboards(shown) => view! { <DashboardsPage shown=*shown/> }.into_any(),
        First::Preflight(told) => view! { <PreflightPage told/> }.into_any(),
        First::SignIn { refused, query } => view! { <SignIn refused query/> }.into_any(),
        First::Failed(error) => view! { <Failed error/> }.into_any(),
        First::NotFound => view! { <NotFound/> }.into_any(),
    };
    view! {
        <!DOCTYPE html>
        <html lang=lang.tag() data-theme=theme.name() data-drawer=drawer.map_or("", Tab::name)>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <title>{lang.t(Key::PageTitle)}</title>
                <link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='10' height='16' rx='3' fill='%230067a8'/%3E%3Crect x='11' width='5' height='16' rx='2' fill='%23b4500b'/%3E%3C/svg%3E"/>
                <link rel="stylesheet" href=style/>
                {scripts}
            </head>
            <body>{body}</body>
        </html>
    }
}
