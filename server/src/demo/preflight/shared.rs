//! One preflight for everybody who asks at the same time, and for a moment after: each is some sixty calls to the cluster.
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use wire::{Namespace, Preflight};

/// How long an answer serves others. Short, because people look again as soon as they have mended something.
const FRESH: Duration = Duration::from_secs(1);

type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Preflight)>>>;

/// The newest answer of each namespace that was asked about lately.
#[derive(Default)]
pub struct Shared(Mutex<BTreeMap<Namespace, Slot>>);

impl Shared {
    /// An answer that is at most [`FRESH`] old: the newest one, or `ask`'s. Who asks meanwhile waits for the same one.
    pub async fn get<F: Future<Output = Preflight>>(&self, ns: &Namespace, ask: impl FnOnce() -> F) -> Preflight {
        let slot = self.slot(ns);
        // If whoever asks leaves, the lock is free again and the next one asks.
        let mut newest = slot.lock().await;
        if let Some((at, answer)) = &*newest
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = ask().await;
        *newest = Some((Instant::now(), answer.clone()));
        answer
    }

    /// Something is about to change in the namespace: who asks from now on is not served with what was so before.
    pub fn forget(&self, ns: &Namespace) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(ns);
    }

    fn slot(&self, ns: &Namespace) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What is in use, or fresh, stays: the map holds no more than what was asked about within the last moments.
        slots.retain(|_, slot| {
            slot.try_lock().map_or(true, |newest| newest.as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH))
        });
        slots.entry(ns.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use wire::ClusterView;

    #[tokio::test(start_paused = true)]
    async fn sixty_who_ask_at_once_share_one_answer() {
        let (shared, asked) = (Shared::default(), AtomicUsize::new(0));
        let (here, there): (Namespace, Namespace) = ("istio-app".parse().unwrap(), "other".parse().unwrap());
        let ask = |ns: &Namespace| {
            let ns = ns.clone();
            asked.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Preflight { cluster: ClusterView::default(), namespace: ns, checks: Vec::new() }
            }
        };
        let answers = futures::future::join_all((0..60).map(|_| shared.get(&here, || ask(&here)))).await;
        assert!(answers.iter().all(|answer| answer.namespace == here));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        shared.get(&there, || ask(&there)).await;
        assert_eq!(asked.load(Ordering::Relaxed), 2, "another namespace");
        tokio::time::advance(FRESH).await;
        shared.get(&here, || ask(&here)).await;
        assert_eq!(asked.load(Ordering::Relaxed), 3, "later it is asked again");
        shared.forget(&here);
        shared.get(&here, || ask(&here)).await;
        assert_eq!(asked.load(Ordering::Relaxed), 4, "and after a change");
        assert_eq!(shared.0.lock().unwrap().len(), 1, "and what is old is forgotten");
    }
}
