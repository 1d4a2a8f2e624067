//! The page in every state, without a cluster: `cargo run -p app --features ssr --example gallery`.
//!
//! The namespace names the state: `http://127.0.0.1:3900/?namespace=deploying`. Its data are invented, the page is the real one.
//! Arguments: the address to listen on, and the folder that `cargo xtask wasm` made (default `target/pkg`).
mod dashboards;
mod fake_control_plane;
mod fixtures;
mod preflight;

use app::api::Plane;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use fake_control_plane::Gallery;
use fixtures::Fixture;
use leptos::prelude::*;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:3900".to_owned());
    let pkg = PathBuf::from(args.next().unwrap_or_else(|| "target/pkg".to_owned()));
    let manifest: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(pkg.join("manifest.json"))?)?;
    let build = manifest["build"].as_str().unwrap_or_default();
    let options = LeptosOptions::builder().output_name("app").site_pkg_dir(format!("pkg/{build}")).build();
    let gallery = Arc::new(Gallery::default());
    let site = Router::new()
        .route("/api/demo/live", get(live))
        .route("/api/ui/{*name}", post(server_function))
        .route("/pkg/{*file}", get(move |Path(file): Path<String>| serve(pkg.clone(), file)))
        .fallback(move |State(gallery): State<Arc<Gallery>>, request: Request| page(gallery, options.clone(), request))
        .with_state(gallery)
        .layer(from_fn(secure));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("http://{}/?namespace=…  one of: {}", listener.local_addr()?, fixtures::NAMES.join(" "));
    axum::serve(listener, site).await?;
    Ok(())
}

async fn page(gallery: Arc<Gallery>, options: LeptosOptions, request: Request) -> Response {
    let first = app::api::first(&*gallery, request.uri()).await;
    let context = move || provide_context(first.clone());
    leptos_axum::render_app_async_with_context(context, move || app::shell(options.clone()))(request).await
}

async fn server_function(State(gallery): State<Arc<Gallery>>, request: Request) -> impl IntoResponse {
    leptos_axum::handle_server_fns_with_context(move || provide_context::<Plane>(gallery.clone()), request).await
}

/// The policy the panel serves its pages with, so that what breaks it is seen here. The nonce is Leptos' own, read back from the page.
async fn secure(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let html = response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/html"));
    if !html {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else { return Response::new(Body::empty()) };
    let text = String::from_utf8_lossy(&body);
    let nonce = text.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("none").to_owned();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        head.headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(body))
}

async fn serve(pkg: PathBuf, file: String) -> Response {
    let kind = match file.rsplit('.').next() {
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        Some("css") => "text/css",
        _ => "application/octet-stream",
    };
    match std::fs::read(pkg.join(file)) {
        Ok(bytes) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        Err(_) => axum::http::StatusCode::NOT_FOUND.into_response(),
    }
}

async fn live(State(gallery): State<Arc<Gallery>>, Query(query): Query<HashMap<String, String>>) -> Response {
    let ns = query.get("namespace").cloned().unwrap_or_default();
    // The state in which the connection is lost: the first stream ends after a second, and no other is opened.
    let lost = ns == "lost";
    if lost && gallery.fixture(&ns, Fixture::opened_again) {
        return axum::http::StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let stream = async_stream(gallery, ns);
    if lost { Sse::new(futures::StreamExt::take(stream, 12)).into_response() } else { Sse::new(stream).into_response() }
}

fn async_stream(gallery: Arc<Gallery>, ns: String) -> impl futures::Stream<Item = Result<Event, axum::Error>> {
    futures::stream::unfold((0_u64, gallery, ns), |(i, gallery, ns)| async move {
        let event = match i {
            0 => Event::default().event("hello").json_data(wire::Hello { build: fake_control_plane::BUILD.to_owned() }),
            1 => Event::default().event("history").json_data(gallery.fixture(&ns, |w| {
                w.frame();
                w.history()
            })),
            i if i % 10 == 2 => Event::default().event("status").json_data(gallery.fixture(&ns, |w| w.status.clone())),
            i if i % 10 == 3 => {
                let (status, traffic) = gallery.fixture(&ns, |w| (w.status.clone(), w.traffic()));
                Ok(Event::default()
                    .event("board")
                    .data(app::components::board(app::text::Lang::En, &status, &traffic).main))
            }
            i if i % 10 == 4 => {
                let (status, traffic) = gallery.fixture(&ns, |w| (w.status.clone(), w.traffic()));
                Event::default()
                    .event("sentence")
                    .json_data(app::components::board(app::text::Lang::En, &status, &traffic).sentence)
            }
            _ => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Event::default().event("traffic").json_data(gallery.fixture(&ns, |w| w.traffic()))
            }
        };
        // The first status arrives at once; a lost stream that reconnects fails from then on.
        Some((event, (i + 1, gallery, ns)))
    })
}
