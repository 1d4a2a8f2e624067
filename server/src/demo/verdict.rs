//! What the counts since the last change say about the weights: `load::stats`' judgement, in the wire's types. Pure.
use super::pods::PodSeen;
use ::load::{Mark, stats};
use app::types::{ChiSquare, Split, Verdict, VerdictKind};
use std::collections::BTreeMap;

/// Ready pods of the app by version: what plain balancing chooses from. A version whose pods are not ready has 0.
pub fn endpoints(pods: &[PodSeen]) -> BTreeMap<String, u32> {
    let mut endpoints = BTreeMap::new();
    for pod in pods.iter().filter(|p| p.app == "flaskapp" && !p.view.version.is_empty()) {
        *endpoints.entry(pod.view.version.clone()).or_default() += u32::from(pod.ready);
    }
    endpoints
}

/// Nothing while no mark is set.
pub fn verdict(
    wished: Option<&Split>,
    with_sidecar: bool,
    endpoints: BTreeMap<String, u32>,
    since: Option<&Mark>,
) -> Option<Verdict> {
    let shares =
        wished.into_iter().flat_map(|s| s.iter().map(|(name, weight)| (name.to_owned(), f64::from(weight.percent()))));
    let judged = stats::verdict(&stats::Evidence {
        counts: since?.counts.clone(),
        wished: shares.collect(),
        client_has_sidecar: with_sidecar,
        endpoints,
    });
    let kind = match judged.kind {
        stats::VerdictKind::NoTraffic => VerdictKind::NoTraffic,
        stats::VerdictKind::TooFew => VerdictKind::TooFew,
        stats::VerdictKind::InKeeping => VerdictKind::InKeeping,
        stats::VerdictKind::OffTarget => VerdictKind::OffTarget,
        stats::VerdictKind::ClientHasNoSidecar => VerdictKind::ClientHasNoSidecar,
        stats::VerdictKind::NoRoute => VerdictKind::NoRoute,
    };
    Some(Verdict {
        kind,
        version: judged.version,
        requests: judged.requests,
        observed: judged.observed,
        margin: judged.margin,
        wished: judged.wished,
        needed: judged.needed,
        versus: judged.versus,
        chi_square: judged.chi_square.map(|c| ChiSquare {
            // JSON has no infinity.
            statistic: Some(c.statistic).filter(|s| s.is_finite()),
            degrees: c.degrees,
            p_value: c.p_value,
        }),
        plain_balancing: judged.plain_balancing,
        plain: judged.plain,
    })
}
