//! What Prometheus scrapes at `/metrics`. Labels are bounded: statuses and nothing that people type.
use super::AppState;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByStatus {
    status: u16,
}

/// The panel's own metrics.
pub struct Metrics {
    registry: Registry,
    requests: Family<ByStatus, Counter>,
    viewers: Gauge,
    reachable: Gauge,
    resident: Gauge,
    /// Watched, known, generators, their rate.
    namespaces: [Gauge; 2],
    generators: [Gauge; 2],
}

impl Metrics {
    /// All at 0. `calls` counts what is asked of the cluster's API, `wrong_tokens` what [`super::Gate`] refuses, `listeners` the
    /// connections of this process.
    pub fn new(calls: impl Metric, wrong_tokens: Counter, listeners: listen::Books) -> Metrics {
        let mut all = Registry::default();
        let resident = Gauge::default();
        // By the name that Prometheus' own clients give it.
        all.register_with_unit(
            "process_resident_memory",
            "Resident memory of the panel's process, the pages of its program among it",
            Unit::Bytes,
            resident.clone(),
        );
        all.register_collector(Box::new(Connections(listeners)));
        let registry = all.sub_registry_with_prefix("demo_panel");
        let (requests, viewers, reachable) =
            (Family::<ByStatus, Counter>::default(), Gauge::default(), Gauge::default());
        registry.register("http_requests", "HTTP requests answered, by status", requests.clone());
        registry.register("live_viewers", "Open live streams", viewers.clone());
        registry.register(
            "cluster_requests",
            "Calls to the cluster's API, by verb, resource and answer (0: none)",
            calls,
        );
        registry.register("wrong_tokens", "Wrong tokens given to the panel", wrong_tokens);
        registry.register("cluster_reachable", "1 while the cluster answers", reachable.clone());
        let (namespaces, generators) = (<[Gauge; 2]>::default(), <[Gauge; 2]>::default());
        registry.register(
            "namespaces_watched",
            "Namespaces that somebody looks at or where something is going on",
            namespaces[0].clone(),
        );
        registry.register(
            "namespaces_known",
            "Namespaces with anything to remember, watched or not",
            namespaces[1].clone(),
        );
        registry.register("generators", "Load generators that run", generators[0].clone());
        registry.register(
            "generators_rate",
            "Requests a second that all generators together are granted",
            generators[1].clone(),
        );
        Metrics { registry: all, requests, viewers, reachable, resident, namespaces, generators }
    }

    /// Counts a viewer until it is dropped.
    pub fn viewer(&self) -> Viewer {
        self.viewers.inc();
        Viewer(self.viewers.clone())
    }
}

/// Connections of every listener of this process, and how many were refused. Read when somebody scrapes.
#[derive(Debug)]
struct Connections(listen::Books);

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counts = self.0.counts();
        let mut open = encoder.encode_descriptor(
            "demo_panel_connections_open",
            "Open connections, by listener",
            None,
            MetricType::Gauge,
        )?;
        for count in &counts {
            let open_now = i64::try_from(count.open).unwrap_or(i64::MAX);
            open.encode_family(&[("listener", count.listener)])?.encode_gauge(&open_now)?;
        }
        let help = "Connections and streams refused or closed by the connection policy, by listener and reason";
        let mut refused =
            encoder.encode_descriptor("demo_panel_connections_refused", help, None, MetricType::Counter)?;
        for count in &counts {
            for (reason, number) in &count.refused {
                let labels = [("listener", count.listener), ("reason", reason.as_str())];
                refused.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(number, None)?;
            }
        }
        Ok(())
    }
}

/// One open live stream.
pub struct Viewer(Gauge);

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts every answer.
pub async fn count(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    state.metrics.requests.get_or_create(&ByStatus { status: response.status().as_u16() }).inc();
    response
}

/// `GET /metrics`.
pub async fn scrape(State(state): State<AppState>) -> Response {
    state.metrics.reachable.set(i64::from(state.demo.reach().failing.is_none()));
    let ((watched, known), load) = (state.demo.namespaces(), state.demo.generators());
    for (gauge, n) in state.metrics.namespaces.iter().zip([watched, known]) {
        gauge.set(i64::try_from(n).unwrap_or(i64::MAX));
    }
    for (gauge, n) in state.metrics.generators.iter().zip([load.running, load.rate]) {
        gauge.set(i64::from(n));
    }
    state.metrics.resident.set(resident_bytes().unwrap_or(0));
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = encode(&mut text, &state.metrics.registry);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// `VmRSS` of this process; nothing where the system does not tell.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<i64>().ok()? * 1024)
}
