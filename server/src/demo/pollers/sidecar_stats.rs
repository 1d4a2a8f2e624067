//! What all sidecars have counted themselves: their own metrics, by kept-alive port-forwards to port 15020. Embedded and real alike.
//!
//! One reading serves the dashboards, which remember an hour of it, and the page, which shows the client's counts by version.
use crate::demo::clock::now_ms;
use crate::demo::dashboards::{End, Own, Reading, read};
use crate::demo::namespace::facts::Counts;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::objects::ROUTE_HOST;
use crate::demo::pods::{self, PodSeen};
use crate::demo::pollers::acks::client_proxies;
use crate::k8s::{Forwarded, KindName};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tracing::debug;
use wire::Reporter;

/// The sidecar's port for metrics.
const STATS_PORT: u16 = 15_020;
const STATS: &str = "/stats/prometheus";
/// How often sidecars are read while somebody looks at the dashboards: a step of their charts.
const WATCHED: Duration = Duration::from_secs(1);
/// How often while somebody looks at the page: figures for comparison, not for the chart.
const ATTENDED: Duration = Duration::from_secs(5);
/// How often while nobody looks and the namespace is awake: the hour that the dashboards show goes on.
const UNSEEN: Duration = Duration::from_secs(10);
/// Longest wait for the sidecars of one reading.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most sidecars that are read. A demo has three.
const MOST: usize = 64;

/// Requests that a client's sidecar sent to the demo's host, and failures, by version.
fn sent(reading: &Reading, counts: &mut Counts) {
    let to_demo = reading
        .iter()
        .filter(|(flow, _)| flow.reporter == Reporter::Source && flow.service == ROUTE_HOST && !flow.code.is_empty());
    for (flow, counted) in to_demo {
        let entry = counts.entry(flow.destination.version.clone()).or_default();
        entry.0 += counted.requests;
        if flow.is_failure() {
            entry.1 += counted.requests;
        }
    }
}

/// Pods with a sidecar, oldest name first.
fn with_sidecar(state: &NamespaceState) -> Vec<PodSeen> {
    let cache = state.now();
    let mut seen: Vec<PodSeen> = cache.all(KindName::Pod).map(|pod| pods::read(&pod.object)).collect();
    seen.retain(|pod| pod.view.sidecar && !pod.failed);
    seen.sort_by(|a, b| a.view.name.cmp(&b.view.name));
    seen.truncate(MOST);
    seen
}

/// Reads every sidecar at once, and puts the counters where they are shown.
async fn round(state: &NamespaceState, links: &mut BTreeMap<String, Forwarded>) {
    let seen = with_sidecar(state);
    links.retain(|name, _| seen.iter().any(|pod| pod.view.name == *name));
    let at_ms = now_ms();
    let reads = seen.iter().map(|pod| {
        let link = links.remove(&pod.view.name);
        async move {
            if !pod.sidecar_ready {
                return (pod, None);
            }
            let read = tokio::time::timeout(PATIENCE, read_pod(state, pod, link)).await;
            let read = read.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
            let told = |why: &String| debug!(pod.name = pod.view.name, why, "Cannot read the metrics of a sidecar");
            (pod, read.inspect_err(told).ok())
        }
    });
    let (mut sum, mut readings) = (Counts::new(), BTreeMap::new());
    let clients = client_proxies(state);
    for (pod, read) in join_all(reads).await {
        let name = pod.view.name.clone();
        match read {
            Some((link, reading)) => {
                if clients.contains(&name) {
                    sent(&reading, &mut sum);
                }
                links.insert(name.clone(), link);
                readings.insert(name, Some(reading));
            }
            // What it counted last goes with it, and nothing waits for it.
            None if pod.terminating => {}
            None => {
                readings.insert(name, None);
            }
        }
    }
    state.facts.send_if_modified(|f| {
        let changed = f.sidecars != sum;
        f.sidecars = sum;
        changed
    });
    state.counters.take(at_ms, readings);
}

/// Keeps the counters up to date as long as the namespace is awake.
pub async fn run(state: &NamespaceState) {
    let mut links: BTreeMap<String, Forwarded> = BTreeMap::new();
    let mut cache = state.cache.subscribe();
    loop {
        let begun = Instant::now();
        // Before everything was listed, a pod that is not known yet would look like one that began just now.
        let settled = cache.borrow_and_update().settled();
        if settled {
            round(state, &mut links).await;
        }
        let pause = match (state.counters.is_watched(), state.is_attended()) {
            (true, _) => WATCHED,
            (false, true) => ATTENDED,
            (false, false) => UNSEEN,
        };
        tokio::select! {
            () = tokio::time::sleep_until(begun + pause), if settled => {}
            () = state.counters.watching(), if settled && pause != WATCHED => {}
            // Who asks may only now begin to look.
            () = state.asked.notified(), if settled && pause == UNSEEN => tokio::time::sleep(Duration::from_millis(100)).await,
            Ok(()) = cache.changed(), if !settled => {}
            else => return,
        }
    }
}

async fn read_pod(
    state: &NamespaceState,
    pod: &PodSeen,
    link: Option<Forwarded>,
) -> Result<(Forwarded, Reading), String> {
    let mut link = match link {
        Some(link) => link,
        None => Forwarded::connect(&state.cluster, state.ns.as_str(), &pod.view.name, STATS_PORT).await?,
    };
    let text = link.get(STATS).await?;
    let end = End { workload: pod.view.workload.clone(), app: pod.app.clone(), version: pod.view.version.clone() };
    let own = Own { namespace: state.ns.as_str().to_owned(), end };
    let reading = read(&String::from_utf8_lossy(&text), &own);
    Ok((link, reading))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str, ns: &str) -> Counts {
        let mut counts = Counts::new();
        sent(&read(text, &Own { namespace: ns.to_owned(), end: End::default() }), &mut counts);
        counts
    }

    /// As an Istio sidecar wrote it, shortened to the lines that differ.
    const ISTIO: &str = r#"# TYPE istio_requests_total counter
istio_requests_total{reporter="source",source_workload="simple-flask-app-client",source_canonical_service="simple-flask-app-client",source_version="v1",source_workload_namespace="istio-app",destination_workload="flaskapp-v1",destination_workload_namespace="istio-app",destination_principal="spiffe://cluster.local/ns/istio-app/sa/default",destination_app="flaskapp",destination_version="v1",destination_service="flaskapp.istio-app.svc.cluster.local",destination_service_name="flaskapp",destination_service_namespace="istio-app",request_protocol="http",response_code="200",grpc_response_status="",response_flags="-",connection_security_policy="unknown"} 8012
istio_requests_total{reporter="source",destination_workload="flaskapp-v2",destination_version="v2",destination_service_name="flaskapp",destination_service_namespace="istio-app",response_code="200",response_flags="-"} 1988
istio_requests_total{reporter="source",destination_workload="flaskapp-v2",destination_version="v2",destination_service_name="flaskapp",destination_service_namespace="istio-app",response_code="503",response_flags="UC"} 12
istio_requests_total{reporter="source",destination_workload="other",destination_version="v1",destination_service_name="other",destination_service_namespace="istio-app",response_code="200"} 5
istio_requests_total{reporter="destination",destination_workload="simple-flask-app-client",destination_version="v1",destination_service_name="simple-flask-app-client",destination_service_namespace="istio-app",response_code="200"} 7
istio_request_duration_milliseconds_count{reporter="source",destination_version="v1"} 8012
"#;
    /// As Envoy writes it without Istio's filters.
    const ENVOY: &str = r#"# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq{response_code="200",cluster_name="outbound|7777|v1|flaskapp.istio-app.svc.cluster.local"} 301
envoy_cluster_upstream_rq{response_code="200",cluster_name="outbound|7777|v2|flaskapp.istio-app.svc.cluster.local;"} 99
envoy_cluster_upstream_rq{response_code="504",cluster_name="outbound|7777|v2|flaskapp.istio-app.svc.cluster.local;"} 1
envoy_cluster_upstream_rq{response_code="200",cluster_name="outbound|7777|v2|flaskapp.other.svc.cluster.local"} 4
envoy_cluster_upstream_rq{response_code="200",cluster_name="xds-grpc"} 4
envoy_cluster_upstream_rq_xx{response_code_class="2",cluster_name="outbound|7777|v1|flaskapp.istio-app.svc.cluster.local"} 301
envoy_cluster_upstream_rq_total{cluster_name="outbound|7777|v1|flaskapp.istio-app.svc.cluster.local"} 301
"#;

    #[test]
    fn a_sidecars_own_counts_are_read_by_version() {
        let of =
            |pairs: &[(&str, u64, u64)]| pairs.iter().map(|(v, n, f)| ((*v).to_owned(), (*n, *f))).collect::<Counts>();
        let both = format!("{ENVOY}{ISTIO}");
        for (what, text, read) in [
            ("Istio's", ISTIO, of(&[("v1", 8012, 0), ("v2", 2000, 12)])),
            ("Envoy's", ENVOY, of(&[("v1", 301, 0), ("v2", 100, 1)])),
            ("Istio's go first", &both, of(&[("v1", 8012, 0), ("v2", 2000, 12)])),
            ("nothing", "", of(&[])),
            (
                "rubbish",
                "istio_requests_total{reporter=\"source\nistio_requests_total{} x\nenvoy_cluster_upstream_rq{cluster_name=\"outbound|\\\"\"} -1",
                of(&[]),
            ),
        ] {
            assert_eq!(counts(text, "istio-app"), read, "{what}");
        }
    }
}
