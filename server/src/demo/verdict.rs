//! What the counts since the last change say about the weights: `load::stats`' judgement, in the wire's types. Pure.
use ::load::{Mark, stats};
use app::types::{Split, Verdict, VerdictKind};

/// Nothing while no mark is set.
pub fn verdict(wished: Option<&Split>, with_sidecar: bool, since: Option<&Mark>) -> Option<Verdict> {
    let shares = wished.into_iter().flat_map(|s| s.iter().map(|(name, weight)| (name.to_owned(), f64::from(weight.percent()))));
    let judged = stats::verdict(&stats::Evidence {
        counts: since?.counts.clone(),
        wished: shares.collect(),
        client_has_sidecar: with_sidecar,
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
    })
}
