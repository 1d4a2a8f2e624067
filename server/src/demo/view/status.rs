//! What the page shows of a namespace, put together again whenever something changes.
use crate::demo::namespace::facts::{Facts, Line};
use crate::demo::namespace::state::NamespaceState;
use crate::demo::plan::observe::{demo_pods, observe};
use crate::demo::view::commands;
use crate::demo::view::conditions::scene::Scene;
use crate::demo::view::conditions::{conditions, is_ready};
use crate::demo::virtual_service;
use crate::k8s::{Cache, CachedObject, MANAGER, Reach};
use app::text::messages::log;
use std::sync::Arc;
use std::time::Duration;
use wire::{LoadView, Milestones, RouteClaim, Split, Status};

/// Annotation on a route of ours: the weights the panel wrote last. Survives a restart.
pub const WEIGHTS_NOTE: &str = "demo-panel/weights";
/// Annotation on a route of ours: who asked for them.
pub const BY_NOTE: &str = "demo-panel/by";

/// The weights the panel wrote last: remembered, else as the object says.
pub fn our_weights(seen: &CachedObject, facts: &Facts) -> Option<Split> {
    let noted = || serde_json::from_str(seen.object.metadata.annotations.as_ref()?.get(WEIGHTS_NOTE)?).ok();
    facts.ours.clone().or_else(noted)
}

/// Another manager's claim on the route.
pub fn claim(seen: &CachedObject, ns: &str, facts: &Facts) -> Option<RouteClaim> {
    let manager = seen.route_owners.iter().find(|owner| *owner != MANAGER)?;
    Some(RouteClaim {
        manager: manager.clone(),
        theirs: virtual_service::split(&seen.object, ns),
        ours: our_weights(seen, facts),
    })
}

/// Puts a status together, from its arguments alone and what never changes of the namespace; and whether the demo is ready.
pub fn compose(state: &NamespaceState, cache: &Cache, facts: &Facts, reach: &Reach) -> (Status, bool) {
    let name = state.ns.as_str();
    let (observed, pods) = (observe(cache), demo_pods(cache));
    let seen = virtual_service::find(cache, name);
    let desired = seen.and_then(|s| virtual_service::split(&s.object, name));
    let claim = seen.and_then(|s| self::claim(s, name, facts));
    let scene = Scene {
        ns: name,
        cache,
        observed: &observed,
        pods: &pods,
        facts,
        reach,
        desired: desired.as_ref(),
        claim: claim.as_ref(),
    };
    let ready = is_ready(&scene);
    let conditions = conditions(&scene);
    let desired_by = match (&claim, seen) {
        (Some(claim), _) => claim.manager.clone(),
        (None, Some(_)) if !facts.desired_by.is_empty() => facts.desired_by.clone(),
        (None, Some(seen)) => {
            seen.object.metadata.annotations.as_ref().and_then(|a| a.get(BY_NOTE)).cloned().unwrap_or_default()
        }
        (None, None) => String::new(),
    };
    let mut cluster = state.cluster.view.clone();
    cluster.version.clone_from(&reach.version);
    cluster.mesh.clone_from(&reach.mesh);
    if !reach.user.is_empty() {
        cluster.user.clone_from(&reach.user);
    }
    let status = Status {
        cluster,
        namespace: state.ns.clone(),
        conditions,
        pods: pods.into_iter().map(|p| p.view).collect(),
        desired,
        desired_by,
        milestones: facts.milestones.clone(),
        claim,
        load: LoadView { rate: facts.load, granted: facts.granted.rate },
        generators: state.shares.total(),
        operation: facts.operation.clone(),
        log: facts.log.iter().cloned().collect(),
        commands: commands::all(state, cache),
    };
    (status, ready)
}

/// Shortest time between two statuses that nobody sees: while a namespace is built up they would come by the dozen.
const UNSEEN: Duration = Duration::from_millis(250);

/// Keeps a namespace's status up to date, from the moment when there is something to tell.
pub async fn run(state: &NamespaceState) {
    let (mut cache, mut facts, mut reach) = (state.cache.subscribe(), state.facts.subscribe(), state.reach.clone());
    // Where the cluster does not answer, that is what is told.
    let _ = state.looked().await;
    loop {
        cache.mark_unchanged();
        facts.mark_unchanged();
        reach.mark_unchanged();
        refresh(state);
        tokio::select! {
            Ok(()) = cache.changed() => {}
            Ok(()) = facts.changed() => {}
            Ok(()) = reach.changed() => {}
            else => return,
        }
        if !state.is_viewed() {
            // Whoever asks meanwhile has it put together for them.
            let _ = tokio::time::timeout(UNSEEN, state.asked.notified()).await;
        }
    }
}

/// Puts the status together from what is known at this moment, and publishes it.
pub fn refresh(state: &NamespaceState) -> Arc<Status> {
    let _composing = state.composing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (cache, facts, reach) = (state.now(), state.facts.borrow().clone(), state.reach.borrow().clone());
    let (status, ready) = compose(state, &cache, &facts, &reach);
    remember(state, &status, ready);
    state.status.send_if_modified(|shown| {
        let changed = **shown != status;
        if changed {
            *shown = Arc::new(status);
        }
        changed
    });
    state.status.borrow().clone()
}

/// What follows from a status for later ones: the demo was ready once; somebody else moved the weights.
fn remember(state: &NamespaceState, status: &Status, ready: bool) {
    let deployed = status.condition(wire::kinds::DEPLOYED).is_some_and(|c| c.reason != wire::reasons::NOT_DEPLOYED);
    let before = state.status.borrow().clone();
    let theirs = status
        .claim
        .as_ref()
        .filter(|c| before.claim.as_ref().map(|b| (&b.manager, &b.theirs)) != Some((&c.manager, &c.theirs)));
    let known = !before.conditions.is_empty();
    state.facts.send_if_modified(|facts| {
        let mut changed = false;
        // What was measured of a demo that is gone is told no longer.
        if known && !deployed && facts.milestones != Milestones::default() {
            facts.milestones = Milestones::default();
            changed = true;
        }
        if facts.was_ready != (deployed && (facts.was_ready || ready)) {
            facts.was_ready = !facts.was_ready;
            changed = true;
        }
        if let Some(claim) = theirs.filter(|_| known) {
            facts.note(Line {
                by: claim.manager.clone(),
                what: claim.theirs.as_ref().map_or_else(log::the_route, |split| split.to_string().into()),
                split: claim.theirs.clone(),
                ..Line::default()
            });
            changed = true;
        }
        changed
    });
}
