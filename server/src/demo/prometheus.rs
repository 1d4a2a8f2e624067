//! The last hour, asked of a Prometheus that scrapes the sidecars: the demo's requests, and the counters that the dashboards show.
//!
//! Source: Prometheus, "HTTP API", range queries; Istio, "Standard Metrics"; Envoy, "Cluster manager statistics".
use super::dashboards::{End, Own, Readings, read};
use super::errors::prometheus_unread;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use wire::{ApiError, LastHour, LastHourSample, Namespace};

/// How far back is asked for, and in which steps: a chart's width, and the usual interval of scraping.
const BACK_S: u64 = 3_600;
const STEP_S: u32 = 15;
/// Longest wait for an answer; a page waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer taken: 240 moments of 300 series, the histograms of a dozen flows, have 2 MiB.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// What the demo's service is called.
const SERVICE: &str = super::objects::ROUTE_HOST;

/// A Prometheus that can be asked.
pub struct Prometheus {
    client: kube::Client,
    /// Its address, without user and query.
    shown: String,
}

/// One series of an answer: what tells it apart, and its values as text.
#[derive(Debug, Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

impl Prometheus {
    /// Errors: an address that no HTTP client understands.
    pub fn at(url: &Uri) -> Result<Prometheus, String> {
        let (Some(scheme @ ("http" | "https")), Some(host)) = (url.scheme_str(), url.host()) else {
            return Err(format!("`{url}` is not an address like http://prometheus.istio-system:9090"));
        };
        let port = url.port_u16().map_or(String::new(), |port| format!(":{port}"));
        let shown = format!("{scheme}://{host}{port}{}", url.path().trim_end_matches('/'));
        // The cluster's client library speaks HTTP and HTTPS with the system's roots; nothing of it is about Kubernetes here.
        let mut config = kube::Config::new(url.clone());
        (config.connect_timeout, config.read_timeout) = (Some(PATIENCE), Some(PATIENCE));
        let client = kube::Client::try_from(config).map_err(|e| format!("`{shown}`: {e}"))?;
        Ok(Prometheus { client, shown })
    }

    /// The last hour of a namespace's demo. Errors: it does not answer, or not as a Prometheus does.
    pub async fn last_hour(&self, ns: &Namespace, now_s: u64) -> Result<LastHour, ApiError> {
        let wait = tokio::time::timeout(2 * PATIENCE, self.read(ns, now_s));
        match wait.await {
            Ok(read) => read.map_err(|why| prometheus_unread(&self.shown, Some(&why))),
            Err(_) => Err(prometheus_unread(&self.shown, None)),
        }
    }

    /// Its address, without user and query.
    pub fn address(&self) -> &str {
        &self.shown
    }

    /// The counters of a namespace's sidecars in the hour before `end_s`. Errors: it does not answer, or not as a Prometheus does.
    pub async fn counters(&self, ns: &Namespace, end_s: u64) -> Result<Readings, ApiError> {
        let read = async {
            for query in counters_of(ns) {
                let series = self.range(&query, end_s).await?;
                if !series.is_empty() {
                    return Ok(readings(&series, ns));
                }
            }
            Ok(Readings::new())
        };
        match tokio::time::timeout(2 * PATIENCE, read).await {
            Ok(read) => read.map_err(|why: String| prometheus_unread(&self.shown, Some(&why))),
            Err(_) => Err(prometheus_unread(&self.shown, None)),
        }
    }

    async fn read(&self, ns: &Namespace, now_s: u64) -> Result<LastHour, String> {
        let mut past = LastHour {
            namespace: ns.clone(),
            source: self.shown.clone(),
            metric: String::new(),
            step_s: STEP_S,
            moments: Vec::new(),
        };
        for (metric, query, version) in queries(ns) {
            let series = self.range(&query, now_s).await?;
            if !series.is_empty() {
                past.metric = metric.to_owned();
                past.moments = moments(&series, version);
                break;
            }
        }
        Ok(past)
    }

    async fn range(&self, query: &str, now_s: u64) -> Result<Vec<Series>, String> {
        let path = format!(
            "/api/v1/query_range?query={}&start={}&end={now_s}&step={STEP_S}",
            escaped(query),
            now_s - BACK_S.min(now_s)
        );
        let request = Request::get(path).body(Body::empty()).map_err(|e| e.to_string())?;
        let answer = self.client.send(request).await.map_err(|e| crate::k8s::reason_of(&e))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(|e| e.to_string())?.to_bytes();
        understood(status, &body)
    }
}

/// The metrics in the order in which they are tried: name, query, and how a series names its version.
fn queries(ns: &Namespace) -> [(&'static str, String, fn(&BTreeMap<String, String>) -> String); 2] {
    let (istio, envoy) = ("istio_requests_total", "envoy_cluster_upstream_rq");
    let of_istio = format!(
        r#"{istio}{{reporter="source",destination_service_name="{SERVICE}",destination_service_namespace="{ns}"}}"#
    );
    // `outbound|7777|v1|flaskapp.istio-app.svc.cluster.local`; newer ones end in `;`.
    let of_envoy = format!(r#"{envoy}{{cluster_name=~"outbound\\|[0-9]+\\|.+\\|{SERVICE}\\.{ns}\\.svc\\..*"}}"#);
    let sum = |labels: &str, of: &str| format!("sum by ({labels}, response_code) (rate({of}[1m]))");
    [
        (istio, sum("destination_version", &of_istio), |labels| {
            labels.get("destination_version").cloned().unwrap_or_default()
        }),
        (envoy, sum("cluster_name", &of_envoy), |labels| {
            labels.get("cluster_name").and_then(|name| name.split('|').nth(2)).unwrap_or_default().to_owned()
        }),
    ]
}

/// Queries for counters in the order in which they are tried: Istio's, then Envoy's own of the clusters in the namespace.
fn counters_of(ns: &Namespace) -> [String; 2] {
    let istio = "istio_requests_total|istio_request_duration_milliseconds_(bucket|sum)|istio_(request|response)_bytes_(sum|count)";
    let envoy = "envoy_cluster_upstream_rq|envoy_cluster_upstream_rq_time_(bucket|sum)";
    [
        format!(r#"{{__name__=~"{istio}",destination_service_namespace="{ns}"}}"#),
        format!(r#"{{__name__=~"{envoy}",cluster_name=~"outbound\|[0-9]+\|.*\|.*\.{ns}\.svc\..*"}}"#),
    ]
}

/// Series as what each sidecar would have said at each moment. A sidecar is known by its pod, else by the address that was scraped.
fn readings(series: &[Series], ns: &Namespace) -> Readings {
    let mut said: BTreeMap<u64, BTreeMap<String, (Own, String)>> = BTreeMap::new();
    for one in series {
        let label = |name: &str| one.metric.get(name).map_or("", String::as_str);
        let pod = if label("pod").is_empty() { label("instance") } else { label("pod") };
        // The bound comes last, as sidecars write it.
        let named = one.metric.iter().filter(|(name, _)| *name != "__name__" && *name != "le");
        let mut labels: Vec<String> = named.map(|(name, value)| format!("{name}={value:?}")).collect();
        labels.extend(one.metric.get("le").map(|bound| format!("le={bound:?}")));
        let labels = labels.join(",");
        for (at, value) in &one.values {
            let sidecars = said.entry((at.max(0.0) * 1_000.0) as u64).or_default();
            let (_, text) = sidecars.entry(pod.to_owned()).or_insert_with(|| {
                let (app, version) = (label("app").to_owned(), label("version").to_owned());
                let end = End { workload: String::new(), app, version };
                (Own { namespace: ns.as_str().to_owned(), end }, String::new())
            });
            let _ = writeln!(text, "{}{{{labels}}} {value}", label("__name__"));
        }
    }
    let sidecar = |(pod, (own, text)): (String, (Own, String))| (pod, Some(read(&text, &own)));
    said.into_iter().map(|(at_ms, sidecars)| (at_ms, sidecars.into_iter().map(sidecar).collect())).collect()
}

/// The series of an answer, or what Prometheus says is wrong.
fn understood(status: StatusCode, body: &[u8]) -> Result<Vec<Series>, String> {
    #[derive(Deserialize)]
    struct Answer {
        status: String,
        #[serde(default)]
        error: String,
        data: Option<Data>,
    }
    #[derive(Deserialize)]
    struct Data {
        result: Vec<Series>,
    }
    match serde_json::from_slice::<Answer>(body) {
        Ok(Answer { status, data: Some(data), .. }) if status == "success" => Ok(data.result),
        Ok(answer) if !answer.error.is_empty() => Err(format!("it says: {}", answer.error)),
        _ => Err(format!("status {status}, and no answer of a Prometheus")),
    }
}

/// Series added up, moment by moment.
fn moments(series: &[Series], version: impl Fn(&BTreeMap<String, String>) -> String) -> Vec<LastHourSample> {
    let mut moments: BTreeMap<u64, LastHourSample> = BTreeMap::new();
    for one in series {
        let name = match version(&one.metric) {
            name if name.is_empty() => "unknown".to_owned(),
            name => name,
        };
        // 0: no answer at all.
        let failed = one.metric.get("response_code").is_some_and(|code| code == "0" || code.starts_with('5'));
        for (at, value) in &one.values {
            let Some(rate) = value.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0) else {
                continue;
            };
            let at_s = at.max(0.0) as u64;
            let moment = moments.entry(at_s).or_insert_with(|| LastHourSample { at_s, ..LastHourSample::default() });
            *moment.rates.entry(name.clone()).or_default() += rate;
            if failed {
                moment.failed += rate;
            }
        }
    }
    moments.into_values().collect()
}

/// A query as part of an address.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(2 * text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Prometheus 2.42 answered, shortened to two moments.
    const ISTIO: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"destination_version":"v1","response_code":"200"},"values":[[1764072300,"160.5"],[1764072315,"NaN"]]},
        {"metric":{"destination_version":"v2","response_code":"200"},"values":[[1764072300,"39"],[1764072315,"40"]]},
        {"metric":{"destination_version":"v2","response_code":"503"},"values":[[1764072315,"1.5"]]}]}}"#;

    #[test]
    fn an_answer_becomes_moments() {
        let series = understood(StatusCode::OK, ISTIO.as_bytes()).unwrap();
        let [(_, query, version), (_, of_envoy, of_cluster)] = queries(&Namespace::default());
        let read = moments(&series, version);
        let shown: Vec<String> = read.iter().map(|m| format!("{} {:?} {}", m.at_s, m.rates, m.failed)).collect();
        assert_eq!(shown, [r#"1764072300 {"v1": 160.5, "v2": 39.0} 0"#, r#"1764072315 {"v2": 41.5} 1.5"#]);
        assert!(query.contains(r#"destination_service_namespace="istio-app"}[1m]"#), "{query}");
        let cluster = BTreeMap::from([(
            "cluster_name".to_owned(),
            "outbound|7777|v2|flaskapp.istio-app.svc.cluster.local;".to_owned(),
        )]);
        assert_eq!(of_cluster(&cluster), "v2");
        assert!(of_envoy.contains(r"flaskapp\\.istio-app\\.svc"), "{of_envoy}");
    }

    #[test]
    fn counters_become_what_sidecars_would_have_said() {
        let answer = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"istio_requests_total","pod":"a","reporter":"source","destination_service_name":"flaskapp","destination_version":"v1","response_code":"200"},"values":[[1764072300,"100"],[1764072315,"160"]]},
            {"metric":{"__name__":"istio_request_duration_milliseconds_bucket","le":"5","pod":"a","reporter":"source","destination_service_name":"flaskapp","destination_version":"v1","response_code":"200"},"values":[[1764072300,"90"],[1764072315,"140"]]},
            {"metric":{"__name__":"istio_request_duration_milliseconds_bucket","le":"+Inf","pod":"a","reporter":"source","destination_service_name":"flaskapp","destination_version":"v1","response_code":"200"},"values":[[1764072300,"100"],[1764072315,"160"]]},
            {"metric":{"__name__":"istio_requests_total","instance":"10.0.0.1:15020","reporter":"destination","response_code":"200"},"values":[[1764072315,"7"]]}]}}"#;
        let series = understood(StatusCode::OK, answer.as_bytes()).unwrap();
        let read = readings(&series, &Namespace::default());
        let shown: Vec<String> = read
            .iter()
            .flat_map(|(at, pods)| pods.iter().map(move |(pod, reading)| (at, pod, reading.as_ref().unwrap())))
            .flat_map(|(at, pod, reading)| {
                reading.iter().map(move |(flow, counts)| {
                    format!(
                        "{} {pod} {} {} {:?}",
                        at / 1_000,
                        flow.destination.version,
                        counts.requests,
                        counts.histogram.buckets()
                    )
                })
            })
            .collect();
        assert_eq!(
            shown,
            ["1764072300 a v1 100 [90, 10]", "1764072315 10.0.0.1:15020  7 []", "1764072315 a v1 160 [140, 20]"]
        );
        let [istio, envoy] = counters_of(&Namespace::default());
        assert!(istio.contains(r#"destination_service_namespace="istio-app"}"#) && envoy.contains(r"\.istio-app\.svc"));
    }

    #[test]
    fn what_is_no_answer_is_told_in_its_words() {
        for (status, body, said) in [
            (
                400,
                r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\""}"#,
                "it says: invalid parameter \"query\"",
            ),
            (200, "<html>", "status 200 OK, and no answer of a Prometheus"),
            (503, "", "status 503 Service Unavailable, and no answer of a Prometheus"),
        ] {
            assert_eq!(understood(StatusCode::from_u16(status).unwrap(), body.as_bytes()).unwrap_err(), said);
        }
    }

    #[test]
    fn addresses_are_checked_and_shown_without_what_may_be_secret() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        for (url, shown) in [
            ("http://me:pass@prometheus:9090/base/?x=1", Some("http://prometheus:9090/base")),
            ("https://p.example", Some("https://p.example")),
            ("/here", None),
            ("ftp://p", None),
        ] {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let made = runtime.block_on(async { Prometheus::at(&url.parse().unwrap()) });
            assert_eq!(made.ok().map(|p| p.shown).as_deref(), shown, "{url}");
        }
        assert_eq!(escaped("a{b=\"c\"}"), "a%7Bb%3D%22c%22%7D");
    }
}
