//! What the counts since the last change say about the weights: `load::stats` judges them. Pure.
use crate::demo::pods::PodSeen;
use ::load::{Mark, stats};
use std::collections::BTreeMap;
use wire::{Split, Verdict};

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
    desired: Option<&Split>,
    with_sidecar: bool,
    endpoints: BTreeMap<String, u32>,
    since: Option<&Mark>,
) -> Option<Verdict> {
    let shares =
        desired.into_iter().flat_map(|s| s.iter().map(|(name, weight)| (name.to_owned(), f64::from(weight.percent()))));
    Some(stats::verdict(&stats::Evidence {
        counts: since?.counts.clone(),
        desired: shares.collect(),
        client_has_sidecar: with_sidecar,
        endpoints,
    }))
}
