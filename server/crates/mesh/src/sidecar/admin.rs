//! The pages beside the traffic: readiness, metrics, and Envoy's admin pages as far as people and the panel read them.

use super::shared::Shared;
use crate::config_dump;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Which pages a port has.
#[derive(Clone, Copy)]
pub(crate) enum Pages {
    /// 15000.
    Admin,
    /// 15020.
    Stats,
    /// 15021.
    Health,
}

/// Serves one of the ports until `stop`.
pub(crate) async fn serve(listener: TcpListener, pages: Pages, shared: Arc<Shared>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = super::accept(&listener) => {
                connections.spawn(serve_connection(stream, pages, shared.clone()));
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, pages: Pages, shared: Arc<Shared>) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let response = page(pages, &shared, &request);
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10)).max_buf_size(16 * 1024);
    // An error is the client's: there is nobody to tell.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

fn page(pages: Pages, shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return answer(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "these pages are for reading only\n".into());
    }
    if !is_plain_host(request) {
        return answer(StatusCode::FORBIDDEN, "text/plain", "these pages are asked for by address\n".into());
    }
    const TEXT: &str = "text/plain; charset=utf-8";
    const JSON: &str = "application/json";
    let resource = request.uri().query().and_then(|q| crate::table::query_value(q, "resource"));
    let routing = shared.routing();
    match (pages, request.uri().path()) {
        (Pages::Health | Pages::Stats, "/healthz/ready") => ready(shared),
        (Pages::Stats, "/stats/prometheus" | "/metrics") | (Pages::Admin, "/stats/prometheus") => {
            answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", shared.metrics.render())
        }
        (Pages::Admin, "/ready") => ready(shared),
        (Pages::Admin, "/config_dump") => match resource {
            None => answer(StatusCode::OK, JSON, config_dump::config_dump(&routing.table(), &shared.config.namespace).to_string()),
            Some(resource) => match config_dump::resource(&routing.table(), &shared.config.namespace, &resource) {
                Some(dump) => answer(StatusCode::OK, JSON, dump.to_string()),
                None => answer(StatusCode::NOT_FOUND, TEXT, format!("{resource} not found in config dump\n")),
            },
        },
        (Pages::Admin, "/server_info") => answer(StatusCode::OK, JSON, server_info(shared).to_string()),
        (Pages::Admin, "/clusters") => answer(StatusCode::OK, TEXT, clusters(&routing)),
        (Pages::Admin, "/stats") => answer(StatusCode::OK, TEXT, stats(shared, &routing)),
        (Pages::Admin, "/") => answer(StatusCode::OK, TEXT, "/clusters\n/config_dump\n/ready\n/server_info\n/stats\n/stats/prometheus\n".into()),
        _ => answer(StatusCode::NOT_FOUND, TEXT, "no such page\n".into()),
    }
}

/// An address, or a name of one label. A full name may be a foreign page's, pointed at this address (DNS rebinding).
fn is_plain_host(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).or(request.uri().host()).unwrap_or("");
    super::outbound::split_authority(host).is_some_and(|(name, _)| !name.contains('.') || name.parse::<std::net::IpAddr>().is_ok())
}

fn ready(shared: &Shared) -> Response<Full<Bytes>> {
    if shared.is_draining() {
        answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "DRAINING\n".into())
    } else if shared.ready.load(Ordering::Acquire) {
        answer(StatusCode::OK, "text/plain", "LIVE\n".into())
    } else {
        answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "PRE_INITIALIZING: no routes from the control plane yet\n".into())
    }
}

fn server_info(shared: &Shared) -> serde_json::Value {
    let config = &shared.config;
    let state = if shared.is_draining() { "DRAINING" } else if shared.ready.load(Ordering::Acquire) { "LIVE" } else { "PRE_INITIALIZING" };
    json!({
        "version": concat!("demo-panel-sidecar/", env!("CARGO_PKG_VERSION")),
        "state": state,
        "uptime_current_epoch": format!("{}s", shared.started.elapsed().as_secs()),
        "node": {"id": format!("sidecar~{}~{}.{}~{}.svc.cluster.local", config.pod_ip, config.pod, config.namespace, config.namespace),
                 "cluster": format!("{}.{}", config.app, config.namespace),
                 "metadata": {"NAME": config.pod, "NAMESPACE": config.namespace, "WORKLOAD_NAME": config.workload}},
    })
}

fn clusters(routing: &super::routing::Routing) -> String {
    let mut out = String::new();
    for cluster in routing.clusters() {
        for endpoint in &cluster.endpoints {
            let upstream = &endpoint.upstream;
            let prefix = format!("{}::{}", cluster.name, upstream.address());
            let _ = write!(
                out,
                "{prefix}::cx_idle::{}\n{prefix}::rq_active::{}\n{prefix}::rq_total::{}\n{prefix}::health_flags::healthy\n{prefix}::weight::1\n",
                upstream.kept(),
                upstream.active(),
                upstream.total.load(Ordering::Relaxed)
            );
        }
    }
    out
}

fn stats(shared: &Shared, routing: &super::routing::Routing) -> String {
    let mut out = format!("control_plane.revision: {}\naccess_log.dropped: {}\nhttp.mirror_dropped: {}\nhttp.requests_total: {}\nserver.uptime: {}\n", routing.revision, shared.log.as_ref().map_or(0, |log| log.dropped()), shared.not_copied.load(Ordering::Relaxed), shared.metrics.total(), shared.started.elapsed().as_secs());
    for cluster in routing.clusters() {
        let _ = writeln!(out, "cluster.{}.membership_healthy: {}", cluster.name, cluster.endpoints.len());
    }
    out
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
