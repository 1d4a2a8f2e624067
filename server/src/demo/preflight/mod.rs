//! What stands between a cluster and the demo: asked on request, told in lines, nothing changed.
//!
//! **Invariant:** what cannot be read with the rights at hand is "cannot tell"; no check is an error, and what is missing
//! stops only what needs it.
mod facts;
mod gather;
mod line;
mod lines;
mod quantity;
mod room;
mod webhook;

use crate::k8s::{Cluster, Manifests, mesh_name};
use app::types::{Namespace, Preflight, Verb};

const ALL_VERBS: &[Verb] = &[Verb::Deploy, Verb::Client, Verb::Inject, Verb::Route, Verb::Weights, Verb::Load, Verb::Verify, Verb::Teardown];

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
    view.mesh = if served { mesh_name(facts.istiods.known().map_or(&[], Vec::as_slice), writes) } else { String::new() };
    Preflight { cluster: view, namespace: ns.clone(), checks: lines::checks(&facts, writes) }
}
