//! Looks now and then at what the watches do not show: the panel's rights, the namespace's own state, why nothing injects.
use super::observe::demo_pods;
use super::preflight;
use super::space::Space;
use super::trouble::Denied;
use super::{actor, pods::PodSeen};
use crate::k8s::World;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// How often rights that are missing are asked for again: somebody may grant them.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// How often a namespace is looked at while it ends.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Runs as long as the namespace is looked after.
pub async fn run(space: &Space) {
    let mut world = space.world.subscribe();
    let _ = space.settled().await;
    // Nothing once all rights are had: a quiet namespace costs nothing.
    let mut rights_due = Some(Instant::now());
    loop {
        if rights_due.is_some_and(|due| Instant::now() >= due) {
            rights(space).await;
            rights_due = (!space.facts.borrow().denied.is_empty()).then(|| Instant::now() + ASK_AGAIN);
        }
        let now = world.borrow_and_update().clone();
        namespace(space, &now).await;
        injection(space, &now).await;
        let held = space.facts.borrow().namespace_held.is_some();
        let pause = if held { LOOK_AGAIN } else { ASK_AGAIN };
        tokio::select! {
            () = tokio::time::sleep(pause), if held || rights_due.is_some() => {}
            () = space.recheck.notified() => rights_due = Some(Instant::now()),
            // What changes together is looked at together.
            Ok(()) = world.changed() => tokio::time::sleep(Duration::from_millis(300)).await,
            else => return,
        }
    }
}

/// Which verbs cannot work, by the rights they lack. What cannot be asked is not held against anybody.
async fn rights(space: &Space) {
    let asked = preflight::rights(&space.cluster, space.ns.as_str()).await;
    let lacking = asked.into_iter().filter(|(right, had)| *had == Some(false) && !right.stops.is_empty());
    let denied: Vec<Denied> = lacking.map(|(right, _)| Denied { what: format!("{} {}", right.verb, right.on()), stops: right.stops.to_vec() }).collect();
    let changed = space.facts.send_if_modified(|f| {
        let changed = f.denied != denied;
        f.denied.clone_from(&denied);
        changed
    });
    if changed && denied.is_empty() {
        info!(namespace = %space.ns, "The panel may do all it offers now");
    } else if changed {
        warn!(namespace = %space.ns, denied = ?denied.iter().map(|d| &d.what).collect::<Vec<_>>(), "Rights are missing");
    }
}

/// Whether the namespace is being removed. It is asked only while something in it ends, or it was ending.
async fn namespace(space: &Space, world: &World) {
    let known = space.facts.borrow().namespace_held.is_some();
    if known || world.ending() {
        // What it says is put into the facts there.
        let _ = actor::namespace(space).await;
    }
}

/// Why pods that ask for a sidecar have none: asked once, when that is first seen.
async fn injection(space: &Space, world: &World) {
    let ignored = |p: &PodSeen| p.wants_sidecar == Some(true) && !p.view.sidecar && !p.terminating;
    let any = demo_pods(world).iter().any(ignored);
    let known = space.facts.borrow().injection_why.is_some();
    if any && !known {
        let why = preflight::why_not_injected(&space.cluster, &space.manifests, space.ns.as_str()).await;
        space.facts.send_modify(|f| f.injection_why = Some(why));
    } else if !any && known {
        space.facts.send_modify(|f| f.injection_why = None);
    }
}
