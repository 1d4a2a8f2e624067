//! What stands between a cluster and the demo: asked on request, told in lines, nothing changed.
//!
//! **Invariant:** what cannot be read with the rights at hand is "cannot tell"; no check is an error, and what is missing
//! stops only what needs it.
mod access;
mod facts;
mod gather;
mod line;
mod lines;
mod quantity;
mod room;
mod shared;
mod webhook;

pub use access::Rights;
pub use gather::rules;
pub use shared::Shared;

use crate::demo::namespace::facts::Denied;
use crate::demo::objects::Manifests;
use crate::k8s::{Cluster, mesh_name};
use app::text::Message;
use app::text::messages::causes;
use wire::{Check, CheckStatus, Namespace, Preflight};

/// Why a pod that asks for a sidecar has none: what the webhooks say of this namespace now, in one clause.
pub async fn why_not_injected(cluster: &Cluster, manifests: &Manifests, ns: &str) -> Message {
    let facts = gather::gather(cluster, manifests, ns).await;
    let webhook = lines::webhook(&facts);
    match (&facts.trial, webhook.status) {
        (facts::Read::Known(facts::Trial::Injected { .. }), _) => causes::no_webhook_then(),
        (_, CheckStatus::Ok | CheckStatus::Warn) => causes::webhook_passed_over(reason(&webhook)),
        _ => reason(&webhook),
    }
}

/// A check's reason as a clause.
fn reason(check: &Check) -> Message {
    Message::clause(&check.reason, &check.zh)
}

/// What a preflight found missing besides rights, which are asked for by themselves; and what does not work without it.
pub fn missing(told: &Preflight) -> Vec<Denied> {
    let lines = told.checks.iter().filter(|check| check.status == CheckStatus::Fail && !check.stops.is_empty());
    let others =
        lines.filter(|check| !check.id.starts_with("rights-") && !matches!(check.id.as_str(), "api" | "namespace"));
    others.map(|check| Denied { what: reason(check), stops: check.stops.clone() }).collect()
}

/// Asks everything and tells it.
pub async fn preflight(cluster: &Cluster, manifests: &Manifests, ns: &Namespace) -> Preflight {
    let facts = gather::gather(cluster, manifests, ns.as_str()).await;
    let mut view = cluster.view.clone();
    if let Ok(version) = &facts.version {
        view.version.clone_from(version);
    }
    view.user.clone_from(&facts.user);
    let writes = cluster.istio_version();
    let served = facts.istio.known().is_some_and(|v| !v.is_empty());
    view.mesh =
        if served { mesh_name(facts.istiods.known().map_or(&[], Vec::as_slice), writes) } else { String::new() };
    Preflight { cluster: view, namespace: ns.clone(), checks: lines::checks(&facts, writes) }
}
