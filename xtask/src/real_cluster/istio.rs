//! Istio: its kinds and its control plane, from its own charts.
use super::control::kubectl;
use super::parts::Parts;
use super::place::Place;
use super::versions::{HUB, ISTIO};
use crate::sh::{Context, Result, cmd, output};
use std::path::{Path, PathBuf};

/// Settings beside the chart's own. Envoy as it is lacks three of Istio's filters; a configuration that names them would be refused,
/// and pods would hang in their start. So there is no `istio_requests_total`.
const VALUES: [&str; 8] = [
    "autoscaleEnabled=false",
    "global.imagePullPolicy=IfNotPresent",
    "global.proxy.resources.requests.cpu=10m",
    "global.proxy.resources.requests.memory=40Mi",
    "resources.requests.cpu=10m",
    "resources.requests.memory=64Mi",
    "telemetry.enabled=false",
    "meshConfig.accessLogFile=/dev/stdout",
];
/// The control plane's environment: words, not truth values.
const ENVIRONMENT: [&str; 2] = ["env.PILOT_ENABLE_METADATA_EXCHANGE=false", "env.PILOT_ENABLE_ALPN_FILTER=false"];

/// Files to apply.
pub struct Charts {
    base: PathBuf,
    discovery: PathBuf,
}

/// Renders the charts. Needs no cluster.
pub fn render(place: &Place, parts: &Parts) -> Result<Charts> {
    let render = |release: &str, chart: &str, values: &[String]| -> Result<PathBuf> {
        let mut helm = cmd(&parts.helm);
        helm.args(["template", release]).arg(parts.chart(chart)).args(["-n", "istio-system"]);
        for value in values {
            helm.args(["--set", value]);
        }
        for value in ENVIRONMENT.iter().filter(|_| !values.is_empty()) {
            helm.args(["--set-string", value]);
        }
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(name, place.file("helm"));
        }
        let text = output(&mut helm)?;
        let file = place.file(&format!("{chart}.yaml"));
        std::fs::write(&file, text).context(format!("write {}", file.display()))?;
        Ok(file)
    };
    let mut values: Vec<String> = VALUES.iter().map(|value| (*value).to_owned()).collect();
    values.extend([format!("global.hub={HUB}"), format!("global.tag={}", ISTIO.0)]);
    Ok(Charts { base: render("istio-base", "base", &[])?, discovery: render("istiod", "istio-discovery", &values)? })
}

/// Makes Istio's kinds known. Needs the API server alone.
pub fn kinds(place: &Place, parts: &Parts, charts: &Charts) -> Result<()> {
    output(kubectl(place, parts).args(["create", "namespace", "istio-system"]))?;
    apply(place, parts, &charts.base)
}

/// Starts the control plane and waits until it is ready.
pub fn control_plane(place: &Place, parts: &Parts, charts: &Charts) -> Result<()> {
    apply(place, parts, &charts.discovery)?;
    output(kubectl(place, parts).args([
        "-n",
        "istio-system",
        "rollout",
        "status",
        "deployment/istiod",
        "--timeout=120s",
    ]))
    .map(drop)
}

fn apply(place: &Place, parts: &Parts, file: &Path) -> Result<()> {
    output(kubectl(place, parts).args(["apply", "--server-side", "-f"]).arg(file)).map(drop)
}
