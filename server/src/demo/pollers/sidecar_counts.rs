//! What the client's sidecars have counted themselves, by version: their own metrics, by port-forward to port 15020.
//!
//! Istio's `istio_requests_total` where it is there, else Envoy's counters of the route's clusters (shown by the annotation on the
//! client's pods). Source: Istio's "Standard Metrics"; Envoy's "Cluster manager statistics"; the Prometheus text format.
use crate::demo::namespace::facts::Counts;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::objects::ROUTE_HOST;
use crate::demo::pollers::acks::client_proxies;
use crate::k8s::Forwarded;
use std::collections::BTreeMap;
use std::time::Duration;
use tracing::debug;

/// The sidecar's port for metrics.
const STATS_PORT: u16 = 15_020;
const STATS: &str = "/stats/prometheus";
/// How often they are read while somebody looks. Figures for comparison, not for the chart.
const PAUSE: Duration = Duration::from_secs(5);

/// Reads an exposition: requests this sidecar sent to the demo's host.
fn counts(text: &str, ns: &str) -> Counts {
    let istio = of_istio(text, ns);
    if istio.is_empty() { of_envoy(text, ns) } else { istio }
}

fn of_istio(text: &str, ns: &str) -> Counts {
    let mut counts = Counts::new();
    for (labels, value) in samples(text, "istio_requests_total") {
        let is = |key: &str, wanted: &str| labels.get(key).is_none_or(|v| v == wanted);
        if labels.get("reporter").is_some_and(|r| r == "source")
            && is("destination_service_name", ROUTE_HOST)
            && is("destination_service_namespace", ns)
        {
            let version = labels.get("destination_version").cloned().unwrap_or_default();
            add(&mut counts, version, labels.get("response_code"), value);
        }
    }
    counts
}

fn of_envoy(text: &str, ns: &str) -> Counts {
    let mut counts = Counts::new();
    for (labels, value) in samples(text, "envoy_cluster_upstream_rq") {
        // `outbound|7777|v1|flaskapp.istio-app.svc.cluster.local`; newer ones end in `;`.
        let name = labels.get("cluster_name").map(|n| n.trim_end_matches(';')).unwrap_or_default();
        let parts: Vec<&str> = name.split('|').collect();
        if let ["outbound", _, subset, host] = parts[..]
            && crate::demo::virtual_service::is_demo_host(host, ns)
        {
            add(&mut counts, subset.to_owned(), labels.get("response_code"), value);
        }
    }
    counts
}

fn add(counts: &mut Counts, version: String, code: Option<&String>, value: u64) {
    let entry = counts.entry(version).or_default();
    entry.0 += value;
    // 0: no answer at all.
    if code.is_some_and(|c| c.starts_with('5') || c == "0") {
        entry.1 += value;
    }
}

/// The samples of one metric: labels and value. Lines that are none are passed over.
fn samples<'a>(text: &'a str, metric: &'a str) -> impl Iterator<Item = (BTreeMap<String, String>, u64)> + 'a {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(metric)?.strip_prefix('{')?;
        let (labels, value) = labels(rest)?;
        let value: f64 = value.split_whitespace().next()?.parse().ok()?;
        // A counter of requests: whole, not negative, far below 2^53.
        (value >= 0.0).then_some((labels, value as u64))
    })
}

/// Labels up to the closing brace, and what follows it. A value may hold any character, with `\"`, `\\` and `\n` escaped.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (i, c) in after.char_indices() {
            match (escaped, c) {
                (true, 'n') => value.push('\n'),
                (true, c) => value.push(c),
                (false, '\\') => {}
                (false, '"') => {
                    end = Some(i + 1);
                    break;
                }
                (false, c) => value.push(c),
            }
            escaped = !escaped && c == '\\';
        }
        labels.insert(name.trim().to_owned(), value);
        rest = &after[end?..];
    }
}

/// Keeps the facts' counts up to date while somebody looks at the namespace.
pub async fn run(state: &NamespaceState) {
    let mut links: BTreeMap<String, Forwarded> = BTreeMap::new();
    loop {
        let pods = client_proxies(state);
        links.retain(|pod, _| pods.contains(pod));
        let mut sum = Counts::new();
        for pod in &pods {
            match read(state, &mut links, pod).await {
                Ok(text) => {
                    for (version, (requests, failed)) in counts(&text, state.ns.as_str()) {
                        let entry = sum.entry(version).or_default();
                        (entry.0, entry.1) = (entry.0 + requests, entry.1 + failed);
                    }
                }
                Err(why) => {
                    debug!(pod.name = pod, why, "Cannot read the metrics of a sidecar");
                    links.remove(pod);
                }
            }
        }
        state.facts.send_if_modified(|f| {
            let changed = f.sidecars != sum;
            f.sidecars = sum;
            changed
        });
        tokio::time::sleep(PAUSE).await;
        // Nobody looks: nothing changes that anybody needs to know.
        while !state.is_attended() {
            links.clear();
            state.asked.notified().await;
            // Who asks may only now begin to look.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn read(state: &NamespaceState, links: &mut BTreeMap<String, Forwarded>, pod: &str) -> Result<String, String> {
    if !links.contains_key(pod) {
        links.insert(pod.to_owned(), Forwarded::connect(&state.cluster, state.ns.as_str(), pod, STATS_PORT).await?);
    }
    let link = links.get_mut(pod).ok_or("no connection")?;
    Ok(String::from_utf8_lossy(&link.get(STATS).await?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
