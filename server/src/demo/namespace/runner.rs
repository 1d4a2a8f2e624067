//! Runs the parts that keep a namespace's state up to date, while anything is live in it.
use super::registry::Registry;
use super::state::NamespaceState;
use crate::demo::plan::reconciler;
use crate::demo::pollers::{acks, lease, load_agent, permissions, sidecar_stats};
use crate::demo::view::status;
use crate::k8s::watch;
use std::sync::Arc;
use std::time::Duration;
use wire::Rate;

/// Runs the namespace's parts until its token, or until nothing is live in it any more.
pub async fn run(state: Arc<NamespaceState>, registry: Arc<Registry>) {
    // An earlier run may be giving its Lease back.
    let mut inbox = state.agent_inbox.lock().await;
    let rests = tokio::select! {
        () = state.stop.cancelled() => false,
        () = watch(&state.cluster, state.ns.as_str(), &state.cache, &state.stop) => false,
        () = reconciler::run(&state) => false,
        () = acks::run(&state) => false,
        () = load_agent::run(&state, &mut inbox) => false,
        () = permissions::run(&state) => false,
        () = sidecar_stats::run(&state) => false,
        () = status::run(&state) => false,
        () = lease::run(&state) => false,
        () = rests(&state, &registry) => true,
    };
    state.shares.ask(&state.ns, Rate::default());
    if rests && !state.was_empty() {
        // Whoever deployed it still acts there; the Lease is renewed from outside.
        return;
    }
    // Whoever comes next need not wait until it runs out.
    let _ = tokio::time::timeout(Duration::from_secs(1), lease::release(&state)).await;
}

/// Returns when it has gone to rest.
async fn rests(state: &Arc<NamespaceState>, registry: &Registry) {
    let look = (registry.idle_after() / 4).clamp(Duration::from_millis(50), Duration::from_secs(5));
    let mut quiet_since = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(look).await;
        if state.is_live() {
            quiet_since = tokio::time::Instant::now();
        } else if registry.rest(state, quiet_since) {
            return;
        }
    }
}
