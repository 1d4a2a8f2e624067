//! From a sidecar's exposition to its counters by flow. Pure.
//!
//! Istio's metrics where they are there, else Envoy's counters of clusters. Source: Istio, "Standard Metrics"; Envoy, "Cluster manager
//! statistics".
use super::flow::{Counts, End, Flow, Metric, Reading};
use super::histogram::{Bounds, Histogram};
use crate::demo::exposition::{Labels, labels, samples, split_bound, value};
use std::collections::HashMap;
use wire::Reporter;

/// The pod whose sidecar is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Its namespace.
    pub namespace: String,
    /// Its workload.
    pub end: End,
}

/// Counters that have the same labels, as they are written.
#[derive(Default)]
struct Group {
    metric: Option<Metric>,
    requests: f64,
    sum_ms: f64,
    cumulative: Vec<(f64, f64)>,
    sized: f64,
    request_bytes: f64,
    response_bytes: f64,
}

/// All flows of a sidecar.
pub fn read(text: &str, own: &Own) -> Reading {
    let mut groups: HashMap<&str, Group> = HashMap::new();
    for sample in samples(text) {
        let (metric, part) = match sample.name.strip_prefix("istio_") {
            Some(part) => (Metric::Istio, part),
            None => match sample.name.strip_prefix("envoy_cluster_upstream_") {
                Some(part) => (Metric::Envoy, part),
                None => continue,
            },
        };
        let (key, bound) = match part {
            "request_duration_milliseconds_bucket" | "rq_time_bucket" => match split_bound(sample.labels) {
                Some((key, bound)) => (key, bound),
                None => continue,
            },
            _ => (sample.labels.trim_end_matches(','), 0.0),
        };
        let mut at = |add: &dyn Fn(&mut Group)| {
            let group = groups.entry(key).or_default();
            group.metric = Some(metric);
            add(group);
        };
        match part {
            "requests_total" | "rq" => at(&|group| group.requests += sample.value),
            "request_duration_milliseconds_bucket" | "rq_time_bucket" => {
                at(&|group| group.cumulative.push((bound, sample.value)));
            }
            "request_duration_milliseconds_sum" | "rq_time_sum" => at(&|group| group.sum_ms += sample.value),
            "request_bytes_sum" => at(&|group| group.request_bytes += sample.value),
            "request_bytes_count" => at(&|group| group.sized += sample.value),
            "response_bytes_sum" => at(&|group| group.response_bytes += sample.value),
            _ => {}
        }
    }
    let has_istio = groups.values().any(|group| group.metric == Some(Metric::Istio));
    let mut reading = Reading::new();
    for (text, group) in groups {
        let Some(metric) = group.metric.filter(|metric| !has_istio || *metric == Metric::Istio) else { continue };
        let Some(labels) = labels(text) else { continue };
        let counts = group.counted();
        let flow = match metric {
            Metric::Istio => of_istio(&labels, own),
            Metric::Envoy => of_envoy(&labels, own),
        };
        if let Some(flow) = flow {
            reading.entry(flow).or_default().add(&counts);
        }
    }
    reading
}

impl Group {
    fn counted(mut self) -> Counts {
        // The casts saturate; a counter is far below their ends.
        self.cumulative.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut before = 0.0;
        let mut buckets = Vec::with_capacity(self.cumulative.len());
        for (_, so_far) in &self.cumulative {
            buckets.push((so_far - before).max(0.0) as u64);
            before = f64::max(before, *so_far);
        }
        let finite = self.cumulative.iter().filter(|(bound, _)| bound.is_finite());
        let bounds = Bounds::new(finite.map(|(bound, _)| (bound * 1_000.0).round() as u64).collect());
        Counts {
            requests: self.requests as u64,
            duration_us: (self.sum_ms * 1_000.0).round() as u64,
            // An exposition that is cut short, or has a bound twice, has no histogram.
            histogram: Histogram::new(bounds, buckets).filter(|h| h.count() > 0).unwrap_or_default(),
            sized: self.sized as u64,
            request_bytes: self.request_bytes as u64,
            response_bytes: self.response_bytes as u64,
        }
    }
}

/// A label's value; empty where the sidecar does not know it.
fn known(labels: &Labels<'_>, name: &str) -> String {
    match value(labels, name) {
        "unknown" => String::new(),
        value => value.to_owned(),
    }
}

fn of_istio(labels: &Labels<'_>, own: &Own) -> Option<Flow> {
    let end = |side: &str| {
        let of = |what: &str| known(labels, &format!("{side}_{what}"));
        let app = of("app");
        End {
            workload: of("workload"),
            app: if app.is_empty() { of("canonical_service") } else { app },
            version: of("version"),
        }
    };
    let reporter = match value(labels, "reporter") {
        "source" => Reporter::Source,
        "destination" => Reporter::Destination,
        _ => return None,
    };
    Some(Flow {
        reporter,
        source: end("source"),
        destination: end("destination"),
        service: service(
            &known(labels, "destination_service_name"),
            &known(labels, "destination_service_namespace"),
            own,
        ),
        code: known(labels, "response_code"),
        metric: Metric::Istio,
    })
}

fn of_envoy(labels: &Labels<'_>, own: &Own) -> Option<Flow> {
    // `outbound|7777|v1|flaskapp.istio-app.svc.cluster.local`; newer ones end in `;`.
    let name = value(labels, "cluster_name").trim_end_matches(';');
    let parts: Vec<&str> = name.split('|').collect();
    let code = value(labels, "response_code").to_owned();
    match parts[..] {
        ["outbound", _, subset, host] => {
            let mut names = host.split('.');
            let (name, namespace) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
            let service = service(name, namespace, own);
            Some(Flow {
                reporter: Reporter::Source,
                source: own.end.clone(),
                destination: End { workload: String::new(), app: service.clone(), version: subset.to_owned() },
                service,
                code,
                metric: Metric::Envoy,
            })
        }
        ["inbound", ..] => Some(Flow {
            reporter: Reporter::Destination,
            source: End::default(),
            destination: own.end.clone(),
            service: own.end.app.clone(),
            code,
            metric: Metric::Envoy,
        }),
        _ => None,
    }
}

/// A Service's name, with its namespace where that is another one.
fn service(name: &str, namespace: &str, own: &Own) -> String {
    if name.is_empty() || namespace.is_empty() || namespace == own.namespace {
        name.to_owned()
    } else {
        format!("{name}.{namespace}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        let end = End { workload: "client".to_owned(), app: "sleep".to_owned(), version: String::new() };
        Own { namespace: "istio-app".to_owned(), end }
    }

    /// Flows as text, sorted.
    fn shown(text: &str) -> Vec<String> {
        let mut lines: Vec<String> = read(text, &own())
            .into_iter()
            .map(|(flow, counts)| {
                format!(
                    "{} {}→{}/{} {} {}: {} {:?} {:?} {}us {}/{}/{}",
                    flow.reporter.name(),
                    flow.source.workload,
                    flow.destination.workload,
                    flow.destination.version,
                    flow.service,
                    flow.code,
                    counts.requests,
                    counts.histogram.bounds().micros(),
                    counts.histogram.buckets(),
                    counts.duration_us,
                    counts.request_bytes,
                    counts.response_bytes,
                    counts.sized
                )
            })
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn flows_are_read_from_istios_metrics_else_from_envoys() {
        let labels = r#"reporter="source",source_workload="client",destination_workload="flaskapp-v1",destination_version="v1",destination_service_name="flaskapp",destination_service_namespace="istio-app",response_code="200""#;
        let istio = format!(
            "istio_requests_total{{{labels},response_flags=\"-\"}} 6\nistio_requests_total{{{labels},response_flags=\"DC\"}} 1\n\
             istio_request_duration_milliseconds_bucket{{{labels},response_flags=\"-\",le=\"0.5\"}} 2\n\
             istio_request_duration_milliseconds_bucket{{{labels},response_flags=\"-\",le=\"1\"}} 5\n\
             istio_request_duration_milliseconds_bucket{{{labels},response_flags=\"-\",le=\"+Inf\"}} 6\n\
             istio_request_duration_milliseconds_sum{{{labels},response_flags=\"-\"}} 4.5\n\
             istio_request_bytes_sum{{{labels},response_flags=\"-\"}} 60\nistio_request_bytes_count{{{labels},response_flags=\"-\"}} 6\n\
             istio_response_bytes_sum{{{labels},response_flags=\"-\"}} 600\n"
        );
        let envoy = "envoy_cluster_upstream_rq{response_code=\"503\",cluster_name=\"outbound|7777|v2|flaskapp.istio-app.svc.cluster.local;\"} 3\n\
             envoy_cluster_upstream_rq{response_code=\"200\",cluster_name=\"inbound|7777||\"} 8\n\
             envoy_cluster_upstream_rq{response_code=\"200\",cluster_name=\"outbound|80||other.ns.svc.cluster.local\"} 2\n\
             envoy_cluster_upstream_rq_xx{response_code_class=\"2\",cluster_name=\"inbound|7777||\"} 8\n\
             envoy_cluster_upstream_rq{response_code=\"200\",cluster_name=\"xds-grpc\"} 2\n\
             envoy_cluster_upstream_rq_time_bucket{cluster_name=\"inbound|7777||\",le=\"1\"} 7\n\
             envoy_cluster_upstream_rq_time_bucket{cluster_name=\"inbound|7777||\",le=\"+Inf\"} 8\n";
        let of_istio = ["source client→flaskapp-v1/v1 flaskapp 200: 7 [500, 1000] [2, 3, 1] 4500us 60/600/6"];
        assert_eq!(shown(&istio), of_istio);
        assert_eq!(shown(&format!("{envoy}{istio}")), of_istio, "Istio's go first");
        let of_envoy = [
            "destination →client/ sleep 200: 8 [] [] 0us 0/0/0",
            "destination →client/ sleep : 0 [1000] [7, 1] 0us 0/0/0",
            "source client→/ other.ns 200: 2 [] [] 0us 0/0/0",
            "source client→/v2 flaskapp 503: 3 [] [] 0us 0/0/0",
        ];
        assert_eq!(shown(envoy), of_envoy);
        assert_eq!(shown("istio_requests_total{reporter=\"x\nistio_requests_total{} x\nup 1"), Vec::<String>::new());
    }
}
