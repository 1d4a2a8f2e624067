//! One panel acts on a namespace at a time: who holds its Lease `demo-panel`. The others look on, say who acts, and can take over.
//!
//! Held only while the panel has something in the namespace, so that a clean namespace has no Lease. Where leases may not be
//! written the panel goes on without, and says so. Source: Kubernetes API reference, "Lease".
use crate::demo::clock::clock;
use crate::demo::namespace::state::NamespaceState;
use crate::demo::plan::Presence;
use crate::demo::plan::observe::observe;
use crate::k8s::{Held, LEASE, LeaseLock, Seize, reason_of};
use app::text::messages::errors;
use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use std::time::Duration;
use tracing::{info, warn};
use wire::{ApiError, Code};

/// How often a held Lease is renewed, and another's end thought of.
pub const RENEW: Duration = Duration::from_secs(25);

/// Whether the panel has anything in the namespace that another one should keep its hands off.
fn needed(state: &NamespaceState) -> bool {
    let busy = state.facts.borrow().goal != Default::default();
    busy || observe(&state.now()).objects.values().any(|o| matches!(o.presence, Presence::Ours | Presence::Terminating))
}

/// Runs as long as the namespace is looked after; does nothing where panels have no name.
pub async fn run(state: &NamespaceState) {
    let Some(me) = state.identity.as_deref() else {
        looked(state);
        return std::future::pending().await;
    };
    let (mut cache, mut facts) = (state.cache.subscribe(), state.facts.subscribe());
    let _ = state.settled().await;
    let mut lock = LeaseLock::new(&state.cluster, state.ns.as_str(), me);
    // Another panel's taking over is seen at once, not at the next renewal.
    let one = watcher::Config::default().fields(&format!("metadata.name={LEASE}")).timeout(290);
    let mut watched = std::pin::pin!(watcher::watcher(lock.api(), one).default_backoff());
    let mut watching = true;
    loop {
        let mine = state.facts.borrow().held == Held::Ours;
        if needed(state) {
            let held = told(state, lock.hold(Seize::No).await);
            keep(state, held);
        } else if mine {
            release(state).await;
        } else if state.facts.borrow().held != Held::Free {
            // Nothing of ours is here; another panel that holds it all the same is worth knowing.
            let seen = lock.look().await;
            let held = told(state, seen);
            keep(state, held);
        }
        looked(state);
        let due = tokio::time::Instant::now() + RENEW;
        // Until then it is got where it is needed, and given back where it is not any more.
        let settled = || {
            let (needed, held) = (needed(state), state.facts.borrow().held.clone());
            !(needed && held == Held::Free || !needed && held == Held::Ours)
        };
        while settled() {
            tokio::select! {
                () = tokio::time::sleep_until(due) => break,
                Some(event) = watched.next(), if watching => match event {
                    Ok(Event::Apply(lease) | Event::InitApply(lease)) => {
                        let held = lock.saw(Some(lease));
                        keep(state, held);
                    }
                    Ok(Event::Delete(_)) => {
                        let held = lock.saw(None);
                        keep(state, held);
                    }
                    Ok(Event::Init | Event::InitDone) => {}
                    // Without the right to watch, the renewals have to do.
                    Err(error) => watching = !matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 403),
                },
                Ok(()) = cache.changed() => {}
                Ok(()) = facts.changed() => {}
                else => return,
            }
        }
        if tokio::time::Instant::now() < due {
            // What comes and goes at once is one change; a namespace that is not there yet is asked for once a second.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn looked(state: &NamespaceState) {
    state.facts.send_if_modified(|f| !std::mem::replace(&mut f.first_look.lease, true));
}

/// What an answer comes to. One that could not be had leaves things as they were.
fn told(state: &NamespaceState, answer: Result<Held, kube::Error>) -> Held {
    match answer {
        Ok(held) => held,
        // The namespace is not there, or it is going.
        Err(kube::Error::Api(status)) if status.code == 404 || status.message.contains("being terminated") => {
            Held::Free
        }
        Err(kube::Error::Api(status)) if status.code == 403 => Held::CannotTell(status.message.clone()),
        Err(_) => state.facts.borrow().held.clone(),
    }
}

/// Takes note of who holds the Lease.
pub fn keep(state: &NamespaceState, held: Held) {
    let before = state.facts.borrow().held.clone();
    if before == held {
        return;
    }
    match &held {
        Held::Ours => info!(namespace = %state.ns, "This panel acts on the namespace"),
        Held::Other { holder, .. } => {
            info!(namespace = %state.ns, holder, "Another panel acts on the namespace: this one looks on")
        }
        Held::CannotTell(why) => warn!(namespace = %state.ns, why, "No Lease: another panel may act at the same time"),
        Held::Free => {}
    }
    let lost = before == Held::Ours && matches!(held, Held::Other { .. });
    state.facts.send_modify(|f| {
        f.held = held.clone();
        if let (true, Some(id)) = (lost, f.operation.as_ref().map(|o| o.id)) {
            f.goal = Default::default();
            f.end(id, Some(refusal(&held)));
        }
    });
}

fn refusal(held: &Held) -> ApiError {
    let Held::Other { holder, since_ms } = held else {
        return ApiError::new(Code::HeldElsewhere, errors::held_elsewhere(), errors::take_over_first());
    };
    ApiError::new(Code::HeldElsewhere, errors::held_by(holder, clock(*since_ms)), errors::take_over_if_meant())
}

/// Renews the Lease of a namespace at rest, which is all that is done for it.
pub async fn renew(state: &NamespaceState) {
    let Some(me) = state.identity.as_deref() else { return };
    let held = told(state, LeaseLock::new(&state.cluster, state.ns.as_str(), me).hold(Seize::No).await);
    keep(state, held);
}

/// Before a verb changes anything. Errors: another panel holds the namespace.
pub async fn may_act(state: &NamespaceState) -> Result<(), ApiError> {
    let Some(me) = state.identity.as_deref() else { return Ok(()) };
    let known = state.facts.borrow().held.clone();
    let held = match known {
        Held::Ours => return Ok(()),
        _ => told(state, LeaseLock::new(&state.cluster, state.ns.as_str(), me).hold(Seize::No).await),
    };
    keep(state, held.clone());
    if matches!(held, Held::Other { .. }) { Err(refusal(&held)) } else { Ok(()) }
}

/// Gives it back: nobody has to wait for its end.
pub async fn release(state: &NamespaceState) {
    let Some(me) = state.identity.as_deref() else { return };
    if state.facts.borrow().held != Held::Ours {
        return;
    }
    if let Err(error) = LeaseLock::new(&state.cluster, state.ns.as_str(), me).release().await {
        tracing::debug!(namespace = %state.ns, why = reason_of(&error), "The Lease was not given back: it ends by itself");
    }
    keep(state, Held::Free);
}
