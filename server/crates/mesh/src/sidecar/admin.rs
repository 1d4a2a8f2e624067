//! The pages beside the traffic: readiness, metrics, and Envoy's admin pages as far as people and the panel read them.
//!
//! Read by the same strict parser as the traffic. A page is kept once per connection at most, within the memory budget; the metrics are
//! rendered while they are sent.

use super::downstream::connection::{Downstream, End};
use super::headers::list::{HeaderList as _, Lines};
use super::pipeline::reply::write_reply;
use super::route::decision::Reply;
use super::route::target::{split_authority, split_target};
use super::shared::Shared;
use super::stats::flag::Flag;
use super::stats::metrics::Scrape;
use crate::config_dump;
use http1::{Refusal, parse_request};
use listen::{Conn, Framing as Behind, Guarded};
use serde_json::json;
use std::fmt::Write;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

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

impl Pages {
    /// For the counts of connections.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Pages::Admin => "admin",
            Pages::Stats => "stats",
            Pages::Health => "health",
        }
    }
}

/// An answer.
struct Page {
    status: u16,
    kind: &'static str,
    body: Body,
}

enum Body {
    Text(String),
    /// Written piece by piece.
    Metrics(Scrape),
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What of a request's head decides about the answer's form.
#[derive(Clone, Copy)]
struct Asked {
    to_head: bool,
    keep_alive: bool,
    old: bool,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, pages: Pages, stream: Guarded<TcpStream>, conn: Conn) {
    let mut down = Downstream::new(&shared, stream, conn);
    let mut first = Some(Instant::now() + shared.config.head_time);
    loop {
        let head = match down.read_head(&shared, first.take()).await {
            Ok(head) => head,
            Err(End::Refused(refusal)) => return refuse(&shared, &mut down, refusal).await,
            // HTTP/2 is not spoken here.
            Err(End::Closed | End::Http2) => return,
        };
        let _serves = down.conn.request(Behind::Length);
        let read = parse_request(&down.buffer.bytes()[..head], |request| {
            let keep_alive = request.keep_alive && request.framing.is_done() && !request.upgrade;
            let asked = Asked { to_head: request.method == "HEAD", keep_alive, old: request.version == 0 };
            (page(pages, &shared, request.method, request.target, request.host), asked)
        });
        down.buffer.consume(head);
        match read {
            Ok((page, mut asked)) => {
                // Who names two hosts may have meant the bytes that follow for another server.
                asked.keep_alive &= page.status != 400;
                if write(&shared, &mut down, page, asked).await.is_err() || !asked.keep_alive {
                    return down.linger().await;
                }
            }
            Err(refusal) => return refuse(&shared, &mut down, refusal).await,
        }
        down.shrink();
    }
}

async fn refuse(shared: &Shared, down: &mut Downstream, refusal: Refusal) {
    write_reply(
        &mut down.reply,
        &Reply::text(refusal.status, Flag::DPE, refusal.why, shared.black_hole),
        false,
        true,
        false,
    );
    if down.stream.write_all(&down.reply).await.is_ok() {
        down.linger().await;
    }
}

async fn write(shared: &Shared, down: &mut Downstream, page: Page, asked: Asked) -> io::Result<()> {
    let kept = shared.budget.take(match &page.body {
        // However large the mesh is, one page at a time can be had.
        Body::Text(text) => text.len().min(super::shared::BUDGET / 4),
        Body::Metrics(_) => 0,
    });
    let Page { status, kind, body } = if kept.is_some() { page } else { Page::text(503, "too many pages at once\n") };
    let reason = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
    let connection = match (asked.keep_alive, asked.old) {
        (true, false) => "",
        (true, true) => "connection: keep-alive\r\n",
        (false, _) => "connection: close\r\n",
    };
    let out = &mut down.reply;
    out.clear();
    let _ = write!(out, "HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\n{connection}");
    super::clock::with_date(|date| Lines::behind(out).append("date", date));
    match body {
        Body::Text(text) => {
            let _ = write!(out, "content-length: {}\r\n\r\n", text.len());
            if !asked.to_head {
                out.extend_from_slice(text.as_bytes());
            }
            down.stream.write_all(out).await
        }
        Body::Metrics(pieces) => {
            // An old client does not know chunks: it gets all at once, with its length.
            if asked.old {
                let text: String = pieces.collect();
                let _ = write!(out, "content-length: {}\r\n\r\n{}", text.len(), if asked.to_head { "" } else { &text });
                return down.stream.write_all(out).await;
            }
            out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            if asked.to_head {
                return down.stream.write_all(out).await;
            }
            for piece in pieces.filter(|piece| !piece.is_empty()) {
                let _ = write!(out, "{:x}\r\n{piece}\r\n", piece.len());
                down.stream.write_all(out).await?;
                out.clear();
            }
            down.stream.write_all(b"0\r\n\r\n").await
        }
    }
}

fn page(pages: Pages, shared: &Shared, method: &str, target: &str, host: Option<&str>) -> Page {
    if method != "GET" && method != "HEAD" {
        return Page::text(405, "these pages are for reading only\n");
    }
    // Probes speak HTTP/1.0 without a Host.
    let found = match split_target(method, target, host.or(Some("localhost"))) {
        Ok(found) if host.is_some() && found.authority_differs() => {
            return Page::text(400, "the target and Host name different hosts\n");
        }
        Ok(found) => found,
        Err(why) => return Page::text(400, why),
    };
    if !is_plain_host(found.destination) {
        return Page::text(403, "these pages are asked for by address\n");
    }
    let (path, query) = found.path.split_once('?').map_or((found.path, None), |(path, query)| (path, Some(query)));
    let resource = query.and_then(|q| crate::table::query_value(q, "resource"));
    let routing = shared.routing();
    match (pages, path) {
        (Pages::Health | Pages::Stats, "/healthz/ready") => ready(shared),
        (Pages::Stats, "/stats/prometheus" | "/metrics") | (Pages::Admin, "/stats/prometheus") => Page {
            status: 200,
            kind: "text/plain; version=0.0.4; charset=utf-8",
            body: Body::Metrics(shared.metrics.scrape()),
        },
        (Pages::Admin, "/ready") => ready(shared),
        (Pages::Admin, "/config_dump") => match resource {
            None => Page::json(config_dump::config_dump(&routing.table(), &shared.config.namespace)),
            Some(resource) => match config_dump::resource(&routing.table(), &shared.config.namespace, &resource) {
                Some(dump) => Page::json(dump),
                None => {
                    Page { status: 404, kind: TEXT, body: Body::Text(format!("{resource} not found in config dump\n")) }
                }
            },
        },
        (Pages::Admin, "/server_info") => Page::json(server_info(shared)),
        (Pages::Admin, "/clusters") => Page::text(200, clusters(&routing)),
        (Pages::Admin, "/stats") => Page::text(200, stats(shared, &routing)),
        (Pages::Admin, "/") => {
            Page::text(200, "/clusters\n/config_dump\n/ready\n/server_info\n/stats\n/stats/prometheus\n")
        }
        _ => Page::text(404, "no such page\n"),
    }
}

impl Page {
    fn text(status: u16, text: impl Into<String>) -> Page {
        Page { status, kind: TEXT, body: Body::Text(text.into()) }
    }

    fn json(value: serde_json::Value) -> Page {
        Page { status: 200, kind: JSON, body: Body::Text(value.to_string()) }
    }
}

/// An address, or a name of one label. A full name may be a foreign page's, pointed at this address (DNS rebinding).
fn is_plain_host(host: &str) -> bool {
    split_authority(host).is_some_and(|(name, _)| !name.contains('.') || name.parse::<std::net::IpAddr>().is_ok())
}

fn ready(shared: &Shared) -> Page {
    if shared.is_draining() {
        Page::text(503, "DRAINING\n")
    } else if shared.ready.load(Ordering::Acquire) {
        Page::text(200, "LIVE\n")
    } else {
        Page::text(503, "PRE_INITIALIZING: no routes from the control plane yet\n")
    }
}

fn server_info(shared: &Shared) -> serde_json::Value {
    let config = &shared.config;
    let state = if shared.is_draining() {
        "DRAINING"
    } else if shared.ready.load(Ordering::Acquire) {
        "LIVE"
    } else {
        "PRE_INITIALIZING"
    };
    json!({
        "version": concat!("demo-panel-sidecar/", env!("CARGO_PKG_VERSION")),
        "state": state,
        "uptime_current_epoch": format!("{}s", shared.started.elapsed().as_secs()),
        "node": {"id": format!("sidecar~{}~{}.{}~{}.svc.cluster.local", config.pod_ip, config.pod, config.namespace, config.namespace),
                 "cluster": format!("{}.{}", config.app, config.namespace),
                 "metadata": {"NAME": config.pod, "NAMESPACE": config.namespace, "WORKLOAD_NAME": config.workload}},
    })
}

fn clusters(routing: &super::upstream::routing::Routing) -> String {
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

fn stats(shared: &Shared, routing: &super::upstream::routing::Routing) -> String {
    let mut out = format!(
        "control_plane.revision: {}\naccess_log.dropped: {}\nhttp.mirror_dropped: {}\nhttp.requests_total: {}\nserver.uptime: {}\n",
        routing.revision,
        shared.log.as_ref().map_or(0, |log| log.dropped()),
        shared.not_copied.load(Ordering::Relaxed),
        shared.metrics.total(),
        shared.started.elapsed().as_secs()
    );
    for listener in shared.books.counts() {
        let _ = writeln!(out, "listener.{}.open: {}", listener.listener, listener.open);
        for (reason, count) in listener.refused {
            let _ = writeln!(out, "listener.{}.refused.{}: {count}", listener.listener, reason.as_str());
        }
    }
    for cluster in routing.clusters() {
        let _ = writeln!(out, "cluster.{}.membership_healthy: {}", cluster.name, cluster.endpoints.len());
    }
    out
}
