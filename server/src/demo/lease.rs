//! One panel acts on a namespace at a time: who holds its Lease `demo-panel`. The others look on, say who acts, and can take over.
//!
//! Held only while the panel has something in the namespace, so that a clean namespace has no Lease. Where leases may not be
//! written the panel goes on without, and says so. Source: Kubernetes API reference, "Lease".
use super::commands;
use super::facts::Line;
use super::observe::observe;
use super::plan::Presence;
use super::process;
use super::space::Space;
use crate::k8s::{MANAGED_BY, MANAGER, api_error, reason_of};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use std::time::Duration;
use tracing::{info, warn};
use wire::{ApiError, Code, Operation, Verb};

/// The Lease's name.
pub const NAME: &str = "demo-panel";
/// After this long without a renewal the holder is thought gone.
const LASTS: Duration = Duration::from_secs(60);
/// How often a held Lease is renewed, and another's end thought of.
pub const RENEW: Duration = Duration::from_secs(25);

/// Annotation: the holder's process, so that one that ended without giving it back is not waited for by the next of that machine.
const PROCESS: &str = "demo-panel/process";

/// Who acts on the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Held {
    /// Nobody, as far as is known; or it does not matter on this cluster.
    #[default]
    Free,
    /// This panel.
    Ours,
    /// Another one.
    Other {
        /// What it calls itself.
        holder: String,
        /// Since when: milliseconds since the Unix epoch.
        since_ms: u64,
    },
    /// It cannot be told, and why.
    CannotTell(String),
}

/// What a Lease says to somebody who calls himself `me`.
fn read(lease: &Lease, me: &str, now: Timestamp) -> Held {
    let Some(spec) = &lease.spec else { return Held::Free };
    let holder = spec.holder_identity.clone().unwrap_or_default();
    let lasts = u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0);
    let renewed = spec.renew_time.as_ref().map_or(0, |t| t.0.as_millisecond());
    let ended = now.as_millisecond() > renewed.saturating_add(i64::try_from(lasts * 1000).unwrap_or(i64::MAX));
    match () {
        () if holder == me => Held::Ours,
        () if holder.is_empty() || ended => Held::Free,
        () if lease
            .metadata
            .annotations
            .as_ref()
            .and_then(|a| a.get(PROCESS))
            .is_some_and(|p| process::has_ended(p)) =>
        {
            Held::Free
        }
        () => Held::Other {
            holder,
            since_ms: spec.acquire_time.as_ref().map_or(0, |t| u64::try_from(t.0.as_millisecond()).unwrap_or(0)),
        },
    }
}

/// The same Lease held by `me` from now on, or still.
fn held_by(lease: Option<Lease>, me: &str, now: Timestamp) -> Lease {
    let mut lease = lease.unwrap_or_default();
    let before = lease.spec.take().unwrap_or_default();
    let still = before.holder_identity.as_deref() == Some(me);
    lease.metadata.name = Some(NAME.to_owned());
    lease.metadata.labels.get_or_insert_default().insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let annotations = lease.metadata.annotations.get_or_insert_default();
    match process::this() {
        Some(process) => annotations.insert(PROCESS.to_owned(), process),
        None => annotations.remove(PROCESS),
    };
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: Some(i32::try_from(LASTS.as_secs()).unwrap_or(60)),
        acquire_time: if still { before.acquire_time } else { Some(MicroTime(now)) },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!still)),
        ..LeaseSpec::default()
    });
    lease
}

fn api(space: &Space) -> Api<Lease> {
    Api::namespaced(space.cluster.client.clone(), space.ns.as_str())
}

/// Whether to seize what another one holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seize {
    No,
    Clicked,
}

/// Gets or renews the Lease. Written with the version that was read, so that of two who try one wins; `known` is what was seen last,
/// so that a renewal is one call.
async fn hold(space: &Space, me: &str, seize: Seize, known: &mut Option<Lease>) -> Result<Held, kube::Error> {
    let api = api(space);
    for _ in 0..3 {
        let now = Timestamp::now();
        let remembered = known.take().filter(|lease| read(lease, me, now) == Held::Ours);
        let found = if remembered.is_some() { remembered } else { api.get_opt(NAME).await? };
        let said = found.as_ref().map_or(Held::Free, |lease| read(lease, me, now));
        if matches!(said, Held::Other { .. }) && seize == Seize::No {
            return Ok(said);
        }
        let desired = held_by(found.clone(), me, now);
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let written = if found.is_some() {
            api.replace(NAME, &params, &desired).await
        } else {
            api.create(&params, &desired).await
        };
        match written {
            Ok(stored) => {
                *known = Some(stored);
                return Ok(Held::Ours);
            }
            // Somebody else was quicker, or it is not there any more: see who.
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 && found.is_some() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Held::Free)
}

/// Whether the panel has anything in the namespace that another one should keep its hands off.
fn needed(space: &Space) -> bool {
    let busy = space.facts.borrow().goal != Default::default();
    busy || observe(&space.now()).objects.values().any(|o| matches!(o.presence, Presence::Ours | Presence::Terminating))
}

/// Runs as long as the namespace is looked after; does nothing where panels have no name.
pub async fn run(space: &Space) {
    let Some(me) = space.identity.as_deref() else {
        looked(space);
        return std::future::pending().await;
    };
    let (mut world, mut facts) = (space.world.subscribe(), space.facts.subscribe());
    let _ = space.settled().await;
    let mut known = None;
    // Another panel's taking over is seen at once, not at the next renewal.
    let one = watcher::Config::default().fields(&format!("metadata.name={NAME}")).timeout(290);
    let mut watched = std::pin::pin!(watcher::watcher(api(space), one).default_backoff());
    let mut watching = true;
    loop {
        let mine = space.facts.borrow().held == Held::Ours;
        if needed(space) {
            let held = told(space, hold(space, me, Seize::No, &mut known).await);
            keep(space, held);
        } else if mine {
            release(space).await;
        } else if space.facts.borrow().held != Held::Free {
            // Nothing of ours is here; another panel that holds it all the same is worth knowing.
            let seen = api(space)
                .get_opt(NAME)
                .await
                .map(|found| found.map_or(Held::Free, |lease| read(&lease, me, Timestamp::now())));
            let held = told(space, seen);
            keep(space, held);
        }
        looked(space);
        let due = tokio::time::Instant::now() + RENEW;
        // Until then it is got where it is needed, and given back where it is not any more.
        let settled = || {
            let (needed, held) = (needed(space), space.facts.borrow().held.clone());
            !(needed && held == Held::Free || !needed && held == Held::Ours)
        };
        while settled() {
            tokio::select! {
                () = tokio::time::sleep_until(due) => break,
                Some(event) = watched.next(), if watching => match event {
                    Ok(Event::Apply(lease) | Event::InitApply(lease)) => {
                        let held = read(&lease, me, Timestamp::now());
                        known = Some(lease);
                        keep(space, held);
                    }
                    Ok(Event::Delete(_)) => {
                        known = None;
                        keep(space, Held::Free);
                    }
                    Ok(Event::Init | Event::InitDone) => {}
                    // Without the right to watch, the renewals have to do.
                    Err(error) => watching = !matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 403),
                },
                Ok(()) = world.changed() => {}
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

fn looked(space: &Space) {
    space.facts.send_if_modified(|f| !std::mem::replace(&mut f.first_look.lease, true));
}

/// What an answer comes to. One that could not be had leaves things as they were.
fn told(space: &Space, answer: Result<Held, kube::Error>) -> Held {
    match answer {
        Ok(held) => held,
        // The namespace is not there, or it is going.
        Err(kube::Error::Api(status)) if status.code == 404 || status.message.contains("being terminated") => {
            Held::Free
        }
        Err(kube::Error::Api(status)) if status.code == 403 => Held::CannotTell(status.message.clone()),
        Err(_) => space.facts.borrow().held.clone(),
    }
}

fn keep(space: &Space, held: Held) {
    let before = space.facts.borrow().held.clone();
    if before == held {
        return;
    }
    match &held {
        Held::Ours => info!(namespace = %space.ns, "This panel acts on the namespace"),
        Held::Other { holder, .. } => {
            info!(namespace = %space.ns, holder, "Another panel acts on the namespace: this one looks on")
        }
        Held::CannotTell(why) => warn!(namespace = %space.ns, why, "No Lease: another panel may act at the same time"),
        Held::Free => {}
    }
    let lost = before == Held::Ours && matches!(held, Held::Other { .. });
    space.facts.send_modify(|f| {
        f.held = held.clone();
        if let (true, Some(id)) = (lost, f.operation.as_ref().map(|o| o.id)) {
            f.goal = Default::default();
            f.end(id, Some(refusal(&held)));
        }
    });
}

fn refusal(held: &Held) -> ApiError {
    let Held::Other { holder, since_ms } = held else {
        return ApiError::new(Code::HeldElsewhere, "Another panel acts on this namespace.", "Take over first.");
    };
    ApiError::new(
        Code::HeldElsewhere,
        format!("Panel {holder} acts on this namespace since {}; this one is read-only.", clock(*since_ms)),
        "Take over first, if that is meant.",
    )
}

/// `14:02:31 UTC`.
pub fn clock(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(String::new, |at| at.strftime("%H:%M:%S UTC").to_string())
}

/// Renews the Lease of a namespace at rest, which is all that is done for it.
pub async fn renew(space: &Space) {
    let Some(me) = space.identity.as_deref() else { return };
    let held = told(space, hold(space, me, Seize::No, &mut None).await);
    keep(space, held);
}

/// Before a verb changes anything. Errors: another panel holds the namespace.
pub async fn may_act(space: &Space) -> Result<(), ApiError> {
    let Some(me) = space.identity.as_deref() else { return Ok(()) };
    let known = space.facts.borrow().held.clone();
    let held = match known {
        Held::Ours => return Ok(()),
        _ => told(space, hold(space, me, Seize::No, &mut None).await),
    };
    keep(space, held.clone());
    if matches!(held, Held::Other { .. }) { Err(refusal(&held)) } else { Ok(()) }
}

/// Takes the namespace over from another panel. Answers when it is done.
pub async fn take_over(space: &Space, by: &str) -> Result<Operation, ApiError> {
    let before = space.facts.borrow().held.clone();
    let (Some(me), Held::Other { holder, .. }) = (space.identity.as_deref(), &before) else {
        return Err(ApiError::new(
            Code::NotFound,
            "No other panel acts on this namespace.",
            "There is nothing to take over.",
        ));
    };
    let held = hold(space, me, Seize::Clicked, &mut None).await.map_err(|e| api_error("take over the Lease", &e))?;
    keep(space, held);
    let command = commands::takeover(space, me);
    let mut operation = None;
    space.facts.send_modify(|f| {
        f.note(Line {
            by: by.to_owned(),
            verb: Some(Verb::Takeover),
            what: format!("take over from {holder}"),
            command,
            ..Line::default()
        });
        operation = Some(f.aside(Verb::Takeover, by, "done"));
    });
    operation.ok_or_else(|| ApiError::new(Code::Internal, "Nothing was done.", "Try again."))
}

/// Gives it back: nobody has to wait for its end.
pub async fn release(space: &Space) {
    let Some(me) = space.identity.as_deref() else { return };
    if space.facts.borrow().held != Held::Ours {
        return;
    }
    let api = api(space);
    let outcome = async {
        let Some(found) = api.get_opt(NAME).await? else { return Ok(()) };
        if read(&found, me, Timestamp::now()) != Held::Ours {
            return Ok(());
        }
        let only_this = Preconditions { uid: found.metadata.uid, resource_version: found.metadata.resource_version };
        api.delete(NAME, &DeleteParams::default().preconditions(only_this)).await.map(drop)
    };
    if let Err(error) = outcome.await {
        tracing::debug!(namespace = %space.ns, why = reason_of(&error), "The Lease was not given back: it ends by itself");
    }
    keep(space, Held::Free);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_says_who_acts() {
        let at = |s: i64| Timestamp::from_second(1_000_000 + s).unwrap();
        let ann = held_by(None, "ann", at(0));
        let spec = |lease: &Lease| lease.spec.clone().unwrap();
        assert_eq!((read(&ann, "ann", at(9)), spec(&ann).lease_transitions), (Held::Ours, Some(1)));
        let other = |since: i64| Held::Other {
            holder: "ann".into(),
            since_ms: u64::try_from((1_000_000 + since) * 1000).unwrap(),
        };
        for (what, lease, now, said) in [
            ("fresh", ann.clone(), 59, other(0)),
            ("renewed keeps its beginning", held_by(Some(ann.clone()), "ann", at(25)), 80, other(0)),
            ("run out", ann.clone(), 61, Held::Free),
            (
                "given back",
                {
                    let mut l = ann.clone();
                    l.spec.as_mut().unwrap().holder_identity = Some(String::new());
                    l
                },
                1,
                Held::Free,
            ),
            ("empty", Lease::default(), 0, Held::Free),
        ] {
            assert_eq!(read(&lease, "bob", at(now)), said, "{what}");
        }
        let bob = held_by(Some(ann), "bob", at(40));
        assert_eq!((spec(&bob).lease_transitions, spec(&bob).acquire_time.unwrap().0), (Some(2), at(40)));
        assert_eq!(bob.metadata.labels.unwrap()[MANAGED_BY], MANAGER);
    }
}
