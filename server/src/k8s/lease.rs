//! A Lease that says which panel acts on a namespace. Source: Kubernetes API reference, "Lease"; its fields are those of leader election.
//!
//! One that nobody renews for [`LASTS`] is free; so is one whose holder is a process of this machine that has ended.
use super::client::Cluster;
use super::kinds::{MANAGED_BY, MANAGER};
use super::process;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use std::time::Duration;

/// The Lease's name.
pub const LEASE: &str = MANAGER;
/// After this long without a renewal the holder is thought gone.
const LASTS: Duration = Duration::from_secs(60);

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

/// Whether to seize what another one holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Seize {
    /// Only a free one is taken.
    No,
    /// A person clicked for it.
    Clicked,
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
    lease.metadata.name = Some(LEASE.to_owned());
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

/// One namespace's Lease, as the panel that calls itself `me` sees it.
#[derive(Clone)]
pub struct LeaseLock {
    api: Api<Lease>,
    me: String,
    /// What was seen last, so that a renewal is one call.
    known: Option<Lease>,
}

impl LeaseLock {
    /// Nothing is known of it yet.
    pub fn new(cluster: &Cluster, ns: &str, me: &str) -> LeaseLock {
        LeaseLock { api: Api::namespaced(cluster.client.clone(), ns), me: me.to_owned(), known: None }
    }

    /// Its API, to watch it.
    pub fn api(&self) -> Api<Lease> {
        self.api.clone()
    }

    /// Takes note of the newest Lease, `None` for none; who holds it.
    pub fn saw(&mut self, lease: Option<Lease>) -> Held {
        let held = lease.as_ref().map_or(Held::Free, |lease| read(lease, &self.me, Timestamp::now()));
        self.known = lease;
        held
    }

    /// Who holds it now.
    ///
    /// # Errors
    /// The cluster's.
    pub async fn look(&mut self) -> Result<Held, kube::Error> {
        let found = self.api.get_opt(LEASE).await?;
        Ok(self.saw(found))
    }

    /// Gets or renews the Lease. Written with the version that was read, so that of two who try one wins.
    ///
    /// # Errors
    /// The cluster's, but for a conflict: that is looked at again.
    pub async fn hold(&mut self, seize: Seize) -> Result<Held, kube::Error> {
        for _ in 0..3 {
            let now = Timestamp::now();
            let remembered = self.known.take().filter(|lease| read(lease, &self.me, now) == Held::Ours);
            let found = if remembered.is_some() { remembered } else { self.api.get_opt(LEASE).await? };
            let said = found.as_ref().map_or(Held::Free, |lease| read(lease, &self.me, now));
            if matches!(said, Held::Other { .. }) && seize == Seize::No {
                return Ok(said);
            }
            let desired = held_by(found.clone(), &self.me, now);
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            let written = if found.is_some() {
                self.api.replace(LEASE, &params, &desired).await
            } else {
                self.api.create(&params, &desired).await
            };
            match written {
                Ok(stored) => {
                    self.known = Some(stored);
                    return Ok(Held::Ours);
                }
                // Somebody else was quicker, or it is not there any more: see who.
                Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 && found.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Held::Free)
    }

    /// Deletes the Lease if it is this panel's: nobody has to wait until it runs out.
    ///
    /// # Errors
    /// The cluster's.
    pub async fn release(&mut self) -> Result<(), kube::Error> {
        self.known = None;
        let Some(found) = self.api.get_opt(LEASE).await? else { return Ok(()) };
        if read(&found, &self.me, Timestamp::now()) != Held::Ours {
            return Ok(());
        }
        let only_this = Preconditions { uid: found.metadata.uid, resource_version: found.metadata.resource_version };
        self.api.delete(LEASE, &DeleteParams::default().preconditions(only_this)).await.map(drop)
    }
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
