//! Runs the parts that keep a namespace's state up to date, while anything is live in it.
use super::registry::Spaces;
use super::state::Space;
use crate::demo::plan::reconciler;
use crate::demo::pollers::{acks, lease, load_agent, permissions, sidecar_counts};
use crate::demo::view::status;
use crate::k8s::watch;
use std::sync::Arc;
use std::time::Duration;
use wire::Rate;

/// Runs the namespace's parts until its token, or until nothing is live in it any more.
pub async fn run(space: Arc<Space>, spaces: Arc<Spaces>) {
    // An earlier run may be giving its Lease back.
    let mut inbox = space.agent_inbox.lock().await;
    let rests = tokio::select! {
        () = space.stop.cancelled() => false,
        () = watch(&space.cluster, space.ns.as_str(), &space.world, &space.stop) => false,
        () = reconciler::run(&space) => false,
        () = acks::run(&space) => false,
        () = load_agent::run(&space, &mut inbox) => false,
        () = permissions::run(&space) => false,
        () = sidecar_counts::run(&space) => false,
        () = status::run(&space) => false,
        () = lease::run(&space) => false,
        () = rests(&space, &spaces) => true,
    };
    space.shares.ask(&space.ns, Rate::default());
    if rests && !space.was_empty() {
        // Whoever deployed it still acts there; the Lease is renewed from outside.
        return;
    }
    // Whoever comes next need not wait until it runs out.
    let _ = tokio::time::timeout(Duration::from_secs(1), lease::release(&space)).await;
}

/// Returns when it has gone to rest.
async fn rests(space: &Arc<Space>, spaces: &Spaces) {
    let look = (spaces.idle_after() / 4).clamp(Duration::from_millis(50), Duration::from_secs(5));
    let mut quiet_since = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(look).await;
        if space.is_live() {
            quiet_since = tokio::time::Instant::now();
        } else if spaces.rest(space, quiet_since) {
            return;
        }
    }
}
