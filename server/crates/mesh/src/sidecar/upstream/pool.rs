//! What a cluster's connection pool may hold (`ConnectionPoolSettings`): counted here, refused by [`super::endpoint`].

use crate::table::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A cluster's limits and how near they are.
#[derive(Default)]
pub(crate) struct Pool {
    limits: Limits,
    connections: Arc<AtomicU32>,
    pending: Arc<AtomicU32>,
    requests: Arc<AtomicU32>,
    retries: Arc<AtomicU32>,
}

/// One of a number of places; free again when dropped.
pub(crate) struct Place(Arc<AtomicU32>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Place {
    /// Takes one where there are fewer than `most`.
    pub(crate) fn take(of: &Arc<AtomicU32>, most: Option<u32>) -> Option<Place> {
        let most = most.unwrap_or(u32::MAX);
        of.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < most).then_some(n + 1)).ok()?;
        Some(Place(of.clone()))
    }
}

/// A connection's places under its cluster's limits.
pub(crate) struct Counted {
    pub(crate) since: Instant,
    pub(crate) requests: u32,
    /// Of the request that it carries.
    pub(crate) request: Option<Place>,
    pub(crate) freed: Arc<Notify>,
    /// The cluster's and the endpoint's, given back before anybody is told.
    pub(crate) places: Option<(Place, Place)>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.places = None;
        self.freed.notify_one();
    }
}

impl Pool {
    /// A pool of these limits; `None` where there is none, so that most clusters count nothing.
    pub(crate) fn new(limits: &Limits) -> Option<Arc<Pool>> {
        (*limits != Limits::default()).then(|| Arc::new(Pool { limits: limits.clone(), ..Pool::default() }))
    }

    /// A connection's place. `first`: its endpoint has no other, then it gets one whatever the limit.
    pub(crate) fn connection(&self, first: bool) -> Option<Place> {
        Place::take(&self.connections, self.limits.connections.filter(|_| !first))
    }

    /// A waiting request's place.
    pub(crate) fn pending(&self) -> Option<Place> {
        Place::take(&self.pending, self.limits.pending)
    }

    /// The place of a request under way.
    pub(crate) fn request(&self) -> Option<Place> {
        Place::take(&self.requests, self.limits.requests)
    }

    /// Whether one more request may be tried again.
    pub(crate) fn may_retry(&self) -> bool {
        self.limits.retries.is_none_or(|most| self.retries.load(Ordering::Relaxed) < most)
    }

    /// The place of a request that is tried again.
    pub(crate) fn retry(&self) -> Option<Place> {
        Place::take(&self.retries, self.limits.retries)
    }

    /// Whether a connection that carried so many requests in so much time is done.
    pub(crate) fn is_worn(&self, requests: u32, age: Duration) -> bool {
        self.limits.per_connection.is_some_and(|most| requests >= most)
            || self.limits.age_ms.is_some_and(|most| age.as_millis() >= u128::from(most))
    }

    /// How long a connection is kept without use.
    pub(crate) fn idle(&self) -> Option<Duration> {
        self.limits.idle_ms.map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        assert!(Pool::new(&Limits::default()).is_none());
        let pool =
            Pool::new(&Limits { connections: Some(1), pending: Some(2), per_connection: Some(3), ..Limits::default() })
                .unwrap();
        let one = pool.connection(false).unwrap();
        assert!(pool.connection(false).is_none());
        let first = pool.connection(true).unwrap();
        drop((one, first));
        assert!(pool.connection(false).is_some());
        let waiting = [pool.pending(), pool.pending(), pool.pending()];
        assert_eq!(waiting.iter().flatten().count(), 2);
        assert!(pool.request().is_some() && pool.retry().is_some());
        assert!(!pool.is_worn(2, Duration::MAX) && pool.is_worn(3, Duration::ZERO));
    }
}
